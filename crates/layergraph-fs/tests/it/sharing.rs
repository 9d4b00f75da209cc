//! Copies that share their blocks with the original, where the file system can do that.
//!
//! Each test has a small file system of its own, on a loop device.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use layergraph_fs::{Dir, copy_tree};
use layergraph_tests::{need, require};
use rustix::fs::{statvfs, syncfs};

use crate::processes::{starting, succeed};
use crate::support::{Home, Result, assert_same, os, tree};

const CONTENT: usize = 16 << 20;

/// A mounted file system, until it is dropped.
struct Volume {
    home: Home,
    dir: Dir,
}

impl Volume {
    fn new(make: &[&str]) -> Result<Volume> {
        let home = Home::new()?;
        // As small as the programs let it be; it takes only the space that is written.
        File::create(home.path("image"))?.set_len(512 << 20)?;
        let mut command = Command::new(make[0]);
        succeed(command.args(&make[1..]).arg(home.path("image")))?;
        fs::create_dir(home.path("mounted"))?;
        let mut command = Command::new("mount");
        let command = command.args(["-o", "loop"]).arg(home.path("image"));
        succeed(command.arg(home.path("mounted")))?;
        // From here on it is unmounted by the drop.
        let dir = Dir::open(&home.path("mounted"))?;
        Ok(Volume { home, dir })
    }

    fn path(&self) -> std::path::PathBuf {
        self.home.path("mounted")
    }

    /// Bytes in use, once everything is written.
    fn used(&self) -> Result<u64> {
        syncfs(&self.dir)?;
        let stat = statvfs(self.path())?;
        Ok((stat.f_blocks - stat.f_bfree) * stat.f_frsize)
    }

    /// Makes a tree with content that no file system makes smaller.
    fn fill(&self) -> Result {
        fs::create_dir(self.path().join("from"))?;
        let mut state = 1u64;
        let content: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(CONTENT)
        .collect();
        fs::write(self.path().join("from/f"), content)?;
        fs::write(self.path().join("from/small"), "small")?;
        fs::write(self.path().join("from/empty"), "")?;
        let sparse = File::create(self.path().join("from/sparse"))?;
        Ok(sparse.set_len(8 << 20)?)
    }

    /// Copies the tree, and returns how much more is in use then.
    fn copy(&self, name: &str) -> Result<u64> {
        let before = self.used()?;
        copy_tree(&self.dir, os("from"), &self.dir, os(name))?;
        let after = self.used()?;
        check_same(&self.path().join("from"), &self.path().join(name))?;
        Ok(after.saturating_sub(before))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily, because `dir` is still open.
        let mut command = Command::new("umount");
        let _ = succeed(command.arg("--lazy").arg(self.path()));
    }
}

fn check_same(from: &Path, to: &Path) -> Result {
    let without_access = |top| -> Result<_> {
        let mut tree = tree(top)?;
        for object in tree.values_mut() {
            object.accessed = (0, 0);
        }
        Ok(tree)
    };
    assert_same(&without_access(from)?, &without_access(to)?, "the copy");
    Ok(())
}

/// Copies with sharing and without, and compares what each takes.
fn check_sharing(make: &[&str]) -> Result {
    let volume = Volume::new(make)?;
    volume.fill()?;
    let content = CONTENT as u64;
    let shared = volume.copy("shared")?;
    assert!(shared < content / 4, "a copy took {shared} bytes");
    // A change of the copy is none of the original.
    let original = fs::read(volume.path().join("from/f"))?;
    fs::write(volume.path().join("shared/f"), "changed")?;
    assert!(fs::read(volume.path().join("from/f"))? == original);
    check_without_sharing(&volume)
}

/// That the measure can tell the difference.
#[cfg(feature = "faults")]
fn check_without_sharing(volume: &Volume) -> Result {
    let log = layergraph_fs::faults::FaultLog::new();
    log.lack("ioctl_ficlone");
    log.lack("copy_file_range");
    let whole = log.during(|| volume.copy("whole"))?;
    assert!(
        whole >= CONTENT as u64,
        "a copy without sharing took {whole} bytes"
    );
    Ok(())
}

#[cfg(not(feature = "faults"))]
#[expect(clippy::unnecessary_wraps)]
fn check_without_sharing(_: &Volume) -> Result {
    Ok(())
}

#[test]
fn a_copy_on_xfs_shares_its_blocks() -> Result {
    require!(root);
    require!(program "mkfs.xfs", "mount", "umount");
    let _ = starting(need::loop_device);
    require!(loop_device);
    check_sharing(&["mkfs.xfs", "-q"])
}

#[test]
fn a_copy_on_btrfs_shares_its_blocks() -> Result {
    require!(root);
    require!(program "mkfs.btrfs", "mount", "umount");
    let _ = starting(need::loop_device);
    require!(loop_device);
    check_sharing(&["mkfs.btrfs", "-q"])
}

/// Which way is left is found out once and not for each file.
#[test]
fn a_copy_between_file_systems_is_whole() -> Result {
    require!(root);
    require!(program "mkfs.xfs", "mount", "umount");
    let _ = starting(need::loop_device);
    require!(loop_device);
    let volume = Volume::new(&["mkfs.xfs", "-q"])?;
    volume.fill()?;
    let home = Home::new()?;
    let (from, to) = (volume.path().join("from"), home.path("to"));
    copy_tree(&volume.dir, os("from"), &home.dir, os("to"))?;
    check_same(&from, &to)?;
    // The hole has not become data.
    assert_eq!(
        std::os::unix::fs::MetadataExt::blocks(&fs::metadata(to.join("sparse"))?),
        0
    );
    copy_tree(&home.dir, os("to"), &volume.dir, os("back"))?;
    check_same(&from, &volume.path().join("back"))
}
