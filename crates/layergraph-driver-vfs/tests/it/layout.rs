//! What is on disk.

use std::fs;
use std::path::Path;

use layergraph_driver::{Driver, DriverErrorKind, MountOptions};
use layergraph_driver_tests::check_opening_makes_nothing;
use layergraph_driver_vfs::VfsDriver;
use layergraph_fs::Durability;
use layergraph_tests::{Scratch, names};

use crate::support::{Result, Store, apply, id, layer, mode, options};

fn some_layer() -> Result<Vec<u8>> {
    layer(&[(0o755, "d/"), (0o640, "d/f = 1")])
}

#[test]
fn opening_makes_nothing() -> Result {
    check_opening_makes_nothing(VfsDriver::open_dyn)
}

/// Trees stand in `vfs/dir` and nothing else does, so that the original finds what it would have
/// made; only their owner gets there.
#[test]
fn trees_are_where_the_original_has_them() -> Result {
    for durability in [Durability::None, Durability::Full] {
        let store = Store::at(Scratch::new()?, durability)?;
        store.commit("a", None, &some_layer()?)?;
        store.commit("b", Some("a"), &layer(&[(0o600, "g = 2")])?)?;
        let staged = store.driver.stage(Some(&id("b")))?;
        apply(&some_layer()?, &*staged)?;
        let below = |path: &str| names(&store.root().join(path));
        assert_eq!(below("")?, ["vfs"]);
        assert_eq!(below("vfs/dir")?, ["a", "b"]);
        assert_eq!(below("vfs/dir/b")?, ["d", "g"]);
        store.driver.remove(&id("a"))?;
        assert_eq!(below("vfs")?, [".staging", ".trash", "dir"]);
        assert_eq!(below("vfs/dir")?, ["b"]);
        for path in ["vfs", "vfs/dir", "vfs/.staging", "vfs/.trash"] {
            assert_eq!(mode(&store.root().join(path))?, 0o700, "{path}");
        }
        assert_eq!(mode(&store.tree("b"))?, 0o755);
        drop(staged);
        for path in ["vfs/.staging", "vfs/.trash"] {
            assert!(below(path)?.is_empty(), "{path}");
        }
    }
    Ok(())
}

#[test]
fn a_layer_is_mounted_where_its_tree_is() -> Result {
    let store = Store::new()?;
    store.commit("a", None, &some_layer()?)?;
    let path = store.driver.mount(&id("a"), &MountOptions::default())?;
    assert_eq!(path, store.tree("a"));
    let at = MountOptions::at(Path::new("/mnt"));
    let refused = store
        .driver
        .mount(&id("a"), &at)
        .expect_err("it mounts nothing");
    assert_eq!(refused.kind(), DriverErrorKind::NotSupported);
    assert_eq!(refused.to_string(), "the driver vfs mounts nothing at /mnt");
    Ok(())
}

/// Callers change their directory while a store is open.
#[test]
fn the_path_of_a_mount_is_absolute_though_the_root_is_not() -> Result {
    let driver = VfsDriver::open(Path::new("no-such-root"), &options(Durability::None))?;
    let text = format!("{driver:?}");
    let here = std::env::current_dir()?.join("no-such-root/vfs");
    assert!(text.contains(&format!("{here:?}")), "{text}");
    Ok(())
}

/// What somebody else has put among the trees is no layer, and is not replaced.
#[test]
fn what_is_no_directory_is_no_layer_and_stays() -> Result {
    let store = Store::new()?;
    store.commit("a", None, &some_layer()?)?;
    fs::write(store.tree("stray"), "text")?;
    std::os::unix::fs::symlink("a", store.tree("link"))?;
    fs::create_dir(store.tree(".hidden"))?;
    assert_eq!(store.driver.list()?, [id("a")]);
    for name in ["stray", "link"] {
        assert!(!store.driver.exists(&id(name))?);
        let removed = store.driver.remove(&id(name)).expect_err("it is no layer");
        assert_eq!(removed.kind(), DriverErrorKind::NotFound);
        let staged = store.driver.stage(None)?;
        let refused = staged
            .commit(&id(name), None)
            .expect_err("it is in the way");
        assert_eq!(refused.kind(), DriverErrorKind::Damaged);
        let text = format!("what is in the place of layer {name} is no directory");
        assert_eq!(refused.to_string(), text);
    }
    assert_eq!(fs::read_to_string(store.tree("stray"))?, "text");
    assert!(store.tree("link").is_symlink());
    Ok(())
}
