//! What differs between two trees, as a layer would state it.
//!
//! Objects are compared by kind, owner, mode, attributes, device, link target, size, time and,
//! where those agree, content. The time of a directory is not compared, as it says only that
//! something in it changed; a directory that has a change in it is itself reported as changed,
//! before it.

mod links;

use std::cmp::Ordering;
use std::fmt;
use std::io::{self, Read};
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::vec;

use layergraph_fs::{FileKind, FsError, Metadata};

use self::links::LinkGroups;
use crate::view::{Entry, View, ViewDir};

/// How an object differs from the one below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// There was none.
    Added,
    /// It is another, or has other metadata, or, for a directory, something in it changed.
    Modified,
    /// There is none any more. What was below a deleted directory is not listed.
    Deleted,
}

/// One difference between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// How it differs.
    pub kind: ChangeKind,
    /// Where, from the root of the tree and without a slash at the front; empty for the root.
    pub path: PathBuf,
    /// The size in bytes of what is there now: of a file its length, of a link that of its target,
    /// of anything else 0.
    pub size: u64,
}

impl fmt::Display for ChangeKind {
    /// One letter: `A`, `C` or `D`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChangeKind::Added => "A",
            ChangeKind::Modified => "C",
            ChangeKind::Deleted => "D",
        })
    }
}

impl fmt::Display for Change {
    /// As `docker diff` prints it: `C /etc`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} /{}", self.kind, self.path.display())
    }
}

/// How trees are compared.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct CompareOptions {
    /// Takes the content of a file for unchanged if size and time are those of the file below and
    /// its inode has not been touched (`ctime`) since this moment, without reading it: the moment
    /// is when the upper tree was known to equal the lower one. Default: content is always read.
    pub equal_at: Option<SystemTime>,
}

/// Lists what has to be changed in the tree `lower` to make it equal to `upper`, sorted by path.
///
/// Without `lower`, it is everything in `upper`: what makes it from an empty directory with mode
/// 0755 that belongs to 0:0. The root is listed only if its owner, mode or attributes differ.
///
/// If one of the names of a file is listed and the file has others in the tree, all are: a layer
/// cannot add a name to a file below it without parting that from its other names.
///
/// # Errors
///
/// The first object that cannot be read, also if it vanished while the trees were compared.
pub fn changes(
    upper: &View,
    lower: Option<&View>,
    options: &CompareOptions,
) -> Result<Vec<Change>, FsError> {
    let mut walk = Walk {
        options,
        changes: Vec::new(),
        links: LinkGroups::default(),
    };
    let upper = upper.root()?;
    let lower = lower.map(View::root).transpose()?;
    let root_differs = if let Some(lower) = &lower {
        !same_rights(upper.metadata(), lower.metadata())
            || upper.own_xattrs()? != lower.own_xattrs()?
    } else {
        let Metadata { mode, uid, gid, .. } = *upper.metadata();
        (mode, uid, gid) != (0o755, 0, 0) || !upper.own_xattrs()?.is_empty()
    };
    if root_differs {
        walk.report(ChangeKind::Modified, PathBuf::new(), upper.metadata());
    }
    walk.directory(&upper, lower.as_ref())?;
    Ok(walk.finish())
}

struct Walk<'a> {
    options: &'a CompareOptions,
    changes: Vec<Change>,
    links: LinkGroups,
}

impl Walk<'_> {
    /// Compares what is in two directories. Returns whether anything differs.
    fn directory(
        &mut self,
        upper: &ViewDir<'_>,
        lower: Option<&ViewDir<'_>>,
    ) -> Result<bool, FsError> {
        let before = self.changes.len();
        let lower_entries = lower.map(ViewDir::entries).transpose()?.unwrap_or_default();
        for (above, below) in paired(upper.entries()?, lower_entries) {
            match (above, below) {
                (Some(above), None) => self.added(upper, &above)?,
                (Some(above), Some(below)) => {
                    let lower = lower.expect("it gave the entry");
                    self.both(upper, &above, lower, &below)?;
                }
                (None, Some(below)) => {
                    let path = upper.path().join(below.name());
                    self.changes.push(Change {
                        kind: ChangeKind::Deleted,
                        path,
                        size: 0,
                    });
                }
                (None, None) => {}
            }
        }
        Ok(self.changes.len() > before)
    }

    fn added(&mut self, upper: &ViewDir<'_>, entry: &Entry) -> Result<(), FsError> {
        let path = upper.path().join(entry.name());
        self.links.changed(entry.metadata());
        self.report(ChangeKind::Added, path, entry.metadata());
        if entry.metadata().kind == FileKind::Directory {
            self.directory(&upper.open_dir(entry)?, None)?;
        }
        Ok(())
    }

    /// Compares two objects of the same name.
    fn both(
        &mut self,
        upper: &ViewDir<'_>,
        above: &Entry,
        lower: &ViewDir<'_>,
        below: &Entry,
    ) -> Result<(), FsError> {
        let path = upper.path().join(above.name());
        let is_directory = |entry: &Entry| entry.metadata().kind == FileKind::Directory;
        if !is_directory(above) {
            if self.same_file(upper, above, lower, below)? {
                self.links
                    .unchanged(&path, above.metadata(), below.metadata());
            } else {
                self.links.changed(above.metadata());
                self.report(ChangeKind::Modified, path, above.metadata());
            }
            return Ok(());
        }
        let inside = upper.open_dir(above)?;
        if !is_directory(below) {
            self.report(ChangeKind::Modified, path, above.metadata());
            self.directory(&inside, None)?;
            return Ok(());
        }
        let inside_lower = lower.open_dir(below)?;
        let both_plain = inside.is_plain() && inside_lower.is_plain();
        if both_plain && same_object(inside.metadata(), inside_lower.metadata()) {
            return Ok(());
        }
        let differs = !same_rights(above.metadata(), below.metadata())
            || upper.xattrs(above)? != lower.xattrs(below)?;
        let at = self.changes.len();
        if self.directory(&inside, Some(&inside_lower))? || differs {
            self.report(ChangeKind::Modified, path, above.metadata());
            // A directory stands before what is in it; at the end all is sorted, but a list that
            // is nearly so sorts faster.
            self.changes[at..].rotate_right(1);
        }
        Ok(())
    }

    fn same_file(
        &self,
        upper: &ViewDir<'_>,
        above: &Entry,
        lower: &ViewDir<'_>,
        below: &Entry,
    ) -> Result<bool, FsError> {
        let (new, old) = (above.metadata(), below.metadata());
        if same_object(new, old) {
            return Ok(true);
        }
        if new.kind != old.kind || !same_rights(new, old) || new.modified != old.modified {
            return Ok(false);
        }
        let same = match new.kind {
            FileKind::File => new.size == old.size,
            FileKind::Symlink => upper.read_link(above)? == lower.read_link(below)?,
            FileKind::CharDevice | FileKind::BlockDevice => new.device == old.device,
            FileKind::Fifo | FileKind::Socket | FileKind::Directory => true,
        };
        if !same || upper.xattrs(above)? != lower.xattrs(below)? {
            return Ok(false);
        }
        let untouched = self
            .options
            .equal_at
            .is_some_and(|moment| new.changed < moment);
        if new.kind != FileKind::File || new.size == 0 || untouched {
            return Ok(true);
        }
        let path = upper.path().join(above.name());
        same_content(upper.open_file(above)?, lower.open_file(below)?)
            .map_err(|source| FsError::new("read", path, source))
    }

    fn report(&mut self, kind: ChangeKind, path: PathBuf, metadata: &Metadata) {
        let size = match metadata.kind {
            FileKind::File | FileKind::Symlink => metadata.size,
            _ => 0,
        };
        self.changes.push(Change { kind, path, size });
    }

    /// Adds what changes only because another name of the same file does.
    fn finish(mut self) -> Vec<Change> {
        for (path, size) in self.links.drawn_along() {
            self.changes.push(Change {
                kind: ChangeKind::Modified,
                path,
                size,
            });
        }
        let order = |a: &Change, b: &Change| by_path(&a.path, &b.path).then(a.kind.cmp(&b.kind));
        self.changes.sort_by(order);
        let mut parents = Vec::new();
        let known = |path: &Path| {
            self.changes
                .binary_search_by(|change| by_path(&change.path, path))
                .is_ok()
        };
        for path in self.links.drawn_along().map(|(path, _)| path) {
            for parent in path
                .ancestors()
                .skip(1)
                .filter(|parent| *parent != Path::new(""))
            {
                if known(parent) {
                    break;
                }
                parents.push(parent.to_owned());
            }
        }
        let change = |path| Change {
            kind: ChangeKind::Modified,
            path,
            size: 0,
        };
        self.changes.extend(parents.into_iter().map(change));
        self.changes.sort_by(order);
        self.changes.dedup_by(|a, b| a.path == b.path);
        self.changes
    }
}

/// Compares by the whole text of the paths, as the original did: `a-b` stands before `a/b`.
fn by_path(a: &Path, b: &Path) -> Ordering {
    a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes())
}

/// Returns whether two names lead to one object.
fn same_object(a: &Metadata, b: &Metadata) -> bool {
    (a.filesystem, a.inode) == (b.filesystem, b.inode)
}

fn same_rights(a: &Metadata, b: &Metadata) -> bool {
    // The mode of a link means nothing.
    let same_mode = a.mode == b.mode || a.kind == FileKind::Symlink;
    same_mode && (a.uid, a.gid) == (b.uid, b.gid)
}

/// Walks two sorted lists side by side, equal names together.
fn paired(
    upper: Vec<Entry>,
    lower: Vec<Entry>,
) -> impl Iterator<Item = (Option<Entry>, Option<Entry>)> {
    let mut upper: Peekable<vec::IntoIter<Entry>> = upper.into_iter().peekable();
    let mut lower = lower.into_iter().peekable();
    std::iter::from_fn(move || {
        let order = match (upper.peek(), lower.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(above), Some(below)) => above.name().cmp(below.name()),
        };
        Some(match order {
            Ordering::Less => (upper.next(), None),
            Ordering::Equal => (upper.next(), lower.next()),
            Ordering::Greater => (None, lower.next()),
        })
    })
}

fn same_content(mut a: impl Read, mut b: impl Read) -> io::Result<bool> {
    const PIECE: usize = 64 << 10;
    let (mut from_a, mut from_b) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let length = fill(&mut a, &mut from_a)?;
        if fill(&mut b, &mut from_b)? != length || from_a[..length] != from_b[..length] {
            return Ok(false);
        }
        if length < PIECE {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
