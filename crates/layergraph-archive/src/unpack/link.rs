//! Hard links: further names of what the layer made, or of copies of what was there before.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use layergraph_fs::{Dir, FileKind, FsError, Metadata, Object};
use layergraph_tar::Member;

use super::directories::Stated;
use super::lower::is_whiteout;
use super::name::EntryName;
use super::object::not_made;
use super::{Parent, UnpackError, Unpacker, shown};
use crate::Ownership;
use crate::ownership::OverrideStat;

impl Unpacker<'_> {
    /// Gives a file a second name.
    ///
    /// A file that was there before the layer is copied first, and both names get the copy: other
    /// names of it may be anybody's.
    pub(super) fn hard_link(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
    ) -> Result<(), UnpackError> {
        let refuse = |reason| UnpackError::HardLink {
            path: shown(&member.path),
            target: shown(&member.link),
            reason,
        };
        let (directory, target) = match EntryName::read(&member.link, &self.options.limits)? {
            EntryName::Object { directory, name } => (directory, name),
            EntryName::AufsLink { name: kept } => {
                return self.aufs_link(member, parent, name, &kept);
            }
            _ => return Err(refuse("it is no file of the layer")),
        };
        let target = OsStr::from_bytes(&target);
        let (dir, mut metadata) = match self.link_target(member, &directory, target)? {
            Some((dir, found)) if found.kind != FileKind::Directory => (dir, found),
            // What is below may be a file, or a link where this has an implied directory.
            _ if self.unsettled.is_some() => {
                let path = shown(&member.path);
                return Err(UnpackError::Below { path });
            }
            Some(_) => return Err(refuse("it is a directory")),
            None => return Err(refuse("it does not exist")),
        };
        let from = self.enter(dir)?;
        if from.id == parent.id && target == name {
            return Err(refuse("it is the same name"));
        }
        let stated = self.stated(member, metadata.kind);
        let stated = self.on_disk(&stated, || parent.dir.path().join(name))?;
        let directories = &self.directories;
        if !directories.has_object(from.id, target.as_bytes())
            && !directories.has_parted(from.id, target.as_bytes())
        {
            metadata = self.part(member, &from, target, &metadata)?;
        }
        match parent.dir.make_hard_link(name, &from.dir, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.clear(parent, name)?;
                parent.dir.make_hard_link(name, &from.dir, target)?;
            }
            result => result?,
        }
        let link = parent.dir.open_object(name)?;
        if !link.metadata()?.is_same_object(&metadata) {
            return Err(not_made(&parent.dir, name).into());
        }
        self.state_link((member, &stated), parent, name, &link, &metadata)
    }

    /// Looks for what is to get a second name, and for the directory it is in.
    fn link_target(
        &mut self,
        member: &Member,
        directory: &[u8],
        name: &OsStr,
    ) -> Result<Option<(Arc<Dir>, Metadata)>, UnpackError> {
        let Some(dir) = self.existing(directory)? else {
            return Ok(None);
        };
        let found = match dir.find(name)? {
            Some(found) if self.lower.is_some() && is_whiteout(&found) => None,
            None if self.lower.is_some() => self.bring_for_link(member, &dir, name)?,
            found => found,
        };
        Ok(found.map(|found| (dir, found)))
    }

    /// Replaces a file that was there before the layer by a copy of it, and returns what that is.
    ///
    /// The name is still one of the layers below, which a whiteout removes.
    fn part(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
        metadata: &Metadata,
    ) -> Result<Metadata, UnpackError> {
        self.charge(member, metadata.size)?;
        layergraph_fs::replace_by_copy(&parent.dir, name)?;
        if metadata.kind == FileKind::Symlink {
            self.forget();
        }
        self.directories.insert_parted(parent.id, name.as_bytes())?;
        Ok(parent.dir.metadata(name)?)
    }

    /// Sets what the entry of a hard link states, where it differs: the object has it by all of
    /// its names.
    fn state_link(
        &mut self,
        (member, stated): (&Member, &Stated),
        parent: &Parent,
        name: &OsStr,
        link: &Object,
        metadata: &Metadata,
    ) -> Result<(), UnpackError> {
        // A squashed device is a file on disk; what it stands for is in its record.
        let (kind, device) = match self.recorded(parent, name)? {
            Some(record) => (record.kind, record.device),
            None => (metadata.kind, metadata.device),
        };
        self.state(link, stated, kind, device)?;
        Ok(link.set_times(member.atime, Some(member.mtime))?)
    }

    fn recorded(&self, parent: &Parent, name: &OsStr) -> Result<Option<OverrideStat>, FsError> {
        if self.options.ownership != Ownership::Squash {
            return Ok(None);
        }
        let value = parent.dir.xattr(name, OverrideStat::name())?;
        Ok(value.and_then(|value| OverrideStat::parse(&value, FileKind::File)))
    }
}
