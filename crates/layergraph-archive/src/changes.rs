//! What differs between two trees, as a layer would state it.
//!
//! Objects are compared by kind, owner, mode, attributes, device, link target, size, time and,
//! where those agree, content. The time of a directory is not compared, as it says only that
//! something in it changed; a directory that has a change in it is itself reported as changed,
//! before it.
//!
//! Where two views have layers in common, an object that both take from one of these is the same by
//! its inode. So only names in the layers on top are looked at: what that costs depends on the
//! change, and not on the tree.

mod level;
mod links;
mod passed;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use layergraph_fs::{FileKind, FsError, Metadata};

use self::level::{Level, Pending};
use self::links::LinkGroups;
use self::passed::PassedOver;
use crate::uninterrupted::read_full;
use crate::view::{Entry, Shared, View, ViewDir};

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
    /// is when the upper tree was known to equal the lower one, by this machine's clock
    /// ([`SystemTime::now`]). Default: content is always read.
    ///
    /// The `ctime` of a change can lie before it, as the kernel takes it from a clock that stands
    /// still between two ticks, and a file system may keep whole seconds only. So a file that was
    /// touched in the two seconds before the moment is read as well. A clock that was set back
    /// since hides changes.
    pub equal_at: Option<SystemTime>,
}

/// How long before a change its `ctime` can lie: a tick is 10 ms at most, and the coarsest times on
/// file systems that can hold a layer are whole seconds (ext4 with inodes of 128 bytes).
const CLOCK_LAG: Duration = Duration::from_secs(2);

/// Lists what has to be changed in the tree `lower` to make it equal to `upper`, sorted by path.
///
/// Without `lower`, it is everything in `upper`: what makes it from an empty directory with mode
/// 0755 that belongs to 0:0. The root is listed only if its owner, mode or attributes differ.
///
/// If one of the names of a file is listed and the file has others in the tree, all are: a layer
/// cannot add a name to a file below it without parting that from its other names.
///
/// If the layers of `lower` are the lowest of `upper` (the same directories, in the same dialect
/// and with the same owners), only the names in the layers on top are compared, but for those in
/// directories that are opaque or redirected. The answer is the same. It takes as long as that of
/// other trees if a change may draw along a name that only the layers below have: where a file of
/// several names is in a redirected directory, was copied up and not changed, or has one of them
/// in a layer on top.
///
/// # Errors
///
/// The first object that cannot be read, also if it vanished while the trees were compared.
pub fn changes(
    upper: &View,
    lower: Option<&View>,
    options: &CompareOptions,
) -> Result<Vec<Change>, FsError> {
    let shared = lower.map(|lower| Shared::new(upper, lower)).transpose()?;
    if let Some(shared) = shared.flatten() {
        let passed_over = Some(PassedOver::new(shared));
        let walk = Walk::through(upper, lower, options, passed_over)?;
        if !walk.passed_over.as_ref().is_some_and(PassedOver::matter) {
            return Ok(walk.finish());
        }
        // Which names are drawn along tells only a look at all of them.
    }
    Ok(Walk::through(upper, lower, options, None)?.finish())
}

struct Walk<'a> {
    options: &'a CompareOptions,
    /// Of the directories that are being compared. One for all levels, or a deep tree would cost
    /// the square of its depth.
    path: PathBuf,
    changes: Vec<Change>,
    links: LinkGroups,
    /// Nothing if every name is compared.
    passed_over: Option<PassedOver>,
}

impl<'a> Walk<'a> {
    fn through(
        upper: &View,
        lower: Option<&View>,
        options: &'a CompareOptions,
        passed_over: Option<PassedOver>,
    ) -> Result<Walk<'a>, FsError> {
        let mut walk = Walk {
            options,
            path: PathBuf::new(),
            changes: Vec::new(),
            links: LinkGroups::default(),
            passed_over,
        };
        let upper = upper.root()?;
        let lower = lower.map(View::root).transpose()?;
        let root_differs = if let Some(lower) = &lower {
            !same_rights(upper.metadata(), lower.metadata())
                || upper.unmapped() != lower.unmapped()
                || upper.own_xattrs()? != lower.own_xattrs()?
        } else {
            let Metadata { mode, uid, gid, .. } = *upper.metadata();
            (mode, uid, gid) != (0o755, 0, 0)
                || upper.unmapped().is_some()
                || !upper.own_xattrs()?.is_empty()
        };
        if root_differs {
            walk.report(ChangeKind::Modified, PathBuf::new(), upper.metadata());
        }
        let roots = match lower {
            Some(lower) => {
                let on_top = walk.parts_on_top(&upper, &lower)?;
                Level::of_both(upper, lower, on_top, None)?
            }
            None => Level::added(upper)?,
        };
        walk.below(roots)?;
        Ok(walk)
    }

    /// Returns in how many parts of the upper directory the names are that can differ, if that is
    /// not all.
    fn parts_on_top(
        &self,
        upper: &ViewDir<'_>,
        lower: &ViewDir<'_>,
    ) -> Result<Option<usize>, FsError> {
        match &self.passed_over {
            Some(passed_over) => passed_over.shared.parts_on_top(upper, lower),
            None => Ok(None),
        }
    }

    /// Compares what is below the roots, without recursion: trees come as deep as they like.
    fn below(&mut self, roots: Level<'_>) -> Result<(), FsError> {
        let mut stack = vec![roots];
        while let Some(level) = stack.last_mut() {
            let Some((above, below)) = level.left.next() else {
                if let Some(pending) = &level.pending {
                    self.decide(pending);
                }
                stack.pop();
                self.path.pop();
                continue;
            };
            let Level { upper, lower, .. } = level;
            let Some(above) = above else {
                let path = below.map(|below| self.path.join(below.name()));
                self.changes.extend(path.map(|path| Change {
                    kind: ChangeKind::Deleted,
                    path,
                    size: 0,
                }));
                continue;
            };
            let below = lower.as_ref().zip(below.as_ref());
            if above.metadata().kind != FileKind::Directory {
                self.object(upper, &above, below)?;
            } else if let Some(inside) = self.directory(upper, &above, below)? {
                stack.push(inside);
                self.path.push(above.name());
            }
        }
        Ok(())
    }

    /// Compares two directories, or what is no directory with one above it, but for what is in
    /// them; that is returned if it can differ.
    fn directory<'v>(
        &mut self,
        upper: &ViewDir<'v>,
        above: &Entry,
        below: Option<(&ViewDir<'v>, &Entry)>,
    ) -> Result<Option<Level<'v>>, FsError> {
        let inside = upper.open_dir(above)?;
        let below = match below {
            Some((lower, below)) if below.metadata().kind == FileKind::Directory => (lower, below),
            other => {
                let kind = match other {
                    None => ChangeKind::Added,
                    Some(_) => ChangeKind::Modified,
                };
                let path = self.path.join(above.name());
                self.report(kind, path, above.metadata());
                return Level::added(inside).map(Some);
            }
        };
        let (lower, below) = below;
        let inside_lower = lower.open_dir(below)?;
        let on_top = self.parts_on_top(&inside, &inside_lower)?;
        if on_top == Some(0) {
            return Ok(None);
        }
        let differs = !same_rights(above.metadata(), below.metadata())
            || above.unmapped() != below.unmapped()
            || upper.xattrs(above)? != lower.xattrs(below)?;
        let at = self.changes.len();
        self.report(ChangeKind::Modified, PathBuf::new(), above.metadata());
        let pending = Some(Pending { at, differs });
        Level::of_both(inside, inside_lower, on_top, pending).map(Some)
    }

    /// Keeps the change of the directory that has been compared, or takes it back.
    fn decide(&mut self, &Pending { at, differs }: &Pending) {
        if differs || self.changes.len() > at + 1 {
            self.changes[at].path.clone_from(&self.path);
        } else {
            self.changes.truncate(at);
        }
    }

    /// Compares what is no directory.
    fn object(
        &mut self,
        upper: &ViewDir<'_>,
        above: &Entry,
        below: Option<(&ViewDir<'_>, &Entry)>,
    ) -> Result<(), FsError> {
        let path = self.path.join(above.name());
        let kind = match below {
            None => ChangeKind::Added,
            Some((lower, below)) => {
                if self.same_file(&path, (upper, above), (lower, below))? {
                    if let Some(passed_over) = &mut self.passed_over {
                        passed_over.unchanged(upper, above, below.metadata())?;
                    }
                    self.links
                        .unchanged(path, above.metadata(), below.metadata());
                    return Ok(());
                }
                ChangeKind::Modified
            }
        };
        if let Some(passed_over) = &mut self.passed_over {
            passed_over.changed(upper, above)?;
        }
        self.links.changed(above.metadata());
        self.report(kind, path, above.metadata());
        Ok(())
    }

    fn same_file(
        &self,
        path: &Path,
        (upper, above): (&ViewDir<'_>, &Entry),
        (lower, below): (&ViewDir<'_>, &Entry),
    ) -> Result<bool, FsError> {
        let (new, old) = (above.metadata(), below.metadata());
        // Where a metacopy has its content depends on where it was found.
        if new.is_same_object(old) && !upper.is_metacopy(above)? {
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
        // Owners that have no id in layers look alike.
        if !same
            || above.unmapped() != below.unmapped()
            || upper.xattrs(above)? != lower.xattrs(below)?
        {
            return Ok(false);
        }
        let surely_before = self
            .options
            .equal_at
            .and_then(|moment| moment.checked_sub(CLOCK_LAG));
        let untouched = surely_before.is_some_and(|moment| new.changed < moment);
        if new.kind != FileKind::File || new.size == 0 || untouched {
            return Ok(true);
        }
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
    fn finish(self) -> Vec<Change> {
        let Walk {
            mut changes, links, ..
        } = self;
        let drawn = links.into_drawn_along();
        let order = |a: &Change, b: &Change| by_path(&a.path, &b.path);
        changes.sort_by(order);
        let known = |path: &Path| {
            let found = changes.binary_search_by(|change| by_path(&change.path, path));
            path == Path::new("") || found.is_ok()
        };
        // What is above a known directory is known as well.
        let mut parents = BTreeSet::new();
        for (path, _) in &drawn {
            for parent in path.ancestors().skip(1) {
                if known(parent) || !parents.insert(parent) {
                    break;
                }
            }
        }
        let parents = parents.into_iter().map(|parent| (parent.to_owned(), 0));
        let parents: Vec<(PathBuf, u64)> = parents.collect();
        let modified = |(path, size)| Change {
            kind: ChangeKind::Modified,
            path,
            size,
        };
        changes.extend(parents.into_iter().chain(drawn).map(modified));
        changes.sort_by(order);
        changes
    }
}

/// Compares by the whole text of the paths, as the original did: `a-b` stands before `a/b`.
fn by_path(a: &Path, b: &Path) -> Ordering {
    a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes())
}

fn same_rights(a: &Metadata, b: &Metadata) -> bool {
    // The mode of a link means nothing.
    let same_mode = a.mode == b.mode || a.kind == FileKind::Symlink;
    same_mode && (a.uid, a.gid) == (b.uid, b.gid)
}

fn same_content(mut a: impl Read, mut b: impl Read) -> io::Result<bool> {
    const PIECE: usize = 64 << 10;
    let (mut from_a, mut from_b) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let length = read_full(&mut a, &mut from_a)?;
        if read_full(&mut b, &mut from_b)? != length || from_a[..length] != from_b[..length] {
            return Ok(false);
        }
        if length < PIECE {
            return Ok(true);
        }
    }
}
