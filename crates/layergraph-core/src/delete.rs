//! Nodes that go.

use std::ffi::OsStr;

use layergraph_driver::{DriverErrorKind, LayerId};
use layergraph_fs::{Durability, FileKind, RenameMode, Staging};

use crate::error::Attempted;
use crate::graph::{Graph, in_parallel};
use crate::lock::lock;
use crate::{GraphError, GraphErrorKind, Result, files};

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

        let bin = self.throw_away(&id)?.discard().attempted(deleted);
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
        let leftover = bin.and(tree).err();
        Ok(Deleted { id, leftover })
    }

    /// Moves the directory of a node to where nobody finds it; after an error it is where it was.
    fn throw_away(&self, id: &str) -> Result<Staging> {
        let deleted = || format!("cannot delete image {id}");
        let (name, node) = (OsStr::new(id), OsStr::new("node"));
        let bin = Staging::new(&self.staging()?).attempted(deleted)?;
        let mode = RenameMode::NoReplace;
        let moved = self.dir.rename(name, bin.dir(), node, mode);
        moved.attempted(deleted)?;
        if self.options.durability == Durability::Full
            && let Err(error) = self.dir.sync()
        {
            // Only one error can be told, and the first one is the reason.
            let _ = bin.dir().rename(node, &self.dir, name, mode);
            return Err(error).attempted(deleted);
        }
        Ok(bin)
    }

    /// Finds a node that builds on the one of this whole name, also one that is broken otherwise.
    fn child(&self, id: &str) -> Result<Option<String>> {
        let builds_on_it = |name: &str| -> Result<bool> {
            let dir = self.node_dir(name)?;
            let parent = files::read_parent(&dir)
                .or_else(|error| Err(self.unless_it_went(&dir, name, error)?))?;
            // A parent may be written down as a prefix of its id.
            Ok(parent == id
                || (!parent.is_empty()
                    && id.starts_with(&parent)
                    && self.resolve(&parent).is_ok_and(|found| found == id)))
        };
        let mut names = self.names()?;
        names.retain(|name| name != id);
        for (name, builds) in in_parallel(names, builds_on_it) {
            match builds {
                Ok(true) => return Ok(Some(name)),
                Ok(false) => {}
                // It names no parent, or went.
                Err(error) if error.means_absent() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
