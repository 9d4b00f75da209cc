//! Noticing that a node went while it was read.
//!
//! Readers take no lock, so a node may be deleted under their eyes, and even be made anew. But its
//! directory in the graph goes before anything else does and comes after all else is there, and one
//! that is made anew is another: no inode number is given again while there is a handle of the old
//! one. Whoever opens the directory first, and finds it under its name still when all is read, has
//! read the files and the tree of one node, whole.

use std::ffi::OsStr;

use layergraph_driver::LayerId;
use layergraph_fs::Dir;
use layergraph_image::NodeId;

use crate::error::Attempted;
use crate::graph::Graph;
use crate::{GraphError, Result};

impl Graph {
    /// Tells whether the directory that was opened as that of the node `name` is that still.
    pub(crate) fn is_at(&self, dir: &Dir, name: &str) -> Result<bool> {
        let looked = || format!("cannot look for image {name}");
        let found = self.dir.find(OsStr::new(name)).attempted(looked)?;
        let opened = dir.metadata_here().attempted(looked)?;
        Ok(found.is_some_and(|found| found.is_same_object(&opened)))
    }

    /// Returns the error, unless the reason for it is that the node went meanwhile.
    ///
    /// An error in looking for the node is the outer one.
    pub(crate) fn unless_it_went(
        &self,
        dir: &Dir,
        name: &str,
        error: GraphError,
    ) -> Result<GraphError> {
        if self.is_at(dir, name)? {
            Ok(error)
        } else {
            Ok(GraphError::no_such(name))
        }
    }

    /// Reads the trees of some layers, and makes sure that those of nodes were those of the same
    /// nodes all the while; `attempted` says what for.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::GraphErrorKind::NotFound) if one of the nodes was not there, or went
    /// meanwhile: its tree may have been read when half of it was gone.
    pub(crate) fn read_whole<T>(
        &self,
        layers: &[&LayerId],
        attempted: impl Fn() -> String,
        read: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let gone = |error: GraphError| GraphError::new(error.kind(), attempted()).because(error);
        let mut opened = Vec::new();
        for layer in layers {
            let name = layer.as_str();
            // Others, such as those of containers, have no node.
            if NodeId::parse(name).is_ok() {
                opened.push((name, self.node_dir(name).map_err(gone)?));
            }
        }
        let result = read();
        for (name, dir) in &opened {
            if !self.is_at(dir, name)? {
                return Err(gone(GraphError::no_such(name)));
            }
        }
        result
    }
}
