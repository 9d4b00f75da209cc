//! What is left of processes that were killed.
//!
//! A node that is being made or removed has its directory in the staging directory all the while
//! that its tree may be there alone, under a name or with a JSON that tells its id. So whoever
//! sweeps such a directory knows which tree went with it, and that it was made here: others, such
//! as those of the original's containers, have no node either and stay.
//!
//! A tree that outlives its node, because layers above or a mount need it, has an empty directory
//! `needed-<id>` there, until nothing needs it and it is removed.

use std::ffi::{OsStr, OsString};

use layergraph_driver::{DriverErrorKind, LayerId};
use layergraph_fs::{Dir, Durability, is_temporary_name, sweep};
use layergraph_image::NodeId;
use layergraph_image::v1::Image;

use crate::error::{Attempted, of_store};
use crate::graph::{Graph, STAGING};
use crate::{Result, files, lock};

/// Begins the names of the notes on trees that are needed.
const NEEDED: &str = "needed-";

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
        // Before what tells of the tree is swept.
        for (_, id) in &halves {
            if self.is_tree_needed(id)? {
                self.note_needed(&staging, &LayerId::from(*id))?;
            }
        }
        let mut swept = sweep(&staging).attempted(failed)?;
        for (name, id) in halves {
            // What is there still has somebody who works on it.
            if staging.find(&name).attempted(failed)?.is_none() {
                swept += usize::from(self.sweep_tree(&id)? == Tree::Removed);
            }
        }
        Ok(swept + self.sweep_needed()?)
    }

    /// Notes that a tree is to go as soon as nothing needs it.
    pub(crate) fn note_needed(&self, staging: &Dir, id: &LayerId) -> Result<()> {
        let noted = || format!("cannot note that the tree of image {id} is to go later");
        staging.ensure_dir(&note_of(id), 0o700).attempted(noted)?;
        match self.options.durability {
            Durability::Full => staging.sync().attempted(noted),
            Durability::None => Ok(()),
        }
    }

    /// Removes the trees without node that nothing needs any more, and returns how many there were.
    pub(crate) fn sweep_needed(&self) -> Result<usize> {
        let staging = self.dir.find_dir(OsStr::new(STAGING));
        let Some(staging) = staging.map_err(|error| of_store(cannot_sweep(&self.dir), error))?
        else {
            return Ok(0);
        };
        let failed = || cannot_sweep(&staging);
        let mut swept = 0;
        loop {
            let before = swept;
            for entry in staging.entries().attempted(failed)? {
                let Some(id) = noted_by(&entry.name) else {
                    continue;
                };
                // Without a lock, which a store that is only to be read has none of.
                if self.is_tree_needed(&id)? {
                    continue;
                }
                let tree = self.sweep_tree(&id)?;
                swept += usize::from(tree == Tree::Removed);
                if tree != Tree::Stays {
                    forget_needed(&staging, &LayerId::from(id)).attempted(failed)?;
                }
            }
            // What went may have been the last to need another.
            if swept == before {
                return Ok(swept);
            }
        }
    }

    /// Removes the tree of a node that is not there, unless somebody is about to make it one or
    /// something needs it.
    fn sweep_tree(&self, id: &NodeId) -> Result<Tree> {
        let layer = LayerId::from(*id);
        let Some(_locks) = lock::try_lock(&self.root, layer.as_str())? else {
            return Ok(Tree::Stays);
        };
        let swept = || cannot_sweep_tree(id);
        let is_node = self.dir.find(layer.as_name()).attempted(swept)?.is_some();
        if is_node || !self.driver.exists(&layer).attempted(swept)? {
            return Ok(Tree::IsNone);
        }
        if self.is_tree_needed(id)? {
            return Ok(Tree::Stays);
        }
        self.driver.remove(&layer).attempted(swept)?;
        Ok(Tree::Removed)
    }

    /// Tells whether layers above or a mount need the tree of a node that is not there.
    fn is_tree_needed(&self, id: &NodeId) -> Result<bool> {
        let layer = LayerId::from(*id);
        match self.driver.check_unused(&layer) {
            Err(error) if error.kind() == DriverErrorKind::InUse => Ok(true),
            Err(error) if error.kind() == DriverErrorKind::NotFound => Ok(false),
            result => result.attempted(|| cannot_sweep_tree(id)).map(|()| false),
        }
    }
}

/// What a sweep has made of the tree of a node that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tree {
    Removed,
    /// Something needs it, or somebody works on it.
    Stays,
    /// It is not there, or there is a node.
    IsNone,
}

/// Takes back what was noted of a tree.
pub(crate) fn forget_needed(staging: &Dir, id: &LayerId) -> layergraph_fs::Result<()> {
    match staging.remove_dir(&note_of(id)) {
        // Somebody else was faster.
        Err(error) if error.leads_nowhere() => Ok(()),
        result => result,
    }
}

fn note_of(id: &LayerId) -> OsString {
    format!("{NEEDED}{id}").into()
}

fn noted_by(name: &OsStr) -> Option<NodeId> {
    let id = name.as_encoded_bytes().strip_prefix(NEEDED.as_bytes())?;
    NodeId::parse(id).ok()
}

fn cannot_sweep_tree(id: &NodeId) -> String {
    format!("cannot sweep the tree of image {id}")
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
