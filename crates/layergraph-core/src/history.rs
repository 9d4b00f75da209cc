//! Parents and children.

use std::collections::{BTreeMap, BTreeSet};

use layergraph_image::NodeId;

use crate::graph::{Graph, Nodes};
use crate::node::Node;
use crate::{GraphError, GraphErrorKind, Result};

/// The most parents that a container may have: as many layers as the drivers of 2015 could unite.
pub const MAX_DEPTH: usize = 127;

/// The size of all that is below a node.
#[derive(Debug)]
#[non_exhaustive]
pub struct ParentsSize {
    /// The sum in bytes of the sizes of the parents that were found.
    pub bytes: i64,
    /// Why no further parent was found, if one is missing.
    pub stopped: Option<GraphError>,
}

impl Graph {
    /// Returns the nodes that others build on, each with those that build on it, sorted.
    ///
    /// A parent may be written down as a prefix of its id. A node without a parent, or whose parent
    /// is not there, is nobody's child.
    pub fn by_parent(&self) -> Result<BTreeMap<NodeId, Vec<NodeId>>> {
        self.map()?.by_parent(self)
    }

    /// Returns the nodes that no other builds on.
    pub fn heads(&self) -> Result<BTreeMap<NodeId, Node>> {
        let mut nodes = self.map()?;
        let parents = nodes.by_parent(self)?;
        nodes.by_id.retain(|id, _| !parents.contains_key(id));
        Ok(nodes.by_id)
    }

    /// Returns the parent of a node, if it has one.
    ///
    /// # Errors
    ///
    /// As for [`get`](Graph::get).
    pub fn parent(&self, node: &Node) -> Result<Option<Node>> {
        let Some(parent) = node.parent() else {
            return Ok(None);
        };
        let name = self.parent_name(parent).map_err(GraphError::not_found)?;
        if NodeId::parse(&name).is_ok() {
            return self.get(&name).map(Some);
        }
        // A layer of the driver, of which there may be a node, but not one whose id begins so.
        self.load(&name)
            .map(Some)
            .map_err(|error| match error.kind() {
                GraphErrorKind::NotFound => error.not_found(),
                _ => error,
            })
    }

    /// Calls `visit` with the node, its parent, and so on down to the base.
    ///
    /// # Errors
    ///
    /// The first error of `visit`. If a parent is missing or cannot be read, or the parents form a
    /// circle, the nodes found until then have been visited.
    pub fn walk_history<E: From<GraphError>>(
        &self,
        node: &Node,
        mut visit: impl FnMut(&Node) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk(node, &mut visit, |error| {
            GraphError::new(error.kind(), "Error while getting parent image").because(error)
        })
    }

    /// Walks down the history; `missing` puts an error about a parent into words.
    fn walk<E: From<GraphError>>(
        &self,
        node: &Node,
        mut visit: impl FnMut(&Node) -> Result<(), E>,
        missing: impl Fn(GraphError) -> GraphError,
    ) -> Result<(), E> {
        let mut seen = BTreeSet::from([node.id()]);
        let mut here = node.clone();
        loop {
            visit(&here)?;
            let Some(parent) = self.parent(&here).map_err(&missing)? else {
                return Ok(());
            };
            if !seen.insert(parent.id()) {
                let text = format!("image {} is its own ancestor", parent.id());
                let error = GraphError::new(GraphErrorKind::Damaged, text);
                return Err(missing(error).into());
            }
            here = parent;
        }
    }

    /// Returns how many nodes there are from this one down to its base.
    ///
    /// # Errors
    ///
    /// If a parent is missing or cannot be read, or the parents form a circle.
    pub fn depth(&self, node: &Node) -> Result<usize> {
        let mut depth = 0;
        let count = |_: &Node| {
            depth += 1;
            Ok::<(), GraphError>(())
        };
        self.walk(node, count, |error| error)?;
        Ok(depth)
    }

    /// Checks that a container may be made of a node: with the container's own two layers the
    /// number of parents stays below [`MAX_DEPTH`].
    ///
    /// # Errors
    ///
    /// [`TooDeep`](GraphErrorKind::TooDeep), or as for [`depth`](Graph::depth).
    pub fn check_depth(&self, node: &Node) -> Result<()> {
        if self.depth(node)? + 2 >= MAX_DEPTH {
            let text = format!("Cannot create container with more than {MAX_DEPTH} parents");
            return Err(GraphError::new(GraphErrorKind::TooDeep, text));
        }
        Ok(())
    }

    /// Adds up the sizes of all that is below a node, as far as the parents are there.
    pub fn parents_size(&self, node: &Node) -> ParentsSize {
        let mut bytes = 0_i64;
        let walked = self.walk_history(node, |ancestor| {
            if ancestor.id() != node.id() {
                bytes = bytes.saturating_add(ancestor.size());
            }
            Ok::<(), GraphError>(())
        });
        ParentsSize {
            bytes,
            stopped: walked.err(),
        }
    }
}

impl Nodes {
    /// Returns those of these nodes that others build on; see [`Graph::by_parent`].
    pub fn by_parent(&self, graph: &Graph) -> Result<BTreeMap<NodeId, Vec<NodeId>>> {
        let mut children: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for node in self.by_id.values() {
            let Some(parent) = node.parent() else {
                continue;
            };
            if let Some(parent) = self.find(graph, parent)? {
                children.entry(parent).or_default().push(node.id());
            }
        }
        Ok(children)
    }

    /// Finds the node that is meant by the name of a parent.
    fn find(&self, graph: &Graph, name: &str) -> Result<Option<NodeId>> {
        let id = match graph.parent_name(name) {
            Ok(found) => NodeId::parse(found).ok(),
            Err(error) if error.means_absent() => None,
            Err(error) => return Err(error),
        };
        Ok(id.filter(|id| self.by_id.contains_key(id)))
    }
}
