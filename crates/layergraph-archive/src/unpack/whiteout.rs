//! Whiteouts and opaque markers: what a layer removes of the layers below.
//!
//! They remove what was there before the layer and nothing that the layer itself has made,
//! wherever among its entries they stand. A directory that has been stripped is fresh from then on,
//! so that a further sign for it costs nothing.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use layergraph_fs::{Dir, FileKind, FsError, Metadata};

use super::directories::ObjectId;
use super::{Parent, UnpackError, Unpacker};

impl Unpacker<'_> {
    /// Removes `name` of the layers below from a directory.
    pub(super) fn whiteout(&mut self, directory: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        let Some(dir) = self.existing(directory)? else {
            return Ok(());
        };
        let file_name = OsStr::from_bytes(name);
        let Some(metadata) = dir.find(file_name)? else {
            return Ok(());
        };
        let parent = self.enter(dir)?;
        if self.directories.is_fresh(parent.id) {
            return Ok(());
        }
        if metadata.kind != FileKind::Directory {
            if !self.directories.has_made(parent.id, name) {
                self.remove(&parent, file_name, &metadata)?;
            }
            return Ok(());
        }
        self.whiteout_directory(&parent, file_name, &metadata)
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
        let dir = Arc::new(parent.dir.open_dir(name)?);
        let has_entries = self.strip(&dir)?;
        if has_entries || self.directories.is_stated(id) {
            let path = self.path_of(&parent.dir, name);
            self.directories.touch(&path, metadata)?;
            self.directories.renewed(id)?;
        } else {
            parent.dir.remove_dir(name)?;
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
        let Some(dir) = self.existing(directory)? else {
            return Ok(());
        };
        let parent = self.enter(Arc::clone(&dir))?;
        if self.directories.is_fresh(parent.id) {
            return Ok(());
        }
        self.strip(&dir)?;
        self.forget();
        self.directories.emptied(parent.id);
        Ok(())
    }

    /// Opens a directory if it is there: a sign for what is not there has nothing to remove.
    fn existing(&mut self, path: &[u8]) -> Result<Option<Arc<Dir>>, FsError> {
        match self.root.directory(path) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.leads_nowhere() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes from a directory what the layers below left in it. Returns whether anything stays.
    fn strip(&mut self, top: &Arc<Dir>) -> Result<bool, UnpackError> {
        let mut levels = vec![Level::open(Arc::clone(top), OsString::new())?];
        loop {
            let level = levels.last_mut().expect("the first level returns");
            let Some(name) = level.names.pop() else {
                let done = levels.pop().expect("it was just there");
                let Some(above) = levels.last_mut() else {
                    return Ok(done.keeps);
                };
                above.keeps |= self.leave(&above.dir, &done)?;
                continue;
            };
            let metadata = level.dir.metadata(&name)?;
            if metadata.kind == FileKind::Directory {
                if self.is_ours(ObjectId::from(&metadata)) {
                    level.keeps = true;
                } else {
                    let below = Arc::new(level.dir.open_dir(&name)?);
                    levels.push(Level::open(below, name)?);
                }
            } else if self.directories.has_made(level.id, name.as_bytes()) {
                level.keeps = true;
            } else {
                level.dir.remove_file(&name)?;
            }
        }
    }

    /// Ends the stripping of a directory below: it goes, or is fresh. Returns whether it stays.
    fn leave(&mut self, above: &Dir, done: &Level) -> Result<bool, UnpackError> {
        if !done.keeps && !self.directories.is_stated(done.id) {
            above.remove_dir(&done.name)?;
            return Ok(false);
        }
        let path = self.path_of(&done.dir, OsStr::new(""));
        let metadata = done.dir.metadata_here()?;
        self.directories.touch(&path, &metadata)?;
        self.directories.renewed(done.id)?;
        Ok(true)
    }
}

/// A directory while it is stripped.
struct Level {
    dir: Arc<Dir>,
    id: ObjectId,
    /// What it is called in the directory above.
    name: OsString,
    /// What is still to be looked at.
    names: Vec<OsString>,
    /// Whether it holds something of this layer.
    keeps: bool,
}

impl Level {
    fn open(dir: Arc<Dir>, name: OsString) -> Result<Level, FsError> {
        let id = ObjectId::from(&dir.metadata_here()?);
        let names = dir.entries()?.into_iter().map(|entry| entry.name).collect();
        Ok(Level {
            dir,
            id,
            name,
            names,
            keeps: false,
        })
    }
}
