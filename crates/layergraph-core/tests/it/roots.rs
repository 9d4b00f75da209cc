//! The root of a store.

use std::error::Error;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use layergraph_core::{Graph, GraphError, GraphErrorKind, GraphOptions};
use layergraph_driver::DriverOptions;
use layergraph_driver_vfs::VfsDriver;

use crate::support::Result;

#[test]
fn r5_a_store_that_lets_others_in_is_closed_and_no_other_directory() -> Result {
    let home = tempfile::tempdir()?;
    let mode = |path: &Path| fs::metadata(path).map(|metadata| metadata.mode() & 0o777);
    let widen = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    let open = |root: &Path| {
        let driver = VfsDriver::open_dyn(root, &DriverOptions::default())?;
        Ok::<_, Box<dyn Error>>(Graph::open(root, driver, &GraphOptions::default())?)
    };

    let store = home.path().join("store");
    fs::create_dir(&store)?;
    for _ in 0..2 {
        // An empty directory first, then a store.
        widen(&store)?;
        open(&store)?;
        assert_eq!(mode(&store)?, 0o700);
    }

    let other = home.path().join("other");
    fs::create_dir(&other)?;
    fs::write(other.join("file"), "")?;
    widen(&other)?;
    let refused = open(&other).expect_err("it holds other things");
    let refused: &GraphError = refused.downcast_ref().expect("the graph refuses it");
    assert_eq!(refused.kind(), GraphErrorKind::NotSupported);
    assert_eq!(mode(&other)?, 0o755);
    assert_eq!(fs::read_dir(&other)?.count(), 1);
    Ok(())
}
