//! Whiteouts and opaque markers: what a layer removes of the layers below.
//!
//! They remove what was there before the layer and nothing that the layer itself has made,
//! wherever among its entries they stand. A directory that has been stripped is fresh from then on,
//! so that a further sign for it costs nothing.
//!
//! What may be removed is any tree: however deep and wide it is, few handles and little memory
//! suffice.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use layergraph_fs::{Dir, FileKind, FsError, Left, Metadata, Trail};

use super::directories::ObjectId;
use super::lower::{is_whiteout, split};
use super::{Parent, UnpackError, Unpacker, shown};

/// How many bytes the names of directories may take that are still to be stripped, of all levels;
/// a level may have a few in any case.
const PENDING: usize = 1 << 20;
const PENDING_OF_LEVEL: usize = 4 << 10;

/// How often one directory is listed to its end while somebody else fills it.
const ATTEMPTS: u32 = 64;

impl Unpacker<'_> {
    /// Removes `name` of the layers below from a directory.
    pub(super) fn whiteout(&mut self, directory: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        if self.unsettled.is_some() {
            return self.leave_open(directory, Some(name));
        }
        let Some(dir) = self.existing(directory)? else {
            return Ok(());
        };
        let file_name = OsStr::from_bytes(name);
        let found = dir.find(file_name)?;
        if found.is_none() && self.lower.is_none() {
            return Ok(());
        }
        let parent = self.enter(dir)?;
        if self.directories.is_fresh(parent.id) {
            return Ok(());
        }
        match found {
            None => self.hide(&parent, file_name),
            Some(found) if found.kind == FileKind::Directory => {
                self.whiteout_directory(&parent, file_name, &found)
            }
            Some(found) if self.lower.is_some() && is_whiteout(&found) => Ok(()),
            Some(_) if self.directories.has_object(parent.id, name) => Ok(()),
            Some(found) => {
                self.remove(&parent, file_name, &found)?;
                self.hide(&parent, file_name)
            }
        }
    }

    fn whiteout_directory(
        &mut self,
        parent: &Parent,
        name: &OsStr,
        metadata: &Metadata,
    ) -> Result<(), UnpackError> {
        let id = ObjectId::from(metadata);
        if self.is_ours(id) {
            return Ok(());
        }
        self.check_mount(&parent.dir)?;
        let dir = parent.dir.open_dir_on_mount(name)?;
        let path = self.path_of(&parent.dir, name);
        let has_entries = self.strip(&dir, path.clone())?;
        if has_entries || self.directories.is_stated(id) {
            self.directories.touch(&path, metadata)?;
            self.directories.renewed(id)?;
            self.cut_off(parent, name)?;
        } else {
            parent.dir.remove_dir(name)?;
            self.hide(parent, name)?;
        }
        self.forget();
        Ok(())
    }

    /// Returns whether a directory is one of this layer. One that a marker has emptied is still the
    /// one below, unless the layer states it.
    fn is_ours(&self, id: ObjectId) -> bool {
        let directories = &self.directories;
        directories.is_made(id) || directories.is_fresh(id) && directories.is_stated(id)
    }

    /// Removes everything of the layers below from a directory.
    pub(super) fn opaque(&mut self, directory: &[u8]) -> Result<(), UnpackError> {
        if self.unsettled.is_some() {
            return self.leave_open(directory, None);
        }
        let Some(dir) = self.existing(directory)? else {
            return Ok(());
        };
        let parent = self.enter(Arc::clone(&dir))?;
        if self.directories.is_fresh(parent.id) {
            return Ok(());
        }
        let path = self.path_of(&dir, OsStr::new(""));
        self.check_mount(&dir)?;
        self.strip(&dir, path.clone())?;
        self.hide_all(&dir, &path)?;
        self.forget();
        self.directories.emptied(parent.id);
        Ok(())
    }

    /// Opens a directory if it is there: a sign for what is not there has nothing to remove.
    pub(super) fn existing(&mut self, path: &[u8]) -> Result<Option<Arc<Dir>>, UnpackError> {
        self.bring_path(path, None)?;
        match self.root.directory(path) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.leads_nowhere() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down a sign, whose meaning the layers below decide.
    fn leave_open(&mut self, directory: &[u8], name: Option<&[u8]>) -> Result<(), UnpackError> {
        // Links of this layer can be others at its end, and lead into the layers below.
        let mut path = directory;
        let leads_straight = loop {
            match self.root.directory(path) {
                Ok(dir) if self.path_of(&dir, OsStr::new("")) != path => break false,
                Ok(dir) => {
                    let rest = directory[path.len()..].split(|&byte| byte == b'/');
                    let next = rest.into_iter().find(|name| !name.is_empty());
                    break match next
                        .map(|name| dir.find(OsStr::from_bytes(name)))
                        .transpose()?
                    {
                        Some(Some(found)) => found.kind != FileKind::Symlink,
                        _ => true,
                    };
                }
                Err(error) if error.leads_nowhere() => {
                    path = split(path).map_or(&b""[..], |(above, _)| above);
                }
                Err(error) => return Err(error.into()),
            }
        };
        match &mut self.unsettled {
            Some(unsettled) if leads_straight => unsettled.hide(directory, name),
            _ => Err(UnpackError::Below {
                path: shown(directory),
            }),
        }
    }

    /// Removes from the directory at `path` what the layers below left in it. Returns whether
    /// anything stays.
    fn strip(&mut self, top: &Dir, mut path: Vec<u8>) -> Result<bool, UnpackError> {
        let mut trail = Trail::new(top.try_clone()?, Level::of(top)?);
        let mut pending = 0;
        loop {
            if let Some(name) = trail.state().pending.pop() {
                pending -= cost(&name);
                let dir = trail.here().open_dir_on_mount(&name)?;
                let level = Level::of(&dir)?;
                push(&mut path, &name);
                trail.enter(name, dir, level)?;
            } else if !trail.state().is_done {
                let room = (PENDING.saturating_sub(pending) / 2).max(PENDING_OF_LEVEL);
                let id = trail.state().id;
                let pass = self.sift(trail.here(), id, room)?;
                pending += pass.pending.iter().map(|name| cost(name)).sum::<usize>();
                trail.state().add(pass);
            } else if let Some(left) = trail.leave()? {
                let stays = self.leave(trail.here(), &left, &path)?;
                trail.state().keeps |= stays;
                path.truncate(path.len().saturating_sub(left.name.len() + 1));
            } else {
                return Ok(trail.state().keeps);
            }
        }
    }

    /// Goes once through a directory, and removes from it what is no directory and not the
    /// layer's. Ends before that if there are more directories to be stripped than there is room
    /// for.
    fn sift(&self, dir: &Dir, id: ObjectId, room: usize) -> Result<Pass, UnpackError> {
        let mut pass = Pass::default();
        let mut taken = 0;
        let listed = dir.each_entry(|name, kind| {
            let found = match kind {
                Some(kind) if kind != FileKind::Directory => None,
                _ => Some(dir.metadata(name)?),
            };
            match found.filter(|found| found.kind == FileKind::Directory) {
                Some(found) if self.is_ours(ObjectId::from(&found)) => pass.keeps = true,
                Some(_) => {
                    taken += cost(name);
                    pass.pending.push(name.to_owned());
                    if taken >= room {
                        return Err(Stop::Full);
                    }
                }
                None if self.directories.has_object(id, name.as_bytes()) => pass.keeps = true,
                None => {
                    dir.remove_file(name)?;
                    pass.has_removed = true;
                }
            }
            Ok(())
        });
        match listed {
            Ok(()) => pass.is_whole = true,
            Err(Stop::Full) => {}
            Err(Stop::Failed(error)) => return Err(error.into()),
        }
        Ok(pass)
    }

    /// Ends the stripping of a directory below: it goes, or is fresh. Returns whether it stays.
    fn leave(&mut self, above: &Dir, left: &Left<Level>, path: &[u8]) -> Result<bool, UnpackError> {
        let Level { id, keeps, .. } = left.state;
        if !keeps && !self.directories.is_stated(id) {
            above.remove_dir(&left.name)?;
            return Ok(false);
        }
        self.directories.touch(path, &left.dir.metadata_here()?)?;
        self.directories.renewed(id)?;
        Ok(true)
    }
}

/// A directory while it is stripped.
struct Level {
    id: ObjectId,
    /// The directories in it that are still to be stripped, as far as they are known.
    pending: Vec<OsString>,
    /// Whether it holds something of this layer.
    keeps: bool,
    /// How often it was listed to its end.
    passes: u32,
    is_done: bool,
}

/// What came of going through a directory once.
#[derive(Default)]
struct Pass {
    pending: Vec<OsString>,
    keeps: bool,
    has_removed: bool,
    /// Whether the listing came to its end.
    is_whole: bool,
}

/// Why a listing ended.
enum Stop {
    Full,
    Failed(FsError),
}

impl From<FsError> for Stop {
    fn from(error: FsError) -> Stop {
        Stop::Failed(error)
    }
}

impl Level {
    fn of(dir: &Dir) -> Result<Level, FsError> {
        Ok(Level {
            id: ObjectId::from(&dir.metadata_here()?),
            pending: Vec::new(),
            keeps: false,
            passes: 0,
            is_done: false,
        })
    }

    /// Takes up what came of a pass. The last one finds nothing to remove: a file system may leave
    /// out entries while others are removed.
    fn add(&mut self, pass: Pass) {
        let Pass {
            pending,
            keeps,
            has_removed,
            is_whole,
        } = pass;
        self.passes += u32::from(is_whole);
        let found_nothing = pending.is_empty() && !has_removed;
        self.is_done = is_whole && (found_nothing || self.passes == ATTEMPTS);
        self.keeps |= keeps;
        self.pending = pending;
    }
}

/// How many bytes a name takes in a list, with what the allocator adds.
fn cost(name: &OsStr) -> usize {
    size_of::<OsString>() + name.len().max(16) + 16
}

fn push(path: &mut Vec<u8>, name: &OsStr) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend(name.as_bytes());
}
