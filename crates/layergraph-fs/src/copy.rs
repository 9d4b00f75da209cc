//! Copying objects and whole trees with everything that belongs to them.

mod content;
mod links;
mod preserve;

use std::ffi::OsStr;
use std::fs::File;

use rustix::io::Errno;

use crate::dir::{DirEntry, LISTED, RenameMode};
use crate::mount::open_on_same_mount;
use crate::trail::Trail;
use crate::{Dir, FileKind, Metadata, Object, Result, Staging};

use content::Ways;
pub use content::copy_file;
use links::{Links, PlaceId};
use preserve::Copied;

/// Copies `name` of `from`, a whole tree if it is a directory, to the new name `to_name` of `to`.
///
/// Kept are content with its holes, kind, mode, owner and group, access and modification times in
/// nanoseconds, extended attributes, device numbers, and hard links among the objects of the tree.
/// Content is shared where the file system can share it: see [`copy_file`]. No link is followed.
/// However deep the tree is, a few dozen handles suffice.
///
/// What the caller may not set is left out: an ordinary user becomes the owner of all copies, and
/// those of somebody else's files lose set-uid, set-gid and capabilities. What belongs to the host
/// rather than to the object (`security.selinux`, `btrfs.compression`) is copied where the host
/// lets it happen.
///
/// # Errors
///
/// `EEXIST` if `to` has an object `to_name`. `EINVAL` if the tree contains `to`, after a part of it
/// was copied. `EXDEV` names a directory in the tree on which something is mounted. After an error
/// a part of the copy may be there.
pub fn copy_tree(from: &Dir, name: &OsStr, to: &Dir, to_name: &OsStr) -> Result<()> {
    let kind = from.metadata(name)?.kind;
    if kind != FileKind::Directory {
        let original = Original::open(from, name, kind)?;
        return original.copy(to, to_name, &mut Ways::default(), Place::Any);
    }
    let source = from.open_dir_as(name, LISTED)?;
    to.make_dir(to_name, 0o700)?;
    copy_into(&source, &to.open_dir(to_name)?)
}

/// Copies what is in `from`, and what is known about `from` itself, to the empty directory `to`.
///
/// Everything is kept, and fails, as with [`copy_tree`].
pub fn copy_into(from: &Dir, to: &Dir) -> Result<()> {
    // Nothing made in the copy may inherit from where the copy is made.
    to.remove_inherited_acls()?;
    let mut copier = Copier {
        from: Trail::new(from.listed()?, Source::new(from)?),
        to: Trail::new(to.try_clone()?, PlaceId::TOP),
        links: Links::new(to.try_clone()?),
        ways: Ways::default(),
        top: to.metadata_here()?.id(),
    };
    loop {
        if let Some(entry) = copier.from.state().left.next() {
            copier.entry(&entry)?;
            continue;
        }
        // Both parents first: what is then set may close the way to them.
        match (copier.from.leave()?, copier.to.leave()?) {
            (Some(source), Some(copy)) => source.state.finish(&source.dir, &copy.dir)?,
            _ => break,
        }
    }
    copier.from.state().finish(from, to)
}

/// Makes an empty directory, in what is known about itself, a copy of another one.
///
/// Owner, extended attributes, mode and times are kept, and left out, as with [`copy_tree`];
/// attributes that `keep` does not want are left out, too. What `to` has inherited from the
/// directory it is in, it loses.
pub fn copy_metadata(from: &Dir, to: &Dir, keep: &dyn Fn(&OsStr) -> bool) -> Result<()> {
    to.remove_inherited_acls()?;
    let here = OsStr::new(crate::dir::HERE);
    let mut xattrs = from.xattrs(here)?;
    xattrs.retain(|(key, _)| keep(key));
    Copied::Entry(to, here).preserve(&from.metadata_here()?, xattrs)
}

/// Replaces the object `name`, which is not a directory, by a copy of it that has no other name.
///
/// This breaks a hard link. The copy is made in a [`Staging`] beside it, with everything that
/// [`copy_tree`] keeps; until it is whole, and after an error, the old object is in place and
/// nothing is left beside it. Nothing is synced: where the copy is to survive a power loss, its
/// file system is synced afterwards.
///
/// # Errors
///
/// `EISDIR` for a directory. If only the empty staging directory could not be removed, the copy is
/// in place.
pub fn replace_by_copy(dir: &Dir, name: &OsStr) -> Result<()> {
    let kind = dir.metadata(name)?.kind;
    if kind == FileKind::Directory {
        let at = dir.plain("renameat2", name)?;
        return Err(at.error("renameat2", Errno::ISDIR));
    }
    let staging = Staging::new(dir)?;
    let original = Original::open(dir, name, kind)?;
    original.copy(staging.dir(), name, &mut Ways::default(), Place::Bare)?;
    staging.dir().rename(name, dir, name, RenameMode::Replace)?;
    staging.discard()
}

struct Copier {
    from: Trail<Source>,
    to: Trail<PlaceId>,
    links: Links,
    ways: Ways,
    /// Names the directory that everything is copied to.
    top: (u64, u64),
}

/// A directory that is being copied.
struct Source {
    metadata: Metadata,
    left: std::vec::IntoIter<DirEntry>,
}

impl Source {
    fn new(dir: &Dir) -> Result<Source> {
        // The time of access is the one before it is listed.
        let metadata = dir.metadata_here()?;
        let left = dir.entries()?.into_iter();
        Ok(Source { metadata, left })
    }

    /// Sets what is known about the directory on its copy, in which nothing is made any more.
    fn finish(&self, from: &Dir, to: &Dir) -> Result<()> {
        let here = OsStr::new(crate::dir::HERE);
        Copied::Entry(to, here).preserve(&self.metadata, from.xattrs(here)?)
    }
}

impl Copier {
    fn entry(&mut self, DirEntry { name, kind }: &DirEntry) -> Result<()> {
        let (from, to) = (self.from.here(), self.to.here());
        let kind = match kind {
            Some(kind) => *kind,
            None => from.metadata(name)?.kind,
        };
        if kind == FileKind::Directory {
            return self.directory(name);
        }
        let original = Original::open(from, name, kind)?;
        let links = original.metadata.links;
        if links > 1 {
            let id = original.metadata.id();
            let place = *self.to.state();
            let to = self.to.here();
            if self.links.link(id, to, place, name)? {
                return Ok(());
            }
            original.copy(to, name, &mut self.ways, Place::Bare)?;
            self.links.remember(id, place, name, links - 1);
            return Ok(());
        }
        original.copy(to, name, &mut self.ways, Place::Bare)
    }

    fn directory(&mut self, name: &OsStr) -> Result<()> {
        let source = open_on_same_mount(self.from.here(), name, LISTED)?;
        let state = Source::new(&source)?;
        if state.metadata.id() == self.top {
            // The copy would be copied into itself without end.
            return Err(source.here().error("openat", Errno::INVAL));
        }
        self.to.here().make_dir(name, 0o700)?;
        let copy = self.to.here().open_dir(name)?;
        let place = self.links.place(*self.to.state(), name);
        self.from.enter(name.to_owned(), source, state)?;
        self.to.enter(name.to_owned(), copy, place)
    }
}

/// Where a copy is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a directory without access control lists for what is made in it.
    Bare,
    /// In whatever directory.
    Any,
}

/// An object to be copied, other than a directory.
struct Original<'a> {
    from: &'a Dir,
    name: &'a OsStr,
    metadata: Metadata,
    handle: Handle,
}

enum Handle {
    File(File),
    Other(Object),
}

impl<'a> Original<'a> {
    /// Opens `name`, which was of this kind a moment ago. If it is of another one by now, that is
    /// the one to be copied; but what was a file and is none, or is a directory, is refused.
    fn open(from: &'a Dir, name: &'a OsStr, kind: FileKind) -> Result<Original<'a>> {
        let original = |metadata, handle| Original {
            from,
            name,
            metadata,
            handle,
        };
        if kind != FileKind::File {
            let object = from.open_object(name)?;
            let metadata = object.metadata()?;
            match metadata.kind {
                FileKind::File => {}
                FileKind::Directory => return Err(object.at().error("openat", Errno::ISDIR)),
                _ => return Ok(original(metadata, Handle::Other(object))),
            }
        }
        let (file, metadata) = from.open_listed_file(name)?;
        Ok(original(metadata, Handle::File(file)))
    }

    fn copy(&self, to: &Dir, to_name: &OsStr, ways: &mut Ways, place: Place) -> Result<()> {
        let metadata = &self.metadata;
        let object = match &self.handle {
            Handle::File(file) => {
                let mut copy = to.create_file(to_name, 0o600)?;
                if place == Place::Any {
                    copy.remove_inherited_acls()?;
                }
                ways.copy(file, &mut copy)?;
                let at = self.from.plain("listxattr", self.name)?;
                let xattrs = crate::attributes::xattrs_of(file, at)?;
                return Copied::File(&copy).preserve(metadata, xattrs);
            }
            Handle::Other(object) => object,
        };
        match metadata.kind {
            FileKind::Symlink => to.make_symlink(to_name, &object.read_link()?)?,
            kind => to.make_node(to_name, kind, 0o600, metadata.device)?,
        }
        let copy = to.open_object(to_name)?;
        if copy.metadata()?.kind != metadata.kind {
            // Somebody else has put something in its place.
            return Err(copy.at().error("openat", Errno::STALE));
        }
        if place == Place::Any && metadata.kind != FileKind::Symlink {
            copy.remove_inherited_acls()?;
        }
        Copied::Object(&copy).preserve(metadata, object.xattrs()?)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;

    use super::*;

    /// A name may get another object between the listing and the copy.
    #[test]
    fn what_has_become_of_another_kind_is_copied_as_that_or_not_at_all()
    -> Result<(), Box<dyn Error>> {
        let home = tempfile::tempdir()?;
        let dir = Dir::open(home.path())?;
        let (file, copy) = (OsStr::new("file"), OsStr::new("copy"));
        fs::write(home.path().join(file), "content")?;
        let ways = &mut Ways::default();
        for listed in [FileKind::Symlink, FileKind::Fifo, FileKind::CharDevice] {
            Original::open(&dir, file, listed)?.copy(&dir, copy, ways, Place::Any)?;
            assert_eq!(fs::read(home.path().join(copy))?, b"content", "{listed:?}");
            dir.remove_file(copy)?;
        }
        let link = OsStr::new("link");
        dir.make_symlink(link, file)?;
        Original::open(&dir, link, FileKind::Fifo)?.copy(&dir, copy, ways, Place::Any)?;
        assert_eq!(dir.read_link(copy)?, file);
        dir.make_dir(OsStr::new("d"), 0o700)?;
        for (name, listed) in [
            ("d", FileKind::Fifo),
            ("d", FileKind::File),
            ("link", FileKind::File),
        ] {
            assert!(Original::open(&dir, OsStr::new(name), listed).is_err());
        }
        Ok(())
    }
}
