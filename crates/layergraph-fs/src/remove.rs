//! Removing whole trees, by handle.
//!
//! Removal is where a link put in the right place at the right moment does most harm, so nothing
//! here goes by a path of more than one name, and no link is followed at any of them (R10).

use std::ffi::{OsStr, OsString};

use rustix::io::Errno;

use crate::dir::{HERE, LISTED, PASSED};
use crate::mount::open_on_same_mount;
use crate::trail::Trail;
use crate::{Dir, FileKind, Result};

/// How often one directory is emptied while somebody else fills it, and how often the removal
/// begins anew because directories in it were moved.
const ATTEMPTS: u32 = 64;

/// Removes `name` from `dir`, with everything in it if it is a directory.
///
/// A name that is not there is no error, nor is an entry that vanishes meanwhile. A link is
/// removed and never followed (R10), not even if somebody puts it in the place of a directory
/// meanwhile. A directory whose owner may not list or change it gets the mode 0700 first, if the
/// caller may do that. However deep the tree is, a few dozen handles suffice.
///
/// # Errors
///
/// `EXDEV` names a directory of the tree on which something is mounted; nothing behind it is
/// touched. After an error a part of the tree may be gone.
pub fn remove_tree(dir: &Dir, name: &OsStr) -> Result<()> {
    if name == HERE {
        // unlinkat(2) would say so, but only after everything in it is gone.
        return Err(dir.here().error("unlinkat", Errno::INVAL));
    }
    for _ in 1..ATTEMPTS {
        match Removal::new(dir)?.run(name) {
            Err(error) if error.is(Errno::STALE) => {}
            result => return result,
        }
    }
    Removal::new(dir)?.run(name)
}

struct Removal {
    /// With each directory what is still to be removed from it.
    trail: Trail<Vec<Doomed>>,
}

/// The name of a directory, or of something that may be one.
struct Doomed {
    name: OsString,
    attempts: u32,
}

impl Removal {
    fn new(dir: &Dir) -> Result<Removal> {
        Ok(Removal {
            trail: Trail::new(dir.try_clone()?, Vec::new()),
        })
    }

    fn run(mut self, name: &OsStr) -> Result<()> {
        self.trail.state().push(Doomed::new(name));
        loop {
            if let Some(doomed) = self.trail.state().last_mut() {
                doomed.attempts += 1;
                let name = doomed.name.clone();
                self.descend(name)?;
            } else if self.trail.depth() > 0 {
                self.ascend()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Enters the directory called `name` and removes from it what is not a directory.
    ///
    /// Its name stays on the list until the directory is gone.
    fn descend(&mut self, name: OsString) -> Result<()> {
        match self.permitted(|here| open_below(here, &name)) {
            Ok(dir) => {
                let doomed = clear(&dir)?;
                self.trail.enter(name, dir, doomed)
            }
            Err(error) if error.is(Errno::NOTDIR) || error.is(Errno::LOOP) => {
                let result = self.permitted(|here| here.remove_file(&name));
                self.settle(result)
            }
            Err(error) => self.settle(Err(error)),
        }
    }

    /// Leaves a directory that should be empty, and removes it.
    fn ascend(&mut self) -> Result<()> {
        let left = match self.trail.leave() {
            // `..` is a name like any other, which takes permission to search.
            Err(error) if error.is(Errno::ACCESS) && open_up(self.trail.here()) => {
                self.trail.leave()?
            }
            result => result?,
        };
        let Some(left) = left else {
            return Ok(());
        };
        drop(left.dir);
        let result = self.permitted(|here| here.remove_dir(&left.name));
        self.settle(result)
    }

    /// Takes the last name off the list if it is gone. What is back under it, or was put into the
    /// directory meanwhile, is removed in the next attempt.
    fn settle(&mut self, result: Result<()>) -> Result<()> {
        const AGAIN: [Errno; 4] = [Errno::NOTEMPTY, Errno::EXIST, Errno::NOTDIR, Errno::ISDIR];
        let attempts = self.trail.state().last().map_or(0, |last| last.attempts);
        match result {
            Ok(()) => {}
            Err(error) if error.is(Errno::NOENT) => {}
            Err(error) if attempts < ATTEMPTS && AGAIN.iter().any(|errno| error.is(*errno)) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.trail.state().pop();
        Ok(())
    }

    /// Makes a call in the directory the walk is in, if need be after that was opened up. The
    /// caller's own directory is left as it is.
    fn permitted<T>(&self, call: impl FnMut(&Dir) -> Result<T>) -> Result<T> {
        permitted(self.trail.here(), self.trail.depth() > 0, call)
    }
}

impl Doomed {
    fn new(name: &OsStr) -> Doomed {
        Doomed {
            name: name.to_owned(),
            attempts: 0,
        }
    }
}

/// Removes from `dir` what is not a directory, and returns the names of the directories.
///
/// A file system may leave out entries while others are removed. They are found in the next
/// attempt, because then the directory is not empty.
fn clear(dir: &Dir) -> Result<Vec<Doomed>> {
    let mut doomed = Vec::new();
    dir.each_entry_here(|name, kind| {
        if kind == Some(FileKind::Directory) {
            doomed.push(Doomed::new(name));
            return Ok(());
        }
        match permitted(dir, true, |dir| dir.remove_file(name)) {
            Err(error) if error.is(Errno::NOENT) => Ok(()),
            // A directory of which the file system did not say that it is one.
            Err(error) if error.is(Errno::ISDIR) => {
                doomed.push(Doomed::new(name));
                Ok(())
            }
            result => result,
        }
    })?;
    Ok(doomed)
}

/// Makes a call in `dir`; where that is not permitted and the directory is to go too, once more
/// after it was opened up.
fn permitted<T>(dir: &Dir, goes: bool, mut call: impl FnMut(&Dir) -> Result<T>) -> Result<T> {
    match call(dir) {
        Err(error) if error.is(Errno::ACCESS) && goes && open_up(dir) => call(dir),
        result => result,
    }
}

/// Gives the owner all permissions. Where that fails, the error that made it necessary is the one
/// to tell.
fn open_up(dir: &Dir) -> bool {
    dir.set_mode(OsStr::new(HERE), 0o700).is_ok()
}

/// Opens the directory `name` to list it, whatever its mode, but not if something is mounted there.
fn open_below(dir: &Dir, name: &OsStr) -> Result<Dir> {
    match open_on_same_mount(dir, name, LISTED) {
        Err(error) if error.is(Errno::ACCESS) => {
            let passed = open_on_same_mount(dir, name, PASSED)?;
            if !open_up(&passed) {
                return Err(error);
            }
            passed.listed()
        }
        result => result,
    }
}
