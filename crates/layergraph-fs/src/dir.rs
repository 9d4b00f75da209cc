//! An open directory, and what can be looked at, made, moved and removed in it.
//!
//! What can be said about an entry (owner, mode, times, extended attributes) is in `attributes`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, RenameFlags, SeekFrom};
use rustix::io::Errno;

use crate::sys::{At, change, look, sync};
use crate::{Device, FileKind, FsError, Metadata, NewFile, Result};

/// A handle on an open directory.
///
/// Methods that take a `name` act on that entry of this very directory, whatever happens to the
/// path the directory was opened by, and never follow the entry if it is a link. A name is a
/// single plain component: one that is empty, `..`, or holds `/` or a NUL byte is refused with
/// `EINVAL`. `.` names the directory itself.
///
/// A directory that its mode lets the caller search but not read opens too; to list it then fails
/// with `EACCES`, and to sync it as well.
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

/// The directory itself, as a name.
pub(crate) const HERE: &str = ".";

/// A directory opened to be listed.
pub(crate) const LISTED: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// A directory opened to be passed through, which takes no permission on the directory itself.
pub(crate) const PASSED: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Messages show no longer paths; no call takes them either (`PATH_MAX`).
const SHOWN: usize = 4096;

impl Dir {
    /// Opens the directory at `path`, which is trusted: links in it are followed.
    pub fn open(path: &Path) -> Result<Dir> {
        let at = At {
            dir: path,
            name: OsStr::new(""),
        };
        let fd = listed_or_passed(|flags| {
            look("open", at, || rustix::fs::open(path, flags, Mode::empty()))
        })?;
        Ok(Dir::from_fd(fd, path.to_owned()))
    }

    pub(crate) fn from_fd(fd: OwnedFd, path: PathBuf) -> Dir {
        Dir { fd, path }
    }

    pub(crate) fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Returns the path the directory was opened by, for messages.
    ///
    /// Of a path of several thousand bytes only the beginning is kept, unless a
    /// [`Root`](crate::Root) has opened the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry, for messages. Its length is bounded, or a deep tree would cost the
    /// square of its depth.
    pub(crate) fn path_of(&self, name: &OsStr) -> PathBuf {
        let mut path = self.path.clone();
        if path.as_os_str().len() + name.len() < SHOWN {
            path.push(name);
        } else if !path.ends_with("…") {
            path.push("…");
        }
        path
    }

    /// Duplicates the handle.
    pub fn try_clone(&self) -> Result<Dir> {
        let fd = look("fcntl", self.here(), || {
            rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)
        })?;
        Ok(Dir::from_fd(fd, self.path.clone()))
    }

    pub(crate) fn here(&self) -> At<'_> {
        At {
            dir: &self.path,
            name: OsStr::new(HERE),
        }
    }

    /// Checks that `name` is one plain component before `call` is made with it.
    pub(crate) fn plain<'a>(&'a self, call: &'static str, name: &'a OsStr) -> Result<At<'a>> {
        let at = At {
            dir: &self.path,
            name,
        };
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes == b".." || bytes.contains(&b'/') || bytes.contains(&0) {
            return Err(at.error(call, Errno::INVAL));
        }
        Ok(at)
    }

    // --- Looking

    /// Opens the directory called `name`; a link is refused with `ENOTDIR`.
    pub fn open_dir(&self, name: &OsStr) -> Result<Dir> {
        listed_or_passed(|flags| self.open_dir_as(name, flags))
    }

    /// Opens the directory called `name` only to pass through it.
    pub(crate) fn pass(&self, name: &OsStr) -> Result<Dir> {
        self.open_dir_as(name, PASSED)
    }

    pub(crate) fn open_dir_as(&self, name: &OsStr, flags: OFlags) -> Result<Dir> {
        let at = self.plain("openat", name)?;
        let fd = look("openat", at, || {
            rustix::fs::openat(&self.fd, name, flags | OFlags::NOFOLLOW, Mode::empty())
        })?;
        Ok(Dir::from_fd(fd, self.path_of(name)))
    }

    /// Opens the regular file called `name` for reading.
    ///
    /// A link is refused with `ELOOP`, any other kind with `EINVAL`; a named pipe or a device is
    /// not opened, unless it takes a file's place at this very moment: then it is opened without
    /// waiting, and closed.
    pub fn open_file(&self, name: &OsStr) -> Result<File> {
        self.open_named_file(name).map(|(file, _)| file)
    }

    /// Reads the regular file called `name`, at most its first `limit` bytes.
    ///
    /// # Errors
    ///
    /// As for [`open_file`](Dir::open_file).
    pub fn read_file(&self, name: &OsStr, limit: u64) -> Result<Vec<u8>> {
        let (file, metadata) = self.open_named_file(name)?;
        // A little more than it has, so that its end is seen without growing.
        let expected = metadata.size.min(limit).saturating_add(64);
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
        let read = file.take(limit).read_to_end(&mut bytes);
        read.map_err(|error| FsError::new("read", self.path_of(name), error))?;
        Ok(bytes)
    }

    fn open_named_file(&self, name: &OsStr) -> Result<(File, Metadata)> {
        let at = self.plain("openat", name)?;
        match self.metadata(name)?.kind {
            // Opening it again could meet something else: the second look is at the handle.
            FileKind::File => self.open_listed_file(name),
            FileKind::Symlink => Err(at.error("openat", Errno::LOOP)),
            _ => Err(at.error("openat", Errno::INVAL)),
        }
    }

    /// Opens what the directory listed as a regular file, and looks at what was opened.
    pub(crate) fn open_listed_file(&self, name: &OsStr) -> Result<(File, Metadata)> {
        let at = self.plain("openat", name)?;
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = look("openat", at, || {
            rustix::fs::openat(&self.fd, name, flags, Mode::empty())
        })?;
        let metadata = stat_of(&fd, at)?;
        match metadata.kind {
            FileKind::File => Ok((fd.into(), metadata)),
            _ => Err(at.error("openat", Errno::INVAL)),
        }
    }

    /// Returns what the file system knows about `name`.
    pub fn metadata(&self, name: &OsStr) -> Result<Metadata> {
        if name == HERE {
            return self.metadata_here();
        }
        let at = self.plain("fstatat", name)?;
        let stat = look("fstatat", at, || {
            rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
        })?;
        Metadata::from_stat(&stat).ok_or_else(|| at.error("fstatat", Errno::INVAL))
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
        stat_of(&self.fd, self.here())
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
        let mut entries = Vec::new();
        self.each_entry(|name, kind| {
            entries.push(DirEntry {
                name: name.to_owned(),
                kind,
            });
            Ok::<(), FsError>(())
        })?;
        Ok(entries)
    }

    /// Lists the directory's names sorted by their bytes.
    pub fn sorted_names(&self) -> Result<Vec<OsString>> {
        let mut names = Vec::new();
        self.each_entry(|name, _| {
            names.push(name.to_owned());
            Ok::<(), FsError>(())
        })?;
        names.sort_unstable();
        Ok(names)
    }

    /// Calls `visit` with each entry but `.` and `..` while the directory is read, so that none of
    /// them is held. An error of `visit` ends the listing.
    ///
    /// Entries that are made or removed meanwhile may or may not be among them.
    pub fn each_entry<E: From<FsError>>(
        &self,
        visit: impl FnMut(&OsStr, Option<FileKind>) -> Result<(), E>,
    ) -> Result<(), E> {
        // A handle of its own, so that two listings do not share one read position.
        self.listed()?.each_entry_here(visit)
    }

    /// Opens the directory once more, to list it.
    pub(crate) fn listed(&self) -> Result<Dir> {
        let fd = look("openat", self.here(), || {
            rustix::fs::openat(&self.fd, HERE, LISTED, Mode::empty())
        })?;
        Ok(Dir::from_fd(fd, self.path.clone()))
    }

    /// As [`each_entry`](Dir::each_entry), but through the handle itself, which nobody else may
    /// list by at the same time.
    pub(crate) fn each_entry_here<E: From<FsError>>(
        &self,
        mut visit: impl FnMut(&OsStr, Option<FileKind>) -> Result<(), E>,
    ) -> Result<(), E> {
        look("lseek", self.here(), || {
            rustix::fs::seek(&self.fd, SeekFrom::Start(0))
        })?;
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut listing = RawDir::new(&self.fd, buffer.spare_capacity_mut());
        while let Some(entry) = listing.next() {
            let entry = entry.map_err(|errno| self.here().error("getdents64", errno))?;
            let bytes = entry.file_name().to_bytes();
            if bytes != b"." && bytes != b".." {
                let kind = FileKind::from_type(entry.file_type());
                visit(OsStr::from_bytes(bytes), kind)?;
            }
        }
        Ok(())
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

    // --- Syncing

    /// Makes the directory's entries durable: what was created, renamed or removed in it.
    pub fn sync(&self) -> Result<()> {
        match sync("fsync", self.here(), || rustix::fs::fsync(&self.fd)) {
            // The handle is one to pass through. Opening the other kind tells why.
            Err(error) if error.is(Errno::BADF) => {
                let listed = self.listed()?;
                sync("fsync", self.here(), || rustix::fs::fsync(&listed.fd))
            }
            result => result,
        }
    }

    /// Makes everything written to the directory's file system durable.
    ///
    /// An error since this handle was opened is reported once (`syncfs(2)`, Linux 5.8).
    pub fn sync_filesystem(&self) -> Result<()> {
        sync("syncfs", self.here(), || rustix::fs::syncfs(&self.fd))
    }
}

/// Opens a directory to list it, or where that is not permitted, to pass through it.
pub(crate) fn listed_or_passed<T>(open: impl Fn(OFlags) -> Result<T>) -> Result<T> {
    match open(LISTED) {
        // Where passing is not permitted either, this gives the same error again.
        Err(error) if error.is(Errno::ACCESS) => open(PASSED),
        result => result,
    }
}

/// Returns what the file system knows about what a handle is on.
pub(crate) fn stat_of(fd: impl AsFd, at: At<'_>) -> Result<Metadata> {
    let stat = look("fstat", at, || rustix::fs::fstat(&fd))?;
    Metadata::from_stat(&stat).ok_or_else(|| at.error("fstat", Errno::INVAL))
}
