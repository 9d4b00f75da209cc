//! Making single objects: directories, files, links, devices.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use layergraph_fs::{Device, Dir, FileKind, FsError, Metadata, NewFile};
use layergraph_tar::{Kind, Member, Segment};

use super::directories::{ObjectId, Stated};
use super::name::EntryName;
use super::{Archive, Parent, UnpackError, Unpacker, shown};
use crate::Ownership;
use crate::ownership::OverrideStat;

impl Unpacker<'_> {
    /// Makes or merges a directory. What its entry states is set at the end.
    pub(super) fn directory(
        &mut self,
        member: &Member,
        parent: &Parent,
        above: &[u8],
        name: &OsStr,
    ) -> Result<(), UnpackError> {
        let path = [above, name.as_bytes()].join(&b'/');
        let path = path.strip_prefix(b"/").unwrap_or(&path);
        match parent.dir.find(name)? {
            Some(metadata) if metadata.kind == FileKind::Directory => {
                let directory = self.directories.touch(path, &metadata);
                directory.stated = Some(Box::new(Stated::from(member)));
                directory.modified = member.mtime;
                return Ok(());
            }
            Some(metadata) => self.remove(parent, name, &metadata)?,
            None => {}
        }
        parent.dir.make_dir(name, 0o700)?;
        let id = ObjectId::from(&parent.dir.metadata(name)?);
        self.directories.insert_fresh(id, path, member.mtime, Stated::from(member));
        Ok(())
    }

    /// Makes a regular file with its content.
    pub(super) fn file(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
        archive: &mut Archive<'_>,
    ) -> Result<(), UnpackError> {
        let mut file = self.new_file(parent, name, member.mode)?;
        write_content(&mut file, member, archive)?;
        self.state_file(&file, &Stated::from(member), FileKind::File, Device::default())?;
        file.set_times(member.atime, Some(member.mtime))?;
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
        match parent.dir.create_file(name, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.clear(parent, name)?;
                Ok(parent.dir.create_file(name, mode)?)
            }
            result => Ok(result?),
        }
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
        if now.mode != mode {
            file.set_mode(mode)?;
        }
        for (key, value) in self.disk_xattrs(stated, kind, device) {
            file.set_xattr(OsStr::from_bytes(&key), &value)?;
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
        self.state_by_name(parent, name, &Stated::from(member), FileKind::Symlink)?;
        Ok(parent.dir.set_times(name, member.atime, Some(member.mtime))?)
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
        let stated = Stated::from(member);
        if self.options.ownership == Ownership::Squash {
            let file = self.new_file(parent, name, member.mode)?;
            self.state_file(&file, &stated, kind, device)?;
            self.done.recorded_nodes += 1;
        } else {
            self.clear(parent, name)?;
            parent.dir.make_node(name, kind, member.mode & 0o777, device)?;
            self.state_by_name(parent, name, &stated, kind)?;
        }
        Ok(parent.dir.set_times(name, member.atime, Some(member.mtime))?)
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
        let Some((dir, metadata)) = found else { return Err(refuse("it does not exist")) };
        if metadata.kind == FileKind::Directory {
            return Err(refuse("it is a directory"));
        }
        let from = self.enter(&directory, dir)?;
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
        self.directories.made(parent.id, name.as_bytes());
        Ok(())
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
        let mut stated = Stated::from(member);
        // A squashed device is a file on disk; what it stands for is in its record.
        let (kind, device) = match self.recorded(parent, name)? {
            Some(record) => (record.kind, record.device),
            None => (target.kind, target.device),
        };
        stated.xattrs.retain(|(key, _)| key != b"security.capability" || kind == FileKind::File);
        self.state_by_name_as(parent, name, &stated, target.kind, kind, device)?;
        Ok(parent.dir.set_times(name, member.atime, Some(member.mtime))?)
    }

    fn recorded(
        &self,
        parent: &Parent,
        name: &OsStr,
    ) -> Result<Option<OverrideStat>, FsError> {
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
        if on_disk != FileKind::Symlink {
            let mode = self.disk_mode(stated.mode, on_disk);
            if now.mode != mode {
                dir.set_mode(name, mode)?;
            }
        }
        for (key, value) in self.disk_xattrs(stated, kind, device) {
            dir.set_xattr(name, OsStr::from_bytes(&key), &value)?;
        }
        Ok(())
    }

    /// Returns the mode an object gets on disk.
    pub(super) fn disk_mode(&self, mode: u32, kind: FileKind) -> u32 {
        match (self.options.ownership, kind) {
            (Ownership::Preserve, _) => mode,
            (Ownership::Squash, FileKind::Directory) => mode & 0o777 | 0o700,
            (Ownership::Squash, _) => mode & 0o777 | 0o400,
        }
    }

    /// Returns the attributes an object gets on disk, and counts those it does not get.
    pub(super) fn disk_xattrs(
        &mut self,
        stated: &Stated,
        kind: FileKind,
        device: Device,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let squash = self.options.ownership == Ownership::Squash;
        let mut xattrs: Vec<_> =
            stated.xattrs.iter().filter(|(key, _)| may_be_set(key, squash)).cloned().collect();
        self.done.dropped_xattrs += (stated.xattrs.len() - xattrs.len()) as u64;
        // Only files and directories can carry attributes of users (xattr(7)).
        if squash && kind != FileKind::Symlink {
            let (mode, uid, gid) = (stated.mode, stated.uid, stated.gid);
            let record = OverrideStat { kind, mode, uid, gid, device };
            xattrs.push((crate::ownership::OVERRIDE_STAT.into(), record.print().into()));
        }
        xattrs
    }
}

/// Returns whether a layer may set the attribute `key`.
///
/// Those of overlayfs would change what a mount of the layer shows. Without root only the user's
/// own can be set, and the record of the true owner is ours.
fn may_be_set(key: &[u8], squash: bool) -> bool {
    let is_overlay = key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.");
    let is_record = key == crate::ownership::OVERRIDE_STAT.as_bytes();
    !is_overlay && (!squash || key.starts_with(b"user.") && !is_record)
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
        let taken = chunk.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        if taken == 0 {
            break;
        }
        file.write_all(&chunk[..taken])?;
        archive.consume(taken);
        length -= taken as u64;
    }
    Ok(())
}

/// Opens a directory handle's parent-free metadata functions to the other modules.
pub(super) fn replace_xattrs(
    dir: &Dir,
    keep: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), FsError> {
    let here = OsStr::new(".");
    for (key, _) in dir.xattrs(here)? {
        let is_host = key.as_bytes().starts_with(b"security.") && key != "security.capability";
        if !is_host && !keep.iter().any(|(kept, _)| kept == key.as_bytes()) {
            dir.remove_xattr(here, &key)?;
        }
    }
    for (key, value) in keep {
        dir.set_xattr(here, OsStr::from_bytes(key), value)?;
    }
    Ok(())
}
