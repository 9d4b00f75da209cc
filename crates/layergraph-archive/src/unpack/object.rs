//! Making single objects: directories, files, symbolic links, devices.
//!
//! Only of a regular file the call that makes it gives a handle. The others are opened right after,
//! as what cannot be followed, and looked at: others may have put something else in their place.
//! From then on all goes by the handle, and no metadata reaches what was put there.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use layergraph_fs::{Device, Dir, FileKind, FsError, Metadata, NewFile, Object};
use layergraph_tar::{Kind, Member, Segment};

use super::again::LastFile;
use super::bring::Standing;
use super::directories::ObjectId;
use super::{Archive, Parent, UnpackError, Unpacker};
use crate::Ownership;

impl Unpacker<'_> {
    /// Makes or merges a directory. What its entry states is set at the end.
    pub(super) fn directory(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
    ) -> Result<(), UnpackError> {
        let path = self.path_of(&parent.dir, name);
        let stated = self.stated(member, FileKind::Directory);
        // It is done at the end. That it can be is to be known now.
        self.on_disk(&stated, || parent.dir.path().join(name))?;
        let standing = self.standing(parent, name)?;
        match &standing {
            Standing::Object(metadata) if metadata.kind == FileKind::Directory => {
                self.directories.touch(&path, metadata)?;
                let id = ObjectId::from(metadata);
                self.directories.set_modified(id, member.mtime);
                return self.directories.state(id, stated);
            }
            Standing::Object(metadata) => self.remove(parent, name, metadata)?,
            Standing::Hidden => parent.dir.remove_file(name)?,
            Standing::Nothing => {}
        }
        let id = Self::new_directory(parent, name)?;
        if !matches!(standing, Standing::Nothing) {
            self.cut_off(parent, name)?;
        }
        self.directories
            .insert_fresh(id, &path, member.mtime, Some(stated))
    }

    /// Makes a directory that only we can enter until the end.
    pub(super) fn new_directory(parent: &Parent, name: &OsStr) -> Result<ObjectId, FsError> {
        make_directory(&parent.dir, name, parent.bequeaths)
    }

    /// Makes a regular file with its content.
    pub(super) fn file(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
        archive: &mut Archive<'_>,
    ) -> Result<(), UnpackError> {
        let stated = self.stated(member, FileKind::File);
        let stated = self.on_disk(&stated, || parent.dir.path().join(name))?;
        let mut file = match self.reusable_file(member, parent, name, &stated)? {
            Some(file) => file,
            None => self.new_file(parent, name, member.mode)?,
        };
        if let (Some(overwritten), Some(_)) = (&mut self.overwritten, &parent.way)
            && overwritten.begin_detour(member)
            && let Some(recipe) = archive.tap_mut()
        {
            recipe.keep_content();
        }
        write_content(&mut file, member, archive)?;
        let id = self.state(&file, &stated, FileKind::File, Device::default())?;
        if let Some(overwritten) = &mut self.overwritten {
            overwritten.made(id, member, parent.way.as_ref());
        }
        file.set_times(member.atime, Some(member.mtime))?;
        self.last_file = Some(LastFile::new(file, member, stated.into_owned()));
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
            file.remove_inherited_acls()?;
        }
        Ok(file)
    }

    /// Makes a symbolic link.
    pub(super) fn symlink(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
    ) -> Result<(), UnpackError> {
        let target = OsStr::from_bytes(&member.link);
        let stated = self.stated(member, FileKind::Symlink);
        let stated = self.on_disk(&stated, || parent.dir.path().join(name))?;
        match parent.dir.make_symlink(name, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.clear(parent, name)?;
                parent.dir.make_symlink(name, target)?;
            }
            result => result?,
        }
        // A path that led nowhere or into the root may now lead elsewhere.
        self.forget();
        let link = open_made(&parent.dir, name, |made| made.kind == FileKind::Symlink)?;
        if link.read_link()? != target {
            return Err(not_made(&parent.dir, name).into());
        }
        self.state(&link, &stated, FileKind::Symlink, Device::default())?;
        Ok(link.set_times(member.atime, Some(member.mtime))?)
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
        if self.options.ownership == Ownership::Squash {
            let stated = self.stated(member, FileKind::File);
            let file = self.new_file(parent, name, member.mode)?;
            self.state(&file, &stated, kind, device)?;
            self.done.recorded_nodes += 1;
            return Ok(file.set_times(member.atime, Some(member.mtime))?);
        }
        let stated = self.stated(member, kind);
        let stated = self.on_disk(&stated, || parent.dir.path().join(name))?;
        self.clear(parent, name)?;
        // Nobody else opens it before it has its owner.
        parent.dir.make_node(name, kind, 0o600, device)?;
        let node = open_made(&parent.dir, name, |made| {
            made.kind == kind && made.device == device && !is_for_others(made)
        })?;
        if parent.bequeaths {
            node.remove_inherited_acls()?;
        }
        self.state(&node, &stated, kind, device)?;
        Ok(node.set_times(member.atime, Some(member.mtime))?)
    }
}

/// Makes a directory that only we can enter until the end. One that `bequeaths` its access control
/// list is not to do so.
pub(super) fn make_directory(
    dir: &Dir,
    name: &OsStr,
    bequeaths: bool,
) -> Result<ObjectId, FsError> {
    dir.make_dir(name, 0o700)?;
    let made = dir.open_object(name)?;
    let metadata = made.metadata()?;
    // One that others may change is none of ours; one that they may not change they cannot move.
    if metadata.kind != FileKind::Directory || is_for_others(&metadata) {
        return Err(not_made(dir, name));
    }
    if bequeaths {
        made.remove_inherited_acls()?;
    }
    Ok(ObjectId::from(&metadata))
}

fn is_for_others(metadata: &Metadata) -> bool {
    metadata.mode & 0o077 != 0
}

/// Opens an object that was just made, after a look at whether it is that, as far as can be seen.
fn open_made(
    dir: &Dir,
    name: &OsStr,
    is_it: impl Fn(&Metadata) -> bool,
) -> Result<Object, FsError> {
    let object = dir.open_object(name)?;
    let metadata = object.metadata()?;
    if metadata.links == 1 && is_it(&metadata) {
        return Ok(object);
    }
    Err(not_made(dir, name))
}

/// The error for an object that others have put in the place of one that was just made.
pub(super) fn not_made(dir: &Dir, name: &OsStr) -> FsError {
    let reason = io::Error::other("it is no longer what was just made");
    FsError::new("openat", dir.path().join(name), reason)
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
