//! Copying objects and whole trees with everything that belongs to them.

use std::ffi::OsStr;
use std::fs::File;

use crate::content::Ways;
use crate::dir::{DirEntry, LISTED, RenameMode};
use crate::dress::{Dressed, dress};
use crate::links::{Links, PlaceId};
use crate::remove::open_on_same_mount;
use crate::trail::{Left, Trail};
use crate::{Dir, Durability, FileKind, Metadata, Result, Staging};

/// Copies `name` of `from`, a whole tree if it is a directory, to the new name `to_name` of `to`.
///
/// Kept are content with its holes, kind, mode, owner and group, access and modification times in
/// nanoseconds, extended attributes, device numbers, and hard links among the objects of the tree.
/// No link is followed. However deep the tree is, a few dozen handles suffice.
///
/// What the caller may not set is left out: an ordinary user becomes the owner of all copies, and
/// those of somebody else's files lose set-uid, set-gid and capabilities. What belongs to the host
/// rather than to the file (`security.selinux`, `btrfs.compression`) is copied where the host lets
/// it happen.
///
/// # Errors
///
/// `EEXIST` if `to` has an object `to_name`. `EXDEV` names a directory in the tree on which
/// something is mounted. After an error a part of the copy may be there.
pub fn copy_tree(from: &Dir, name: &OsStr, to: &Dir, to_name: &OsStr) -> Result<()> {
    if from.metadata(name)?.kind != FileKind::Directory {
        return copy_object(from, name, to, to_name);
    }
    let source = from.open_dir_as(name, LISTED)?;
    to.make_dir(to_name, 0o700)?;
    copy(source, to.open_dir(to_name)?)
}

/// Copies what is in `from`, and what is known about `from` itself, to the empty directory `to`.
///
/// Everything is kept and fails as with [`copy_tree`].
pub fn copy_into(from: &Dir, to: &Dir) -> Result<()> {
    copy(from.listed()?, to.try_clone()?)
}

/// Copies the object `name` of `from`, which is not a directory, to the new name `to_name` of `to`.
///
/// Everything is kept as with [`copy_tree`]. A directory is refused with `EISDIR`.
pub fn copy_object(from: &Dir, name: &OsStr, to: &Dir, to_name: &OsStr) -> Result<()> {
    let kind = from.metadata(name)?.kind;
    Object::open(from, name, kind)?.copy(to, to_name, &mut Ways::default())
}

/// Replaces the object `name`, which is not a directory, by a copy of it that has no other name.
///
/// This breaks a hard link. The copy is made in a [`Staging`] beside it; until it is whole, and
/// after an error, the old object is in place.
pub fn replace_by_copy(dir: &Dir, name: &OsStr) -> Result<()> {
    let staging = Staging::new(dir)?;
    copy_object(dir, name, staging.dir(), name)?;
    let published =
        staging.publish_entry(name, dir, name, RenameMode::Replace, Durability::None)?;
    published.leftover.map_or(Ok(()), Err)
}

/// Copies a tree whose top directory is made already.
fn copy(from: Dir, to: Dir) -> Result<()> {
    // Nothing made in the copy may inherit from where the copy is made.
    to.remove_inherited_acls()?;
    let mut copier = Copier {
        links: Links::new(to.try_clone()?),
        from: Trail::new(from.try_clone()?, Source::new(&from)?),
        to: Trail::new(to, PlaceId::TOP),
        ways: Ways::default(),
    };
    loop {
        if let Some(entry) = copier.from.state().left.next() {
            copier.entry(entry)?;
            continue;
        }
        // The parents first: what is set afterwards may close the way to them.
        let (Some(source), Some(copy)) = (copier.from.leave()?, copier.to.leave()?) else {
            break;
        };
        finish(&source.dir, &source.state.metadata, &copy.dir)?;
    }
    let metadata = &copier.from.state().metadata.clone();
    finish(copier.from.here(), metadata, copier.to.here())
}

/// Sets what is known about a directory, in which nothing is made any more.
fn finish(from: &Dir, metadata: &Metadata, to: &Dir) -> Result<()> {
    dress(&Dressed::directory(to), metadata, from.xattrs(OsStr::new("."))?)
}

struct Copier {
    from: Trail<Source>,
    to: Trail<PlaceId>,
    links: Links,
    ways: Ways,
}

/// A directory that is being copied.
struct Source {
    metadata: Metadata,
    left: std::vec::IntoIter<DirEntry>,
}

impl Source {
    fn new(dir: &Dir) -> Result<Source> {
        // Its time of access is what it was before it is listed.
        let metadata = dir.metadata_here()?;
        let left = dir.entries()?.into_iter();
        Ok(Source { metadata, left })
    }
}

impl Copier {
    fn entry(&mut self, DirEntry { name, kind }: DirEntry) -> Result<()> {
        let from = self.from.here();
        let kind = match kind {
            Some(kind) => kind,
            None => from.metadata(&name)?.kind,
        };
        if kind == FileKind::Directory {
            return self.directory(&name);
        }
        let object = Object::open(from, &name, kind)?;
        let place = *self.to.state();
        if object.metadata.links > 1 {
            let id = object.metadata.id();
            if self.links.link(id, place, self.to.here(), &name)? {
                return Ok(());
            }
            self.links.insert(id, place, &name);
        }
        object.copy(self.to.here(), &name, &mut self.ways)
    }

    fn directory(&mut self, name: &OsStr) -> Result<()> {
        let source = open_on_same_mount(self.from.here(), name, LISTED)?;
        self.to.here().make_dir(name, 0o700)?;
        let copy = self.to.here().open_dir(name)?;
        let state = Source::new(&source)?;
        self.from.enter(name.to_owned(), source, state)?;
        let place = self.links.enter(*self.to.state(), name);
        self.to.enter(name.to_owned(), copy, place)
    }
}

/// An object to be copied, other than a directory.
struct Object<'a> {
    from: &'a Dir,
    name: &'a OsStr,
    metadata: Metadata,
    /// Of a regular file.
    file: Option<File>,
}

impl<'a> Object<'a> {
    fn open(from: &'a Dir, name: &'a OsStr, kind: FileKind) -> Result<Object<'a>> {
        let (metadata, file) = if kind == FileKind::File {
            let (file, metadata) = from.open_listed_file(name)?;
            (metadata, Some(file))
        } else {
            (from.metadata(name)?, None)
        };
        Ok(Object { from, name, metadata, file })
    }
}
