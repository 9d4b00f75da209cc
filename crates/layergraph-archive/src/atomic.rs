//! Applies a layer to a directory, or changes it otherwise, all at once.

use std::ffi::OsStr;
use std::io::{self, Read};

use layergraph_fs::{Dir, Durability, FsError, RenameMode, Staging};

use crate::Ownership;
use crate::unpack::{UnpackError, UnpackOptions, Unpacked, unpack};

/// The tree within the staging directory.
const TREE: &str = "tree";

/// What took the place of a directory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Replaced<T> {
    /// What was done to the copy.
    pub done: T,
    /// Why the old directory, which has a temporary name beside the new one, could not be removed.
    /// A [sweep](layergraph_fs::sweep) tries again.
    pub leftover: Option<FsError>,
}

/// Applies the layer in `tar` to the directory `name` in `parent`, or does nothing: see
/// [`change_atomic`] and [`unpack`].
pub fn unpack_atomic(
    tar: &mut dyn Read,
    parent: &Dir,
    name: &OsStr,
    options: &UnpackOptions,
    durability: Durability,
) -> Result<Replaced<Unpacked>, UnpackError> {
    change_atomic(parent, name, &options.ownership, durability, |copy| {
        unpack(tar, copy, options)
    })
}

/// Does something to the directory `name` in `parent`, or nothing.
///
/// The directory is copied (without copying content where the file system can share it), `change`
/// works on the copy, and the copy takes the directory's place in one step; where there is no
/// directory of that name, one appears.
///
/// A directory that appears has the mode 0755, whatever the umask, and belongs to the root of the
/// ranges where owners are [mapped](crate::Ownership::Mapped), unless a layer states another:
/// it is a directory like any that only entries in it imply, and what [`changes`](crate::changes())
/// takes the root for that no layer states. Whoever wants it private makes it first.
///
/// The new directory is another inode than the old one: who has that open, or mounted something on
/// it, goes on with the old tree.
///
/// Calls on one directory wait for each other (by a lock on it, `flock(2)`), so each changes what
/// the one before has made. Nobody else may write to the directory meanwhile: what
/// the copy has not got goes with the old directory. Another directory in its place is no such
/// loss: it keeps the place, and nothing is changed.
///
/// # Errors
///
/// Those of `change` as they are. After an error, or when the process is killed, the directory is
/// as it was. What a killed process leaves beside it is removed by [`layergraph_fs::sweep`]. With
/// [`Durability::Full`] the same holds after a power loss.
pub fn change_atomic<T, E: From<FsError>>(
    parent: &Dir,
    name: &OsStr,
    ownership: &Ownership,
    durability: Durability,
    change: impl FnOnce(&Dir) -> Result<T, E>,
) -> Result<Replaced<T>, E> {
    let tree = OsStr::new(TREE);
    // It is locked until the end.
    let old = find_locked(parent, name)?;
    let staging = Staging::new(parent)?;
    staging.dir().make_dir(tree, 0o755)?;
    if let Some(old) = &old {
        layergraph_fs::copy_into(old, &staging.dir().open_dir(tree)?)?;
    } else {
        staging.dir().set_mode(tree, 0o755)?;
        if let Some((uid, gid)) = ownership.root() {
            staging.dir().set_owner(tree, uid, gid)?;
        }
    }
    let done = change(&staging.dir().open_dir(tree)?)?;
    let published = match &old {
        Some(old) => staging.exchange_entry(tree, old, parent, name, durability),
        None => staging.publish_entry(tree, parent, name, RenameMode::NoReplace, durability),
    }?;
    let leftover = published.leftover;
    Ok(Replaced { done, leftover })
}

/// Opens and locks the directory that is to be replaced, once every call that was at work on it is
/// done; returns nothing if there is none. A link or a file is refused.
fn find_locked(parent: &Dir, name: &OsStr) -> Result<Option<Dir>, FsError> {
    while parent.find(name)?.is_some() {
        let dir = match parent.open_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            result => result?,
        };
        dir.lock()?;
        // Whoever had the lock may have put another directory in its place.
        let here = dir.metadata_here()?;
        let found = parent.find(name)?;
        if found.is_some_and(|found| found.is_same_object(&here)) {
            return Ok(Some(dir));
        }
    }
    Ok(None)
}
