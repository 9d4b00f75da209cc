//! An object of any kind, by a handle that takes no permission on it.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use crate::attributes::{
    handle_path, read_xattrs, remove_inherited_acls, set_mode_by_handle, through_proc, timestamps,
};
use crate::dir::stat_of;
use crate::sys::{At, change, look};
use crate::{Dir, FileKind, Metadata, Result};

/// An object of any kind, a link itself included, that is described through a handle.
///
/// What is set through it is set on this very object, whatever takes its name meanwhile. The handle
/// is one to a place (`O_PATH` in `open(2)`): a device is not started, a named pipe is not waited
/// for, and no permission on the object is needed. Whoever opens what he has just made compares
/// [`metadata`](Object::metadata) with what he expects, because the name could be somebody else's
/// by then.
///
/// Set the owner first, then extended attributes, then the mode, then times: each of these steps
/// undoes something of those behind it, or forbids it.
///
/// ```
/// use std::ffi::OsStr;
/// use std::time::SystemTime;
/// use layergraph_fs::{Dir, FileKind};
///
/// # let directory = tempfile::tempdir()?;
/// let dir = Dir::open(directory.path())?;
/// let name = OsStr::new("link");
/// dir.make_symlink(name, OsStr::new("target"))?;
/// let link = dir.open_object(name)?;
/// assert_eq!(link.metadata()?.kind, FileKind::Symlink);
/// link.set_times(None, Some(SystemTime::UNIX_EPOCH))?;
/// assert_eq!(dir.metadata(name)?.modified, SystemTime::UNIX_EPOCH);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Object {
    fd: OwnedFd,
    dir: PathBuf,
    name: OsString,
}

impl Dir {
    /// Opens a handle on `name`, whatever it is, to look at it and to describe it.
    pub fn open_object(&self, name: &OsStr) -> Result<Object> {
        let at = self.plain("openat", name)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = look("openat", at, || {
            rustix::fs::openat(self, name, flags, Mode::empty())
        })?;
        Ok(Object {
            fd,
            dir: self.path().to_owned(),
            name: name.to_owned(),
        })
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Object {
    pub(crate) fn at(&self) -> At<'_> {
        At {
            dir: &self.dir,
            name: &self.name,
        }
    }

    /// Returns what the file system knows about the object.
    pub fn metadata(&self) -> Result<Metadata> {
        stat_of(&self.fd, self.at())
    }

    /// Returns the target of a link, exactly as it is stored; another kind gives `ENOENT`.
    pub fn read_link(&self) -> Result<OsString> {
        let target = look("readlinkat", self.at(), || {
            rustix::fs::readlinkat(&self.fd, "", Vec::new())
        })?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Sets owner and group. The kernel clears set-uid, set-gid and file capabilities.
    pub fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        change("fchownat", self.at(), || {
            rustix::fs::chownat(&self.fd, "", uid, gid, AtFlags::EMPTY_PATH)
        })
    }

    /// Sets the permission bits (the low 12); a link is refused with `EOPNOTSUPP`.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        // Kernels before 6.6 would set it on some file systems.
        if self.metadata()?.kind == FileKind::Symlink {
            return Err(self.at().error("fchmodat", Errno::OPNOTSUPP));
        }
        set_mode_by_handle(&self.fd, self.at(), Mode::from_raw_mode(mode & 0o7777))
    }

    /// Lists the extended attributes, sorted by name.
    ///
    /// A file system without extended attributes has none.
    pub fn xattrs(&self) -> Result<Vec<(OsString, Vec<u8>)>> {
        let path = handle_path(&self.fd);
        let list = |buffer: &mut [u8]| rustix::fs::listxattr(&path, buffer);
        let get = |key: &OsStr, buffer: &mut [u8]| rustix::fs::getxattr(&path, key, buffer);
        through_proc(read_xattrs(self.at(), list, get))
    }

    /// Sets the extended attribute `key`.
    pub fn set_xattr(&self, key: &OsStr, value: &[u8]) -> Result<()> {
        // What the handle is on is not followed further, even if it is a link.
        let path = handle_path(&self.fd);
        through_proc(change("setxattr", self.at(), || {
            rustix::fs::setxattr(&path, key, value, XattrFlags::empty())
        }))
    }

    /// Removes the access control lists that the object got from the directory it was made in
    /// (`acl(5)`).
    pub fn remove_inherited_acls(&self) -> Result<()> {
        remove_inherited_acls(self, self.at())
    }

    /// Sets the access and modification time; `None` leaves one as it is.
    pub fn set_times(
        &self,
        accessed: Option<SystemTime>,
        modified: Option<SystemTime>,
    ) -> Result<()> {
        let times = timestamps(accessed, modified);
        let set = |path: &OsStr, flags| {
            change("utimensat", self.at(), || {
                rustix::fs::utimensat(&self.fd, path, &times, flags)
            })
        };
        match set(OsStr::new(""), AtFlags::EMPTY_PATH) {
            // A kernel before 5.8 does not know the flag.
            Err(error) if error.is(Errno::INVAL) => {
                let path = handle_path(&self.fd);
                through_proc(set(path.as_os_str(), AtFlags::empty()))
            }
            result => result,
        }
    }
}
