//! A file system of a test's own, on a loop device.

use std::fs::{self, File};
use std::io;
use std::iter;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{statvfs, syncfs};
use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

use crate::process::run;

/// More than making a file system takes.
const AMPLE: Duration = Duration::from_secs(120);

/// A mounted file system, until it is dropped.
///
/// It takes root, a loop device, mount(8), and the program that makes the file system.
#[derive(Debug)]
pub struct Volume {
    home: TempDir,
}

impl Volume {
    /// Makes a file system with a program such as `mkfs.xfs`, and mounts it.
    ///
    /// # Errors
    ///
    /// What the programs said.
    pub fn new(make: &str) -> io::Result<Volume> {
        // As small as the programs let it be.
        Volume::with_size(make, 512 << 20)
    }

    /// Makes a file system of this many bytes, which takes only the space that is written.
    ///
    /// # Errors
    ///
    /// What the programs said.
    pub fn with_size(make: &str, bytes: u64) -> io::Result<Volume> {
        let home = tempfile::tempdir()?;
        let image = home.path().join("image");
        File::create(&image)?.set_len(bytes)?;
        succeed(Command::new(make).arg("-q").arg(&image))?;
        let volume = Volume { home };
        fs::create_dir(volume.path())?;
        let mut mount = Command::new("mount");
        succeed(mount.args(["-o", "loop"]).arg(&image).arg(volume.path()))?;
        Ok(volume)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.home.path().join("mounted")
    }

    /// Bytes in use, once everything is written.
    ///
    /// # Errors
    ///
    /// What syncfs(2) or statvfs(3) said.
    pub fn used(&self) -> io::Result<u64> {
        syncfs(File::open(self.path())?)?;
        let stat = statvfs(self.path())?;
        Ok((stat.f_blocks - stat.f_bfree) * stat.f_frsize)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Whether or not something in it is still open. One that was not mounted is not unmounted.
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let output = run(command.stdin(Stdio::null()), AMPLE)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let message = format!("{command:?}: {}\n{said}", output.status);
    Err(io::Error::other(message))
}

/// Content that no file system makes smaller.
#[must_use]
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    iter::repeat_with(next).take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::require;

    #[test]
    fn a_volume_counts_what_is_written_to_it_and_is_gone_when_it_is_dropped() -> io::Result<()> {
        require!(root);
        require!(program "mkfs.ext4", "mount");
        require!(loop_device);
        let volume = Volume::new("mkfs.ext4")?;
        let path = volume.path();
        let before = volume.used()?;
        let file = File::create(path.join("f"))?;
        fs::write(path.join("f"), noise(1 << 20))?;
        let more = volume.used()? - before;
        assert!((1 << 20..2 << 20).contains(&more), "{more}");
        drop(volume);
        assert!(!path.exists());
        assert_eq!(file.metadata()?.len(), 1 << 20);
        Ok(())
    }

    #[test]
    fn a_program_that_fails_makes_no_volume() {
        let error = Volume::new("false").expect_err("it makes nothing");
        assert!(error.to_string().contains("false"), "{error}");
    }
}
