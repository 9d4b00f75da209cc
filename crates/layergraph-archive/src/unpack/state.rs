//! What an entry states of its object: owner, mode and attributes, as they are kept on disk.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use layergraph_fs::{Device, FileKind, FsError, Metadata, NewFile, Object};
use layergraph_tar::{Kind, Member};

use super::directories::{ObjectId, Stated};
use super::{UnpackError, Unpacker};
use crate::Ownership;
use crate::attributes::in_layer;
use crate::ownership::{IdMaps, OVERRIDE_STAT, OverrideStat, UnmappedId};

/// The permission that an object needs to take attributes from an ordinary user, who sets those
/// only on what he may write to (xattr(7)).
const WRITABLE: u32 = 0o200;

/// A handle on an object, through which it gets what is stated.
pub(super) trait Handle {
    fn metadata(&self) -> Result<Metadata, FsError>;
    fn set_owner(&self, uid: u32, gid: u32) -> Result<(), FsError>;
    fn set_mode(&self, mode: u32) -> Result<(), FsError>;
    fn set_xattr(&self, key: &OsStr, value: &[u8]) -> Result<(), FsError>;
}

macro_rules! handle {
    ($type:ty) => {
        impl Handle for $type {
            fn metadata(&self) -> Result<Metadata, FsError> {
                <$type>::metadata(self)
            }

            fn set_owner(&self, uid: u32, gid: u32) -> Result<(), FsError> {
                <$type>::set_owner(self, uid, gid)
            }

            fn set_mode(&self, mode: u32) -> Result<(), FsError> {
                <$type>::set_mode(self, mode)
            }

            fn set_xattr(&self, key: &OsStr, value: &[u8]) -> Result<(), FsError> {
                <$type>::set_xattr(self, key, value)
            }
        }
    };
}

handle!(NewFile);
handle!(Object);

impl Unpacker<'_> {
    /// Returns what an entry states with the ids that stand for its own on disk.
    ///
    /// # Errors
    ///
    /// No range has one of them. So this is asked before anything is made of the entry.
    pub(super) fn on_disk<'s>(
        &self,
        stated: &'s Stated,
        path: impl FnOnce() -> PathBuf,
    ) -> Result<Cow<'s, Stated>, FsError> {
        let Ownership::Mapped(maps) = &self.options.ownership else {
            return Ok(Cow::Borrowed(stated));
        };
        mapped(stated, maps)
            .map(Cow::Owned)
            .map_err(|(call, unmapped)| unmapped.failing(call, path()))
    }

    /// Sets owner, mode and attributes, in the order in which the kernel lets them stand, and only
    /// where they are not so already. `stated` is what is to be [on disk](Unpacker::on_disk);
    /// `kind` and `device` are what the object stands for, which is not always what it is there.
    /// Returns which object it is.
    pub(super) fn state(
        &self,
        object: &impl Handle,
        stated: &Stated,
        kind: FileKind,
        device: Device,
    ) -> Result<ObjectId, UnpackError> {
        let mut now = object.metadata()?;
        if self.options.ownership != Ownership::Squash
            && (now.uid, now.gid) != (stated.uid, stated.gid)
        {
            object.set_owner(stated.uid, stated.gid)?;
            if now.mode & 0o6000 != 0 {
                now = object.metadata()?;
            }
        }
        let has_mode = now.kind != FileKind::Symlink;
        let mode = self.disk_mode(stated.mode, now.kind);
        let xattrs = self.disk_xattrs(stated, kind, device);
        // A list says permissions as well. What counts is the mode, as for directories.
        let has_list = xattrs
            .iter()
            .any(|(key, _)| key.starts_with(b"system.posix_acl"));
        let first = if xattrs.is_empty() {
            mode
        } else {
            mode | WRITABLE
        };
        if has_mode && now.mode != first {
            object.set_mode(first)?;
        }
        for (key, value) in xattrs {
            object.set_xattr(OsStr::from_bytes(&key), &value)?;
        }
        if has_mode && (first != mode || has_list) {
            object.set_mode(mode)?;
        }
        Ok(ObjectId::from(&now))
    }

    /// Returns the mode an object gets on disk.
    pub(super) fn disk_mode(&self, mode: u32, kind: FileKind) -> u32 {
        match (&self.options.ownership, kind) {
            (Ownership::Preserve | Ownership::Mapped(_), _) => mode,
            (Ownership::Squash, FileKind::Directory) => mode & 0o777 | 0o700,
            (Ownership::Squash, _) => mode & 0o777 | 0o400,
        }
    }

    /// Returns the attributes an object gets on disk.
    pub(super) fn disk_xattrs(
        &self,
        stated: &Stated,
        kind: FileKind,
        device: Device,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut xattrs = stated.xattrs.clone();
        // Only files and directories can carry attributes of users (xattr(7)).
        if self.options.ownership == Ownership::Squash && kind != FileKind::Symlink {
            let (mode, uid, gid) = (stated.mode, stated.uid, stated.gid);
            let record = OverrideStat {
                kind,
                mode,
                uid,
                gid,
                device,
            };
            xattrs.push((OVERRIDE_STAT.into(), record.print().into()));
        }
        xattrs
    }

    /// Returns what a member states, without the attributes that its object, which is of this kind
    /// on disk, cannot have here. They are counted.
    pub(super) fn stated(&mut self, member: &Member, on_disk: FileKind) -> Stated {
        let squash = self.options.ownership == Ownership::Squash;
        let is_link = member.kind == Kind::HardLink;
        let mut stated = Stated::from(member);
        stated.xattrs.retain(|(key, _)| {
            // Those of the file that somebody took the target for.
            let is_others = is_link && key == b"security.capability" && on_disk != FileKind::File;
            may_be_set(key, squash, on_disk) && !is_others
        });
        self.done.dropped_xattrs += (member.xattrs.len() - stated.xattrs.len()) as u64;
        stated
    }
}

/// Returns what is stated in the ids of the disk, or the call that would have to set an id that is
/// in no range.
fn mapped(stated: &Stated, maps: &IdMaps) -> Result<Stated, (&'static str, UnmappedId)> {
    let owner = maps.outside(stated.uid, stated.gid);
    let (uid, gid) = owner.map_err(|unmapped| ("fchownat", unmapped))?;
    let mut xattrs = Vec::with_capacity(stated.xattrs.len());
    for (key, value) in &stated.xattrs {
        let value = maps.attribute_outside(key, value.clone());
        xattrs.push((
            key.clone(),
            value.map_err(|unmapped| ("fsetxattr", unmapped))?,
        ));
    }
    let mode = stated.mode;
    Ok(Stated {
        mode,
        uid,
        gid,
        xattrs,
    })
}

/// Returns whether a layer may set the attribute `key` of an object.
///
/// Users' own are for files and directories, access control lists not for symbolic links
/// (`xattr(7)`). Without root only the users' own can be set.
fn may_be_set(key: &[u8], squash: bool, on_disk: FileKind) -> bool {
    let is_users = key.starts_with(b"user.");
    let can_have_it = match on_disk {
        FileKind::File | FileKind::Directory => true,
        FileKind::Symlink => !is_users && !key.starts_with(b"system."),
        _ => !is_users,
    };
    in_layer(OsStr::from_bytes(key)) && can_have_it && (!squash || is_users)
}
