//! Files that appear whole or not at all.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};

use crate::temporary::{claim, draw_name};
use crate::{Dir, Durability, NewFile, RenameMode, Result};

/// Writes the file `name` as a whole: readers find the old content or the new one.
///
/// The file is made beside its name and renamed. Its mode is `mode` less the process's umask, and
/// less set-uid and set-gid unless root writes it. With [`Durability::Full`] content and name are
/// durable when this returns.
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
/// Dropped without [`commit`](AtomicFile::commit), it leaves nothing; what a killed process leaves,
/// [`sweep`](crate::sweep) removes.
///
/// ```
/// use std::ffi::OsStr;
/// use std::io::Write;
/// use layergraph_fs::{AtomicFile, Dir, Durability};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("list");
/// let dir = Dir::open(directory.path())?;
/// let mut file = AtomicFile::create(&dir, OsStr::new("list"), 0o644)?;
/// writeln!(file, "one line of many")?;
/// assert!(!path.exists());
/// file.commit(Durability::Full)?;
/// assert!(path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the file gets its name by `commit`"]
pub struct AtomicFile {
    dir: Dir,
    /// What it is called until then, if it still is.
    temporary: Option<OsString>,
    name: OsString,
    file: NewFile,
}

impl AtomicFile {
    /// Makes an empty file that will be called `name` in `dir`.
    ///
    /// Its mode is `mode` less the process's umask; writing by anybody but root clears set-uid and
    /// set-gid.
    pub fn create(dir: &Dir, name: &OsStr, mode: u32) -> Result<AtomicFile> {
        dir.plain("openat", name)?;
        loop {
            let temporary = draw_name(dir)?;
            let file = AtomicFile {
                dir: dir.try_clone()?,
                file: dir.create_file(&temporary, mode)?,
                temporary: Some(temporary.clone()),
                name: name.to_owned(),
            };
            if claim(dir, &temporary, &file.file, &file.file.metadata()?)? {
                return Ok(file);
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
        if let Some(temporary) = &self.temporary {
            self.dir
                .rename(temporary, &self.dir, &self.name, RenameMode::Replace)?;
            self.temporary = None;
        }
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
        if let Some(temporary) = &self.temporary {
            // What cannot be removed now, a sweep removes.
            let _ = self.dir.remove_file(temporary);
        }
    }
}
