//! The directory an entry goes into, and what is made on the way to it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use layergraph_fs::{Dir, FsError};
use layergraph_tar::Member;

use super::directories::{Directories, ObjectId};
use super::name::WHITEOUT_PREFIX;
use super::overwritten::Way;
use super::settle::Unsettled;
use super::{UnpackError, Unpacker, object, path_below, shown};

/// The directory an entry goes into.
#[derive(Clone)]
pub(super) struct Parent {
    pub(super) dir: Arc<Dir>,
    pub(super) id: ObjectId,
    /// Whether new objects in it get an access control list from it (`acl(5)`).
    pub(super) bequeaths: bool,
    /// How links led to it, where there is to be a recipe.
    pub(super) way: Option<Arc<Way>>,
}

impl Unpacker<'_> {
    /// Opens the directory an entry goes into, after making what is missing of it.
    pub(super) fn parent(&mut self, path: &[u8], member: &Member) -> Result<Parent, UnpackError> {
        if let Some((here, parent)) = &self.here
            && here == path
        {
            return Ok(parent.clone());
        }
        self.bring_path(path, Some(member))?;
        let top = self.root.dir().path().to_owned();
        let mut implying = Implying {
            directories: &mut self.directories,
            implied: &mut self.implied,
            unsettled: self.unsettled.as_mut(),
            top: &top,
            member,
        };
        let dir = self
            .root
            .directory_or_make(path, &mut |dir: &Dir, name: &OsStr| {
                implying.make(dir, name)
            })?;
        let mut parent = self.enter(dir)?;
        if self.overwritten.is_some() {
            let real = self.path_of(&parent.dir, OsStr::new(""));
            let path = path.to_vec();
            parent.way = (real != path).then(|| Arc::new(Way { path, real }));
        }
        self.here = Some((path.to_vec(), parent.clone()));
        Ok(parent)
    }

    /// Records that something in the directory is about to change.
    pub(super) fn enter(&mut self, dir: Arc<Dir>) -> Result<Parent, UnpackError> {
        let metadata = dir.metadata_here()?;
        let path = self.path_of(&dir, OsStr::new(""));
        self.directories.touch(&path, &metadata)?;
        let id = ObjectId::from(&metadata);
        let bequeaths = !self.directories.is_made(id) && bequeaths(&dir)?;
        Ok(Parent {
            dir,
            id,
            bequeaths,
            way: None,
        })
    }
}

/// Makes directories that no entry has stated, because entries are in them.
pub(super) struct Implying<'u> {
    pub(super) directories: &'u mut Directories,
    /// How many there are.
    pub(super) implied: &'u mut u64,
    pub(super) unsettled: Option<&'u mut Unsettled>,
    /// The path of the root.
    pub(super) top: &'u Path,
    /// The entry that is in them.
    pub(super) member: &'u Member,
}

impl Implying<'_> {
    pub(super) fn make(&mut self, dir: &Dir, name: &OsStr) -> Result<(), UnpackError> {
        // The path has no such name, but a link on it may.
        if name.as_bytes().starts_with(WHITEOUT_PREFIX) {
            return Err(UnpackError::Name {
                path: shown(&self.member.path),
                reason: "a link on its way leads to a whiteout",
            });
        }
        let directories = &mut *self.directories;
        let above = dir.metadata_here()?;
        let above_id = ObjectId::from(&above);
        directories.touch(&path_below(self.top, dir, OsStr::new("")), &above)?;
        let bequeaths = !directories.is_made(above_id) && bequeaths(dir)?;
        let id = object::make_directory(dir, name, bequeaths)?;
        *self.implied += 1;
        let path = path_below(self.top, dir, name);
        directories.insert_fresh(id, &path, self.member.mtime, None)?;
        directories.insert_object(above_id, name.as_bytes())?;
        match &mut self.unsettled {
            Some(unsettled) => unsettled.imply(path),
            None => Ok(()),
        }
    }
}

/// Returns whether new objects in a directory get an access control list from it (`acl(5)`).
fn bequeaths(dir: &Dir) -> Result<bool, FsError> {
    let default = dir.xattr(OsStr::new("."), OsStr::new("system.posix_acl_default"))?;
    Ok(default.is_some())
}
