//! What the file system knows about one object.

use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Stat};

/// The kinds of objects a directory can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A Unix-domain socket.
    Socket,
}

impl FileKind {
    pub(crate) fn from_type(file_type: FileType) -> Option<FileKind> {
        Some(match file_type {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Symlink,
            FileType::CharacterDevice => FileKind::CharDevice,
            FileType::BlockDevice => FileKind::BlockDevice,
            FileType::Fifo => FileKind::Fifo,
            FileType::Socket => FileKind::Socket,
            FileType::Unknown => return None,
        })
    }

    pub(crate) fn to_type(self) -> FileType {
        match self {
            FileKind::File => FileType::RegularFile,
            FileKind::Directory => FileType::Directory,
            FileKind::Symlink => FileType::Symlink,
            FileKind::CharDevice => FileType::CharacterDevice,
            FileKind::BlockDevice => FileType::BlockDevice,
            FileKind::Fifo => FileType::Fifo,
            FileKind::Socket => FileType::Socket,
        }
    }
}

/// The major and minor number of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Device {
    /// Which driver.
    pub major: u32,
    /// Which of the driver's devices.
    pub minor: u32,
}

/// What `stat(2)` says about an object; a link is never followed to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What kind of object it is.
    pub kind: FileKind,
    /// Permission bits with set-uid, set-gid and sticky (the low 12 bits); no type bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// Size in bytes; of a link, the length of its target.
    pub size: u64,
    /// When the content was last read, with nanoseconds, as far as the mount keeps count.
    pub accessed: SystemTime,
    /// When the content was last modified, with nanoseconds.
    pub modified: SystemTime,
    /// When the object's metadata last changed, with nanoseconds.
    pub changed: SystemTime,
    /// The inode number; with [`filesystem`](Metadata::filesystem) it names the object.
    pub inode: u64,
    /// The device number of the file system that holds the object.
    pub filesystem: u64,
    /// How many names the object has.
    pub links: u64,
    /// The device a device node stands for; zero for other kinds.
    pub device: Device,
}

impl Metadata {
    pub(crate) fn from_stat(stat: &Stat) -> Option<Metadata> {
        // The field types of `stat` differ between architectures; the casts are exact on each.
        #[allow(
            clippy::unnecessary_cast,
            clippy::cast_sign_loss,
            clippy::useless_conversion
        )]
        let (inode, filesystem, links, size, accessed, modified, changed) = (
            stat.st_ino as u64,
            stat.st_dev as u64,
            stat.st_nlink as u64,
            stat.st_size as u64,
            time(stat.st_atime as i64, stat.st_atime_nsec as u64),
            time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        );
        Some(Metadata {
            kind: FileKind::from_type(FileType::from_raw_mode(stat.st_mode))?,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size,
            accessed,
            modified,
            changed,
            inode,
            filesystem,
            links,
            device: Device {
                major: rustix::fs::major(stat.st_rdev),
                minor: rustix::fs::minor(stat.st_rdev),
            },
        })
    }

    /// Returns whether both tell of the same object, by whatever names it was found.
    pub fn is_same_object(&self, other: &Metadata) -> bool {
        self.id() == other.id()
    }

    /// Returns what names the object as long as it exists: its file system and its inode number.
    pub fn id(&self) -> (u64, u64) {
        (self.filesystem, self.inode)
    }
}

fn time(seconds: i64, nanoseconds: u64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 {
        SystemTime::UNIX_EPOCH - whole
    } else {
        SystemTime::UNIX_EPOCH + whole
    };
    start + Duration::from_nanos(nanoseconds)
}

/// Splits a time into whole seconds since 1970, rounded down, and the nanoseconds above them.
///
/// This is how the kernel keeps times, also those before 1970: half a second before it is
/// `(-1, 500_000_000)`.
pub fn seconds_and_nanos(time: SystemTime) -> (i64, u32) {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (
            i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            after.subsec_nanos(),
        ),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds);
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanos => (seconds.saturating_sub(1), 1_000_000_000 - nanos),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_round_down_as_the_kernel_does() {
        for (seconds, nanos) in [
            (0, 0),
            (1, 5),
            (-1, 500_000_000),
            (-2, 0),
            (-2, 999_999_999),
        ] {
            assert_eq!(
                seconds_and_nanos(time(seconds, u64::from(nanos))),
                (seconds, nanos)
            );
        }
    }
}
