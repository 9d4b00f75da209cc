//! The way down a tree that somebody is walking, by handle, with few of them open.
//!
//! Each directory on the way is held open, so that whatever is renamed meanwhile, the walk acts on
//! the directories it entered. In a deep tree only the last ones stay open; those above are opened
//! again through `..` on the way back, and must then be the same directories.

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::dir::{SHOWN, append};
use crate::{Dir, Result};

/// How many directories above the one the walk is in are held open, besides the first.
const HELD: usize = 32;

/// A way down a tree, with a `T` for each directory on it.
pub(crate) struct Trail<T> {
    /// The directories above, the first one first.
    above: Vec<Above<T>>,
    here: Dir,
    state: T,
    /// The longest path that the directories are given; beyond, it is cut.
    longest: usize,
}

struct Above<T> {
    handle: Handle,
    state: T,
    /// What the next directory on the way is called in this one.
    next: OsString,
}

enum Handle {
    Open(Dir),
    /// Closed for now: its file system and inode.
    Closed((u64, u64)),
}

/// A directory that [`Trail::leave`] has left.
pub(crate) struct Left<T> {
    pub(crate) name: OsString,
    pub(crate) dir: Dir,
    pub(crate) state: T,
}

impl<T> Trail<T> {
    /// Begins in `top`.
    pub(crate) fn new(top: Dir, state: T) -> Trail<T> {
        Trail {
            above: Vec::new(),
            here: top,
            state,
            longest: SHOWN,
        }
    }

    /// Begins in `top`; the paths of the directories are not cut, however long they are.
    pub(crate) fn with_whole_paths(top: Dir, state: T) -> Trail<T> {
        Trail {
            longest: usize::MAX,
            ..Trail::new(top, state)
        }
    }

    /// Returns how many directories below the first the walk is.
    pub(crate) fn depth(&self) -> usize {
        self.above.len()
    }

    /// Returns the directory the walk is in.
    pub(crate) fn here(&self) -> &Dir {
        &self.here
    }

    /// Returns what belongs to the directory the walk is in.
    pub(crate) fn state(&mut self) -> &mut T {
        &mut self.state
    }

    /// Goes down into `dir`, which is called `name` here.
    pub(crate) fn enter(&mut self, name: OsString, dir: Dir, state: T) -> Result<()> {
        // The first one stays open: nothing says that its parent may be opened.
        if let Some(far) = self.above.len().checked_sub(HELD)
            && far > 0
            && let Handle::Open(dir) = &self.above[far].handle
        {
            self.above[far].handle = Handle::Closed(dir.metadata_here()?.id());
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
    /// `ESTALE` where the directory to be left has been moved to another parent. `EACCES` where it
    /// may not be searched. The walk is where it was, and can be told to leave again.
    pub(crate) fn leave(&mut self) -> Result<Option<Left<T>>> {
        if let Some(Above {
            handle: Handle::Closed(id),
            ..
        }) = self.above.last()
        {
            let parent = self.here.open_parent(self.path_above())?;
            if parent.metadata_here()?.id() != *id {
                return Err(self.here.here().error("openat", Errno::STALE));
            }
            if let Some(above) = self.above.last_mut() {
                above.handle = Handle::Open(parent);
            }
        }
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

    /// Ends the walk where it is.
    pub(crate) fn into_here(self) -> (Dir, T) {
        (self.here, self.state)
    }

    /// The path of the directory above.
    fn path_above(&self) -> PathBuf {
        let mut levels = self.above.iter();
        let Some(Above {
            handle: Handle::Open(first),
            next,
            ..
        }) = levels.next()
        else {
            return PathBuf::new();
        };
        let mut path = first.path().to_owned();
        let mut name = next;
        for level in levels {
            path = match append(path, name, self.longest) {
                Ok(path) => path,
                Err(cut) => return cut,
            };
            name = &level.next;
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::io;

    use super::*;

    /// The handles above are closed then, and `..` leads to where the directory is now.
    #[test]
    fn r10_the_way_back_does_not_lead_to_where_a_directory_was_moved() -> io::Result<()> {
        const DEPTH: usize = 60;
        const MOVED: usize = 10;
        let home = tempfile::tempdir()?;
        let path = |depth: usize| home.path().join("d/".repeat(depth));
        fs::create_dir_all(path(DEPTH))?;
        fs::create_dir(home.path().join("elsewhere"))?;
        let mut trail = Trail::new(Dir::open(home.path())?, 0);
        for depth in 1..=DEPTH {
            let below = trail.here().open_dir(OsStr::new("d"))?;
            trail.enter("d".into(), below, depth)?;
        }
        fs::rename(path(MOVED), home.path().join("elsewhere/d"))?;
        for depth in (MOVED + 1..=DEPTH).rev() {
            assert_eq!(trail.leave()?.map(|left| left.state), Some(depth));
        }
        let error = trail.leave().err();
        assert!(error.is_some_and(|error| error.is(Errno::STALE)));
        assert_eq!(trail.depth(), MOVED, "it stays where it was");
        fs::rename(home.path().join("elsewhere/d"), path(MOVED))?;
        assert_eq!(trail.leave()?.map(|left| left.state), Some(MOVED));
        Ok(())
    }
}
