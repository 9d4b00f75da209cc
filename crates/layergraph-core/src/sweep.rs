//! What is left of processes that were killed.
//!
//! A node that is being made or removed has its directory in the staging directory all the while
//! that its tree may be there alone, under a name or with a JSON that tells its id. So whoever
//! sweeps such a directory knows which tree went with it, and that it was made here: others, such
//! as those of the original's containers, have no node either and stay.

use std::ffi::OsStr;

use layergraph_driver::LayerId;
use layergraph_fs::{Dir, is_temporary_name, sweep};
use layergraph_image::NodeId;
use layergraph_image::v1::Image;

use crate::error::{Attempted, of_store};
use crate::graph::{Graph, STAGING};
use crate::{Result, files, lock};

impl Graph {
    /// Removes what processes that are gone left half made or half removed, and returns how many
    /// such things there were.
    ///
    /// # Errors
    ///
    /// The first one, after all else is swept.
    pub fn sweep(&self) -> Result<usize> {
        let parts = [
            self.driver
                .sweep()
                .attempted(|| "cannot sweep the layers".to_owned()),
            sweep(&self.root).attempted(|| cannot_sweep(&self.root)),
            self.sweep_staging(),
        ];
        // All have been done when the first error is told.
        parts.into_iter().sum()
    }

    fn sweep_staging(&self) -> Result<usize> {
        let staging = self.dir.find_dir(OsStr::new(STAGING));
        let Some(staging) = staging.map_err(|error| of_store(cannot_sweep(&self.dir), error))?
        else {
            return Ok(0);
        };
        let failed = || cannot_sweep(&staging);
        let mut halves = Vec::new();
        for entry in staging.entries().attempted(failed)? {
            if is_temporary_name(&entry.name) {
                halves.extend(halved_in(&staging, &entry.name).map(|id| (entry.name, id)));
            }
        }
        let mut swept = sweep(&staging).attempted(failed)?;
        for (name, id) in halves {
            // What is there still has somebody who works on it.
            if staging.find(&name).attempted(failed)?.is_none() {
                swept += usize::from(self.sweep_tree(&id)?);
            }
        }
        Ok(swept)
    }

    /// Removes the tree of a node that is not there, unless somebody is about to make it one or
    /// layers above need it.
    fn sweep_tree(&self, id: &NodeId) -> Result<bool> {
        let layer = LayerId::from(*id);
        let Some(_locks) = lock::try_lock(&self.root, layer.as_str())? else {
            return Ok(false);
        };
        let swept = || format!("cannot sweep the tree of image {id}");
        let is_node = self.dir.find(layer.as_name()).attempted(swept)?.is_some();
        if is_node || !self.driver.exists(&layer).attempted(swept)? {
            return Ok(false);
        }
        if self.driver.capabilities().independent
            && self.child_of(layer.as_str(), |_| true)?.is_some()
        {
            return Ok(false);
        }
        self.driver.remove(&layer).attempted(swept)?;
        Ok(true)
    }
}

fn cannot_sweep(dir: &Dir) -> String {
    format!("cannot sweep {}", dir.path().display())
}

/// Returns the id of the node that is being made or removed in a directory, if one is.
fn halved_in(staging: &Dir, name: &OsStr) -> Option<NodeId> {
    // Whatever cannot be read, or went meanwhile, tells no id.
    let dir = staging.open_dir(name).ok()?;
    let entries = dir.entries().ok()?;
    entries
        .iter()
        .find_map(|entry| NodeId::parse(entry.name.as_encoded_bytes()).ok())
        .or_else(|| {
            let json = files::read_json(&dir).ok()?;
            Image::decode_first(&json).ok()?.node_id().ok()
        })
}
