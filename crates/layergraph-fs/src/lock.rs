//! Locks among processes and threads: single bytes of one file.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::sys::{change, look};
use crate::{Dir, Result};

/// A file whose bytes are locks, one lock a byte. Its content means nothing.
///
/// The locks are those of open file descriptions (`F_OFD_SETLK` in `fcntl_locking(2)`): each guard
/// has one of its own, so threads exclude each other as processes do, and a lock ends with its
/// guard or with the process, whichever is first.
#[derive(Debug)]
pub struct LockFile {
    dir: Dir,
    name: OsString,
}

/// Who may hold a byte together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Any number of holders of this kind.
    Shared,
    /// One holder alone.
    Exclusive,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
#[must_use = "the lock ends when this is dropped"]
pub struct LockGuard {
    _file: OwnedFd,
}

impl LockFile {
    /// Opens the lock file `name`, which is made if it is missing, with mode 0600.
    pub fn open(dir: &Dir, name: &OsStr) -> Result<LockFile> {
        let file = LockFile {
            dir: dir.try_clone()?,
            name: name.to_owned(),
        };
        file.handle()?;
        Ok(file)
    }

    /// Waits for byte number `byte`.
    pub fn lock(&self, byte: u64, kind: LockKind) -> Result<LockGuard> {
        let file = self.handle()?;
        let range = range(byte, kind);
        let at = self.dir.plain("fcntl", &self.name)?;
        look("fcntl", at, || set(&file, FcntlArg::F_OFD_SETLKW(&range)))?;
        Ok(LockGuard { _file: file })
    }

    /// Takes byte number `byte` if it is free, else returns nothing.
    pub fn try_lock(&self, byte: u64, kind: LockKind) -> Result<Option<LockGuard>> {
        let file = self.handle()?;
        let range = range(byte, kind);
        let at = self.dir.plain("fcntl", &self.name)?;
        match look("fcntl", at, || set(&file, FcntlArg::F_OFD_SETLK(&range))) {
            Ok(()) => Ok(Some(LockGuard { _file: file })),
            Err(error) if error.is(Errno::AGAIN) || error.is(Errno::ACCESS) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn handle(&self) -> Result<OwnedFd> {
        let at = self.dir.plain("openat", &self.name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        change("openat", at, || {
            rustix::fs::openat(&self.dir, &self.name, flags, mode)
        })
    }
}

fn set(file: &OwnedFd, argument: FcntlArg<'_>) -> rustix::io::Result<()> {
    match fcntl(file, argument) {
        Ok(_) => Ok(()),
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    }
}

fn range(byte: u64, kind: LockKind) -> libc::flock {
    let l_type = match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    };
    // Both constants are small; their type differs from the field's.
    #[allow(clippy::cast_possible_truncation)]
    let (l_type, l_whence) = (l_type as libc::c_short, libc::SEEK_SET as libc::c_short);
    // The kernel counts offsets up to 2^63 - 1; the highest bit would make one negative.
    let l_start = i64::try_from(byte & (u64::MAX >> 2)).unwrap_or_default();
    libc::flock {
        l_type,
        l_whence,
        l_start,
        l_len: 1,
        l_pid: 0,
    }
}
