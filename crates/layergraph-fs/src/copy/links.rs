//! The hard links within a tree that is being copied.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};

use crate::{Dir, Result};

/// Where the copies are of the files that have several names.
///
/// Where is said by names and not by handles, of which there may be too many: a copy is found again
/// by passing, from the top of the copied tree, through directories that this process has made.
pub(super) struct Links {
    top: Dir,
    places: Vec<Place>,
    /// The first copy of a file, by the file's file system and inode, as long as it has names that
    /// have not been met.
    first: HashMap<(u64, u64), First>,
    /// The directory that was found last; links often come many from one place.
    found: Option<(PlaceId, Dir)>,
}

/// A directory of the copied tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlaceId(usize);

impl PlaceId {
    /// The top of the copied tree.
    pub(super) const TOP: PlaceId = PlaceId(0);
}

struct First {
    place: PlaceId,
    name: OsString,
    /// How many more names the file has.
    left: u64,
}

struct Place {
    above: PlaceId,
    name: OsString,
}

impl Links {
    pub(super) fn new(top: Dir) -> Links {
        Links {
            top,
            places: Vec::new(),
            first: HashMap::new(),
            found: None,
        }
    }

    /// Takes note of a directory `name`.
    pub(super) fn place(&mut self, above: PlaceId, name: &OsStr) -> PlaceId {
        self.places.push(Place {
            above,
            name: name.to_owned(),
        });
        PlaceId(self.places.len())
    }

    /// Takes note of the first copy of a file that has `left` more names.
    pub(super) fn remember(&mut self, id: (u64, u64), place: PlaceId, name: &OsStr, left: u64) {
        let name = name.to_owned();
        self.first.insert(id, First { place, name, left });
    }

    /// Gives the first copy of a file one more name, in the directory `to` at `place`; returns
    /// whether there is one.
    pub(super) fn link(
        &mut self,
        id: (u64, u64),
        to: &Dir,
        place: PlaceId,
        name: &OsStr,
    ) -> Result<bool> {
        let Some(mut first) = self.first.remove(&id) else {
            return Ok(false);
        };
        if first.place == place {
            to.make_hard_link(name, to, &first.name)?;
        } else {
            let dir = match self.found.take() {
                Some((known, dir)) if known == first.place => dir,
                _ => self.find(first.place)?,
            };
            to.make_hard_link(name, &dir, &first.name)?;
            self.found = Some((first.place, dir));
        }
        first.left -= 1;
        if first.left > 0 {
            self.first.insert(id, first);
        }
        Ok(true)
    }

    fn find(&self, mut place: PlaceId) -> Result<Dir> {
        let mut names = Vec::new();
        while let Some(known) = place.0.checked_sub(1).and_then(|at| self.places.get(at)) {
            names.push(&known.name);
            place = known.above;
        }
        let mut dir = self.top.try_clone()?;
        for name in names.iter().rev() {
            dir = dir.pass(name)?;
        }
        Ok(dir)
    }
}
