//! Nodes that go.

use std::ffi::OsStr;

use layergraph_driver::LayerId;
use layergraph_fs::{FileKind, RenameMode, Staging};

use crate::error::Attempted;
use crate::graph::{Graph, STAGING};
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
            let text = format!("no such id: {name}");
            return Err(GraphError::new(GraphErrorKind::NotFound, text));
        }
        let children = self.children(&id)?;
        if !options.force
            && let Some(child) = children.first()
        {
            let text = format!("image {id} has children, one of them {child}");
            return Err(GraphError::new(GraphErrorKind::InUse, text));
        }

        let staging = self.dir.ensure_dir(OsStr::new(STAGING), 0o700);
        let bin = Staging::new(&staging.attempted(deleted)?).attempted(deleted)?;
        let moved = self.dir.rename(
            OsStr::new(&id),
            bin.dir(),
            OsStr::new("node"),
            RenameMode::NoReplace,
        );
        moved.attempted(deleted)?;
        if self.options.durability == layergraph_fs::Durability::Full {
            self.dir.sync().attempted(deleted)?;
        }
        let bin = bin.discard().attempted(deleted);
        // The layers above need the tree of one that holds only what it changed.
        let tree = if children.is_empty() || !self.driver.capabilities().independent {
            self.driver.remove(&layer).attempted(deleted)
        } else {
            Ok(())
        };
        let leftover = bin.and(tree).err();
        Ok(Deleted { id, leftover })
    }

    /// Returns the nodes that build on the one of this whole name.
    fn children(&self, id: &str) -> Result<Vec<String>> {
        let nodes = self.map()?.by_id;
        let mut children = Vec::new();
        for node in nodes.values() {
            let builds_on_it = match node.parent() {
                Some(parent) if parent == id => true,
                // A parent may be written down as a prefix of its id.
                Some(prefix) if id.starts_with(prefix) => {
                    self.resolve(prefix).is_ok_and(|found| found == id)
                }
                _ => false,
            };
            if builds_on_it {
                children.push(node.id().to_string());
            }
        }
        Ok(children)
    }
}
