//! A temporary directory of a test's own that goes whatever the test has left in it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

/// A temporary directory, until it is dropped: then what is mounted in it is unmounted, and its
/// directories are removed whatever their modes, also after a panic.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// Makes one where temporary files are.
    ///
    /// # Errors
    ///
    /// What making it said.
    pub fn new() -> io::Result<Scratch> {
        TempDir::new().map(Scratch)
    }

    /// Makes one in memory, where many files and syncs cost little.
    ///
    /// # Errors
    ///
    /// What making it said.
    pub fn in_memory() -> io::Result<Scratch> {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            TempDir::new_in(memory).map(Scratch)
        } else {
            Scratch::new()
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for path in mounted_below(self.path()) {
            // Whether or not something in it is still open.
            let _ = unmount(&path, UnmountFlags::DETACH);
        }
        open_up(self.path());
    }
}

/// Lets the owner empty all directories, which an ordinary user may not do whatever their mode.
fn open_up(directory: &Path) {
    // What cannot be done here, removing the directory will not do either, which is seen.
    let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Returns what is mounted at or below a directory, in this mount namespace, the last one first.
#[must_use]
pub fn mounted_below(directory: &Path) -> Vec<PathBuf> {
    let list = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = list.lines().filter_map(|line| line.split(' ').nth(4));
    let mut found: Vec<PathBuf> = points
        .filter(|point| Path::new(point).starts_with(directory))
        .map(PathBuf::from)
        .collect();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::panic;

    use rustix::mount::mount_bind;

    use crate::{is_user, require, this_test};

    #[test]
    fn a_scratch_directory_goes_after_a_panic_with_what_is_mounted_in_it() -> io::Result<()> {
        require!(root);
        let kept = Scratch::new()?;
        fs::write(kept.path().join("file"), "")?;
        let path = panic::catch_unwind(|| {
            let scratch = Scratch::in_memory().expect("a directory");
            let point = scratch.path().join("point");
            fs::create_dir(&point).expect("it is new");
            mount_bind(kept.path(), &point).expect("it is root");
            assert_eq!(mounted_below(scratch.path()), [point]);
            panic::resume_unwind(Box::new(scratch.path().to_owned()));
        });
        let path = path.expect_err("it panics").downcast::<PathBuf>();
        let path = path.expect("the panic says where it was");
        assert!(!path.exists());
        assert!(mounted_below(&path).is_empty());
        assert!(kept.path().join("file").exists());
        Ok(())
    }

    #[test]
    fn a_scratch_directory_goes_by_a_user_who_may_not_write_to_what_is_in_it() -> io::Result<()> {
        require!(user);
        if is_user(&this_test!())? {
            let scratch = Scratch::new()?;
            let path = scratch.path().to_owned();
            fs::create_dir_all(path.join("a/b/c"))?;
            for directory in ["a/b", "a"] {
                fs::set_permissions(path.join(directory), fs::Permissions::from_mode(0o000))?;
            }
            drop(scratch);
            assert!(!path.exists());
        }
        Ok(())
    }
}
