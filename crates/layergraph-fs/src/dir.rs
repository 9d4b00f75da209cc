//! An open directory, and what can be done to the names in it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RawDir, RenameFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::metadata::seconds_and_nanos;
use crate::sys::{At, change, look};
use crate::{Device, FileKind, FsError, Metadata, NewFile, Result};

/// A handle on an open directory.
///
/// Methods that take a `name` act on that entry of this very directory, whatever happens to the
/// path the directory was opened by, and never follow the entry if it is a link. A name is a
/// single plain component: one that is empty, `..`, or holds `/` or a NUL byte is refused with
/// `EINVAL`. `.` names the directory itself.
///
/// The handle is closed on drop and not inherited by child processes.
pub struct Dir {
    fd: OwnedFd,
    /// For messages only.
    path: PathBuf,
}

/// What [`Dir::entries`] tells of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The entry's name.
    pub name: OsString,
    /// What it is, where the file system says so without another call.
    pub kind: Option<FileKind>,
}

/// What [`Dir::rename`] does with an entry that already has the new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameMode {
    /// The old entry is replaced (a directory only if it is empty).
    Replace,
    /// The call fails with `EEXIST`.
    NoReplace,
    /// The two entries swap places.
    Exchange,
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dir").field(&self.path).finish()
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const HERE: &str = ".";
const OPEN_DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

impl Dir {
    /// Opens the directory at `path`, which is trusted: links in it are followed.
    pub fn open(path: &Path) -> Result<Dir> {
        let at = At {
            dir: path,
            name: OsStr::new(""),
        };
        let fd = look("open", at, || {
            rustix::fs::open(path, OPEN_DIRECTORY, Mode::empty())
        })?;
        Ok(Dir::from_fd(fd, path.to_owned()))
    }

    pub(crate) fn from_fd(fd: OwnedFd, path: PathBuf) -> Dir {
        Dir { fd, path }
    }

    /// Returns the path the directory was opened by, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Duplicates the handle.
    pub fn try_clone(&self) -> Result<Dir> {
        let fd = look("fcntl", self.at(OsStr::new(HERE)), || {
            rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)
        })?;
        Ok(Dir::from_fd(fd, self.path.clone()))
    }

    fn at<'a>(&'a self, name: &'a OsStr) -> At<'a> {
        At {
            dir: &self.path,
            name,
        }
    }

    /// Checks that `name` is one plain component before `call` is made with it.
    fn plain<'a>(&'a self, call: &'static str, name: &'a OsStr) -> Result<At<'a>> {
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes == b".." || bytes.contains(&b'/') || bytes.contains(&0) {
            return Err(FsError::at(call, &self.path, name, Errno::INVAL));
        }
        Ok(self.at(name))
    }

    // --- Looking

    /// Opens the directory called `name`; a link is refused with `ENOTDIR`.
    pub fn open_dir(&self, name: &OsStr) -> Result<Dir> {
        let at = self.plain("openat", name)?;
        let flags = OPEN_DIRECTORY | OFlags::NOFOLLOW;
        let fd = look("openat", at, || {
            rustix::fs::openat(&self.fd, name, flags, Mode::empty())
        })?;
        Ok(Dir::from_fd(fd, self.path.join(name)))
    }

    /// Opens the regular file called `name` for reading.
    ///
    /// A link is refused with `ELOOP`, any other kind with `EINVAL`; a named pipe or a device is
    /// neither waited for nor started.
    pub fn open_file(&self, name: &OsStr) -> Result<std::fs::File> {
        let at = self.plain("openat", name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = look("openat", at, || {
            rustix::fs::openat(&self.fd, name, flags, Mode::empty())
        })?;
        let stat = look("fstat", at, || rustix::fs::fstat(&fd))?;
        match Metadata::from_stat(&stat) {
            Some(Metadata {
                kind: FileKind::File,
                ..
            }) => Ok(fd.into()),
            _ => Err(FsError::at("openat", &self.path, name, Errno::INVAL)),
        }
    }

    /// Returns what the file system knows about `name`.
    pub fn metadata(&self, name: &OsStr) -> Result<Metadata> {
        let at = self.plain("fstatat", name)?;
        let stat = look("fstatat", at, || {
            rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
        })?;
        Metadata::from_stat(&stat)
            .ok_or_else(|| FsError::at("fstatat", &self.path, name, Errno::INVAL))
    }

    /// Returns what the file system knows about `name`, or nothing where there is no such entry.
    pub fn find(&self, name: &OsStr) -> Result<Option<Metadata>> {
        match self.metadata(name) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.is(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns what the file system knows about the directory itself.
    pub fn metadata_here(&self) -> Result<Metadata> {
        self.metadata(OsStr::new(HERE))
    }

    /// Returns the target of the link called `name`, exactly as it is stored.
    pub fn read_link(&self, name: &OsStr) -> Result<OsString> {
        let at = self.plain("readlinkat", name)?;
        let target = look("readlinkat", at, || {
            rustix::fs::readlinkat(&self.fd, name, Vec::new())
        })?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Lists the directory in the file system's own order, without `.` and `..`.
    pub fn entries(&self) -> Result<Vec<DirEntry>> {
        // A handle of its own, so that two listings do not share one read position.
        let name = OsStr::new(HERE);
        let fd = look("openat", self.at(name), || {
            rustix::fs::openat(&self.fd, name, OPEN_DIRECTORY, Mode::empty())
        })?;
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut listing = RawDir::new(&fd, buffer.spare_capacity_mut());
        let mut entries = Vec::new();
        while let Some(entry) = listing.next() {
            let entry =
                entry.map_err(|errno| FsError::at("getdents64", &self.path, name, errno))?;
            let bytes = entry.file_name().to_bytes();
            if bytes != b"." && bytes != b".." {
                entries.push(DirEntry {
                    name: OsStr::from_bytes(bytes).to_owned(),
                    kind: FileKind::from_type(entry.file_type()),
                });
            }
        }
        Ok(entries)
    }

    /// Lists the directory's names sorted by their bytes.
    pub fn sorted_names(&self) -> Result<Vec<OsString>> {
        let mut names: Vec<_> = self
            .entries()?
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    // --- Making

    /// Makes the directory `name`. Its mode is `mode` less the process's umask.
    pub fn make_dir(&self, name: &OsStr, mode: u32) -> Result<()> {
        let at = self.plain("mkdirat", name)?;
        change("mkdirat", at, || {
            rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode & 0o7777))
        })
    }

    /// Makes the regular file `name`, which must not exist, and opens it for writing.
    ///
    /// Its mode is `mode` less the process's umask.
    pub fn create_file(&self, name: &OsStr, mode: u32) -> Result<NewFile> {
        let at = self.plain("openat", name)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        let fd = change("openat", at, || {
            rustix::fs::openat(&self.fd, name, flags, mode)
        })?;
        Ok(NewFile::new(fd, self.path.clone(), name.to_owned()))
    }

    /// Makes the link `name` that points to `target`, any bytes without NUL.
    pub fn make_symlink(&self, name: &OsStr, target: &OsStr) -> Result<()> {
        let at = self.plain("symlinkat", name)?;
        change("symlinkat", at, || {
            rustix::fs::symlinkat(target, &self.fd, name)
        })
    }

    /// Gives the object `from_name` of `from` a second name here; a link gets it itself.
    pub fn make_hard_link(&self, name: &OsStr, from: &Dir, from_name: &OsStr) -> Result<()> {
        from.plain("linkat", from_name)?;
        let at = self.plain("linkat", name)?;
        change("linkat", at, || {
            rustix::fs::linkat(&from.fd, from_name, &self.fd, name, AtFlags::empty())
        })
    }

    /// Makes a device, named pipe or socket. Its mode is `mode` less the process's umask.
    pub fn make_node(&self, name: &OsStr, kind: FileKind, mode: u32, device: Device) -> Result<()> {
        let at = self.plain("mknodat", name)?;
        let number = rustix::fs::makedev(device.major, device.minor);
        let mode = Mode::from_raw_mode(mode & 0o7777);
        change("mknodat", at, || {
            rustix::fs::mknodat(&self.fd, name, kind.to_type(), mode, number)
        })
    }

    // --- Moving and removing

    /// Renames `name` to `to_name` in `to`, on the same file system.
    pub fn rename(&self, name: &OsStr, to: &Dir, to_name: &OsStr, mode: RenameMode) -> Result<()> {
        let at = self.plain("renameat2", name)?;
        to.plain("renameat2", to_name)?;
        let flags = match mode {
            RenameMode::Replace => RenameFlags::empty(),
            RenameMode::NoReplace => RenameFlags::NOREPLACE,
            RenameMode::Exchange => RenameFlags::EXCHANGE,
        };
        change("renameat2", at, || {
            rustix::fs::renameat_with(&self.fd, name, &to.fd, to_name, flags)
        })
    }

    /// Removes the entry `name`, which is not a directory.
    pub fn remove_file(&self, name: &OsStr) -> Result<()> {
        let at = self.plain("unlinkat", name)?;
        change("unlinkat", at, || {
            rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
        })
    }

    /// Removes the empty directory `name`.
    pub fn remove_dir(&self, name: &OsStr) -> Result<()> {
        let at = self.plain("unlinkat", name)?;
        change("unlinkat", at, || {
            rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
        })
    }

    // --- Metadata

    /// Sets owner and group of `name`, a link itself included.
    ///
    /// The kernel clears set-uid, set-gid and file capabilities: set those afterwards.
    pub fn set_owner(&self, name: &OsStr, uid: u32, gid: u32) -> Result<()> {
        let at = self.plain("fchownat", name)?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        change("fchownat", at, || {
            rustix::fs::chownat(
                &self.fd,
                name,
                Some(uid),
                Some(gid),
                AtFlags::SYMLINK_NOFOLLOW,
            )
        })
    }

    /// Sets the permission bits (the low 12) of `name`; a link is refused with `EOPNOTSUPP`.
    pub fn set_mode(&self, name: &OsStr, mode: u32) -> Result<()> {
        let at = self.plain("fchmodat", name)?;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        if name == HERE {
            return change("fchmod", at, || rustix::fs::fchmod(&self.fd, mode));
        }
        // chmod by name would follow a link put there in between; by handle it cannot.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = look("openat", at, || {
            rustix::fs::openat(&self.fd, name, flags, Mode::empty())
        })?;
        let stat = look("fstat", at, || rustix::fs::fstat(&fd))?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink() {
            return Err(FsError::at("fchmodat", &self.path, name, Errno::OPNOTSUPP));
        }
        let handle = handle_path(&fd);
        change("fchmodat", at, || rustix::fs::chmod(&handle, mode))
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
        change("utimensat", at, || {
            rustix::fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// Lists the extended attributes of `name`, a link itself included, sorted by name.
    ///
    /// A file system without extended attributes has none.
    pub fn xattrs(&self, name: &OsStr) -> Result<Vec<(OsString, Vec<u8>)>> {
        let at = self.plain("listxattr", name)?;
        let path = self.proc_path(name);
        let mut attributes = Vec::new();
        for key in self.xattr_names(at, &path)? {
            // One that vanished in between is not there.
            if let Some(value) = self.read_xattr(at, &path, &key)? {
                attributes.push((key, value));
            }
        }
        attributes.sort_unstable();
        Ok(attributes)
    }

    /// Returns the extended attribute `key` of `name`, if it has one.
    pub fn xattr(&self, name: &OsStr, key: &OsStr) -> Result<Option<Vec<u8>>> {
        let at = self.plain("getxattr", name)?;
        self.read_xattr(at, &self.proc_path(name), key)
    }

    /// Sets the extended attribute `key` of `name`, a link itself included.
    pub fn set_xattr(&self, name: &OsStr, key: &OsStr, value: &[u8]) -> Result<()> {
        let at = self.plain("setxattr", name)?;
        let path = self.proc_path(name);
        change("setxattr", at, || {
            rustix::fs::lsetxattr(&path, key, value, XattrFlags::empty())
        })
    }

    /// Removes the extended attribute `key` of `name`.
    pub fn remove_xattr(&self, name: &OsStr, key: &OsStr) -> Result<()> {
        let at = self.plain("removexattr", name)?;
        let path = self.proc_path(name);
        change("removexattr", at, || rustix::fs::lremovexattr(&path, key))
    }

    /// The calls for extended attributes take paths only: `/proc` turns the handle into one whose
    /// last component is not followed.
    fn proc_path(&self, name: &OsStr) -> PathBuf {
        handle_path(&self.fd).join(name)
    }

    fn xattr_names(&self, at: At<'_>, path: &Path) -> Result<Vec<OsString>> {
        let names = grow(|buffer| rustix::fs::llistxattr(path, buffer));
        match look("listxattr", at, || names.clone()) {
            Ok(names) => Ok(names
                .split(|&byte| byte == 0)
                .filter(|name| !name.is_empty())
                .map(|name| OsStr::from_bytes(name).to_owned())
                .collect()),
            Err(error) if error.is(Errno::OPNOTSUPP) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn read_xattr(&self, at: At<'_>, path: &Path, key: &OsStr) -> Result<Option<Vec<u8>>> {
        let value = grow(|buffer| rustix::fs::lgetxattr(path, key, buffer));
        match look("getxattr", at, || value.clone()) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is(Errno::NODATA) || error.is(Errno::OPNOTSUPP) => Ok(None),
            Err(error) => Err(error),
        }
    }

    // --- Syncing

    /// Makes the directory's entries durable: what was created, renamed or removed in it.
    pub fn sync(&self) -> Result<()> {
        let at = self.at(OsStr::new(HERE));
        change("fsync", at, || rustix::fs::fsync(&self.fd))
    }

    /// Makes everything written to the directory's file system durable.
    ///
    /// An error since this handle was opened is reported once (`syncfs(2)`, Linux 5.8).
    pub fn sync_filesystem(&self) -> Result<()> {
        let at = self.at(OsStr::new(HERE));
        change("syncfs", at, || rustix::fs::syncfs(&self.fd))
    }
}

/// Calls `read` with a buffer that grows until the answer fits.
fn grow(
    mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<u8>> {
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

fn handle_path(fd: &OwnedFd) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
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
