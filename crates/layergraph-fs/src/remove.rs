//! Removing whole trees, by handle.
//!
//! Removal is where a link put in the right place at the right moment does most harm, so nothing
//! here goes by a path of more than one name, and no link is followed at any of them (R10).

use std::ffi::{OsStr, OsString};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::dir::{HERE, LISTED, PASSED};
use crate::sys::look;
use crate::trail::{Left, Trail};
use crate::{Dir, FileKind, Result};

/// How often one directory is emptied while somebody else fills it, and how often the removal
/// begins anew because directories in it were moved.
const ATTEMPTS: u32 = 64;

/// Removes `name` from `dir`, with everything in it if it is a directory.
///
/// A name that is not there is no error, nor is an entry that vanishes meanwhile. A directory
/// whose owner may not list or change it gets the mode 0700 first, if the caller may do that.
/// However deep the tree is, a few dozen handles suffice.
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
    /// With each directory the names of those in it that are still there.
    trail: Trail<Vec<Subdirectory>>,
}

struct Subdirectory {
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
        self.trail.state().push(Subdirectory::new(name));
        loop {
            match self.trail.state().last_mut() {
                Some(sub) => {
                    sub.attempts += 1;
                    let name = sub.name.clone();
                    self.descend(name)?;
                }
                None if self.trail.depth() == 0 => return Ok(()),
                None => self.ascend()?,
            }
        }
    }

    /// Enters the directory called `name` and removes from it what is not a directory.
    ///
    /// Its name stays on the list until the directory is gone.
    fn descend(&mut self, name: OsString) -> Result<()> {
        match self.permitted(|here| open_below(here, &name)) {
            Ok(dir) => {
                let subdirectories = clear(&dir)?;
                self.trail.enter(name, dir, subdirectories)
            }
            Err(error) if error.is(Errno::NOENT) => {
                self.trail.state().pop();
                Ok(())
            }
            Err(error) if error.is(Errno::NOTDIR) || error.is(Errno::LOOP) => {
                let result = self.permitted(|here| here.remove_file(&name));
                self.settle(result)
            }
            Err(error) => Err(error),
        }
    }

    /// Leaves a directory that should be empty, and removes it.
    fn ascend(&mut self) -> Result<()> {
        let left = match self.trail.leave() {
            // `..` is a name that takes permission to search.
            Err(error) if error.is(Errno::ACCESS) && open_up(self.trail.here()) => {
                self.trail.leave()?
            }
            result => result?,
        };
        if let Some(Left { name, dir, .. }) = left {
            drop(dir);
            let result = self.permitted(|here| here.remove_dir(&name));
            self.settle(result)?;
        }
        Ok(())
    }

    /// Takes the last directory off the list if it is gone. What is back under its name, or still
    /// in it, is removed in the next attempt.
    fn settle(&mut self, result: Result<()>) -> Result<()> {
        let attempts = self.trail.state().last().map_or(0, |sub| sub.attempts);
        match result {
            Ok(()) => {}
            Err(error) if error.is(Errno::NOENT) => {}
            Err(error)
                if attempts < ATTEMPTS
                    && [Errno::NOTEMPTY, Errno::EXIST, Errno::NOTDIR, Errno::ISDIR]
                        .iter()
                        .any(|errno| error.is(*errno)) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.trail.state().pop();
        Ok(())
    }

    /// Makes a call in the directory the walk is in, if need be after it was given permission. The
    /// caller's own directory is left as it is.
    fn permitted<T>(&self, call: impl FnMut(&Dir) -> Result<T>) -> Result<T> {
        permitted(self.trail.here(), self.trail.depth() > 0, call)
    }
}

impl Subdirectory {
    fn new(name: &OsStr) -> Subdirectory {
        Subdirectory {
            name: name.to_owned(),
            attempts: 0,
        }
    }
}

/// Removes from `dir` what is not a directory, and returns the directories.
///
/// What is not listed because of what is removed meanwhile is found again, because then the
/// directory is not empty afterwards.
fn clear(dir: &Dir) -> Result<Vec<Subdirectory>> {
    let mut subdirectories = Vec::new();
    permitted(dir, true, |dir| {
        subdirectories.clear();
        dir.each_entry_here(|name, kind| {
            if kind == Some(FileKind::Directory) {
                subdirectories.push(Subdirectory::new(name));
                return Ok(());
            }
            match permitted(dir, true, |dir| dir.remove_file(name)) {
                Err(error) if error.is(Errno::NOENT) => Ok(()),
                // A directory of which the file system did not say that it is one.
                Err(error) if error.is(Errno::ISDIR) => {
                    subdirectories.push(Subdirectory::new(name));
                    Ok(())
                }
                result => result,
            }
        })
    })?;
    Ok(subdirectories)
}

/// Makes a call in `dir`; where that is not permitted and the directory is `ours`, once more after
/// its owner got all permissions.
fn permitted<T>(dir: &Dir, ours: bool, mut call: impl FnMut(&Dir) -> Result<T>) -> Result<T> {
    match call(dir) {
        Err(error) if error.is(Errno::ACCESS) && ours && open_up(dir) => call(dir),
        result => result,
    }
}

/// Gives the owner all permissions; where that fails, the error that made it necessary tells more.
fn open_up(dir: &Dir) -> bool {
    dir.set_mode(OsStr::new(HERE), 0o700).is_ok()
}

/// Opens the directory `name` to list it, in spite of its mode, but not if something is mounted
/// there.
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

/// Opens the directory `name`; where another file system, or the same once more, is mounted there,
/// this fails with `EXDEV`.
pub(crate) fn open_on_same_mount(dir: &Dir, name: &OsStr, flags: OFlags) -> Result<Dir> {
    let at = dir.plain("openat2", name)?;
    let opened = look("openat2", at, || {
        let flags = flags | OFlags::NOFOLLOW;
        rustix::fs::openat2(dir, name, flags, Mode::empty(), ResolveFlags::NO_XDEV)
    });
    match opened {
        Ok(fd) => Ok(Dir::from_fd(fd, dir.path_of(name))),
        // A kernel before 5.6 does not know the call; a sandbox may forbid what it does not know.
        Err(error) if error.is(Errno::NOSYS) || error.is(Errno::PERM) => {
            let opened = dir.open_dir_as(name, flags)?;
            if is_mounted(dir, &opened)? {
                return Err(at.error("openat", Errno::XDEV));
            }
            Ok(opened)
        }
        Err(error) => Err(error),
    }
}

fn is_mounted(dir: &Dir, opened: &Dir) -> Result<bool> {
    let statx = |dir: &Dir| {
        look("statx", dir.here(), || {
            rustix::fs::statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::INO)
        })
    };
    let stat = statx(opened)?;
    // Since Linux 5.8 the kernel says it; before, a mount of the same file system goes unseen.
    if stat.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    let above = statx(dir)?;
    Ok((stat.stx_dev_major, stat.stx_dev_minor) != (above.stx_dev_major, above.stx_dev_minor))
}
