//! The laws that every driver keeps.

use layergraph_driver::driver_conformance;
use layergraph_driver_vfs::VfsDriver;

driver_conformance!(
    vfs,
    VfsDriver::open_dyn,
    skipped = layergraph_tests::skip::record
);
