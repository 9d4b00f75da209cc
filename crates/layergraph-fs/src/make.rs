//! Directories that are made where they are missing.

use std::ffi::OsStr;
use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;

use crate::sys::{At, change};
use crate::{Dir, Result};

impl Dir {
    /// Opens the directory at `path`, which is trusted, and makes it and its missing parents first
    /// if need be. What is made has `mode` less the process's umask.
    ///
    /// # Errors
    ///
    /// After an error some of the parents may have been made.
    pub fn open_or_make(path: &Path, mode: u32) -> Result<Dir> {
        match Dir::open(path) {
            Err(error) if error.is(Errno::NOENT) => {}
            result => return result,
        }
        if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
            Dir::open_or_make(parent, mode)?;
        }
        let at = At {
            dir: path,
            name: OsStr::new(""),
        };
        let result = change("mkdir", at, || {
            rustix::fs::mkdir(path, Mode::from_raw_mode(mode))
        });
        match result {
            // Another process was faster.
            Err(error) if error.is(Errno::EXIST) => {}
            result => result?,
        }
        Dir::open(path)
    }

    /// Opens the directory called `name`, and makes it first if there is none, with `mode` less the
    /// process's umask. A link is refused with `ENOTDIR`.
    pub fn ensure_dir(&self, name: &OsStr, mode: u32) -> Result<Dir> {
        match self.open_dir(name) {
            Err(error) if error.is(Errno::NOENT) => {}
            result => return result,
        }
        match self.make_dir(name, mode) {
            // Another process was faster.
            Err(error) if error.is(Errno::EXIST) => {}
            result => result?,
        }
        self.open_dir(name)
    }

    /// Opens the directory called `name`, or returns nothing where there is no such entry.
    pub fn find_dir(&self, name: &OsStr) -> Result<Option<Dir>> {
        match self.open_dir(name) {
            Err(error) if error.is(Errno::NOENT) => Ok(None),
            result => result.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn missing_parents_are_made_and_what_is_there_is_opened() -> Result<()> {
        let home = tempfile::tempdir().expect("a temporary directory");
        let path = home.path().join("a/b/c");
        for _ in 0..2 {
            let dir = Dir::open_or_make(&path, 0o700)?;
            dir.ensure_dir(OsStr::new("d"), 0o700)?;
            assert!(dir.find_dir(OsStr::new("d"))?.is_some());
            assert!(dir.find_dir(OsStr::new("e"))?.is_none());
        }
        let made = path.parent().expect("it has one").metadata().expect("made");
        assert_eq!(made.permissions().mode() & 0o777, 0o700);
        Ok(())
    }

    #[test]
    fn a_link_or_a_file_in_the_way_is_refused() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let dir = Dir::open(home.path()).expect("it is there");
        std::os::unix::fs::symlink("/", home.path().join("link")).expect("made");
        std::fs::write(home.path().join("file"), "").expect("made");
        for name in ["link", "file"].map(OsStr::new) {
            let refused = dir.ensure_dir(name, 0o700).expect_err("no directory");
            assert!(refused.is(Errno::NOTDIR), "{refused:?}");
            assert!(dir.find_dir(name).is_err());
        }
    }
}
