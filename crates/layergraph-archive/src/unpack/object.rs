//! Making single objects: directories, files, links, devices.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use layergraph_fs::{Device, FileKind, FsError, Metadata, NewFile};
use layergraph_tar::{Kind, Member, Segment};

use super::again::LastFile;
use super::directories::{ObjectId, Stated};
use super::name::EntryName;
use super::{Archive, Parent, UnpackError, Unpacker, disinherit, shown};
use crate::Ownership;
use crate::attributes::is_overlay;
use crate::ownership::OverrideStat;

impl Unpacker<'_> {
    /// Makes or merges a directory. What its entry states is set at the end.
    pub(super) fn directory(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
    ) -> Result<(), UnpackError> {
        let path = self.path_of(&parent.dir, name);
        let stated = self.stated(member);
        match parent.dir.find(name)? {
            Some(metadata) if metadata.kind == FileKind::Directory => {
                self.directories.touch(&path, &metadata)?;
                let id = ObjectId::from(&metadata);
                self.directories.set_modified(id, member.mtime);
                return self.directories.state(id, stated);
            }
            Some(metadata) => self.remove(parent, name, &metadata)?,
            None => {}
        }
        let id = Self::new_directory(parent, name)?;
        self.directories
            .insert_fresh(id, &path, member.mtime, stated)
    }

    /// Makes a directory that only we can enter until the end.
    pub(super) fn new_directory(parent: &Parent, name: &OsStr) -> Result<ObjectId, FsError> {
        parent.dir.make_dir(name, 0o700)?;
        if parent.bequeaths {
            disinherit(&parent.dir, name)?;
        }
        Ok(ObjectId::from(&parent.dir.metadata(name)?))
    }

    /// Makes a regular file with its content.
    pub(super) fn file(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
        archive: &mut Archive<'_>,
    ) -> Result<(), UnpackError> {
        let stated = self.stated(member);
        let mut file = match self.last_file(member, parent, name, &stated)? {
            Some(file) => file,
            None => self.new_file(parent, name, member.mode)?,
        };
        write_content(&mut file, member, archive)?;
        self.state_file(&file, &stated, FileKind::File, Device::default())?;
        file.set_times(member.atime, Some(member.mtime))?;
        self.last_file = Some(LastFile::new(file, member, stated));
        Ok(())
    }

    /// Makes an empty file in the place of whatever has the name now.
    fn new_file(
        &mut self,
        parent: &Parent,
        name: &OsStr,
        mode: u32,
    ) -> Result<NewFile, UnpackError> {
        let mode = self.disk_mode(mode, FileKind::File) & 0o777;
        let file = match parent.dir.create_file(name, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.clear(parent, name)?;
                parent.dir.create_file(name, mode)?
            }
            result => result?,
        };
        if parent.bequeaths {
            disinherit(&parent.dir, name)?;
        }
        Ok(file)
    }

    /// Sets owner, mode and attributes of a new file, in the order in which the kernel lets them
    /// stand, and only where they are not so already.
    fn state_file(
        &mut self,
        file: &NewFile,
        stated: &Stated,
        kind: FileKind,
        device: Device,
    ) -> Result<(), UnpackError> {
        let now = file.metadata()?;
        if self.options.ownership == Ownership::Preserve
            && (now.uid, now.gid) != (stated.uid, stated.gid)
        {
            file.set_owner(stated.uid, stated.gid)?;
        }
        let mode = self.disk_mode(stated.mode, FileKind::File);
        let first = self.attributable(mode);
        if now.mode != first {
            file.set_mode(first)?;
        }
        for (key, value) in self.disk_xattrs(stated, kind, device) {
            file.set_xattr(OsStr::from_bytes(&key), &value)?;
        }
        if first != mode {
            file.set_mode(mode)?;
        }
        Ok(())
    }

    /// Makes a symbolic link.
    pub(super) fn symlink(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
    ) -> Result<(), UnpackError> {
        let target = OsStr::from_bytes(&member.link);
        match parent.dir.make_symlink(name, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.clear(parent, name)?;
                parent.dir.make_symlink(name, target)?;
            }
            result => result?,
        }
        // A path that led nowhere or into the root may now lead elsewhere.
        self.forget();
        let stated = self.stated(member);
        self.state_by_name(parent, name, &stated, FileKind::Symlink)?;
        Ok(parent
            .dir
            .set_times(name, member.atime, Some(member.mtime))?)
    }

    /// Makes a device or a named pipe; under [`Ownership::Squash`] records it in an empty file.
    pub(super) fn node(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
    ) -> Result<(), UnpackError> {
        let kind = match member.kind {
            Kind::CharDevice => FileKind::CharDevice,
            Kind::BlockDevice => FileKind::BlockDevice,
            _ => FileKind::Fifo,
        };
        let (major, minor) = match kind {
            FileKind::Fifo => (0, 0),
            _ => member.device,
        };
        let device = Device { major, minor };
        let stated = self.stated(member);
        if self.options.ownership == Ownership::Squash {
            let file = self.new_file(parent, name, member.mode)?;
            self.state_file(&file, &stated, kind, device)?;
            self.done.recorded_nodes += 1;
        } else {
            self.clear(parent, name)?;
            parent
                .dir
                .make_node(name, kind, member.mode & 0o777, device)?;
            if parent.bequeaths {
                disinherit(&parent.dir, name)?;
            }
            self.state_by_name(parent, name, &stated, kind)?;
        }
        Ok(parent
            .dir
            .set_times(name, member.atime, Some(member.mtime))?)
    }

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
                return self.copy_aufs_link(member, parent, name, &kept);
            }
            _ => return Err(refuse("it is no file of the layer")),
        };
        let target = OsStr::from_bytes(&target);
        let found = match self.root.directory(&directory) {
            Ok(dir) => dir.find(target)?.map(|metadata| (dir, metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let Some((dir, metadata)) = found else {
            return Err(refuse("it does not exist"));
        };
        if metadata.kind == FileKind::Directory {
            return Err(refuse("it is a directory"));
        }
        let from = self.enter(dir)?;
        if from.id == parent.id && target == name {
            return Err(refuse("it is the same name"));
        }
        if !self.directories.has_made(from.id, target.as_bytes()) {
            self.copy_up(&from, target, &metadata)?;
        }
        match parent.dir.make_hard_link(name, &from.dir, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.clear(parent, name)?;
                parent.dir.make_hard_link(name, &from.dir, target)?;
            }
            result => result?,
        }
        self.state_link(member, parent, name, &metadata)
    }

    /// Replaces a file that was there before the layer by a copy of it.
    fn copy_up(
        &mut self,
        parent: &Parent,
        name: &OsStr,
        metadata: &Metadata,
    ) -> Result<(), UnpackError> {
        layergraph_fs::replace_by_copy(&parent.dir, name)?;
        if metadata.kind == FileKind::Symlink {
            self.forget();
        }
        self.directories.made(parent.id, name.as_bytes())
    }

    /// Sets what the entry of a hard link states, where it differs: the object has it by all of
    /// its names.
    fn state_link(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
        target: &Metadata,
    ) -> Result<(), UnpackError> {
        let mut stated = self.stated(member);
        // A squashed device is a file on disk; what it stands for is in its record.
        let (kind, device) = match self.recorded(parent, name)? {
            Some(record) => (record.kind, record.device),
            None => (target.kind, target.device),
        };
        stated
            .xattrs
            .retain(|(key, _)| key != b"security.capability" || kind == FileKind::File);
        self.state_by_name_as(parent, name, &stated, target.kind, kind, device)?;
        Ok(parent
            .dir
            .set_times(name, member.atime, Some(member.mtime))?)
    }

    fn recorded(&self, parent: &Parent, name: &OsStr) -> Result<Option<OverrideStat>, FsError> {
        if self.options.ownership == Ownership::Preserve {
            return Ok(None);
        }
        let value = parent.dir.xattr(name, OverrideStat::name())?;
        Ok(value.and_then(|value| OverrideStat::parse(&value, FileKind::File)))
    }

    fn state_by_name(
        &mut self,
        parent: &Parent,
        name: &OsStr,
        stated: &Stated,
        kind: FileKind,
    ) -> Result<(), UnpackError> {
        let device = Device::default();
        self.state_by_name_as(parent, name, stated, kind, kind, device)
    }

    /// Sets owner, mode and attributes of an object that is not held open.
    fn state_by_name_as(
        &mut self,
        parent: &Parent,
        name: &OsStr,
        stated: &Stated,
        on_disk: FileKind,
        kind: FileKind,
        device: Device,
    ) -> Result<(), UnpackError> {
        let dir = &parent.dir;
        let mut now = dir.metadata(name)?;
        if self.options.ownership == Ownership::Preserve
            && (now.uid, now.gid) != (stated.uid, stated.gid)
        {
            dir.set_owner(name, stated.uid, stated.gid)?;
            now = dir.metadata(name)?;
        }
        let mode = self.disk_mode(stated.mode, on_disk);
        let first = self.attributable(mode);
        if on_disk != FileKind::Symlink && now.mode != first {
            dir.set_mode(name, first)?;
        }
        for (key, value) in self.disk_xattrs(stated, kind, device) {
            dir.set_xattr(name, OsStr::from_bytes(&key), &value)?;
        }
        if on_disk != FileKind::Symlink && first != mode {
            dir.set_mode(name, mode)?;
        }
        Ok(())
    }

    /// Returns the mode under which an object that is to get `mode` takes its attributes: an
    /// ordinary user sets those only on what the user may write (xattr(7)).
    fn attributable(&self, mode: u32) -> u32 {
        match self.options.ownership {
            Ownership::Preserve => mode,
            Ownership::Squash => mode | 0o200,
        }
    }

    /// Returns the mode an object gets on disk.
    pub(super) fn disk_mode(&self, mode: u32, kind: FileKind) -> u32 {
        match (self.options.ownership, kind) {
            (Ownership::Preserve, _) => mode,
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
            xattrs.push((
                crate::ownership::OVERRIDE_STAT.into(),
                record.print().into(),
            ));
        }
        xattrs
    }

    /// Returns what a member states, without the attributes that it cannot have here, which are
    /// counted.
    pub(super) fn stated(&mut self, member: &Member) -> Stated {
        let squash = self.options.ownership == Ownership::Squash;
        let is_link = member.kind == Kind::Symlink;
        let mut stated = Stated::from(member);
        stated
            .xattrs
            .retain(|(key, _)| may_be_set(key, squash, is_link));
        self.done.dropped_xattrs += (member.xattrs.len() - stated.xattrs.len()) as u64;
        stated
    }
}

/// Returns whether a layer may set the attribute `key`.
///
/// Those of overlayfs would change what a mount of the layer shows. Without root only the user's
/// own can be set, and not on links; and the record of the true owner is ours.
fn may_be_set(key: &[u8], squash: bool, is_link: bool) -> bool {
    let is_record = key == crate::ownership::OVERRIDE_STAT.as_bytes();
    let is_users = key.starts_with(b"user.") && !is_record && !is_link;
    !is_overlay(key) && (!squash || is_users)
}

/// Writes the data of a member into its file, holes as holes.
fn write_content(
    file: &mut NewFile,
    member: &Member,
    archive: &mut Archive<'_>,
) -> Result<(), UnpackError> {
    let Some(segments) = &member.sparse else {
        return copy(file, u64::MAX, archive);
    };
    for &Segment { offset, length } in segments {
        file.seek(offset)?;
        copy(file, length, archive)?;
    }
    file.set_size(member.size)?;
    Ok(())
}

/// Copies up to `length` bytes of the current member into a file.
pub(super) fn copy(
    file: &mut NewFile,
    mut length: u64,
    archive: &mut Archive<'_>,
) -> Result<(), UnpackError> {
    while length > 0 {
        let chunk = archive.chunk()?;
        let taken = chunk
            .len()
            .min(usize::try_from(length).unwrap_or(usize::MAX));
        if taken == 0 {
            break;
        }
        file.write_all(&chunk[..taken])?;
        archive.consume(taken);
        length -= taken as u64;
    }
    Ok(())
}
