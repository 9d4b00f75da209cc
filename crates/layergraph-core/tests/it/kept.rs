//! The driver that the tests here run with, vfs, and what they know of its directory.
//!
//! The tests in `tests/overlay` are the same ones with another driver, and have a file like this.

use std::path::{Path, PathBuf};

use layergraph_driver::OpenDriver;
use layergraph_driver_vfs::VfsDriver;

use crate::support::Contents;

/// The name of the driver, and of its directory.
pub(crate) const NAME: &str = "vfs";
pub(crate) const OPEN: OpenDriver = VfsDriver::open_dyn;
/// Whether a layer holds the changes alone, so that those above it need it.
pub(crate) const INDEPENDENT: bool = false;

/// What a store has as soon as anything was done in it.
pub(crate) const FURNITURE: &[&str] = &["vfs", "vfs/.staging", "vfs/.trash", "vfs/dir"];

/// What the original wrote and answered with this driver, seen from `tests/data/graph`.
pub(crate) fn recorded() -> PathBuf {
    "vfs".into()
}

/// Everything of a layer.
pub(crate) fn layer(root: &Path, id: &str) -> PathBuf {
    root.join("vfs/dir").join(id)
}

/// The files of a layer, and here all that are below it too.
pub(crate) fn files(root: &Path, id: &str) -> PathBuf {
    layer(root, id)
}

/// Where a layer is mounted if nobody says where.
pub(crate) fn mounted(root: &Path, id: &str) -> PathBuf {
    layer(root, id)
}

/// Says what is missing to mount a layer: nothing, for its tree is only shown.
pub(crate) const CAN_MOUNT: fn() -> Result<(), String> = || Ok(());

/// Makes the contents of two stores the same in which the same was done.
pub(crate) fn settle(_root: &Path, _contents: &mut Contents) {}
