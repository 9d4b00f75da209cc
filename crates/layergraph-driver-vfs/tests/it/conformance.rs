//! The laws that every driver keeps.

use std::path::Path;
use std::sync::Arc;

use layergraph_driver::conformance::AnewDriver;
use layergraph_driver::{Driver, DriverOptions, Result, driver_conformance};
use layergraph_driver_vfs::VfsDriver;

driver_conformance!(
    vfs,
    VfsDriver::open_dyn,
    skipped = layergraph_tests::skip::record
);

fn open_anew(root: &Path, options: &DriverOptions) -> Result<Arc<dyn Driver>> {
    let anew = AnewDriver::open(VfsDriver::open_dyn, root, options)?;
    Ok(Arc::new(anew))
}

driver_conformance!(anew, open_anew, skipped = layergraph_tests::skip::record);
