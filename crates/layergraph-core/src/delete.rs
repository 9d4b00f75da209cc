//! Nodes that go.

use std::ffi::OsStr;

use layergraph_driver::{DriverErrorKind, LayerId};
use layergraph_fs::{Durability, FileKind, RenameMode, Staging};

use crate::error::Attempted;
use crate::graph::Graph;
use crate::index::names_in;
use crate::lock::lock;
use crate::{GraphError, GraphErrorKind, Result};

/// How a node is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeleteOptions {
    /// Deletes a node that others build on, too. They stay, as orphans.
    pub force: bool,
}

/// What was deleted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Deleted {
    /// The name of the node.
    pub id: String,
    /// Why files of it are left, if some are. It is gone all the same.
    pub leftover: Option<GraphError>,
}

impl Graph {
    /// Deletes the node whose name is, or alone begins with, `name`; also one that cannot be read.
    ///
    /// # Errors
    ///
    /// [`NotFound`](GraphErrorKind::NotFound), [`Ambiguous`](GraphErrorKind::Ambiguous),
    /// [`InUse`](GraphErrorKind::InUse) if others build on it and it is not
    /// [forced](DeleteOptions::force). After an error the node is as it was.
    pub fn delete(&self, name: &str, options: DeleteOptions) -> Result<Deleted> {
        let id = self.resolve(name)?;
        let layer: LayerId = id
            .parse()
            .map_err(|error: layergraph_driver::InvalidLayerId| {
                GraphError::new(GraphErrorKind::InvalidId, error.to_string())
            })?;
        let _locks = lock(&self.root, &id, None)?;
        let deleted = || format!("cannot delete image {id}");
        let found = self.dir.find(OsStr::new(&id)).attempted(deleted)?;
        if found.is_none_or(|metadata| metadata.kind != FileKind::Directory) {
            return Err(GraphError::no_such(name));
        }
        let has_children = match self.child(&id) {
            Ok(None) => false,
            // What could not be looked at may be one.
            Ok(Some(_)) | Err(_) if options.force => true,
            Ok(Some(child)) => {
                let text = format!("image {id} has children, one of them {child}");
                return Err(GraphError::new(GraphErrorKind::InUse, text));
            }
            Err(error) => return Err(error),
        };

        let bin = self.throw_away(&id)?;
        // The layers above need the tree of one that holds only what it changed.
        let tree = if has_children && self.driver.capabilities().independent {
            Ok(())
        } else {
            match self.driver.remove(&layer) {
                // There was a node without a tree.
                Err(error) if error.kind() == DriverErrorKind::NotFound => Ok(()),
                result => result.attempted(deleted),
            }
        };
        // Last, because it tells a sweep whose tree is left.
        let bin = bin.discard().attempted(deleted);
        let leftover = tree.and(bin).err();
        Ok(Deleted { id, leftover })
    }

    /// Moves the directory of a node to where nobody finds it; after an error it is where it was.
    pub(crate) fn throw_away(&self, id: &str) -> Result<Staging> {
        let deleted = || format!("cannot delete image {id}");
        let name = OsStr::new(id);
        let bin = Staging::new(&self.staging()?).attempted(deleted)?;
        let mode = RenameMode::NoReplace;
        let moved = self.dir.rename(name, bin.dir(), name, mode);
        moved.attempted(deleted)?;
        if self.options.durability == Durability::Full
            && let Err(error) = self.dir.sync()
        {
            // Only one error can be told, and the first one is the reason.
            let _ = bin.dir().rename(name, &self.dir, name, mode);
            return Err(error).attempted(deleted);
        }
        Ok(bin)
    }

    /// Finds a node that builds on the one of this whole name, also one that is broken otherwise.
    pub(crate) fn child(&self, id: &str) -> Result<Option<String>> {
        for name in names_in(&self.dir)? {
            if name == id || !self.is_node_name(&name)? {
                continue;
            }
            match self.parents.of(&self.dir, &name) {
                Ok(None) => {}
                Ok(Some(parent)) => {
                    if parent == id || self.stands_for(&parent, id)? {
                        return Ok(Some(name));
                    }
                }
                // It names no parent, or went.
                Err(error) if error.means_absent() => {}
                Err(error) => {
                    let text = format!("cannot tell whether image {name} builds on image {id}");
                    return Err(GraphError::new(error.kind(), text).because(error));
                }
            }
        }
        Ok(None)
    }

    /// Tells whether a parent is written down as a prefix of a node's id.
    fn stands_for(&self, parent: &str, id: &str) -> Result<bool> {
        if !id.starts_with(parent) {
            return Ok(false);
        }
        match self.parent_name(parent) {
            Ok(found) => Ok(found == id),
            Err(error) if error.means_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells whether a name in the graph's directory is that of a node, whole or broken.
    fn is_node_name(&self, name: &str) -> Result<bool> {
        match name.parse::<LayerId>() {
            Ok(layer) => self.is_present(&layer),
            Err(_) => Ok(false),
        }
    }
}
