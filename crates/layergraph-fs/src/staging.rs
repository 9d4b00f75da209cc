//! Directories that are built in private and published by a rename.

use std::ffi::{OsStr, OsString};

use rustix::io::Errno;

use crate::atomic::{PREFIX, lock, private_name};
use crate::sys::look;
use crate::{Dir, FileKind, RenameMode, Result, remove_tree};

/// Whether what is published survives a power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// Yes, when the call has returned.
    #[default]
    Full,
    /// Only when the kernel has written it on its own.
    None,
}

/// A private directory with a lock on it, for building what is then published.
///
/// It has mode 0700, a random name in its home, and a lock (`flock(2)`) that ends with the process,
/// so that [`sweep`] can tell a leftover from work. Dropped without being published, it is removed
/// with all that is in it.
#[derive(Debug)]
pub struct Staging {
    home: Dir,
    name: OsString,
    /// Opened before anything was written, so that a sync of the file system through it reports
    /// every error since.
    dir: Dir,
    done: bool,
}

impl Staging {
    /// Makes a staging directory in `home`, which should be on the file system where the result is
    /// to be.
    pub fn new(home: &Dir) -> Result<Staging> {
        let home = home.try_clone()?;
        loop {
            let name = private_name(&home)?;
            home.make_dir(&name, 0o700)?;
            let dir = match home.open_dir(&name) {
                Err(error) if error.is(Errno::NOENT) => continue,
                result => result?,
            };
            if lock(&home, &name, &dir, &dir.metadata_here()?)? {
                dir.remove_inherited_acls()?;
                return Ok(Staging {
                    home,
                    name,
                    dir,
                    done: false,
                });
            }
        }
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Publishes the directory as `name` in `to`.
    ///
    /// # Errors
    ///
    /// Before the rename: nothing is published, and the staging directory is removed. A failed sync
    /// is final (R57). If the sync after the rename fails, the directory is in its place and may
    /// not survive a power loss.
    pub fn publish(
        mut self,
        to: &Dir,
        name: &OsStr,
        mode: RenameMode,
        durability: Durability,
    ) -> Result<()> {
        self.make_durable(durability)?;
        self.home.rename(&self.name, to, name, mode)?;
        if mode == RenameMode::Exchange {
            // What was there before has our name now.
            remove_tree(&self.home, &self.name)?;
        }
        self.done = true;
        if durability == Durability::Full {
            to.sync()?;
            self.home.sync()?;
        }
        Ok(())
    }

    /// Publishes `entry`, which is in the directory, as `name` in `to`, and discards the rest.
    ///
    /// This way an ordinary user can publish a directory of any mode: to be renamed into another
    /// parent, a directory must be writable. With [`RenameMode::Exchange`] the old object goes with
    /// the rest.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Staging::publish). If only discarding the rest fails, the entry is
    /// published.
    pub fn publish_entry(
        self,
        entry: &OsStr,
        to: &Dir,
        name: &OsStr,
        mode: RenameMode,
        durability: Durability,
    ) -> Result<()> {
        self.make_durable(durability)?;
        self.dir.rename(entry, to, name, mode)?;
        if durability == Durability::Full {
            to.sync()?;
            self.dir.sync()?;
        }
        self.discard()
    }

    /// Removes the directory with all that is in it.
    pub fn discard(mut self) -> Result<()> {
        self.done = true;
        remove_tree(&self.home, &self.name)
    }

    fn make_durable(&self, durability: Durability) -> Result<()> {
        match durability {
            Durability::None => Ok(()),
            Durability::Full if reports_errors(&self.dir)? => self.dir.sync_filesystem(),
            Durability::Full => sync_tree(&self.dir),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed now, a sweep removes.
            let _ = remove_tree(&self.home, &self.name);
        }
    }
}

/// Returns whether `syncfs(2)` on this file system waits for all data and reports its errors.
fn reports_errors(dir: &Dir) -> Result<bool> {
    // The magic numbers of statfs(2) for btrfs, ext2 to ext4, tmpfs and xfs.
    const TRUSTED: [i64; 4] = [0x9123_683e, 0xef53, 0x0102_1994, 0x5846_5342];
    let found = look("fstatfs", dir.here(), || rustix::fs::fstatfs(dir))?;
    #[allow(clippy::unnecessary_cast)] // Its type differs between architectures.
    let magic = found.f_type as i64;
    Ok(TRUSTED.contains(&magic))
}

/// Syncs each file and directory of a tree by itself.
fn sync_tree(dir: &Dir) -> Result<()> {
    for entry in dir.entries()? {
        match dir.metadata(&entry.name)?.kind {
            FileKind::Directory => sync_tree(&dir.open_dir(&entry.name)?)?,
            FileKind::File => {
                let at = dir.plain("fsync", &entry.name)?;
                let (file, _) = dir.open_listed_file(&entry.name)?;
                crate::sys::sync("fsync", at, || rustix::fs::fsync(&file))?;
            }
            _ => {}
        }
    }
    dir.sync()
}

/// Removes the staging directories and temporary files in `home` whose makers are gone, and returns
/// how many there were.
///
/// Only names that this crate made are looked at. One that is locked is in use, and stays.
///
/// # Errors
///
/// The first leftover that could not be looked at or removed.
pub fn sweep(home: &Dir) -> Result<usize> {
    let mut swept = 0;
    for entry in home.entries()? {
        if entry.name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            swept += usize::from(sweep_one(home, &entry.name)?);
        }
    }
    Ok(swept)
}

fn sweep_one(home: &Dir, name: &OsStr) -> Result<bool> {
    let Some(metadata) = home.find(name)? else {
        return Ok(false);
    };
    let locked = match metadata.kind {
        FileKind::Directory => match home.open_dir(name) {
            Ok(dir) => lock(home, name, &dir, &metadata)?
                .then_some(())
                .map(|()| Handle::Dir(dir)),
            Err(error) if error.leads_nowhere() => None,
            Err(error) => return Err(error),
        },
        FileKind::File => match home.open_listed_file(name) {
            Ok((file, _)) => lock(home, name, &file, &metadata)?
                .then_some(())
                .map(|()| Handle::File(file)),
            Err(error) if error.leads_nowhere() => None,
            Err(error) => return Err(error),
        },
        _ => None,
    };
    // The lock is held until all is gone, so that two sweeps do not meet.
    let Some(_handle) = locked else {
        return Ok(false);
    };
    remove_tree(home, name)?;
    Ok(true)
}

/// Holds a lock.
enum Handle {
    Dir(#[expect(dead_code)] Dir),
    File(#[expect(dead_code)] std::fs::File),
}
