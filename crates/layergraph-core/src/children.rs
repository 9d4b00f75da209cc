//! Which nodes build on others.
//!
//! Only what the nodes name as their parents is read, so a node that is broken otherwise counts,
//! and nothing is measured.

use std::collections::{BTreeMap, BTreeSet};

use layergraph_driver::LayerId;

use crate::graph::Graph;
use crate::index::names_in;
use crate::{GraphError, Result};

impl Graph {
    /// Sorts nodes so that each comes before its parent; of a circle, any may be the first.
    pub(crate) fn children_first<'a>(
        &self,
        ids: &'a BTreeSet<LayerId>,
    ) -> Result<Vec<&'a LayerId>> {
        let mut parents: BTreeMap<&LayerId, &LayerId> = BTreeMap::new();
        let mut children: BTreeMap<&LayerId, usize> = ids.iter().map(|id| (id, 0)).collect();
        for id in ids {
            let named = self.parents.of(&self.dir, id.as_str());
            let found = named.and_then(|named| {
                let parent = named.map(|parent| self.parent_name(&parent));
                parent.transpose()
            });
            let parent = match found {
                Ok(Some(parent)) => parent,
                Ok(None) => continue,
                Err(error) if error.means_absent() => continue,
                Err(error) => return Err(error),
            };
            let Some(parent) = parent.parse().ok().and_then(|parent| ids.get(&parent)) else {
                continue;
            };
            parents.insert(id, parent);
            *children.entry(parent).or_default() += 1;
        }
        let mut next: Vec<&LayerId> = ids.iter().filter(|id| children[id] == 0).collect();
        let mut order = Vec::new();
        while let Some(id) = next.pop() {
            order.push(id);
            if let Some(parent) = parents.get(id) {
                let left = children.entry(parent).or_default();
                *left -= 1;
                if *left == 0 {
                    next.push(parent);
                }
            }
        }
        // What is left are circles: a node has one parent.
        order.extend(ids.iter().filter(|id| children[id] > 0));
        Ok(order)
    }

    /// Finds a node that builds on one of these and is none of them; returns both.
    pub(crate) fn child(&self, ids: &BTreeSet<&str>) -> Result<Option<(String, String)>> {
        self.find_child(
            |child| !ids.contains(child),
            |parent| match self.parent_name(parent) {
                Ok(name) => Ok(Some(name).filter(|name| ids.contains(name.as_str()))),
                Err(error) if error.means_absent() => Ok(None),
                Err(error) => Err(error),
            },
        )
    }

    /// Finds a node that builds on the one of this whole name, of those that `counts` says.
    pub(crate) fn child_of(
        &self,
        id: &str,
        counts: impl Fn(&str) -> bool,
    ) -> Result<Option<String>> {
        let found = self.find_child(
            |child| child != id && counts(child),
            |parent| {
                let is_it = parent == id || self.stands_for(parent, id)?;
                Ok(is_it.then(|| id.to_owned()))
            },
        )?;
        Ok(found.map(|(child, _)| child))
    }

    /// Finds a node of those that `counts` says, also one that is broken otherwise, whose parent
    /// is one that is looked for; returns both. `parent` tells which node a name stands for.
    fn find_child(
        &self,
        counts: impl Fn(&str) -> bool,
        parent: impl Fn(&str) -> Result<Option<String>>,
    ) -> Result<Option<(String, String)>> {
        for name in names_in(&self.dir)? {
            if !counts(&name) {
                continue;
            }
            let found = match self.parents.of(&self.dir, &name) {
                Ok(named) => named.map(|named| parent(&named)).transpose()?.flatten(),
                Err(error) if !error.means_absent() && self.is_node_name(&name)? => {
                    let text = format!("cannot tell what image {name} builds on");
                    return Err(GraphError::new(error.kind(), text).because(error));
                }
                // It names no parent, or went, or is no node.
                Err(_) => None,
            };
            if let Some(found) = found
                && self.is_node_name(&name)?
            {
                return Ok(Some((name, found)));
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
