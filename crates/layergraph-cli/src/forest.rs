//! All nodes of a graph, and how they stand to each other.

use std::collections::{BTreeMap, BTreeSet};

use layergraph::image::Timestamp;
use layergraph::truncindex::TruncIndex;
use layergraph::{Graph, Node, NodeId, Nodes};

use crate::args;
use crate::console::Console;
use crate::report::{Failure, Why};
use crate::store::{Missing, SHORT, with_graph};

/// The nodes that can be read, and those that cannot.
#[derive(Debug)]
pub(crate) struct Forest {
    pub(crate) nodes: Nodes,
    /// The nodes that others build on, each with these, sorted.
    children: BTreeMap<NodeId, Vec<NodeId>>,
    parents: BTreeMap<NodeId, NodeId>,
    /// All names, those of broken nodes too.
    pub(crate) names: TruncIndex,
}

/// Opens the graph, reads all its nodes, says which are broken, and does something with them;
/// `attempted` says what, if that fails.
pub(crate) fn with_forest(
    args: &args::Store,
    console: &Console,
    attempted: impl FnOnce() -> String,
    act: impl FnOnce(&Graph, &Forest) -> Result<(), Why>,
) -> Result<(), Failure> {
    with_graph(args, Missing::Fail, console, attempted, |graph| {
        let forest = Forest::read(graph)?;
        forest.tell_broken(console);
        act(graph, &forest)
    })
}

impl Forest {
    /// Reads all nodes.
    fn read(graph: &Graph) -> Result<Forest, Why> {
        let nodes = graph.map()?;
        let children = nodes.by_parent(graph)?;
        let mut parents = BTreeMap::new();
        for (parent, children) in &children {
            parents.extend(children.iter().map(|child| (*child, *parent)));
        }
        let broken = nodes.broken.iter().map(|broken| broken.name.clone());
        let whole = nodes.by_id.keys().map(NodeId::to_string);
        let names = whole.chain(broken).collect();
        Ok(Forest {
            nodes,
            children,
            parents,
            names,
        })
    }

    /// Says which nodes cannot be read.
    fn tell_broken(&self, console: &Console) {
        for broken in &self.nodes.broken {
            console.warn(&format!("broken node {}", broken.name), &broken.error);
        }
    }

    /// Returns the nodes that build on this one, sorted.
    pub(crate) fn children(&self, id: &NodeId) -> &[NodeId] {
        self.children.get(id).map_or(&[], Vec::as_slice)
    }

    /// Returns the id of a node's parent; what is written down, if there is no such node.
    pub(crate) fn parent(&self, node: &Node) -> Option<String> {
        match self.parents.get(&node.id()) {
            Some(parent) => Some(parent.to_string()),
            None => node.parent().map(str::to_owned),
        }
    }

    /// Returns the nodes from which all others can be reached: those whose parent is not there,
    /// and of each circle the first.
    pub(crate) fn roots(&self) -> Vec<NodeId> {
        let mut reached = BTreeSet::new();
        let mut roots = Vec::new();
        let is_child = |id: &&NodeId| self.parents.contains_key(id);
        let ids = || self.nodes.by_id.keys();
        for root in ids()
            .filter(|id| !is_child(id))
            .chain(ids().filter(is_child))
        {
            if !reached.contains(root) {
                roots.push(*root);
                self.reach(*root, &mut reached);
            }
        }
        roots
    }

    /// Adds a node and those above it to what has been reached.
    fn reach(&self, root: NodeId, reached: &mut BTreeSet<NodeId>) {
        let mut next = vec![root];
        while let Some(id) = next.pop() {
            if reached.insert(id) {
                next.extend(self.children(&id));
            }
        }
    }

    /// Returns the beginning of an id, by which the node can be found.
    pub(crate) fn short<'a>(&self, id: &'a str) -> &'a str {
        let unique = self.names.shortest_prefix(id).map_or(SHORT, str::len);
        id.get(..unique.max(SHORT)).unwrap_or(id)
    }
}

/// Prints when a node was made, if that is known.
pub(crate) fn created(node: &Node) -> Option<String> {
    let created = node.image().created;
    (created != Timestamp::ZERO).then(|| created.to_string())
}

/// Returns a text that says something.
pub(crate) fn said(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
