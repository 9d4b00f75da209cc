//! Copies that share their blocks with the original, where the file system can do that.
//!
//! Each test has a small file system of its own, on a loop device.

use std::fs::{self, File};
use std::path::Path;

use layergraph_fs::{Dir, copy_tree};
use layergraph_tests::{Volume, noise, require};

use crate::processes::{require_settled, starting};
use crate::support::{Home, Result, assert_same, os, tree};

const CONTENT: usize = 16 << 20;

/// Makes a file system, and in it a tree with content that takes its space.
fn filled(make: &str) -> Result<Volume> {
    let volume = starting(|| Volume::new(make))?;
    let from = volume.path().join("from");
    fs::create_dir(&from)?;
    fs::write(from.join("f"), noise(CONTENT))?;
    fs::write(from.join("small"), "small")?;
    fs::write(from.join("empty"), "")?;
    File::create(from.join("sparse"))?.set_len(8 << 20)?;
    Ok(volume)
}

/// Copies the tree, and returns how much more is in use then.
fn copy(volume: &Volume, name: &str) -> Result<u64> {
    let before = volume.used()?;
    let dir = Dir::open(&volume.path())?;
    copy_tree(&dir, os("from"), &dir, os(name))?;
    let after = volume.used()?;
    check_same(&volume.path().join("from"), &volume.path().join(name))?;
    Ok(after.saturating_sub(before))
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
fn check_sharing(make: &str) -> Result {
    let volume = filled(make)?;
    let content = CONTENT as u64;
    let shared = copy(&volume, "shared")?;
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
    let whole = log.during(|| copy(volume, "whole"))?;
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
    require!(program "mkfs.xfs", "mount");
    require_settled!(loop_device);
    check_sharing("mkfs.xfs")
}

#[test]
fn a_copy_on_btrfs_shares_its_blocks() -> Result {
    require!(root);
    require!(program "mkfs.btrfs", "mount");
    require_settled!(loop_device);
    check_sharing("mkfs.btrfs")
}

/// Which way is left is found out once and not for each file.
#[test]
fn a_copy_between_file_systems_is_whole() -> Result {
    require!(root);
    require!(program "mkfs.xfs", "mount");
    require_settled!(loop_device);
    let volume = filled("mkfs.xfs")?;
    let home = Home::new()?;
    let (from, to) = (volume.path().join("from"), home.path("to"));
    let dir = Dir::open(&volume.path())?;
    copy_tree(&dir, os("from"), &home.dir, os("to"))?;
    check_same(&from, &to)?;
    // The hole has not become data.
    assert_eq!(
        std::os::unix::fs::MetadataExt::blocks(&fs::metadata(to.join("sparse"))?),
        0
    );
    copy_tree(&home.dir, os("to"), &dir, os("back"))?;
    check_same(&from, &volume.path().join("back"))
}
