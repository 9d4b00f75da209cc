//! The end of an unpacking: what the directories' entries stated.
//!
//! Directories get their owner, mode, attributes and times when nothing more is made in them: a
//! time would not last, a mode could lock us out, a set-gid bit or a default ACL would rub off on
//! the objects made later. The deepest come first, because a directory that is done may be closed
//! to us.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::SystemTime;

use layergraph_fs::{Device, Dir, FileKind, FsError, Metadata};

use super::directories::{Directories, Directory, ObjectId};
use super::lower::is_whiteout;
use super::{UnpackError, Unpacked, Unpacker, shown};
use crate::Ownership;
use crate::attributes::{is_host_label, is_overlay};

impl Unpacker<'_> {
    /// Sets the metadata of all directories and returns what was done.
    pub(crate) fn finish(mut self) -> Result<Unpacked, UnpackError> {
        self.remove_brought_links()?;
        self.forget();
        if self.unsettled.is_some() {
            let root = ObjectId::from(&self.root.dir().metadata_here()?);
            self.root_is_bare(root);
        }
        let directories = std::mem::replace(&mut self.directories, Directories::new(0));
        for (id, directory) in directories.into_deepest_first() {
            if let Some(unsettled) = self.unsettled.as_mut().filter(|_| directory.implied) {
                unsettled.bare(&directory.path);
            }
            self.finish_directory(id, &directory)
                .map_err(|error| match error {
                    UnpackError::Fs(source) => UnpackError::Entry {
                        path: shown(&directory.path),
                        source,
                    },
                    other => other,
                })?;
        }
        self.done.unsettled = self.unsettled.take();
        Ok(self.done)
    }

    fn finish_directory(&mut self, id: ObjectId, directory: &Directory) -> Result<(), UnpackError> {
        let Some(dir) = self.same_directory(id, &directory.path)? else {
            return Ok(());
        };
        let here = OsStr::new(".");
        let mut modified = directory.modified;
        if directory.implied {
            modified = newest(&dir, self.lower.is_some())?.unwrap_or(modified);
        }
        if let Some(stated) = &directory.stated {
            let stated = &*self.on_disk(stated, || dir.path().to_owned())?;
            let now = dir.metadata_here()?;
            if self.options.ownership != Ownership::Squash
                && (now.uid, now.gid) != (stated.uid, stated.gid)
            {
                dir.set_owner(here, stated.uid, stated.gid)?;
            }
            let mode = self.disk_mode(stated.mode, FileKind::Directory);
            let xattrs = self.disk_xattrs(stated, FileKind::Directory, Device::default());
            if directory.made {
                for (key, value) in &xattrs {
                    dir.set_xattr(here, OsStr::from_bytes(key), value)?;
                }
            } else {
                replace_xattrs(&dir, &xattrs, self.lower.is_some())?;
            }
            dir.set_mode(here, mode)?;
        }
        Ok(dir.set_times(here, None, Some(modified))?)
    }

    /// Records that no entry states the root, if that is so.
    fn root_is_bare(&mut self, root: ObjectId) {
        let is_stated = self.directories.is_stated(root);
        if let Some(unsettled) = self.unsettled.as_mut().filter(|_| !is_stated) {
            unsettled.bare(b"");
        }
    }

    /// Opens a directory again, unless a later entry removed it or put something else in its place.
    fn same_directory(&mut self, id: ObjectId, path: &[u8]) -> Result<Option<Arc<Dir>>, FsError> {
        let dir = match self.root.directory(path) {
            Ok(dir) => dir,
            Err(error) if error.leads_nowhere() => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_same = ObjectId::from(&dir.metadata_here()?) == id;
        Ok(is_same.then_some(dir))
    }
}

/// Returns the time of the newest object in a directory.
///
/// This is the time of a directory that only its entries imply, because it does not depend on their
/// order, nor on whether a whiteout for what was there before came first.
fn newest(dir: &Dir, has_signs: bool) -> Result<Option<SystemTime>, FsError> {
    let mut newest = None;
    dir.each_entry(|name, _| {
        // One that somebody has removed meanwhile does not count.
        let found = dir.find(name)?;
        let counts = |found: &Metadata| !(has_signs && is_whiteout(found));
        newest = newest.max(found.filter(counts).map(|found| found.modified));
        Ok::<(), FsError>(())
    })?;
    Ok(newest)
}

/// Makes `wanted` the extended attributes of a directory, apart from the host's labels and, if it
/// `has_signs`, those of overlayfs.
fn replace_xattrs(
    dir: &Dir,
    wanted: &[(Vec<u8>, Vec<u8>)],
    has_signs: bool,
) -> Result<(), FsError> {
    let here = OsStr::new(".");
    for (key, _) in dir.xattrs(here)? {
        let is_wanted = wanted.iter().any(|(name, _)| name == key.as_bytes());
        let stays = is_host_label(key.as_bytes()) || has_signs && is_overlay(key.as_bytes());
        if !is_wanted && !stays {
            dir.remove_xattr(here, &key)?;
        }
    }
    for (key, value) in wanted {
        dir.set_xattr(here, OsStr::from_bytes(key), value)?;
    }
    Ok(())
}
