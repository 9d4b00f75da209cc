//! The end of an unpacking: what the directories' entries stated.
//!
//! Directories get their owner, mode, attributes and times when nothing more is made in them: a
//! time would not last, a mode could lock us out, a set-gid bit or a default ACL would rub off on
//! the objects made later. The deepest come first, because a directory that is done may be closed
//! to us.

use std::ffi::OsStr;
use std::sync::Arc;

use layergraph_fs::{Device, Dir, FileKind, FsError};

use super::directories::{Directory, ObjectId};
use super::object::replace_xattrs;
use super::{UnpackError, Unpacked, Unpacker, shown};
use crate::Ownership;

impl Unpacker<'_> {
    /// Sets the metadata of all directories and returns what was done.
    pub(super) fn finish(mut self) -> Result<Unpacked, UnpackError> {
        self.forget();
        for (id, directory) in std::mem::take(&mut self.directories).into_deepest_first() {
            self.finish_directory(id, &directory).map_err(|error| match error {
                UnpackError::Fs(source) => {
                    UnpackError::Entry { path: shown(&directory.path), source }
                }
                other => other,
            })?;
        }
        Ok(self.done)
    }

    fn finish_directory(&mut self, id: ObjectId, directory: &Directory) -> Result<(), UnpackError> {
        // A later entry may have removed the directory, or put something else in its way.
        let Some(dir) = self.same_directory(id, &directory.path)? else { return Ok(()) };
        let here = OsStr::new(".");
        if let Some(stated) = &directory.stated {
            let now = dir.metadata_here()?;
            if self.options.ownership == Ownership::Preserve
                && (now.uid, now.gid) != (stated.uid, stated.gid)
            {
                dir.set_owner(here, stated.uid, stated.gid)?;
            }
            let mode = self.disk_mode(stated.mode, FileKind::Directory);
            let xattrs = self.disk_xattrs(stated, FileKind::Directory, Device::default());
            if directory.fresh {
                for (key, value) in &xattrs {
                    use std::os::unix::ffi::OsStrExt;
                    dir.set_xattr(here, OsStr::from_bytes(key), value)?;
                }
            } else {
                replace_xattrs(&dir, &xattrs)?;
            }
            dir.set_mode(here, mode)?;
        }
        Ok(dir.set_times(here, None, Some(directory.modified))?)
    }

    fn same_directory(&mut self, id: ObjectId, path: &[u8]) -> Result<Option<Arc<Dir>>, FsError> {
        let dir = match self.root.directory(path) {
            Ok(dir) => dir,
            Err(error) if super::whiteout::leads_nowhere(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_same = ObjectId::from(&dir.metadata_here()?) == id;
        Ok(is_same.then_some(dir))
    }
}
