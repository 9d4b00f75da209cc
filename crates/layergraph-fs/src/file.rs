//! A file while it is being written.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::fs::{Gid, Mode, SeekFrom, Uid, XattrFlags};
use rustix::io::Errno;

use crate::attributes::{remove_inherited_acls, timestamps};
use crate::dir::stat_of;
use crate::sys::{self, At, change, look, sync};
use crate::{Metadata, Result};

/// A regular file made by [`Dir::create_file`](crate::Dir::create_file), open for writing.
///
/// Set the owner first, then extended attributes, then the mode, then times: each of these steps
/// undoes something of those behind it, or forbids it.
#[derive(Debug)]
pub struct NewFile {
    fd: OwnedFd,
    dir: PathBuf,
    name: OsString,
}

impl AsFd for NewFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl NewFile {
    pub(crate) fn new(fd: OwnedFd, dir: PathBuf, name: OsString) -> NewFile {
        NewFile { fd, dir, name }
    }

    pub(crate) fn at(&self) -> At<'_> {
        At {
            dir: &self.dir,
            name: &self.name,
        }
    }

    /// Writes all of `bytes` at the file's position.
    ///
    /// After an error any part of them may have been written.
    pub fn write_all(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let written = sys::write(&self.fd, self.at(), bytes)?;
            if written == 0 {
                return Err(self.at().error("write", Errno::IO));
            }
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Moves the position to `offset` bytes from the start, so that what lies between is a hole.
    pub fn seek(&mut self, offset: u64) -> Result<()> {
        look("lseek", self.at(), || {
            rustix::fs::seek(&self.fd, SeekFrom::Start(offset))
        })?;
        Ok(())
    }

    /// Sets the size in bytes; what is new reads as zeros.
    pub fn set_size(&self, size: u64) -> Result<()> {
        change("ftruncate", self.at(), || {
            rustix::fs::ftruncate(&self.fd, size)
        })
    }

    /// Returns what the file system knows about the file.
    pub fn metadata(&self) -> Result<Metadata> {
        stat_of(&self.fd, self.at())
    }

    /// Sets owner and group. The kernel clears set-uid, set-gid and file capabilities.
    pub fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        change("fchown", self.at(), || {
            rustix::fs::fchown(&self.fd, Some(uid), Some(gid))
        })
    }

    /// Sets the permission bits (the low 12).
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        let mode = Mode::from_raw_mode(mode & 0o7777);
        change("fchmod", self.at(), || rustix::fs::fchmod(&self.fd, mode))
    }

    /// Sets the extended attribute `key`.
    pub fn set_xattr(&self, key: &OsStr, value: &[u8]) -> Result<()> {
        change("fsetxattr", self.at(), || {
            rustix::fs::fsetxattr(&self.fd, key, value, XattrFlags::empty())
        })
    }

    /// Removes the access control list that the file got from the directory it was made in
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
        change("futimens", self.at(), || {
            rustix::fs::futimens(&self.fd, &times)
        })
    }

    /// Makes content and metadata of the file durable, though not its name.
    pub fn sync(&self) -> Result<()> {
        sync("fsync", self.at(), || rustix::fs::fsync(&self.fd))
    }
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(sys::write(&self.fd, self.at(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
