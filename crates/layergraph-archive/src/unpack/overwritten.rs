//! What a layer overwrites of itself, which its recipe needs.
//!
//! A recipe stands for the content of a file by the file's name. That is enough unless something
//! happens to the name later in the layer: another entry takes it, or takes the place of a
//! directory on the way, or a link on the way leads elsewhere in the end. So it is known of each
//! file that the layer makes where in the archive its content is; content whose file goes is kept
//! aside; and directories that were reached by links are looked for again at the end. What was
//! affected gets into the recipe itself; see [`recipe`](crate::recipe).

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use layergraph_fs::{Dir, FileKind, FsError, Metadata, RenameMode, Root, Staging, Trail};
use layergraph_tar::Member;
use layergraph_tar::recipe::{RecipeError, RecipeLimits};

use super::UnpackError;
use super::directories::ObjectId;
use super::object::not_made;
use crate::recipe::is_in_recipe;

/// The contents of a layer that its tree alone does not give back by their names.
pub(crate) struct Overwritten {
    /// Where `kept` is made.
    home: Dir,
    /// The contents of files that are gone, each called by where in the archive it begins.
    kept: Option<Staging>,
    kept_offsets: BTreeSet<u64>,
    /// Where in the archive the content begins of each file that the layer has made.
    offsets: HashMap<ObjectId, u64>,
    /// The directories that were reached by links: the path as entries have it, and where it is.
    ways: Vec<Way>,
    /// Where each way is in the list.
    known: HashMap<Way, usize>,
    /// Which files went which way, in the order of the archive.
    detours: Vec<Detour>,
    /// Whether the last file was the last one of the last detour.
    is_in_detour: bool,
    /// How many bytes of memory the ways and detours take.
    detour_bytes: usize,
    /// How many bytes were kept aside.
    kept_bytes: u64,
    /// Whether files that their owner may not read are closed to us.
    is_closed_out: bool,
}

/// A path, and where the directory is that links on it led to.
type Way = (Vec<u8>, Vec<u8>);

/// A run of files that were made one after the other in a directory that was reached by links.
struct Detour {
    way: usize,
    /// Where in the archive the contents of the first and the last file begin.
    first: u64,
    last: u64,
}

/// How many bytes of memory detours may take; what would need more is put into the recipe at once.
const DETOURS: usize = 8 << 20;

impl Overwritten {
    /// Keeps contents in a private directory that is made in `home` when it is needed.
    pub(crate) fn new(home: &Dir) -> Result<Overwritten, FsError> {
        Ok(Overwritten {
            home: home.try_clone()?,
            kept: None,
            kept_offsets: BTreeSet::new(),
            offsets: HashMap::new(),
            ways: Vec::new(),
            known: HashMap::new(),
            detours: Vec::new(),
            is_in_detour: false,
            detour_bytes: 0,
            kept_bytes: 0,
            is_closed_out: false,
        })
    }

    /// Says that files which their owner may not read cannot be read later.
    pub(crate) fn closed_out(mut self) -> Overwritten {
        self.is_closed_out = true;
        self
    }

    /// Returns whether the content of a member is kept in the recipe whatever becomes of the tree.
    pub(crate) fn is_in_recipe(&self, member: &Member) -> bool {
        let is_closed = self.is_closed_out && member.mode & 0o400 == 0 && member.stored_size > 0;
        is_closed || is_in_recipe(member)
    }

    /// Returns whether a file that is made in a directory reached by links is to be put into the
    /// recipe at once, because there are too many of them to be noted.
    pub(super) fn has_no_room(&self) -> bool {
        self.detour_bytes > DETOURS
    }

    /// Ends a run of detours: the last file is in the recipe.
    pub(super) fn passed_by(&mut self) {
        self.is_in_detour = false;
    }

    /// Notes a file of the layer, whose content begins at `offset`. Its entry has the directory as
    /// `path`; it was made in the one at `real`.
    pub(super) fn made(&mut self, file: &Metadata, offset: u64, path: &[u8], real: Vec<u8>) {
        self.offsets.insert(ObjectId::from(file), offset);
        let is_in_detour = std::mem::replace(&mut self.is_in_detour, path != real);
        if path == real {
            return;
        }
        let last = self.detours.last_mut().filter(|_| is_in_detour);
        if let Some(last) = last
            && self.ways[last.way].0 == path
            && self.ways[last.way].1 == real
        {
            last.last = offset;
            return;
        }
        let way = (path.to_vec(), real);
        let next = self.ways.len();
        let way = *self.known.entry(way.clone()).or_insert_with(|| {
            self.detour_bytes += 2 * (way.0.len() + way.1.len()) + 4 * size_of::<Way>();
            self.ways.push(way);
            next
        });
        self.detour_bytes += 2 * size_of::<Detour>();
        self.detours.push(Detour {
            way,
            first: offset,
            last: offset,
        });
    }

    /// Returns whether a file has content of the layer that would be lost with it.
    pub(super) fn knows(&self, file: &Metadata) -> bool {
        self.offsets.contains_key(&ObjectId::from(file))
    }

    /// Keeps the content of a file that is about to be removed, if it is the layer's. Returns
    /// whether that has taken the file away.
    pub(super) fn keep(
        &mut self,
        dir: &Dir,
        name: &OsStr,
        file: &Metadata,
    ) -> Result<bool, UnpackError> {
        let Some(offset) = self.offsets.remove(&ObjectId::from(file)) else {
            return Ok(false);
        };
        self.charge(file.size)?;
        let kept = match &self.kept {
            Some(kept) => kept,
            None => self.kept.insert(Staging::new(&self.home)?),
        };
        let (kept, to) = (kept.dir(), called(offset));
        let is_moved = file.links == 1 && moved(dir, name, kept, &to)?;
        if is_moved {
            if !kept.metadata(&to)?.is_same_object(file) {
                return Err(not_made(dir, name).into());
            }
            // Whatever the layer let others do with it, and its owner not.
            kept.set_mode(&to, 0o600)?;
        } else {
            copy_content(dir, name, file, kept, &to)?;
        }
        self.kept_offsets.insert(offset);
        Ok(is_moved)
    }

    /// Counts what is kept aside, all of which has to go into the recipe in Base64.
    fn charge(&mut self, bytes: u64) -> Result<(), UnpackError> {
        let limit = RecipeLimits::default().bytes;
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.kept_bytes / 3 <= limit / 4 {
            return Ok(());
        }
        let error = RecipeError::Limit {
            what: "bytes",
            limit,
        };
        Err(UnpackError::Recipe(io::Error::other(error)))
    }

    /// Keeps the contents of a directory that is about to be removed, as far as they are the
    /// layer's.
    pub(super) fn keep_tree(&mut self, dir: &Dir, name: &OsStr) -> Result<(), UnpackError> {
        if self.offsets.is_empty() {
            return Ok(());
        }
        let top = open_up(dir, name)?;
        let pending = self.keep_files(&top)?;
        let mut trail = Trail::new(top, pending);
        loop {
            if let Some(name) = trail.state().pop() {
                let dir = open_up(trail.here(), &name)?;
                let pending = self.keep_files(&dir)?;
                trail.enter(name, dir, pending)?;
            } else if trail.leave()?.is_none() {
                return Ok(());
            }
        }
    }

    /// Keeps the contents of the files in one directory, and returns the directories in it.
    fn keep_files(&mut self, dir: &Dir) -> Result<Vec<OsString>, UnpackError> {
        let mut directories = Vec::new();
        let mut files = Vec::new();
        dir.each_entry(|name, _| {
            match dir.find(name)? {
                Some(found) if found.kind == FileKind::Directory => {
                    directories.push(name.to_owned());
                }
                Some(found) if self.knows(&found) => files.push((name.to_owned(), found)),
                _ => {}
            }
            Ok::<(), FsError>(())
        })?;
        for (name, file) in files {
            self.keep(dir, &name, &file)?;
        }
        Ok(directories)
    }

    /// Looks once more for the directories that were reached by links, and forgets those that the
    /// same paths still lead to. After so many steps of the root it is not looked any more: what
    /// was made in the others is put into the recipe.
    pub(super) fn settle(&mut self, root: &mut Root, steps: u64) -> Result<(), FsError> {
        self.known = HashMap::new();
        self.offsets = HashMap::new();
        let mut still_lead = Vec::with_capacity(self.ways.len());
        for way in &self.ways {
            still_lead.push(root.steps() <= steps && leads(way, root)?);
        }
        self.detours.retain(|detour| !still_lead[detour.way]);
        Ok(())
    }

    /// Returns whether the tree gives all contents back by their names.
    pub(crate) fn is_nothing(&self) -> bool {
        self.kept_offsets.is_empty() && self.detours.is_empty()
    }

    /// Returns whether the tree does not give the content at `offset` back by its name.
    pub(crate) fn has(&self, offset: u64) -> bool {
        self.kept_offsets.contains(&offset) || self.detour(offset).is_some()
    }

    /// Opens the content at `offset`, if it was kept.
    pub(crate) fn open(&self, offset: u64) -> Result<Option<File>, FsError> {
        match &self.kept {
            Some(kept) if self.kept_offsets.contains(&offset) => {
                kept.dir().open_file(&called(offset)).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Returns where the directory is in which the content at `offset` was put, if its path does
    /// not say so.
    pub(crate) fn real_directory(&self, offset: u64) -> Option<&[u8]> {
        self.detour(offset)
            .map(|detour| &self.ways[detour.way].1[..])
    }

    fn detour(&self, offset: u64) -> Option<&Detour> {
        let after = self.detours.partition_point(|detour| detour.last < offset);
        let detour = self.detours.get(after);
        detour.filter(|detour| detour.first <= offset)
    }

    /// Removes what was kept.
    pub(crate) fn discard(self) -> Result<(), FsError> {
        self.kept.map_or(Ok(()), Staging::discard)
    }
}

/// Returns whether a path still leads where it led.
fn leads((path, real): &Way, root: &mut Root) -> Result<bool, FsError> {
    use io::ErrorKind::{InvalidFilename, PermissionDenied};
    match root.directory(path) {
        Ok(dir) => {
            let found = dir.path().strip_prefix(root.dir().path());
            Ok(found.is_ok_and(|found| found.as_os_str().as_bytes() == real))
        }
        Err(error) if error.leads_nowhere() => Ok(false),
        // A link that a later entry made leads to a name that cannot be, or that is closed to us.
        Err(error) if matches!(error.kind(), InvalidFilename | PermissionDenied) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Copies what is in a file, and nothing else of it: where it is kept may be another file system.
fn copy_content(
    dir: &Dir,
    name: &OsStr,
    file: &Metadata,
    to: &Dir,
    to_name: &OsStr,
) -> Result<(), UnpackError> {
    let mut from = dir.open_file(name)?;
    let read = |error| FsError::new("read", dir.path().join(name), error);
    let found = from.metadata().map_err(read)?;
    let mut copy = to.create_file(to_name, 0o600)?;
    let count = io::copy(&mut from, &mut copy).map_err(read)?;
    if (found.dev(), found.ino()) == file.id() && count == file.size {
        Ok(())
    } else {
        Err(not_made(dir, name).into())
    }
}

/// Opens a directory that is about to be removed, whose mode may keep its owner from listing it.
fn open_up(dir: &Dir, name: &OsStr) -> Result<Dir, FsError> {
    let open = || {
        let opened = dir.open_dir_on_mount(name)?;
        // A handle that only leads through lists nothing.
        opened
            .each_entry(|_, _| Err(Listed::Can))
            .or_else(|stop| match stop {
                Listed::Can => Ok(()),
                Listed::Failed(error) => Err(error),
            })?;
        Ok(opened)
    };
    match open() {
        Err(error) if FsError::kind(&error) == io::ErrorKind::PermissionDenied => {
            dir.set_mode(name, 0o700)?;
            open()
        }
        result => result,
    }
}

/// Why a listing ended.
enum Listed {
    Can,
    Failed(FsError),
}

impl From<FsError> for Listed {
    fn from(error: FsError) -> Listed {
        Listed::Failed(error)
    }
}

/// Moves a file, unless it would have to leave its file system.
fn moved(dir: &Dir, name: &OsStr, to: &Dir, to_name: &OsStr) -> Result<bool, FsError> {
    match dir.rename(name, to, to_name, RenameMode::NoReplace) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns what a content is called that is kept.
fn called(offset: u64) -> OsString {
    offset.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detours_take_memory_no_more_than_they_may() -> Result<(), Box<dyn std::error::Error>> {
        let home = tempfile::tempdir()?;
        let home = Dir::open(home.path())?;
        let file = home.metadata_here()?;
        let mut overwritten = Overwritten::new(&home)?;
        let deep = [b'n'; 4000];
        let mut count = 0;
        while !overwritten.has_no_room() {
            let path = if count % 2 == 0 { &b"l"[..] } else { b"m" };
            overwritten.made(&file, count, path, deep.to_vec());
            count += 1;
        }
        assert_eq!(overwritten.ways.len(), 2);
        assert!((100_000..200_000).contains(&count), "{count}");
        assert_eq!(overwritten.real_directory(7), Some(&deep[..]));
        Ok(())
    }
}
