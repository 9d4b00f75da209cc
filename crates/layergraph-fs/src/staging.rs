//! Directories that are built in private and published by a rename.

use std::ffi::{OsStr, OsString};
use std::io;

use rustix::io::Errno;

use crate::dir::HERE;
use crate::sync::sync_tree;
use crate::temporary::{claim, draw_name, keep_from_sweeps};
use crate::{Dir, Durability, FileKind, FsError, Metadata, RenameMode, Result, remove_tree};

/// A private directory in which something is built that is then published as a whole.
///
/// It has mode 0700, a random name in its home, and a lock (`flock(2)`) that ends with the process,
/// by which [`sweep`](crate::sweep) tells a leftover from work. Nothing in it inherits access
/// control lists or a group from the home. Dropped without being published, it is removed with all
/// that is in it.
///
/// What is published is either the directory itself ([`publish`](Staging::publish)) or one entry of
/// it ([`publish_entry`](Staging::publish_entry)). For trees that come from elsewhere the latter is
/// the right one: the private directory keeps everybody out whatever mode the tree has.
///
/// ```
/// use std::ffi::OsStr;
/// use layergraph_fs::{Dir, Durability, RenameMode, Staging};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("tree");
/// let home = Dir::open(directory.path())?;
/// let staging = Staging::new(&home)?;
/// staging.dir().make_dir(OsStr::new("t"), 0o755)?;
/// let tree = OsStr::new("tree");
/// staging.publish_entry(
///     OsStr::new("t"), &home, tree, RenameMode::NoReplace, Durability::Full)?;
/// assert_eq!(home.sorted_names()?, [tree]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropped, it is removed"]
pub struct Staging {
    home: Dir,
    name: OsString,
    /// Opened before anything was written, so that a sync of the file system through it reports
    /// every error since. Holds the lock.
    dir: Dir,
    /// What else is synced before anything is published.
    others: Vec<Dir>,
    /// False when the name in the home is not ours to remove.
    is_ours: bool,
}

/// What there is to say of something that was published.
#[derive(Debug)]
pub struct Published {
    /// Why the object that was exchanged, or the rest of the staging directory, could not be
    /// removed. A sweep tries again.
    pub leftover: Option<FsError>,
}

impl Staging {
    /// Makes a staging directory in `home`, which is to be on the file system where the result will
    /// be.
    pub fn new(home: &Dir) -> Result<Staging> {
        loop {
            let name = draw_name(home)?;
            home.make_dir(&name, 0o700)?;
            let dir = match home.open_dir(&name).and_then(openable) {
                // A sweep was faster.
                Err(error) if error.is(Errno::NOENT) => continue,
                Err(error) => {
                    // It is empty, and if it stays, a sweep removes it. The error tells more.
                    let _ = home.remove_dir(&name);
                    return Err(error);
                }
                Ok(dir) => dir,
            };
            let staging = Staging {
                home: home.try_clone()?,
                name,
                dir,
                others: Vec::new(),
                is_ours: true,
            };
            let Staging { name, dir, .. } = &staging;
            if claim(home, name, dir, &dir.metadata_here()?)? {
                dir.remove_inherited_acls()?;
                dir.set_mode(OsStr::new(HERE), 0o700)?;
                return Ok(staging);
            }
        }
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Returns the directory's name in its home.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Says that the entries of another directory, such as names of what is published, are to be
    /// durable before it is, where that is to be durable.
    ///
    /// This costs less than to sync them alone: after the file system as a whole (`syncfs(2)`)
    /// there is nothing left to be written of them.
    pub fn sync_with(&mut self, other: &Dir) -> Result<()> {
        self.others.push(other.try_clone()?);
        Ok(())
    }

    /// Publishes the directory itself as `name` in `to`.
    ///
    /// It keeps the mode 0700 unless it was given another one. An old object that
    /// [`RenameMode::Exchange`] takes away is removed.
    ///
    /// # Errors
    ///
    /// After an error nothing is published, and the staging directory is removed. This holds for a
    /// failed sync too, which is final (R57), with two exceptions, in which what was published
    /// stays in its place and may not survive a power loss:
    ///
    /// - It was published by [`RenameMode::Replace`] before the last sync failed: what it has
    ///   replaced is gone.
    /// - The rename could not be taken back, as [`FsError::is_published`] tells. What an exchange
    ///   has taken away is then where the new object was, and stays there until a sweep.
    pub fn publish(
        mut self,
        to: &Dir,
        name: &OsStr,
        mode: RenameMode,
        durability: Durability,
    ) -> Result<Published> {
        self.make_durable(durability)?;
        // Until it is decided which of the two goes, no sweep is to take the old one.
        let old = match mode {
            RenameMode::Exchange => keep_from_sweeps(to, name),
            RenameMode::Replace | RenameMode::NoReplace => None,
        };
        let landing = Landing {
            from: &self.home,
            entry: &self.name,
            to,
            name,
            mode,
            old: None,
        };
        let landed = landing.land(durability);
        // If the rename was not made, or taken back.
        self.is_ours = landed.as_ref().is_err_and(|error| !error.is_published());
        landed?;
        let leftover = match mode {
            RenameMode::Exchange => remove_tree(&self.home, &self.name).err(),
            RenameMode::Replace | RenameMode::NoReplace => None,
        };
        drop(old);
        Ok(Published { leftover })
    }

    /// Publishes `entry`, which is in the directory, as `name` in `to`, and discards the rest,
    /// together with an old object that [`RenameMode::Exchange`] takes away.
    ///
    /// An ordinary user may move a directory to another parent only if he may write to it. One that
    /// is his, but that its mode keeps him from writing to, gets all permissions for its owner for
    /// the time of the rename; should the process be killed just then, they stay.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Staging::publish).
    pub fn publish_entry(
        self,
        entry: &OsStr,
        to: &Dir,
        name: &OsStr,
        mode: RenameMode,
        durability: Durability,
    ) -> Result<Published> {
        self.publish_entry_for(None, entry, to, name, mode, durability)
    }

    /// Publishes `entry`, which is in the directory, in the place of `old`, which is called `name`
    /// in `to`, and discards the rest together with `old`.
    ///
    /// Another object that has taken the place of `old` is not discarded, nor even exchanged, but
    /// for a moment if it has done so at the very last.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Staging::publish), and of the kind [`ErrorKind::ResourceBusy`] if `old`
    /// is not called so.
    ///
    /// [`ErrorKind::ResourceBusy`]: std::io::ErrorKind::ResourceBusy
    pub fn exchange_entry(
        self,
        entry: &OsStr,
        old: &Dir,
        to: &Dir,
        name: &OsStr,
        durability: Durability,
    ) -> Result<Published> {
        let old = old.metadata_here()?;
        self.publish_entry_for(Some(old), entry, to, name, RenameMode::Exchange, durability)
    }

    fn publish_entry_for(
        mut self,
        old: Option<Metadata>,
        entry: &OsStr,
        to: &Dir,
        name: &OsStr,
        mode: RenameMode,
        durability: Durability,
    ) -> Result<Published> {
        self.make_durable(durability)?;
        let landing = Landing {
            from: &self.dir,
            entry,
            to,
            name,
            mode,
            old,
        };
        let landed = landing.land(durability);
        if mode == RenameMode::Exchange && landed.as_ref().is_err_and(FsError::is_published) {
            // The old object is in it.
            self.is_ours = false;
        }
        landed?;
        let leftover = self.discard().err();
        Ok(Published { leftover })
    }

    /// Leaves the directory to the next [sweep](crate::sweep), with all that is in it.
    pub fn leave(mut self) {
        self.is_ours = false;
    }

    /// Removes the directory with all that is in it.
    pub fn discard(mut self) -> Result<()> {
        self.is_ours = false;
        remove_tree(&self.home, &self.name)
    }

    fn make_durable(&self, durability: Durability) -> Result<()> {
        match durability {
            Durability::Full => {
                sync_tree(&self.dir)?;
                self.others.iter().try_for_each(Dir::sync)
            }
            Durability::None => Ok(()),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.is_ours {
            // What cannot be removed now, a sweep removes.
            let _ = remove_tree(&self.home, &self.name);
        }
    }
}

/// Takes back what the process's umask has taken away from the owner of a directory just made: it
/// could neither be locked nor listed.
fn openable(dir: Dir) -> Result<Dir> {
    if dir.metadata_here()?.mode & 0o700 == 0o700 {
        return Ok(dir);
    }
    dir.set_mode(OsStr::new(HERE), 0o700)?;
    dir.listed()
}

/// A rename that publishes something.
struct Landing<'a> {
    from: &'a Dir,
    entry: &'a OsStr,
    to: &'a Dir,
    name: &'a OsStr,
    mode: RenameMode,
    /// What an exchange is to take away, if it may not be anything else.
    old: Option<Metadata>,
}

impl Landing<'_> {
    /// Makes the rename, durable if it is to be; after an error it is taken back.
    fn land(&self, durability: Durability) -> Result<()> {
        self.check_old(self.to, self.name)?;
        let opened_up = self.rename()?;
        self.or_back(self.check_old(self.from, self.entry), &opened_up)?;
        if durability == Durability::None {
            return Ok(());
        }
        let moved = opened_up.iter().map(|opened| &opened.dir);
        let synced = moved.chain([self.to, self.from]).try_for_each(Dir::sync);
        self.or_back(synced, &opened_up)
    }

    /// Checks that what is to be taken away, or has been, is called `name`.
    fn check_old(&self, dir: &Dir, name: &OsStr) -> Result<()> {
        let Some(old) = &self.old else {
            return Ok(());
        };
        if dir
            .find(name)?
            .is_some_and(|found| found.is_same_object(old))
        {
            return Ok(());
        }
        let reason = "another object has taken its place";
        let source = io::Error::new(io::ErrorKind::ResourceBusy, reason);
        Err(FsError::new(
            "renameat2",
            self.to.path_of(self.name),
            source,
        ))
    }

    /// Renames, if need be after directories to be moved were made writable for their owner; these
    /// are returned, with their own modes again.
    fn rename(&self) -> Result<Vec<OpenedUp>> {
        let refused = match self.rename_once() {
            Err(error) if error.is(Errno::ACCESS) => error,
            result => return result.map(|()| Vec::new()),
        };
        let mut moved = vec![(self.from, self.entry)];
        if self.mode == RenameMode::Exchange {
            moved.push((self.to, self.name));
        }
        let mut opened_up = Vec::new();
        for (dir, name) in moved {
            // What cannot be opened up keeps the rename from being made, and its error is told.
            opened_up.extend(OpenedUp::new(dir, name).ok().flatten());
        }
        if opened_up.is_empty() {
            return Err(refused);
        }
        let renamed = self.rename_once();
        // Each of them, whatever becomes of another.
        let closed = opened_up.iter().map(OpenedUp::close);
        let closed = closed.fold(Ok(()), Result::and);
        renamed?;
        self.or_back(closed, &opened_up)?;
        Ok(opened_up)
    }

    fn rename_once(&self) -> Result<()> {
        self.from.rename(self.entry, self.to, self.name, self.mode)
    }

    /// Takes the rename back if what had to follow it has failed. The error says so where that
    /// fails as well.
    fn or_back(&self, result: Result<()>, opened_up: &[OpenedUp]) -> Result<()> {
        if result.is_err() && self.mode != RenameMode::Replace {
            // Of the errors the first one is told: it is the reason. What had to be writable on the
            // way there has to be on the way back.
            for opened in opened_up {
                let _ = opened.open();
            }
            let back = self.to.rename(self.name, self.from, self.entry, self.mode);
            for opened in opened_up {
                let _ = opened.close();
            }
            if back.is_err() {
                let (from, to) = (self.from.path_of(self.entry), self.to.path_of(self.name));
                return result.map_err(|error| error.after_rename(from, to));
            }
        }
        result
    }
}

/// A directory that its owner may write to for a while.
struct OpenedUp {
    dir: Dir,
    mode: u32,
}

impl OpenedUp {
    /// Opens up `name`, if it is a directory that needs it.
    fn new(dir: &Dir, name: &OsStr) -> Result<Option<OpenedUp>> {
        let Metadata { kind, mode, .. } = dir.metadata(name)?;
        if kind != FileKind::Directory || mode & 0o200 != 0 {
            return Ok(None);
        }
        let mut opened = OpenedUp {
            dir: dir.open_dir(name)?,
            mode,
        };
        opened.open()?;
        // A handle by which it can be synced too.
        match opened.dir.listed() {
            Ok(dir) => opened.dir = dir,
            Err(error) => return opened.close().and(Err(error)),
        }
        Ok(Some(opened))
    }

    fn open(&self) -> Result<()> {
        self.dir.set_mode(OsStr::new(HERE), self.mode | 0o700)
    }

    fn close(&self) -> Result<()> {
        self.dir.set_mode(OsStr::new(HERE), self.mode)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// It may do so at any moment: the one before the rename is that of a look, too.
    #[test]
    fn what_takes_the_place_of_the_old_object_is_neither_exchanged_nor_removed() -> io::Result<()> {
        for is_at_the_last in [false, true] {
            let home = tempfile::tempdir()?;
            let at = |name: &str| home.path().join(name);
            let [name, new] = ["tree", "new"].map(OsStr::new);
            fs::create_dir(at("tree"))?;
            let to = Dir::open(home.path())?;
            let old = to.open_dir(name)?;
            let staging = Staging::new(&to)?;
            staging.dir().make_dir(new, 0o700)?;
            fs::rename(at("tree"), at("aside"))?;
            fs::create_dir(at("tree"))?;
            fs::write(at("tree/other"), "1")?;
            let error = if is_at_the_last {
                let landing = Landing {
                    from: staging.dir(),
                    entry: new,
                    to: &to,
                    name,
                    mode: RenameMode::Exchange,
                    old: Some(old.metadata_here()?),
                };
                let opened_up = landing.rename()?;
                assert!(at("tree/other").metadata().is_err(), "they are exchanged");
                landing.or_back(landing.check_old(landing.from, new), &opened_up)
            } else {
                let exchanged = staging.exchange_entry(new, &old, &to, name, Durability::Full);
                exchanged.map(drop)
            };
            let error = error.expect_err("it is another object");
            assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
            assert_eq!(error.path(), at("tree"));
            assert!(!error.is_published());
            assert_eq!(fs::read(at("tree/other"))?, b"1");
        }
        Ok(())
    }
}
