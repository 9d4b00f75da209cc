//! Locks among processes and threads: single bytes of one file, or a directory.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::dir::stat_of;
use crate::sys::{change, look};
use crate::{Dir, FileKind, Metadata, Result};

/// A file whose bytes are locks, one lock a byte. Its content means nothing.
///
/// The locks are those of open file descriptions (`F_OFD_SETLK` in `fcntl_locking(2)`): each guard
/// has one of its own, so threads exclude each other as processes do, and a lock ends with its
/// guard or with the process, whichever is first. Nobody looks for deadlocks: who holds several
/// locks takes them in an order that all keep.
///
/// ```
/// use std::ffi::OsStr;
/// use layergraph_fs::{Dir, LockFile, LockKind};
///
/// # let directory = tempfile::tempdir()?;
/// let dir = Dir::open(directory.path())?;
/// let file = LockFile::open(&dir, OsStr::new("lock"))?;
/// let guard = file.lock(7, LockKind::Exclusive)?;
/// assert!(file.try_lock(7, LockKind::Shared)?.is_none());
/// assert!(file.try_lock(8, LockKind::Shared)?.is_some());
/// drop(guard);
/// assert!(file.try_lock(7, LockKind::Shared)?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LockFile {
    dir: Dir,
    name: OsString,
    metadata: Metadata,
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

/// Neither waits for the other end of a named pipe nor starts a device.
const OPEN: OFlags = OFlags::RDWR
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// What opening something else than a regular file gives.
const NO_FILE: [Errno; 3] = [Errno::LOOP, Errno::ISDIR, Errno::NXIO];

impl LockFile {
    /// Opens the lock file `name`, which is made if it is missing, with mode 0600 less the
    /// process's umask.
    ///
    /// # Errors
    ///
    /// `EINVAL` where something else than a regular file has the name.
    pub fn open(dir: &Dir, name: &OsStr) -> Result<LockFile> {
        let at = dir.plain("openat", name)?;
        // Opened first, so that a lock file that is there takes no permission to make one.
        let fd = match look("openat", at, || {
            rustix::fs::openat(dir, name, OPEN, Mode::empty())
        }) {
            Err(error) if error.is(Errno::NOENT) => change("openat", at, || {
                let mode = Mode::RUSR | Mode::WUSR;
                rustix::fs::openat(dir, name, OPEN | OFlags::CREATE, mode)
            }),
            result => result,
        };
        let fd = match fd {
            // A link, a directory, a socket.
            Err(error) if NO_FILE.iter().any(|errno| error.is(*errno)) => {
                return Err(at.error("openat", Errno::INVAL));
            }
            result => result?,
        };
        let metadata = stat_of(&fd, at)?;
        if metadata.kind != FileKind::File {
            return Err(at.error("openat", Errno::INVAL));
        }
        Ok(LockFile {
            dir: dir.try_clone()?,
            name: name.to_owned(),
            metadata,
        })
    }

    /// Waits for byte number `byte`, which is below 2⁶³.
    ///
    /// # Errors
    ///
    /// `ESTALE` if another file has taken the place of the lock file since it was opened: a lock on
    /// it would exclude nobody who has opened the old one. `EINVAL` for a byte that is too large.
    pub fn lock(&self, byte: u64, kind: LockKind) -> Result<LockGuard> {
        let file = self.handle()?;
        let range = self.range(byte, kind)?;
        look("fcntl", self.dir.plain("fcntl", &self.name)?, || {
            set(&file, FcntlArg::F_OFD_SETLKW(&range))
        })?;
        Ok(LockGuard { _file: file })
    }

    /// Takes byte number `byte` if it is free, else returns nothing.
    ///
    /// # Errors
    ///
    /// As for [`lock`](LockFile::lock).
    pub fn try_lock(&self, byte: u64, kind: LockKind) -> Result<Option<LockGuard>> {
        let file = self.handle()?;
        let range = self.range(byte, kind)?;
        let locked = look("fcntl", self.dir.plain("fcntl", &self.name)?, || {
            set(&file, FcntlArg::F_OFD_SETLK(&range))
        });
        match locked {
            Ok(()) => Ok(Some(LockGuard { _file: file })),
            Err(error) if error.is(Errno::AGAIN) || error.is(Errno::ACCESS) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the file once more: a lock belongs to what one call of open(2) has made.
    fn handle(&self) -> Result<OwnedFd> {
        let at = self.dir.plain("openat", &self.name)?;
        let fd = look("openat", at, || {
            rustix::fs::openat(&self.dir, &self.name, OPEN, Mode::empty())
        })?;
        if stat_of(&fd, at)?.is_same_object(&self.metadata) {
            Ok(fd)
        } else {
            Err(at.error("openat", Errno::STALE))
        }
    }

    fn range(&self, byte: u64, kind: LockKind) -> Result<libc::flock> {
        let l_type = match kind {
            LockKind::Shared => libc::F_RDLCK,
            LockKind::Exclusive => libc::F_WRLCK,
        };
        // Both constants are small; their type differs from the field's.
        #[allow(clippy::cast_possible_truncation)]
        let (l_type, l_whence) = (l_type as libc::c_short, libc::SEEK_SET as libc::c_short);
        let at = self.dir.plain("fcntl", &self.name)?;
        let l_start = byte
            .try_into()
            .map_err(|_| at.error("fcntl", Errno::INVAL))?;
        Ok(libc::flock {
            l_type,
            l_whence,
            l_start,
            l_len: 1,
            l_pid: 0,
        })
    }
}

impl Dir {
    /// Waits until nobody else has the directory locked, and locks it (`flock(2)`).
    ///
    /// The lock ends with the handle and all its [clones](Dir::try_clone), or with the process.
    /// Locking it once more by the same handle does nothing.
    ///
    /// # Errors
    ///
    /// `EACCES` for a directory that its mode does not let the caller read.
    pub fn lock(&self) -> Result<()> {
        let locked = look("flock", self.here(), || {
            rustix::fs::flock(self, FlockOperation::LockExclusive)
        });
        match locked {
            // The handle is one to pass through. Opening the other kind tells why.
            Err(error) if error.is(Errno::BADF) => self.listed().and(Err(error)),
            result => result,
        }
    }
}

fn set(file: &OwnedFd, argument: FcntlArg<'_>) -> rustix::io::Result<()> {
    match fcntl(file, argument) {
        Ok(_) => Ok(()),
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    }
}
