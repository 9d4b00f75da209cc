//! Removal of whole trees.

use std::ffi::{OsStr, OsString};

use rustix::io::Errno;

use crate::dir::HERE;
use crate::trail::{Left, Trail};
use crate::{Dir, FileKind, Result};

/// Removes `name` from a directory, with everything in it if it is a directory itself. What is not
/// there counts as removed.
///
/// A link is removed and never followed (R10), not even if somebody puts it in the place of a
/// directory meanwhile. A directory whose mode keeps its owner from emptying it gets mode 0700
/// first. However deep the tree is, few handles are open.
///
/// # Errors
///
/// `EXDEV`, naming it, for a directory on another file system, such as a mount point: nothing in
/// it is touched. After any error part of the tree may be gone.
pub fn remove_tree(dir: &Dir, name: &OsStr) -> Result<()> {
    let Some(top) = unlink_or_open(dir, name)? else {
        return Ok(());
    };
    let filesystem = dir.metadata_here()?.filesystem;
    let names = empty(&top, filesystem)?;
    let mut trail = Trail::new(top, names);
    loop {
        if let Some(next) = trail.state().pop() {
            if let Some(below) = forced(trail.here(), |here| unlink_or_open(here, &next))? {
                let names = empty(&below, filesystem)?;
                trail.enter(next, below, names)?;
            }
            continue;
        }
        let Some(Left { name }) = trail.leave()? else {
            break;
        };
        forced(trail.here(), |here| gone(here.remove_dir(&name)))?;
    }
    gone(dir.remove_dir(name))
}

/// Removes what is no directory; opens a directory.
fn unlink_or_open(dir: &Dir, name: &OsStr) -> Result<Option<Dir>> {
    match dir.remove_file(name) {
        // POSIX says EPERM for a directory, Linux EISDIR.
        Err(error) if error.is(Errno::ISDIR) || error.is(Errno::PERM) => match dir.open_dir(name) {
            Ok(below) => Ok(Some(below)),
            Err(other) if other.is(Errno::NOENT) => Ok(None),
            // It was no directory after all: the first error is the reason.
            Err(other) if other.is(Errno::NOTDIR) => Err(error),
            Err(other) => Err(other),
        },
        result => gone(result).map(|()| None),
    }
}

/// Removes all that is no directory, and returns the names of the rest.
fn empty(dir: &Dir, filesystem: u64) -> Result<Vec<OsString>> {
    if dir.metadata_here()?.filesystem != filesystem {
        return Err(dir.here().error("unlinkat", Errno::XDEV));
    }
    let mut directories = Vec::new();
    for entry in forced(dir, Dir::entries)? {
        match entry.kind {
            // Where the file system does not tell, opening it will.
            Some(FileKind::Directory) | None => directories.push(entry.name),
            Some(_) => forced(dir, |dir| gone(dir.remove_file(&entry.name)))?,
        }
    }
    Ok(directories)
}

/// Does something in a directory, after making it ours if its mode forbids that.
fn forced<T>(dir: &Dir, act: impl Fn(&Dir) -> Result<T>) -> Result<T> {
    match act(dir) {
        Err(error) if error.is(Errno::ACCESS) => {
            // Who may not change the mode either gets the first error.
            dir.set_mode(OsStr::new(HERE), 0o700).map_err(|_| error)?;
            act(dir)
        }
        result => result,
    }
}

/// What is not there any more is removed.
fn gone(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.is(Errno::NOENT) => Ok(()),
        result => result,
    }
}
