//! The directory in which the kernel works on a mount that may be changed.

use std::ffi::OsStr;

use layergraph_driver::{Attempted, DriverError, DriverErrorKind, Result};
use layergraph_fs::{Dir, remove_tree};

use crate::layer::Layer;

/// Its name, in the layer's directory.
const WORK: &str = "work";

/// Makes the workdir anew. What the kernel has left in one is of no use to the next mount.
pub(crate) fn fresh_work(layer: &Layer) -> Result<Dir> {
    let name = OsStr::new(WORK);
    let made = || format!("cannot make the workdir of layer {}", layer.id);
    if layer.dir.find_dir(name).attempted(made)?.is_some() {
        remove_tree(&layer.dir, name).attempted(made)?;
    }
    layer.dir.make_dir(name, 0o700).attempted(made)?;
    layer.dir.open_dir(name).attempted(made)
}

/// Checks that the layer was not mounted as volatile, unless somebody has removed the workdir
/// since.
pub(crate) fn check_not_volatile(layer: &Layer) -> Result<()> {
    let id = &layer.id;
    let looked = || format!("cannot look at the workdir of layer {id}");
    let work = layer.dir.find_dir(OsStr::new(WORK)).attempted(looked)?;
    let is_volatile = work.map_or(Ok(false), |work| was_volatile(&work));
    if !is_volatile.attempted(looked)? {
        return Ok(());
    }
    let path = layer.dir.path().join(WORK);
    let text = format!(
        "layer {id} was last mounted as volatile, so what was written to it may be lost in part; \
         remove {} to accept what is there",
        path.display()
    );
    Err(DriverError::new(DriverErrorKind::Damaged, text))
}

/// Tells whether the kernel has marked a workdir as one of a volatile mount: no other mount takes
/// it (kernel documentation, *Overlay Filesystem*, *Volatile mount*).
fn was_volatile(work: &Dir) -> layergraph_fs::Result<bool> {
    let mut dir = work.try_clone()?;
    for name in ["work", "incompat", "volatile"] {
        match dir.find_dir(OsStr::new(name))? {
            Some(below) => dir = below,
            None => return Ok(false),
        }
    }
    Ok(true)
}
