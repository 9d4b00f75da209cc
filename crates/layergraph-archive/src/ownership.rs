//! Whose files a tree holds: those of the true owners on disk, of others that stand for them, or of
//! the user, with the true ones recorded beside them.

mod acl;
mod capability;
mod ids;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use layergraph_fs::{Device, FileKind, FsError};

use self::acl::ACLS;
use self::capability::CAPABILITY;
pub use self::ids::{IdKind, IdMap, IdMaps, IdRange, InvalidIds, UnmappedId};

/// How owners, modes and devices of a layer are kept on disk.
///
/// It is cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
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
    /// As the layer says, but for owners: who they are on disk is looked up in ranges of ids, as in
    /// a user namespace (`user_namespaces(7)`), whose root then owns what is root's. Needs
    /// `CAP_CHOWN` over these ids, which root has.
    ///
    /// An owner that is in no range is refused before anything is made of the entry. One on disk
    /// that is in none is shown as 65534, as by the kernel, and not packed. Who is named in an
    /// access control list is looked up as well, and file capabilities count for the root of the
    /// ranges: as if both were set in the namespace.
    Mapped(IdMaps),
}

impl Ownership {
    /// Maps the ids of users and groups by ranges, as [`Mapped`](Ownership::Mapped) says.
    ///
    /// # Errors
    ///
    /// Ranges of users, or of groups, overlap, are more than 340, or do not have the id 0.
    pub fn mapped(
        users: impl IntoIterator<Item = IdRange>,
        groups: impl IntoIterator<Item = IdRange>,
    ) -> Result<Ownership, InvalidIds> {
        let maps = IdMaps::new(IdMap::new(users)?, IdMap::new(groups)?)?;
        Ok(Ownership::Mapped(maps))
    }

    /// Returns user and group to whom on disk what is root's has to be given: it does not suffice
    /// that root makes it. Whoever makes the root directory of a tree gives it to them.
    pub fn root(&self) -> Option<(u32, u32)> {
        match self {
            Ownership::Preserve | Ownership::Squash => None,
            Ownership::Mapped(maps) => Some(maps.root()),
        }
    }
}

impl IdMaps {
    /// Returns what stands on disk for a layer's value of an attribute.
    pub(crate) fn attribute_outside(
        &self,
        key: &[u8],
        value: Vec<u8>,
    ) -> Result<Vec<u8>, UnmappedId> {
        attribute(key, value, |kind, id| self.id_outside(kind, id))
    }

    /// Returns the layer's value for one on disk.
    pub(crate) fn attribute_inside(
        &self,
        key: &[u8],
        value: Vec<u8>,
    ) -> Result<Vec<u8>, UnmappedId> {
        attribute(key, value, |kind, id| self.id_inside(kind, id))
    }
}

/// Maps the ids in the value of an attribute.
fn attribute(
    key: &[u8],
    value: Vec<u8>,
    map: impl Fn(IdKind, u32) -> Result<u32, UnmappedId>,
) -> Result<Vec<u8>, UnmappedId> {
    match key {
        CAPABILITY => capability::mapped(value, map),
        _ if ACLS.contains(&key) => acl::mapped(value, map),
        _ => Ok(value),
    }
}

impl UnmappedId {
    /// Makes it the reason why a call would not do what is wanted.
    pub(crate) fn failing(self, call: &'static str, path: PathBuf) -> FsError {
        FsError::new(call, path, io::Error::new(io::ErrorKind::Unsupported, self))
    }
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
