//! Removing whole trees, by handle.
//!
//! Removal is where a link put in the right place at the right moment does most harm, so nothing
//! here goes by a path of more than one name, and no link is followed at any of them (R10).

use std::ffi::{OsStr, OsString};

use rustix::io::Errno;

use crate::dir::{HERE, LISTED, PASSED};
use crate::mount::open_on_same_mount;
use crate::trail::Trail;
use crate::{Dir, FileKind, FsError, Metadata, Result};

/// How often one directory is emptied while somebody else fills it, and how often the removal
/// begins anew because directories in it were moved.
const ATTEMPTS: u32 = 64;

/// How many names of directories are noted at a time that are still to be removed, of all levels; a
/// level may have a few in any case.
const NOTED: usize = 16 << 10;
const NOTED_OF_LEVEL: usize = 64;

/// Removes `name` from `dir`, with everything in it if it is a directory.
///
/// A name that is not there is no error, nor is an entry that vanishes meanwhile. A link is
/// removed and never followed (R10), not even if somebody puts it in the place of a directory
/// meanwhile. A directory whose owner may not list or change it gets the mode 0700 first, if the
/// caller may do that. However deep and wide the tree is, a few dozen handles and little memory
/// suffice.
///
/// # Errors
///
/// `EXDEV` names a directory of the tree on which something is mounted; nothing behind it is
/// touched. After an error a part of the tree may be gone.
pub fn remove_tree(dir: &Dir, name: &OsStr) -> Result<()> {
    remove::<FsError>(dir, name, None)
}

/// What is called with an object that is about to be removed, the directory and the name.
pub type BeforeRemoval<'a, E> = dyn FnMut(&Dir, &OsStr, &Metadata) -> Result<(), E> + 'a;

/// Removes `name` from `dir` as [`remove_tree`] does, and calls `before` with each object in the
/// tree that is no directory before that is removed. It may move the object away.
///
/// # Errors
///
/// As for [`remove_tree`]. An error of `before` ends the removal, and the object stays.
pub fn remove_tree_with<E: From<FsError>>(
    dir: &Dir,
    name: &OsStr,
    before: &mut BeforeRemoval<'_, E>,
) -> Result<(), E> {
    remove(dir, name, Some(before))
}

fn remove<E: From<FsError>>(
    dir: &Dir,
    name: &OsStr,
    mut before: Option<&mut BeforeRemoval<'_, E>>,
) -> Result<(), E> {
    if name == HERE {
        // unlinkat(2) would say so, but only after everything in it is gone.
        return Err(dir.here().error("unlinkat", Errno::INVAL).into());
    }
    for attempt in 1.. {
        match Removal::new(dir, before.as_deref_mut())?.run(name) {
            Err(Stop::Failed(error)) if error.is(Errno::STALE) && attempt < ATTEMPTS => {}
            Err(Stop::Failed(error)) => return Err(error.into()),
            Err(Stop::Refused(error)) => return Err(error),
            Ok(()) | Err(Stop::Full) => break,
        }
    }
    Ok(())
}

struct Removal<'a, 'b, E> {
    trail: Trail<Level>,
    /// How many names are noted, of all levels.
    noted: usize,
    before: Option<&'a mut BeforeRemoval<'b, E>>,
}

/// What is still to be removed from a directory.
struct Level {
    doomed: Vec<Doomed>,
    /// Whether there may be more than what is noted.
    has_more: bool,
}

/// The name of a directory, or of something that may be one.
struct Doomed {
    name: OsString,
    attempts: u32,
}

impl<'a, 'b, E> Removal<'a, 'b, E> {
    fn new(dir: &Dir, before: Option<&'a mut BeforeRemoval<'b, E>>) -> Result<Removal<'a, 'b, E>> {
        let level = Level {
            doomed: Vec::new(),
            has_more: false,
        };
        Ok(Removal {
            trail: Trail::new(dir.try_clone()?, level),
            noted: 0,
            before,
        })
    }

    fn run(mut self, name: &OsStr) -> Result<(), Stop<E>> {
        self.begin(name);
        while self.step()? {}
        Ok(())
    }

    fn begin(&mut self, name: &OsStr) {
        self.trail.state().doomed.push(Doomed::new(name));
        self.noted += 1;
    }

    /// Enters a directory, goes on in one, or leaves one; returns whether anything was left to do.
    fn step(&mut self) -> Result<bool, Stop<E>> {
        let Level { doomed, has_more } = self.trail.state();
        if let Some(doomed) = doomed.last_mut() {
            doomed.attempts += 1;
            let name = doomed.name.clone();
            self.descend(name)?;
        } else if *has_more {
            let listed = permitted(self.trail.here(), true, Dir::listed)?;
            *self.trail.state() = self.clear(&listed)?;
        } else if self.trail.depth() > 0 {
            self.ascend()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Enters the directory called `name` and removes from it what is not a directory.
    ///
    /// Its name stays on the list until the directory is gone.
    fn descend(&mut self, name: OsString) -> Result<(), Stop<E>> {
        match self.permitted(|here| open_below(here, &name)) {
            Ok(dir) => {
                let level = self.clear(&dir)?;
                self.trail.enter(name, dir, level)?;
            }
            Err(error) if error.is(Errno::NOTDIR) || error.is(Errno::LOOP) => {
                let result = self.permitted(|here| here.remove_file(&name));
                self.settle(result)?;
            }
            Err(error) => self.settle(Err(error))?,
        }
        Ok(())
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
        let doomed = &mut self.trail.state().doomed;
        let attempts = doomed.last().map_or(0, |last| last.attempts);
        match result {
            Ok(()) => {}
            Err(error) if error.is(Errno::NOENT) => {}
            Err(error) if attempts < ATTEMPTS && AGAIN.iter().any(|errno| error.is(*errno)) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        doomed.pop();
        self.noted -= 1;
        Ok(())
    }

    /// Removes from `dir` what is not a directory, and returns the names of the directories, or of
    /// as many as there is room for.
    ///
    /// A file system may leave out entries while others are removed. They are found in the next
    /// attempt, because then the directory is not empty.
    fn clear(&mut self, dir: &Dir) -> Result<Level, Stop<E>> {
        let room = (NOTED.saturating_sub(self.noted) / 2).max(NOTED_OF_LEVEL);
        let mut doomed = Vec::new();
        let mut before = self.before.as_deref_mut();
        if before.is_some() && dir.metadata_here()?.mode & 0o700 != 0o700 {
            // What is called before the removals is not to be kept from it by a mode. If it cannot
            // be changed, that tells why.
            open_up(dir);
        }
        let listed = dir.each_entry_here(|name, kind| {
            if kind != Some(FileKind::Directory) {
                if let Some(before) = &mut before
                    && let Some(found) = dir.find(name)?
                    && found.kind != FileKind::Directory
                {
                    before(dir, name, &found).map_err(Stop::Refused)?;
                }
                match permitted(dir, true, |dir| dir.remove_file(name)) {
                    Err(error) if error.is(Errno::NOENT) => return Ok(()),
                    // A directory of which the file system did not say that it is one.
                    Err(error) if error.is(Errno::ISDIR) => {}
                    result => return Ok(result?),
                }
            }
            doomed.push(Doomed::new(name));
            if doomed.len() < room {
                Ok(())
            } else {
                Err(Stop::Full)
            }
        });
        let has_more = match listed {
            Ok(()) => false,
            Err(Stop::Full) => true,
            Err(stop) => return Err(stop),
        };
        self.noted += doomed.len();
        Ok(Level { doomed, has_more })
    }

    /// Makes a call in the directory the walk is in, if need be after that was opened up. The
    /// caller's own directory is left as it is.
    fn permitted<T>(&self, call: impl FnMut(&Dir) -> Result<T>) -> Result<T> {
        permitted(self.trail.here(), self.trail.depth() > 0, call)
    }
}

/// Why a listing or the removal ended.
enum Stop<E> {
    /// There was no room for more names.
    Full,
    Failed(FsError),
    /// By what was called before.
    Refused(E),
}

impl<E> From<FsError> for Stop<E> {
    fn from(error: FsError) -> Stop<E> {
        Stop::Failed(error)
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

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::path::Path;

    use super::*;

    #[test]
    fn few_names_are_noted_however_wide_the_tree_is() -> std::result::Result<(), Box<dyn Error>> {
        const WIDE: usize = NOTED + 1000;
        // In memory, where a directory is quickly made.
        let memory = Path::new("/dev/shm");
        let home = if memory.is_dir() {
            tempfile::tempdir_in(memory)?
        } else {
            tempfile::tempdir()?
        };
        let top = Dir::open(home.path())?;
        let names = ["wide", "deep"].map(OsStr::new);
        for name in names {
            top.make_dir(name, 0o700)?;
            let mut dir = top.open_dir(name)?;
            let (depth, width) = if name == "wide" { (1, WIDE) } else { (20, 300) };
            for _ in 0..depth {
                for number in 0..width {
                    dir.make_dir(OsStr::new(&format!("d{number}")), 0o700)?;
                }
                dir = dir.open_dir(OsStr::new("d0"))?;
            }
        }
        for name in names {
            let mut removal = Removal::<FsError>::new(&top, None)?;
            removal.begin(name);
            while removal.step().is_ok_and(|is_more| is_more) {
                let here = removal.trail.state().doomed.len();
                let most = NOTED + removal.trail.depth() * NOTED_OF_LEVEL;
                assert!(here <= removal.noted && removal.noted <= most);
            }
            assert_eq!(removal.noted, 0);
            assert!(top.find(name)?.is_none());
        }
        Ok(())
    }

    #[test]
    fn what_goes_is_shown_before_and_may_be_moved_away_or_stay()
    -> std::result::Result<(), Box<dyn Error>> {
        let home = tempfile::tempdir()?;
        let top = Dir::open(home.path())?;
        let [tree, aside] = ["tree", "aside"].map(OsStr::new);
        std::fs::create_dir_all(home.path().join("tree/d/e"))?;
        std::fs::create_dir(home.path().join("aside"))?;
        for name in ["f", "d/g", "d/e/h"] {
            std::fs::write(home.path().join("tree").join(name), name)?;
        }
        std::os::unix::fs::symlink("/", home.path().join("tree/d/link"))?;
        let kept = top.open_dir(aside)?;
        let mut shown = Vec::new();
        let refused = remove_tree_with(&top, tree, &mut |dir, name, found| {
            if name == "h" {
                return Err(FsError::new("kept", dir.path_of(name), Errno::BUSY.into()));
            }
            shown.push((name.to_owned(), found.kind));
            dir.rename(name, &kept, name, crate::RenameMode::NoReplace)
        });
        assert!(refused.is_err_and(|error| error.call() == "kept"));
        assert!(home.path().join("tree/d/e/h").exists());
        remove_tree_with(&top, tree, &mut |_, _, _| Ok::<(), FsError>(()))?;
        assert!(top.find(tree)?.is_none());
        shown.sort();
        let expected = [
            ("f", FileKind::File),
            ("g", FileKind::File),
            ("link", FileKind::Symlink),
        ];
        assert_eq!(shown, expected.map(|(name, kind)| (name.into(), kind)));
        assert_eq!(kept.sorted_names()?, ["f", "g", "link"]);
        Ok(())
    }
}
