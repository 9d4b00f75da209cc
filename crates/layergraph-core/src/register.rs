//! New nodes.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::SystemTime;

use layergraph_driver::{DriverError, InvalidLayerId, LayerId, StagedLayer};
use layergraph_fs::{Dir, LockKind, RenameMode, seconds_and_nanos};
use layergraph_image::oci::Platform;
use layergraph_image::v1::{Config, Image};
use layergraph_image::{NodeId, Timestamp};

use crate::error::Attempted;
use crate::graph::Graph;
use crate::lock::Locks;
use crate::node::Node;
use crate::prepare::{LayerOptions, Staged};
use crate::{GraphError, GraphErrorKind, Result, files, lock};

/// What is said of a node that is [created](Graph::create); the rest is filled in.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NewNode {
    /// Its id; a random one, if not given.
    pub id: Option<NodeId>,
    /// The node below it.
    pub parent: Option<NodeId>,
    /// What its maker says of it.
    pub comment: String,
    /// Who made it.
    pub author: String,
    /// When; now, if not given.
    pub created: Option<Timestamp>,
    /// The container it was made in: its id, and how it was run.
    pub container: Option<(String, Config)>,
    /// How a container of it is to be run.
    pub config: Option<Config>,
}

/// What a new layer is built on.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) layer: LayerId,
    /// That of the node, if it is the tree of one. As long as it is open and at its place, the node
    /// is the same.
    directory: Option<Dir>,
}

impl Graph {
    /// Registers a node, under a new random id if none is given, with the layer in the tar stream
    /// `layer`, if there is one.
    ///
    /// # Errors
    ///
    /// As for [`register`](Graph::register).
    pub fn create(&self, new: &NewNode, layer: Option<&mut (dyn Read + Send)>) -> Result<Node> {
        let id = new.id.map_or_else(NodeId::random, Ok).map_err(|error| {
            GraphError::new(GraphErrorKind::Failed, "cannot draw an id").because(error)
        })?;
        let (container, container_config) = new.container.clone().unwrap_or_default();
        let platform = Platform::here();
        let image = Image {
            id: id.to_string(),
            parent: new
                .parent
                .map_or_else(String::new, |parent| parent.to_string()),
            comment: new.comment.clone(),
            created: new.created.map_or_else(now, Ok)?,
            container,
            container_config,
            docker_version: concat!("layergraph ", env!("CARGO_PKG_VERSION")).to_owned(),
            author: new.author.clone(),
            config: new.config.clone(),
            architecture: platform.architecture,
            os: platform.os,
            size: 0,
        };
        self.register(&image, layer)
    }

    /// Registers `image` as a node, with the layer in the tar stream `layer`, in any codec, applied
    /// to a copy of its parent's tree.
    ///
    /// Without a layer the node has its parent's tree and the size in bytes that the image states,
    /// or 0 if that is negative; with one, the size of what the layer holds.
    ///
    /// # Errors
    ///
    /// [`InvalidId`](GraphErrorKind::InvalidId), [`AlreadyExists`](GraphErrorKind::AlreadyExists),
    /// [`NotFound`](GraphErrorKind::NotFound) if the parent is not there,
    /// [`Circle`](GraphErrorKind::Circle) if the parent builds on a node of this id,
    /// [`Layer`](GraphErrorKind::Layer) if the layer cannot be read or applied. After an error the
    /// graph is as it was, and of the new node nothing is left.
    pub fn register(&self, image: &Image, layer: Option<&mut (dyn Read + Send)>) -> Result<Node> {
        let id = image
            .node_id()
            .map_err(|error| GraphError::invalid_id(&error))?;
        let layer_id = LayerId::from(id);
        if self.is_present(&layer_id)? {
            return Err(GraphError::already_exists(layer_id.as_str()));
        }
        let parent = self.parent_layer(&layer_id, &image.parent)?;
        let mut staged = self.stage_node(&layer_id, parent)?;
        if let Some(layer) = layer {
            // Who has sent a layer that is refused may not end, and then nobody waits for him.
            let options = LayerOptions {
                single_thread: true,
                ..LayerOptions::default()
            };
            self.apply(&layer_id, &mut staged, false, layer, &options)?;
        }
        self.land_staged(id, image, staged)
    }

    /// Writes down what is known of a staged node, and makes it one.
    pub(crate) fn land_staged(&self, id: NodeId, image: &Image, staged: Staged) -> Result<Node> {
        let mut image = image.clone();
        // A negative one would not count as written down.
        image.size = staged.size.unwrap_or_else(|| image.size.max(0));
        files::write(staged.staging.dir(), &image)?;
        self.land_tree(&LayerId::from(id), staged)?;
        Ok(Node::new(id, image))
    }

    /// Returns the layer to build on. Its name is taken as it is: a prefix of an id is none.
    pub(crate) fn parent_layer(&self, id: &LayerId, parent: &str) -> Result<Option<LayerId>> {
        if parent.is_empty() {
            return Ok(None);
        }
        parent
            .parse()
            .map(Some)
            .map_err(|error: InvalidLayerId| self.no_rootfs(id, error.into()))
    }

    /// Begins a tree, while nobody can remove the one below.
    pub(crate) fn stage(
        &self,
        id: &LayerId,
        parent: Option<LayerId>,
    ) -> Result<(Box<dyn StagedLayer>, Option<Base>)> {
        let failed = |error| self.no_rootfs(id, error);
        let Some(parent) = parent else {
            return Ok((self.driver.stage(None).map_err(failed)?, None));
        };
        let _lock = lock::share(&self.root, parent.as_str())?;
        let base = self.base(id, parent)?;
        let staged = self.driver.stage(Some(&base.layer)).map_err(failed)?;
        Ok((staged, Some(base)))
    }

    /// Finds the layer to build on, and the node too if it is the tree of one.
    pub(crate) fn base(&self, id: &LayerId, parent: LayerId) -> Result<Base> {
        let missing = |parent| self.no_rootfs(id, DriverError::not_found(parent));
        let directory = if NodeId::parse(parent.as_str()).is_ok() {
            match self.node_dir(parent.as_str()) {
                Err(error) if error.means_absent() => return Err(missing(&parent)),
                result => Some(result?),
            }
        } else {
            None
        };
        let exists = self.driver.exists(&parent);
        if exists.map_err(|error| self.no_rootfs(id, error))? {
            let layer = parent;
            Ok(Base { layer, directory })
        } else {
            Err(missing(&parent))
        }
    }

    /// Checks that the layer that was built on is there still, and not another of its name.
    fn check_base(&self, id: &LayerId, base: &Base) -> Result<()> {
        let name = base.layer.as_str();
        let is_there = match &base.directory {
            Some(directory) => self.is_at(directory, name)?,
            None => true,
        };
        let exists = self.driver.exists(&base.layer);
        if is_there && exists.map_err(|error| self.no_rootfs(id, error))? {
            Ok(())
        } else {
            Err(self.no_rootfs(id, DriverError::not_found(&base.layer)))
        }
    }

    /// Checks that the new node is not among those below it: an orphan may name its id.
    ///
    /// As long as the locks are held, that stays so: nodes that are made at the same time could be
    /// a circle together, where each is missing below the other one.
    fn check_ancestors(&self, id: &LayerId, base: &Base) -> Result<Locks> {
        let shared = lock::ancestry(&self.root, id.as_str(), LockKind::Shared)?;
        if self.has_all_ancestors(id, base)? {
            return Ok(shared);
        }
        drop(shared);
        let alone = lock::ancestry(&self.root, id.as_str(), LockKind::Exclusive)?;
        self.has_all_ancestors(id, base)?;
        Ok(alone)
    }

    /// Tells whether none of those below the new node is missing or cannot be read.
    ///
    /// # Errors
    ///
    /// [`Circle`](GraphErrorKind::Circle) if the new node is one of them.
    fn has_all_ancestors(&self, id: &LayerId, base: &Base) -> Result<bool> {
        let mut seen = BTreeSet::new();
        let mut here = base.layer.to_string();
        // What was a circle before is none of the new node's.
        while seen.insert(here.clone()) {
            let parent = match self.parents.of(&self.dir, &here) {
                Ok(Some(parent)) => parent,
                Ok(None) => return Ok(true),
                // A layer of the driver whose name is no id will never be a node.
                Err(error) if error.means_absent() => return Ok(NodeId::parse(&here).is_err()),
                Err(error) => return Err(error),
            };
            here = match self.parent_name(&parent) {
                Ok(name) => name,
                // A prefix that only the new node will have. One that several have stays theirs.
                Err(error)
                    if error.kind() == GraphErrorKind::NotFound
                        && id.as_str().starts_with(&parent) =>
                {
                    id.to_string()
                }
                Err(error) if error.means_absent() => return Ok(false),
                Err(error) => return Err(error),
            };
            if here == id.as_str() {
                let text = format!("image {id} would be its own ancestor, by {}", base.layer);
                return Err(GraphError::new(GraphErrorKind::Circle, text));
            }
        }
        Ok(true)
    }

    pub(crate) fn no_rootfs(&self, id: &LayerId, error: DriverError) -> GraphError {
        let name = self.driver.name();
        GraphError::driver(
            format!("Driver {name} failed to create image rootfs {id}"),
            error,
        )
    }

    /// Makes a staged tree and the files in `staging` a node: first the tree appears, then the
    /// node, while nobody else can make a node of this id or remove the one below.
    fn land_tree(&self, id: &LayerId, staged: Staged) -> Result<()> {
        let making = || format!("cannot make image {id}");
        let parent = staged.base.as_ref().map(|base| base.layer.clone());
        let _locks = lock::lock(
            &self.root,
            id.as_str(),
            parent.as_ref().map(LayerId::as_str),
        )?;
        if self.is_present(id)? {
            return Err(GraphError::already_exists(id.as_str()));
        }
        let _ancestry = match &staged.base {
            Some(base) => {
                self.check_base(id, base)?;
                Some(self.check_ancestors(id, base)?)
            }
            None => None,
        };
        // A tree without a node is what a crash left, a node without a tree is of another driver.
        // The graph is the truth: neither is a node.
        if self.driver.exists(id).attempted(making)? {
            self.driver.remove(id).attempted(making)?;
        }
        // Before there is a tree, so that nobody takes what it says for the new node.
        let is_stale = self.dir.find(id.as_name()).attempted(making)?.is_some();
        let stale = is_stale.then(|| self.throw_away(id)).transpose()?;
        let landed = self.publish(id, parent.as_ref(), staged);
        if let (Err(_), Some(stale)) = (&landed, &stale) {
            self.put_back(id, stale);
        }
        landed
    }

    /// Gives the tree its name, and then the node.
    fn publish(&self, id: &LayerId, parent: Option<&LayerId>, staged: Staged) -> Result<()> {
        let Staged {
            tree,
            staging,
            durability,
            ..
        } = staged;
        tree.commit(id, parent)
            .map_err(|error| self.no_rootfs(id, error))?;
        let mode = RenameMode::NoReplace;
        let published = staging.publish(&self.dir, id.as_name(), mode, durability);
        if let Err(error) = published {
            // The error that is told came first; a tree without a node is no node.
            let _ = self.driver.remove(id);
            return Err(error).attempted(|| format!("cannot make image {id}"));
        }
        Ok(())
    }
}

fn now() -> Result<Timestamp> {
    let (seconds, nanos) = seconds_and_nanos(SystemTime::now());
    Timestamp::new(seconds, nanos, 0).map_err(|error| {
        GraphError::new(GraphErrorKind::Failed, "the clock is wrong").because(error)
    })
}
