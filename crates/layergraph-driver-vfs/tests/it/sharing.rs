//! Layers that share the content of their files, where the file system can do that.
//!
//! Each test has a small file system of its own, on a loop device.

use std::path::Path;

use layergraph_driver::Driver;
use layergraph_driver_vfs::VfsDriver;
use layergraph_fs::Durability;
use layergraph_tests::{Volume, noise, require};

use crate::support::{Result, id, layer, listing_of, options};

const CONTENT: usize = 16 << 20;

/// A child costs metadata only, and what is changed in it does not reach its parent.
fn check_sharing(make: &str) -> Result {
    let volume = Volume::new(make)?;
    let driver = VfsDriver::open(&volume.path(), &options(Durability::Full))?;
    let staged = driver.stage(None)?;
    staged
        .dir()
        .create_file("f".as_ref(), 0o644)?
        .write_all(&noise(CONTENT))?;
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
    crate::support::apply(&changed, &*staged)?;
    staged.commit(&id("d"), Some(&id("c")))?;
    driver.remove(&id("c"))?;
    assert_eq!(listing_of(base)?, before);
    Ok(())
}

#[test]
fn layers_share_content_on_xfs() -> Result {
    require!(loop_device);
    require!(root);
    require!(program "mkfs.xfs", "mount");
    check_sharing("mkfs.xfs")
}

#[test]
fn layers_share_content_on_btrfs() -> Result {
    require!(loop_device);
    require!(root);
    require!(program "mkfs.btrfs", "mount");
    check_sharing("mkfs.btrfs")
}
