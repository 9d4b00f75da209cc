//! Whose files a tree holds: the true owners on disk, or recorded beside them.

use std::ffi::OsStr;
use std::fmt::Write as _;

use layergraph_fs::{Device, FileKind};

/// How owners, modes and devices of a layer are kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Ownership {
    /// As the layer says. Needs root wherever the layer names other owners or holds devices.
    #[default]
    Preserve,
    /// For an ordinary user: everything belongs to the user, directories are at least 0700 and
    /// files at least 0400, set-uid and set-gid bits are left out, and devices, named pipes and
    /// sockets are empty files. The true owner, mode and device stand in the extended attribute
    /// `user.containers.override_stat` in the form that containers/storage and fuse-overlayfs
    /// use. A link cannot carry the attribute: the owner of a link is lost.
    Squash,
}

/// The attribute that holds the true owner, mode and kind of a squashed file.
pub(crate) const OVERRIDE_STAT: &str = "user.containers.override_stat";

/// What [`OVERRIDE_STAT`] says of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverrideStat {
    pub(crate) kind: FileKind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) device: Device,
}

impl OverrideStat {
    /// Returns the name of the attribute.
    pub(crate) fn name() -> &'static OsStr {
        OsStr::new(OVERRIDE_STAT)
    }

    /// Prints `uid:gid:mode:kind`, the mode in octal.
    pub(crate) fn print(&self) -> String {
        let mut text = format!("{}:{}:{:04o}:", self.uid, self.gid, self.mode);
        let Device { major, minor } = self.device;
        match self.kind {
            FileKind::File => text.push_str("file"),
            FileKind::Directory => text.push_str("dir"),
            FileKind::Symlink => text.push_str("symlink"),
            FileKind::Fifo => text.push_str("pipe"),
            FileKind::Socket => text.push_str("socket"),
            FileKind::CharDevice => {
                write!(text, "char-{major}-{minor}").expect("a string takes it");
            }
            FileKind::BlockDevice => {
                write!(text, "block-{major}-{minor}").expect("a string takes it");
            }
        }
        text
    }

    /// Reads what [`print`](OverrideStat::print) wrote, and the older form without a kind, which
    /// then is `on_disk`. Returns nothing for any other text.
    pub(crate) fn parse(text: &[u8], on_disk: FileKind) -> Option<OverrideStat> {
        let text = std::str::from_utf8(text).ok()?;
        let mut fields = text.split(':');
        let uid = fields.next()?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let mode = u32::from_str_radix(fields.next()?, 8).ok()? & 0o7777;
        let (kind, device) = match fields.next() {
            Some(kind) => parse_kind(kind)?,
            None => (on_disk, Device::default()),
        };
        fields.next().is_none().then_some(OverrideStat {
            kind,
            mode,
            uid,
            gid,
            device,
        })
    }
}

fn parse_kind(text: &str) -> Option<(FileKind, Device)> {
    let kind = match text {
        "file" => FileKind::File,
        "dir" => FileKind::Directory,
        "symlink" => FileKind::Symlink,
        "pipe" => FileKind::Fifo,
        "socket" => FileKind::Socket,
        _ => {
            let mut parts = text.split('-');
            let kind = match parts.next()? {
                "char" => FileKind::CharDevice,
                "block" => FileKind::BlockDevice,
                _ => return None,
            };
            let major = parts.next()?.parse().ok()?;
            let minor = parts.next()?.parse().ok()?;
            return parts
                .next()
                .is_none()
                .then_some((kind, Device { major, minor }));
        }
    };
    Some((kind, Device::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_of_print_is_the_identity() {
        for kind in [
            FileKind::File,
            FileKind::Directory,
            FileKind::Symlink,
            FileKind::Fifo,
            FileKind::Socket,
            FileKind::CharDevice,
            FileKind::BlockDevice,
        ] {
            let is_device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
            let device = if is_device {
                Device {
                    major: 8,
                    minor: 17,
                }
            } else {
                Device::default()
            };
            let stat = OverrideStat {
                kind,
                mode: 0o4755,
                uid: 7,
                gid: u32::MAX - 1,
                device,
            };
            assert_eq!(
                OverrideStat::parse(stat.print().as_bytes(), FileKind::File),
                Some(stat)
            );
        }
    }

    #[test]
    fn the_older_form_has_the_kind_of_the_object_on_disk() {
        let stat = OverrideStat::parse(b"0:5:0700", FileKind::Directory).expect("a valid text");
        assert_eq!(
            (stat.kind, stat.uid, stat.gid, stat.mode),
            (FileKind::Directory, 0, 5, 0o700)
        );
    }

    #[test]
    fn other_texts_say_nothing() {
        for text in [
            "",
            "0",
            "0:0",
            "0:0:9",
            "a:0:0755",
            "0:0:0755:x",
            "0:0:0755:char-1",
            "0:0:1:file:x",
        ] {
            assert_eq!(
                OverrideStat::parse(text.as_bytes(), FileKind::File),
                None,
                "{text}"
            );
        }
    }
}
