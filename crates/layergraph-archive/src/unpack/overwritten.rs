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

use layergraph_fs::{Dir, FileKind, FsError, Metadata, RenameMode, Root, Staging, Trail};

use super::directories::ObjectId;
use super::object::not_made;

/// The contents of a layer that its tree alone does not give back by their names.
pub(crate) struct Overwritten {
    /// Where `kept` is made.
    home: Dir,
    /// The contents of files that are gone, each called by where in the archive it begins.
    kept: Option<Staging>,
    kept_offsets: BTreeSet<u64>,
    /// Where in the archive the content begins of each file that the layer has made.
    offsets: HashMap<ObjectId, u64>,
    /// The directories that were reached by links, in the order of the archive.
    detours: Vec<Detour>,
}

/// A directory that was reached by links, and a run of files that were made in it.
struct Detour {
    /// Its path as the entries have it.
    path: Vec<u8>,
    /// Where it is.
    real: Vec<u8>,
    /// Where in the archive the contents of the first and the last file begin.
    first: u64,
    last: u64,
}

impl Overwritten {
    /// Keeps contents in a private directory that is made in `home` when it is needed.
    pub(crate) fn new(home: &Dir) -> Result<Overwritten, FsError> {
        Ok(Overwritten {
            home: home.try_clone()?,
            kept: None,
            kept_offsets: BTreeSet::new(),
            offsets: HashMap::new(),
            detours: Vec::new(),
        })
    }

    /// Notes a file of the layer, whose content begins at `offset`. Its entry has the directory as
    /// `path`; it was made in the one at `real`.
    pub(super) fn made(&mut self, file: &Metadata, offset: u64, path: &[u8], real: Vec<u8>) {
        self.offsets.insert(ObjectId::from(file), offset);
        if path == real {
            return;
        }
        match self.detours.last_mut() {
            Some(detour) if detour.path == path && detour.real == real => detour.last = offset,
            _ => self.detours.push(Detour {
                path: path.to_vec(),
                real,
                first: offset,
                last: offset,
            }),
        }
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
    ) -> Result<bool, FsError> {
        let Some(offset) = self.offsets.remove(&ObjectId::from(file)) else {
            return Ok(false);
        };
        let kept = match &self.kept {
            Some(kept) => kept,
            None => self.kept.insert(Staging::new(&self.home)?),
        };
        let (kept, to) = (kept.dir(), called(offset));
        let is_moved = file.links == 1 && moved(dir, name, kept, &to)?;
        if !is_moved {
            layergraph_fs::copy_tree(dir, name, kept, &to)?;
        }
        let found = kept.metadata(&to)?;
        let is_it = if is_moved {
            found.is_same_object(file)
        } else {
            found.kind == FileKind::File && found.size == file.size
        };
        if !is_it {
            return Err(not_made(dir, name));
        }
        // Whatever the layer let others do with it, and its owner not.
        kept.set_mode(&to, 0o600)?;
        self.kept_offsets.insert(offset);
        Ok(is_moved)
    }

    /// Keeps the contents of a directory that is about to be removed, as far as they are the
    /// layer's.
    pub(super) fn keep_tree(&mut self, dir: &Dir, name: &OsStr) -> Result<(), FsError> {
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
    fn keep_files(&mut self, dir: &Dir) -> Result<Vec<OsString>, FsError> {
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
    /// same paths still lead to.
    pub(super) fn settle(&mut self, root: &mut Root) -> Result<(), FsError> {
        let mut detours = std::mem::take(&mut self.detours);
        let mut still_lead = Vec::with_capacity(detours.len());
        for detour in &detours {
            still_lead.push(detour.still_leads(root)?);
        }
        let mut still_lead = still_lead.into_iter();
        detours.retain(|_| still_lead.next() == Some(false));
        self.detours = detours;
        self.offsets = HashMap::new();
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
        self.detour(offset).map(|detour| &detour.real[..])
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

impl Detour {
    fn still_leads(&self, root: &mut Root) -> Result<bool, FsError> {
        match root.directory(&self.path) {
            Ok(dir) => {
                let real = dir.path().strip_prefix(root.dir().path());
                Ok(real.is_ok_and(|real| real.as_os_str().as_bytes() == self.real))
            }
            Err(error) if error.leads_nowhere() => Ok(false),
            Err(error) => Err(error),
        }
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
