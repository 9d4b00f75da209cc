//! Layers that share the content of their files, where the file system can do that.
//!
//! Each test has a small file system of its own, on a loop device.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use layergraph_driver::Driver;
use layergraph_driver_vfs::VfsDriver;
use layergraph_fs::Durability;
use layergraph_tests::{require, run};
use rustix::fs::{statvfs, syncfs};
use tempfile::TempDir;

use crate::support::{Result, id, layer, listing_of, options};

const CONTENT: usize = 16 << 20;

fn succeed(command: &mut Command) -> Result {
    let output = run(command, Duration::from_secs(120))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}\n{said}", output.status).into())
}

/// A mounted file system, until it is dropped.
struct Volume {
    home: TempDir,
}

impl Volume {
    fn new(make: &str) -> Result<Volume> {
        let home = tempfile::tempdir()?;
        let image = home.path().join("image");
        // As small as the programs let it be; it takes only the space that is written.
        File::create(&image)?.set_len(512 << 20)?;
        succeed(Command::new(make).arg("-q").arg(&image))?;
        fs::create_dir(home.path().join("mounted"))?;
        let volume = Volume { home };
        let mut mount = Command::new("mount");
        succeed(mount.args(["-o", "loop"]).arg(&image).arg(volume.path()))?;
        Ok(volume)
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("mounted")
    }

    /// Bytes in use, once everything is written.
    fn used(&self) -> Result<u64> {
        syncfs(File::open(self.path())?)?;
        let stat = statvfs(self.path())?;
        Ok((stat.f_blocks - stat.f_bfree) * stat.f_frsize)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // One that was not mounted cannot be unmounted.
        let _ = Command::new("umount").arg(self.path()).output();
    }
}

/// Content that no file system makes smaller.
fn noise() -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(CONTENT).collect()
}

/// A child costs metadata only, and what is changed in it does not reach its parent.
fn check_sharing(make: &str) -> Result {
    let volume = Volume::new(make)?;
    let driver = VfsDriver::open(&volume.path(), &options(Durability::Full))?;
    let staged = driver.stage(None)?;
    staged
        .dir()
        .create_file("f".as_ref(), 0o644)?
        .write_all(&noise())?;
    staged.commit(&id("base"), None)?;
    let tree = |name: &str| volume.path().join("vfs/dir").join(name);
    let before = listing_of(&tree("base"))?;
    let used = volume.used()?;
    for (child, parent) in [("a", "base"), ("b", "a"), ("c", "b")] {
        driver
            .stage(Some(&id(parent)))?
            .commit(&id(child), Some(&id(parent)))?;
        assert_eq!(listing_of(&tree(child))?, before);
    }
    let more = volume.used()?.saturating_sub(used);
    assert!(
        more < CONTENT as u64 / 4,
        "three children took {more} bytes"
    );
    check_parted(&driver, &tree("base"), &before)
}

fn check_parted(driver: &VfsDriver, base: &Path, before: &[String]) -> Result {
    let staged = driver.stage(Some(&id("c")))?;
    let changed = layer(&[(0o600, "f = of the child")])?;
    crate::support::apply(&changed, staged.dir())?;
    staged.commit(&id("d"), Some(&id("c")))?;
    driver.remove(&id("c"))?;
    assert_eq!(listing_of(base)?, before);
    Ok(())
}

#[test]
fn layers_share_content_on_xfs() -> Result {
    require!(loop_device);
    require!(root);
    require!(program "mkfs.xfs", "mount", "umount");
    check_sharing("mkfs.xfs")
}

#[test]
fn layers_share_content_on_btrfs() -> Result {
    require!(loop_device);
    require!(root);
    require!(program "mkfs.btrfs", "mount", "umount");
    check_sharing("mkfs.btrfs")
}
