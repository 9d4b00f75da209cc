//! Applies a layer to a directory all at once.

use std::ffi::OsStr;
use std::io::Read;

use layergraph_fs::{Dir, Durability, FsError, RenameMode, Staging};

use crate::unpack::{UnpackError, UnpackOptions, Unpacked, unpack};

/// The tree within the staging directory.
const TREE: &str = "tree";

/// What an unpacking did that took the place of a directory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Replaced {
    /// What the layer did to the copy.
    pub unpacked: Unpacked,
    /// Why the old directory, which has a temporary name beside the new one, could not be removed.
    /// A [sweep](layergraph_fs::sweep) tries again.
    pub leftover: Option<FsError>,
}

/// Applies the layer in `tar` to the directory `name` in `parent`, or does nothing.
///
/// The directory is copied (without copying content where the file system can share it), the layer
/// is applied to the copy, and the copy takes the directory's place in one step; where there is no
/// directory of that name, one appears. See [`unpack`] for what applying means.
///
/// A directory that appears has the mode 0755, whatever the umask, unless the layer states another:
/// it is a directory like any that only entries in it imply, and what [`changes`](crate::changes())
/// takes the root for that no layer states. Whoever wants it private makes it first.
///
/// The new directory is another inode than the old one: who has that open, or mounted something on
/// it, goes on with the old tree.
///
/// # Errors
///
/// After an error, or when the process is killed, the directory is as it was. What a killed process
/// leaves beside it is removed by [`layergraph_fs::sweep`]. With [`Durability::Full`] the same
/// holds after a power loss.
pub fn unpack_atomic(
    tar: &mut dyn Read,
    parent: &Dir,
    name: &OsStr,
    options: &UnpackOptions,
    durability: Durability,
) -> Result<Replaced, UnpackError> {
    let tree = OsStr::new(TREE);
    let staging = Staging::new(parent)?;
    let old = parent.find(name)?;
    let mode = if old.is_some() {
        // Refuses a link or a file, which are no directories.
        parent.open_dir(name)?;
        layergraph_fs::copy_tree(parent, name, staging.dir(), tree)?;
        RenameMode::Exchange
    } else {
        staging.dir().make_dir(tree, 0o755)?;
        staging.dir().set_mode(tree, 0o755)?;
        RenameMode::NoReplace
    };
    let unpacked = unpack(tar, &staging.dir().open_dir(tree)?, options)?;
    let published = staging.publish_entry(tree, parent, name, mode, durability)?;
    let leftover = published.leftover;
    Ok(Replaced { unpacked, leftover })
}
