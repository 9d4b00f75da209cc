//! The way down a tree that somebody is walking, by handle, with few of them open.

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::{Dir, FsError, Result};

/// How many directories above the one the walk is in are all held open. Of those twice as far away
/// every second one is, and so on.
const HELD: usize = 8;
/// How often the distance is doubled; no tree is as deep as that.
const FAR: u32 = 24;

/// The way down a tree that somebody is walking, with a `T` for each directory on it.
///
/// Each directory on the way is held open, so that whatever is renamed meanwhile, the walk acts on
/// the directories it entered. In a deep tree only the last ones stay open, and the farther away,
/// the fewer: a few dozen in all. Those between are opened again on the way back, by their names
/// from an open one above, and must then be the same directories. `..` is never taken: it leads to
/// wherever a directory was moved, and a directory there may have got the inode number of one that
/// was removed.
#[derive(Debug)]
pub struct Trail<T> {
    /// The directories above, the first one first.
    above: Vec<Above<T>>,
    here: Dir,
    state: T,
}

#[derive(Debug)]
struct Above<T> {
    handle: Handle,
    state: T,
    /// What the next directory on the way is called in this one.
    next: OsString,
}

#[derive(Debug)]
enum Handle {
    Open(Dir),
    /// Closed for now: its file system and inode.
    Closed((u64, u64)),
}

/// A directory that [`Trail::leave`] has left.
#[derive(Debug)]
pub struct Left<T> {
    /// What it was called in the directory above when it was entered.
    pub name: OsString,
    /// The directory.
    pub dir: Dir,
    /// What belongs to it.
    pub state: T,
}

impl<T> Trail<T> {
    /// Begins in `top`.
    pub fn new(top: Dir, state: T) -> Trail<T> {
        Trail {
            above: Vec::new(),
            here: top,
            state,
        }
    }

    /// Returns how many directories below the first the walk is.
    pub fn depth(&self) -> usize {
        self.above.len()
    }

    /// Returns the directory the walk is in.
    pub fn here(&self) -> &Dir {
        &self.here
    }

    /// Returns what belongs to the directory the walk is in.
    pub fn state(&mut self) -> &mut T {
        &mut self.state
    }

    /// Goes down into `dir`, which is called `name` here.
    pub fn enter(&mut self, name: OsString, dir: Dir, state: T) -> Result<()> {
        let depth = self.above.len() + 1;
        // What was near enough in the directory above and is too far away in this one.
        let too_far = (0..=FAR).map_while(|zeros| depth.checked_sub(reach(zeros) + 1));
        for far in too_far {
            if !is_held(far, depth)
                && let Handle::Open(dir) = &self.above[far].handle
            {
                self.above[far].handle = Handle::Closed(dir.metadata_here()?.id());
            }
        }
        self.above.push(Above {
            handle: Handle::Open(std::mem::replace(&mut self.here, dir)),
            state: std::mem::replace(&mut self.state, state),
            next: name,
        });
        Ok(())
    }

    /// Goes back up, and returns the directory that was left; nothing where the walk is back in
    /// its first directory.
    ///
    /// # Errors
    ///
    /// `ESTALE` where a directory above had to be opened again and is no longer where it was.
    /// `EACCES` where one may no longer be searched. The walk is where it was, and can be told to
    /// leave again.
    pub fn leave(&mut self) -> Result<Option<Left<T>>> {
        self.open_above()?;
        let Some(above) = self.above.pop() else {
            return Ok(None);
        };
        let Handle::Open(parent) = above.handle else {
            unreachable!("the directory above was opened before");
        };
        Ok(Some(Left {
            name: above.next,
            dir: std::mem::replace(&mut self.here, parent),
            state: std::mem::replace(&mut self.state, above.state),
        }))
    }

    /// Opens the directory above again, from the last one that is open.
    fn open_above(&mut self) -> Result<()> {
        let is_open = |above: &Above<T>| matches!(above.handle, Handle::Open(_));
        // The first one is always open.
        let Some(open) = self.above.iter().rposition(is_open) else {
            return Ok(());
        };
        let depth = self.above.len() - 1;
        let mut between: Option<Dir> = None;
        for level in open..depth {
            let Above { handle, next, .. } = &self.above[level];
            let dir = match (&between, handle) {
                (Some(dir), _) | (None, Handle::Open(dir)) => dir,
                (None, Handle::Closed(_)) => unreachable!("the last open one is open"),
            };
            let below = match dir.open_dir(next) {
                Err(error) if error.leads_nowhere() => return Err(self.stale()),
                result => result?,
            };
            match &mut self.above[level + 1].handle {
                Handle::Closed(id) if below.metadata_here()?.id() != *id => {
                    return Err(self.stale());
                }
                handle if is_held(level + 1, depth + 1) => {
                    between = None;
                    *handle = Handle::Open(below);
                }
                _ => between = Some(below),
            }
        }
        Ok(())
    }

    fn stale(&self) -> FsError {
        self.here.here().error("openat", Errno::STALE)
    }

    /// The whole path of the directory the walk is in, however long it is.
    pub(crate) fn whole_path(&self) -> PathBuf {
        let first = match self.above.first() {
            Some(Above {
                handle: Handle::Open(first),
                ..
            }) => first,
            _ => &self.here,
        };
        let names = self.above.iter().map(|level| level.next.as_os_str());
        let length: usize = names.clone().map(|name| name.len() + 1).sum();
        let mut path = PathBuf::with_capacity(first.path().as_os_str().len() + length);
        path.push(first.path());
        path.extend(names);
        path
    }

    /// Gives the directory the walk is in its whole path.
    pub(crate) fn show_whole_path(&mut self) {
        let path = self.whole_path();
        self.here.set_path(path);
    }

    /// Ends the walk where it is.
    pub(crate) fn into_here(self) -> (Dir, T) {
        (self.here, self.state)
    }
}

/// How far below a directory the walk may be while it is held open, by how many zeros the binary
/// number of its level ends in.
fn reach(zeros: u32) -> usize {
    HELD << zeros.min(FAR)
}

/// Returns whether the directory on this level is held open in a walk of this depth.
fn is_held(level: usize, depth: usize) -> bool {
    level == 0 || depth - level <= reach(level.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::io;

    use super::*;

    const DEPTH: usize = 60;
    const MOVED: usize = 10;

    struct Way {
        home: tempfile::TempDir,
        trail: Trail<usize>,
    }

    impl Way {
        /// Goes down, each state being the depth.
        fn down(depth: usize) -> io::Result<Way> {
            let home = tempfile::tempdir()?;
            fs::create_dir_all(home.path().join("d/".repeat(depth)))?;
            fs::create_dir(home.path().join("elsewhere"))?;
            let mut trail = Trail::new(Dir::open(home.path())?, 0);
            for depth in 1..=depth {
                let below = trail.here().open_dir(OsStr::new("d"))?;
                trail.enter("d".into(), below, depth)?;
            }
            Ok(Way { home, trail })
        }

        fn path(&self, depth: usize) -> PathBuf {
            self.home.path().join("d/".repeat(depth))
        }

        fn elsewhere(&self) -> PathBuf {
            self.home.path().join("elsewhere/d")
        }

        /// How many handles are open, besides the one on the directory the walk is in.
        fn open(&self) -> usize {
            let open = |level: &&Above<usize>| matches!(level.handle, Handle::Open(_));
            self.trail.above.iter().filter(open).count()
        }

        /// Leaves until that fails, and returns the error.
        fn until_lost(&mut self) -> Option<crate::FsError> {
            loop {
                match self.trail.leave() {
                    Ok(left) => {
                        left?;
                    }
                    Err(error) => return Some(error),
                }
            }
        }
    }

    #[test]
    fn r10_the_way_back_does_not_lead_to_where_a_directory_was_moved() -> io::Result<()> {
        let mut way = Way::down(DEPTH)?;
        fs::rename(way.path(MOVED), way.elsewhere())?;
        assert!(way.until_lost().is_some_and(|error| error.is(Errno::STALE)));
        let lost = way.trail.depth();
        assert!(lost > MOVED, "it stays in the tree that was moved");
        fs::rename(way.elsewhere(), way.path(MOVED))?;
        for depth in (1..=lost).rev() {
            assert_eq!(way.trail.leave()?.map(|left| left.state), Some(depth));
            assert_eq!(way.trail.here().path(), way.path(depth - 1));
        }
        assert!(way.trail.leave()?.is_none());
        Ok(())
    }

    /// A directory that was removed has its number no more; somebody else's may have it.
    #[test]
    fn r10_the_way_back_does_not_lead_to_a_directory_with_the_number_of_another() -> io::Result<()>
    {
        let mut way = Way::down(DEPTH)?;
        let outside = Dir::open(&way.home.path().join("elsewhere"))?;
        let outside = outside.metadata_here()?.id();
        fs::rename(way.path(MOVED), way.elsewhere())?;
        for level in &mut way.trail.above[..MOVED] {
            if matches!(level.handle, Handle::Closed(_)) {
                level.handle = Handle::Closed(outside);
            }
        }
        let above = &way.trail.above[MOVED - 1].handle;
        assert!(matches!(above, Handle::Closed(_)), "it has to be found");
        assert!(way.until_lost().is_some_and(|error| error.is(Errno::STALE)));
        assert_ne!(way.trail.here().metadata_here()?.id(), outside);
        Ok(())
    }

    #[test]
    fn a_directory_in_the_place_of_a_closed_one_is_not_taken_for_it() -> io::Result<()> {
        let mut way = Way::down(DEPTH)?;
        fs::rename(way.path(MOVED), way.elsewhere())?;
        fs::create_dir_all(way.path(DEPTH))?;
        assert!(way.until_lost().is_some_and(|error| error.is(Errno::STALE)));
        assert!(way.trail.depth() > MOVED);
        Ok(())
    }

    /// Wherever the walk turns, each directory is the one that it was.
    #[test]
    fn few_handles_are_open_however_the_walk_goes() -> io::Result<()> {
        let mut way = Way::down(500)?;
        let expected: Vec<_> = (0..=500).map(|depth| way.path(depth)).collect();
        let mut turns = [3, 40, 0, 170, 33, 400, 64, 65, 9, 480].into_iter().cycle();
        let mut steps = 0;
        while steps < 3000 {
            let to = turns.next().unwrap_or(0);
            while way.trail.depth() != to {
                if way.trail.depth() > to {
                    way.trail.leave()?;
                } else {
                    let below = way.trail.here().open_dir(OsStr::new("d"))?;
                    let depth = way.trail.depth() + 1;
                    way.trail.enter("d".into(), below, depth)?;
                }
                let depth = way.trail.depth();
                assert_eq!(*way.trail.state(), depth);
                assert_eq!(way.trail.here().path(), expected[depth]);
                assert!(way.open() <= 40, "{} at {depth}", way.open());
                steps += 1;
            }
            let here = way.trail.here().metadata_here()?.inode;
            let is = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&expected[to])?);
            assert_eq!(here, is);
        }
        Ok(())
    }
}
