//! Nodes that go.

use std::collections::{BTreeSet, VecDeque};

use layergraph_driver::{DriverErrorKind, InvalidLayerId, LayerId};
use layergraph_fs::{Durability, RenameMode, Staging};

use crate::error::Attempted;
use crate::graph::Graph;
use crate::lock::lock;
use crate::sweep::forget_needed;
use crate::{GraphError, GraphErrorKind, Result};

/// How a node is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeleteOptions {
    /// Deletes a node that others build on, too, or that is mounted. They stay, as orphans, and its
    /// tree stays as long as it is needed.
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

/// What was deleted of several nodes.
#[derive(Debug)]
#[must_use = "it tells what was not deleted as well"]
#[non_exhaustive]
pub struct DeletedAll {
    /// The nodes that are gone, in the order in which they went.
    pub deleted: Vec<Deleted>,
    /// Why the next one is not.
    pub failed: Option<GraphError>,
}

impl Graph {
    /// Deletes the node whose name is, or alone begins with, `name`; also one that cannot be read.
    ///
    /// # Errors
    ///
    /// [`NotFound`](GraphErrorKind::NotFound), [`Ambiguous`](GraphErrorKind::Ambiguous),
    /// [`InUse`](GraphErrorKind::InUse) if others build on it or it is mounted, and it is not
    /// [forced](DeleteOptions::force). After an error the node is as it was.
    pub fn delete(&self, name: &str, options: DeleteOptions) -> Result<Deleted> {
        let id = self.resolve_layer(name)?;
        self.delete_one(&id, &BTreeSet::from([id.as_str()]), options)
    }

    /// Deletes several nodes, children before their parents, also where they build on each other
    /// in a circle.
    ///
    /// # Errors
    ///
    /// As for [`delete`](Graph::delete), of any of them, before anything is deleted. What fails
    /// later stands in the [result](DeletedAll::failed).
    pub fn delete_all(&self, names: &[&str], options: DeleteOptions) -> Result<DeletedAll> {
        let ids = names.iter().map(|name| self.resolve_layer(name));
        let ids = ids.collect::<Result<BTreeSet<LayerId>>>()?;
        let mut left: BTreeSet<&str> = ids.iter().map(LayerId::as_str).collect();
        if !options.force
            && let Some((child, id)) = self.child(&left)?
        {
            return Err(has_child(&id, &child));
        }
        let mut all = DeletedAll {
            deleted: Vec::new(),
            failed: None,
        };
        let mut next = VecDeque::from(self.children_first(&ids)?);
        let mut postponed = 0;
        while let Some(id) = next.pop_front() {
            match self.delete_one(id, &left, options) {
                Ok(deleted) => all.deleted.push(deleted),
                // The tree of another one that goes may be built on its tree, whatever the graph
                // says.
                Err(error) if error.kind() == GraphErrorKind::InUse && postponed < next.len() => {
                    postponed += 1;
                    next.push_back(id);
                    continue;
                }
                Err(error) => {
                    all.failed = Some(error);
                    break;
                }
            }
            postponed = 0;
            left.remove(id.as_str());
        }
        Ok(all)
    }

    fn resolve_layer(&self, name: &str) -> Result<LayerId> {
        self.resolve(name)?
            .parse()
            .map_err(|error: InvalidLayerId| {
                GraphError::new(GraphErrorKind::InvalidId, error.to_string())
            })
    }

    /// Deletes a node on which none but those that go too may build.
    fn delete_one(
        &self,
        id: &LayerId,
        go_too: &BTreeSet<&str>,
        options: DeleteOptions,
    ) -> Result<Deleted> {
        let _locks = lock(&self.root, id.as_str(), None)?;
        let deleted = || format!("cannot delete image {id}");
        // What is no directory is no node, but is told as a broken one.
        if self.dir.find(id.as_name()).attempted(deleted)?.is_none() {
            return Err(GraphError::no_such(id.as_str()));
        }
        let others = |child: &str| !go_too.contains(child);
        if !options.force
            && let Some(child) = self.child_of(id.as_str(), others)?
        {
            return Err(has_child(id.as_str(), &child));
        }
        let is_needed = self.is_needed(id, options)?;
        let Thrown { bin, unsynced } = if is_needed {
            self.throw_away_without_tree(id)?
        } else {
            self.throw_away(id)?
        };
        let tree = if is_needed {
            Ok(())
        } else {
            match self.driver.remove(id) {
                // There was a node without a tree.
                Err(error) if error.kind() == DriverErrorKind::NotFound => Ok(()),
                result => result.attempted(deleted),
            }
        };
        // Last, because it tells a sweep whose tree is left.
        let gone = match tree {
            Ok(()) => bin.discard().attempted(deleted),
            Err(error) => {
                bin.leave();
                Err(error)
            }
        };
        // It may have been the last to need the tree of a node that has gone before. What fails is
        // tried again, and told, by the next sweep.
        let _ = self.sweep_needed();
        Ok(Deleted {
            id: id.to_string(),
            leftover: unsynced.or(gone.err()),
        })
    }

    /// Tells whether the tree of a node that goes must stay: for layers on top of one that holds
    /// only what it changed, or for a mount.
    ///
    /// # Errors
    ///
    /// [`InUse`](GraphErrorKind::InUse) if the node must stay as well.
    fn is_needed(&self, id: &LayerId, options: DeleteOptions) -> Result<bool> {
        match self.driver.check_unused(id) {
            Ok(()) => Ok(false),
            // There is a node without a tree.
            Err(error) if error.kind() == DriverErrorKind::NotFound => Ok(false),
            Err(error) if error.kind() == DriverErrorKind::InUse && options.force => Ok(true),
            Err(error) => Err(error).attempted(|| format!("cannot delete image {id}")),
        }
    }

    /// Moves the directory of a node to where nobody finds it.
    ///
    /// After an error it is where it was.
    pub(crate) fn throw_away(&self, id: &LayerId) -> Result<Thrown> {
        let deleted = || format!("cannot delete image {id}");
        let (name, mode) = (id.as_name(), RenameMode::NoReplace);
        let bin = Staging::new(&self.staging()?).attempted(deleted)?;
        let moved = self.dir.rename(name, bin.dir(), name, mode);
        moved.attempted(deleted)?;
        let mut unsynced = None;
        if self.options.durability == Durability::Full
            && let Err(error) = self.dir.sync().attempted(deleted)
        {
            if bin.dir().rename(name, &self.dir, name, mode).is_ok() {
                return Err(error);
            }
            // It stays gone.
            unsynced = Some(error);
        }
        Ok(Thrown { bin, unsynced })
    }

    /// As [`throw_away`](Graph::throw_away), where the tree has to stay: a sweep is told of it.
    fn throw_away_without_tree(&self, id: &LayerId) -> Result<Thrown> {
        let staging = self.staging()?;
        self.note_needed(&staging, id)?;
        let thrown = self.throw_away(id);
        if thrown.is_err() {
            // Of a node that is there, it says nothing.
            let _ = forget_needed(&staging, id);
        }
        thrown
    }

    /// Moves back what was thrown away, because nothing takes its place.
    pub(crate) fn put_back(&self, id: &LayerId, thrown: &Thrown) {
        let (name, mode) = (id.as_name(), RenameMode::NoReplace);
        // Why nothing takes its place is told; this was no node in any case.
        let _ = thrown.bin.dir().rename(name, &self.dir, name, mode);
    }
}

fn has_child(id: &str, child: &str) -> GraphError {
    let text = format!("image {id} has children, one of them {child}");
    GraphError::new(GraphErrorKind::InUse, text)
}

/// A node's directory that nobody finds any more.
pub(crate) struct Thrown {
    bin: Staging,
    /// Why it might be back after a power loss.
    unsynced: Option<GraphError>,
}
