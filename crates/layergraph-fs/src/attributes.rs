//! What can be said about an entry of a directory: owner, mode, times and extended attributes.
//!
//! Nothing here follows a link. Some of the calls take paths only, or follow links whatever they
//! are told; they are given `/proc/self/fd/N`, which leads to what the handle is on and nowhere
//! else.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::dir::HERE;
use crate::metadata::seconds_and_nanos;
use crate::sys::{At, change, look};
use crate::{Dir, FsError, Result};

const HANDLES: &str = "/proc/self/fd";

impl Dir {
    /// Sets owner and group of `name`, a link itself included.
    ///
    /// The kernel clears set-uid, set-gid and file capabilities: set those afterwards.
    pub fn set_owner(&self, name: &OsStr, uid: u32, gid: u32) -> Result<()> {
        let at = self.plain("fchownat", name)?;
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        // `.` is looked up like any name, which takes permission to search; no name does not.
        let (name, flags) = if name == HERE {
            (OsStr::new(""), AtFlags::EMPTY_PATH)
        } else {
            (name, AtFlags::SYMLINK_NOFOLLOW)
        };
        change("fchownat", at, || {
            rustix::fs::chownat(self, name, uid, gid, flags)
        })
    }

    /// Sets the permission bits (the low 12) of `name`; a link is refused with `EOPNOTSUPP`.
    pub fn set_mode(&self, name: &OsStr, mode: u32) -> Result<()> {
        let at = self.plain("fchmodat", name)?;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        if name == HERE {
            return match change("fchmod", at, || rustix::fs::fchmod(self, mode)) {
                // The handle is one to pass through.
                Err(error) if error.is(Errno::BADF) => set_mode_by_handle(self, at, mode),
                result => result,
            };
        }
        // chmod by name would follow a link put there in between; by handle it cannot.
        let (fd, _) = handle_and_mode(self, name, at)?;
        set_mode_by_handle(&fd, at, mode)
    }

    /// Sets the access and modification time of `name`, a link itself included.
    ///
    /// A time that is `None` is left as it is.
    pub fn set_times(
        &self,
        name: &OsStr,
        accessed: Option<SystemTime>,
        modified: Option<SystemTime>,
    ) -> Result<()> {
        let at = self.plain("utimensat", name)?;
        let times = timestamps(accessed, modified);
        if name == HERE {
            return match change("futimens", at, || rustix::fs::futimens(self, &times)) {
                Err(error) if error.is(Errno::BADF) => {
                    let path = handle_path(self);
                    through_proc(change("utimensat", at, || {
                        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty())
                    }))
                }
                result => result,
            };
        }
        change("utimensat", at, || {
            rustix::fs::utimensat(self, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// Lists the extended attributes of `name`, a link itself included, sorted by name.
    ///
    /// A file system without extended attributes has none.
    pub fn xattrs(&self, name: &OsStr) -> Result<Vec<(OsString, Vec<u8>)>> {
        let at = self.plain("listxattr", name)?;
        let path = self.proc_path(name);
        let list = |buffer: &mut [u8]| rustix::fs::llistxattr(&path, buffer);
        let get = |key: &OsStr, buffer: &mut [u8]| rustix::fs::lgetxattr(&path, key, buffer);
        through_proc(read_xattrs(at, list, get))
    }

    /// Returns the extended attribute `key` of `name`, if it has one.
    pub fn xattr(&self, name: &OsStr, key: &OsStr) -> Result<Option<Vec<u8>>> {
        let at = self.plain("getxattr", name)?;
        let path = self.proc_path(name);
        let get = |buffer: &mut [u8]| rustix::fs::lgetxattr(&path, key, buffer);
        through_proc(read_xattr(at, get))
    }

    /// Sets the extended attribute `key` of `name`, a link itself included.
    pub fn set_xattr(&self, name: &OsStr, key: &OsStr, value: &[u8]) -> Result<()> {
        let at = self.plain("setxattr", name)?;
        let path = self.proc_path(name);
        through_proc(change("setxattr", at, || {
            rustix::fs::lsetxattr(&path, key, value, XattrFlags::empty())
        }))
    }

    /// Removes the extended attribute `key` of `name`; one that it has not gives `ENODATA`.
    pub fn remove_xattr(&self, name: &OsStr, key: &OsStr) -> Result<()> {
        let at = self.plain("removexattr", name)?;
        let path = self.proc_path(name);
        through_proc(change("removexattr", at, || {
            rustix::fs::lremovexattr(&path, key)
        }))
    }

    /// Removes the access control lists that the directory got from the one it was made in
    /// (`acl(5)`).
    pub fn remove_inherited_acls(&self) -> Result<()> {
        remove_inherited_acls(self, self.here())
    }

    /// A path to `name` whose last component is not followed; to the directory itself, one that
    /// takes no permission to search it.
    fn proc_path(&self, name: &OsStr) -> PathBuf {
        let name = if name == HERE { OsStr::new("") } else { name };
        handle_path(self).join(name)
    }
}

/// Removes the access control lists that an object has from the directory it was made in.
pub(crate) fn remove_inherited_acls(fd: impl AsFd, at: At<'_>) -> Result<()> {
    let path = handle_path(fd);
    for key in ["system.posix_acl_default", "system.posix_acl_access"] {
        let get = |buffer: &mut [u8]| rustix::fs::getxattr(&path, key, buffer);
        if through_proc(read_xattr(at, get))?.is_some() {
            let remove = || rustix::fs::removexattr(&path, key);
            through_proc(change("removexattr", at, remove))?;
        }
    }
    Ok(())
}

pub(crate) fn handle_path(fd: impl AsFd) -> PathBuf {
    Path::new(HANDLES).join(fd.as_fd().as_raw_fd().to_string())
}

/// Opens a handle that takes no permission on `name`, and looks at its mode; a link is refused.
fn handle_and_mode(dir: &Dir, name: &OsStr, at: At<'_>) -> Result<(OwnedFd, Mode)> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = look("openat", at, || {
        rustix::fs::openat(dir, name, flags, Mode::empty())
    })?;
    let stat = look("fstat", at, || rustix::fs::fstat(&fd))?;
    if FileType::from_raw_mode(stat.st_mode).is_symlink() {
        return Err(at.error("fchmodat", Errno::OPNOTSUPP));
    }
    Ok((fd, Mode::from_raw_mode(stat.st_mode & 0o7777)))
}

pub(crate) fn set_mode_by_handle(fd: impl AsFd, at: At<'_>, mode: Mode) -> Result<()> {
    let path = handle_path(fd);
    through_proc(change("fchmodat", at, || rustix::fs::chmod(&path, mode)))
}

/// Opens a file or directory of the caller's own that its mode may not let him read.
///
/// Then the mode lets him for a moment. All goes by one handle: the name may lead elsewhere
/// meanwhile, and what it led to is to have its own mode again.
pub(crate) fn open_despite_mode(dir: &Dir, name: &OsStr) -> Result<OwnedFd> {
    let at = dir.plain("openat", name)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = look("openat", at, || {
        rustix::fs::openat(dir, name, flags | OFlags::NOFOLLOW, Mode::empty())
    });
    match opened {
        Err(error) if error.is(Errno::ACCESS) => {}
        result => return result,
    }
    let (fd, mode) = handle_and_mode(dir, name, at)?;
    set_mode_by_handle(&fd, at, mode | Mode::RUSR)?;
    let path = handle_path(&fd);
    let opened = look("openat", at, || {
        rustix::fs::open(&path, flags, Mode::empty())
    });
    // If this was the reason, the permission was missing, even if somebody else who did the same
    // was seen to have given it.
    let own = if opened.is_ok() {
        mode - Mode::RUSR
    } else {
        mode
    };
    set_mode_by_handle(&fd, at, own)?;
    opened
}

/// Says that `/proc` is missing where that is why a call found nothing.
pub(crate) fn through_proc<T>(result: Result<T>) -> Result<T> {
    match result {
        Err(error) if error.is(Errno::NOENT) && !has_proc() => {
            let reason = "/proc is not mounted, and this call needs it";
            let source = io::Error::new(io::ErrorKind::Unsupported, reason);
            Err(FsError::new(error.call(), error.path(), source))
        }
        result => result,
    }
}

fn has_proc() -> bool {
    rustix::fs::access(HANDLES, rustix::fs::Access::EXISTS).is_ok()
}

/// Lists the extended attributes of an open file, sorted by name.
pub(crate) fn xattrs_of(file: impl AsFd, at: At<'_>) -> Result<Vec<(OsString, Vec<u8>)>> {
    let list = |buffer: &mut [u8]| rustix::fs::flistxattr(&file, buffer);
    let get = |key: &OsStr, buffer: &mut [u8]| rustix::fs::fgetxattr(&file, key, buffer);
    read_xattrs(at, list, get)
}

/// Reads all extended attributes of the object that `list` and `get` are for.
pub(crate) fn read_xattrs(
    at: At<'_>,
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&OsStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> Result<Vec<(OsString, Vec<u8>)>> {
    let names = match look("listxattr", at, || grow(&list)) {
        Ok(names) => names,
        Err(error) if error.is(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut attributes = Vec::new();
    for key in names.split(|&byte| byte == 0).filter(|key| !key.is_empty()) {
        let key = OsStr::from_bytes(key);
        // One that vanished in between is not there.
        if let Some(value) = read_xattr(at, |buffer| get(key, buffer))? {
            attributes.push((key.to_owned(), value));
        }
    }
    attributes.sort_unstable();
    Ok(attributes)
}

fn read_xattr(
    at: At<'_>,
    get: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> Result<Option<Vec<u8>>> {
    match look("getxattr", at, || grow(&get)) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is(Errno::NODATA) || error.is(Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Calls `read` with a buffer that grows until the answer fits.
fn grow(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    // XATTR_SIZE_MAX and XATTR_LIST_MAX are both 64 KiB (xattr(7)).
    for size in [256, 64 * 1024] {
        let mut buffer = vec![0; size];
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::RANGE)
}

pub(crate) fn timestamps(accessed: Option<SystemTime>, modified: Option<SystemTime>) -> Timestamps {
    Timestamps {
        last_access: timespec(accessed),
        last_modification: timespec(modified),
    }
}

fn timespec(time: Option<SystemTime>) -> Timespec {
    match time.map(seconds_and_nanos) {
        Some((tv_sec, nanos)) => Timespec {
            tv_sec,
            tv_nsec: nanos.into(),
        },
        None => Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
    }
}
