//! Files that appear whole or not at all.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::sys::look;
use crate::{Dir, Durability, FileKind, FsError, NewFile, RenameMode, Result};

/// What the names of temporary files and staging directories begin with; only [`sweep`] and the
/// process that made one may touch it.
///
/// [`sweep`]: crate::sweep
pub(crate) const PREFIX: &str = ".layergraph-";

/// Draws a name that nobody else has.
pub(crate) fn private_name(dir: &Dir) -> Result<OsString> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| FsError::new("getrandom", dir.path(), error.into()))?;
    Ok(format!("{PREFIX}{:016x}", u64::from_ne_bytes(bytes)).into())
}

/// Writes the file `name` as a whole: readers find the old content or the new one.
///
/// The file is made beside its name and renamed. Its mode is `mode` less the process's umask. With
/// [`Durability::Full`] content and name are durable when this returns.
///
/// # Errors
///
/// After an error the old file is as it was, unless the last sync failed: then the new one is in
/// its place and may not survive a power loss. Nothing is left beside it.
pub fn write_atomic(
    dir: &Dir,
    name: &OsStr,
    mode: u32,
    bytes: &[u8],
    durability: Durability,
) -> Result<()> {
    let mut file = AtomicFile::create(dir, name, mode)?;
    file.file.write_all(bytes)?;
    file.commit(durability)
}

/// A file that gets its name when it is complete.
///
/// Dropped without [`commit`](AtomicFile::commit), it leaves nothing.
#[derive(Debug)]
#[must_use = "the file gets its name by `commit`"]
pub struct AtomicFile {
    dir: Dir,
    /// What it is called until then; empty when it is not called so any more.
    temporary: OsString,
    name: OsString,
    file: NewFile,
}

impl AtomicFile {
    /// Makes an empty file that will be called `name` in `dir`.
    ///
    /// Its mode is `mode` less the process's umask.
    pub fn create(dir: &Dir, name: &OsStr, mode: u32) -> Result<AtomicFile> {
        dir.plain("openat", name)?;
        let dir = dir.try_clone()?;
        loop {
            let temporary = private_name(&dir)?;
            let file = dir.create_file(&temporary, mode)?;
            if lock(&dir, &temporary, &file, &file.metadata()?)? {
                let name = name.to_owned();
                return Ok(AtomicFile {
                    dir,
                    temporary,
                    name,
                    file,
                });
            }
        }
    }

    /// Gives the file its name, in the place of whatever file has it.
    ///
    /// # Errors
    ///
    /// As for [`write_atomic`].
    pub fn commit(mut self, durability: Durability) -> Result<()> {
        if durability == Durability::Full {
            self.file.sync()?;
        }
        self.dir
            .rename(&self.temporary, &self.dir, &self.name, RenameMode::Replace)?;
        self.temporary.clear();
        if durability == Durability::Full {
            self.dir.sync()?;
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.temporary.is_empty() {
            // What cannot be removed now, a sweep removes.
            let _ = self.dir.remove_file(&self.temporary);
        }
    }
}

/// Locks what was just made, against being swept; returns whether it is still called `name`.
///
/// Between making and locking, a sweep may have taken it for a leftover.
pub(crate) fn lock(
    dir: &Dir,
    name: &OsStr,
    handle: impl std::os::fd::AsFd,
    metadata: &crate::Metadata,
) -> Result<bool> {
    let at = dir.plain("flock", name)?;
    match look("flock", at, || {
        rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive)
    }) {
        Err(error) if error.is(Errno::AGAIN) => return Ok(false),
        result => result?,
    }
    let found = dir.find(name)?;
    let kinds = [FileKind::File, FileKind::Directory];
    Ok(found.is_some_and(|found| found.is_same_object(metadata) && kinds.contains(&found.kind)))
}
