//! Layers that are unpacked before their node is made, perhaps before it is known what is below.

use std::ffi::OsStr;
use std::io::Read;

use layergraph_archive::recipe::NewRecipe;
use layergraph_archive::{
    Applied, ApplyError, ApplyOptions, ExpectedBlob, Place, UnpackError, apply,
};
use layergraph_digest::DiffId;
use layergraph_driver::{LayerId, StagedLayer};
use layergraph_fs::{Dir, Durability, Staging};
use layergraph_image::NodeId;
use layergraph_image::v1::Image;

use crate::error::Attempted;
use crate::graph::Graph;
use crate::node::Node;
use crate::register::Base;
use crate::{GraphError, GraphErrorKind, Result, files, lock};

/// What a layer is prepared on top of.
#[derive(Debug, Clone, Copy)]
pub enum Onto<'a> {
    /// Nothing: it is a base.
    Nothing,
    /// A node that is there.
    Node(&'a NodeId),
    /// Something that is said when it is [landed](Graph::land). The driver must be
    /// [independent](layergraph_driver::Capabilities::independent).
    Later,
}

/// How a layer is prepared.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LayerOptions {
    /// What the blob must be, as a manifest says it.
    pub blob: Option<ExpectedBlob>,
    /// What the tar in it must be, as a config says it.
    pub diff_id: Option<DiffId>,
    /// Whether the work keeps to one thread; see
    /// [`ApplyOptions::single_thread`](layergraph_archive::ApplyOptions::single_thread).
    pub single_thread: bool,
}

/// A layer that is unpacked and waits for its node. Dropped, it is gone.
#[derive(Debug)]
pub struct PreparedLayer {
    staged: Staged,
    is_later: bool,
    applied: Applied,
}

impl PreparedLayer {
    /// Says how durable the node is when it is landed, instead of what the graph's options and the
    /// driver's say.
    ///
    /// With [`Durability::None`], whoever lands several syncs their file system before the first,
    /// so that no node is there without its tree, and after the last.
    pub fn set_durability(&mut self, durability: Durability) {
        self.staged.tree.set_durability(durability);
        self.staged.durability = durability;
    }

    /// Writes down what whoever prepared the layer says of it; see [`Graph::mark`].
    pub fn mark(&self, mark: &[u8]) -> Result<()> {
        let written = files::create(self.staged.staging.dir(), files::MARK, mark);
        written.attempted(|| "cannot mark a layer".to_owned())
    }

    /// Returns the directory that the tree is in as long as it is no node's.
    pub fn dir(&self) -> &Dir {
        self.staged.tree.dir()
    }

    /// Returns what was found out about the layer.
    pub fn applied(&self) -> &Applied {
        &self.applied
    }
}

/// A node that is being made.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) tree: Box<dyn StagedLayer>,
    pub(crate) base: Option<Base>,
    pub(crate) staging: Staging,
    /// The size of its layer, if it has one.
    pub(crate) size: Option<i64>,
    pub(crate) durability: Durability,
}

impl Graph {
    /// Unpacks a layer for a node that is going to be made, mostly under the id `id`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](GraphErrorKind::NotFound) if the node to build on is not there,
    /// [`NotSupported`](GraphErrorKind::NotSupported) if that is said [later](Onto::Later) and the
    /// driver has to know it, [`Layer`](GraphErrorKind::Layer) if the layer cannot be read or
    /// applied, or is not the expected one. Nothing is left after an error.
    pub fn prepare(
        &self,
        id: &NodeId,
        onto: Onto<'_>,
        layer: &mut (dyn Read + Send),
        options: &LayerOptions,
    ) -> Result<PreparedLayer> {
        let layer_id = LayerId::from(*id);
        let parent = match onto {
            Onto::Node(parent) => Some(LayerId::from(*parent)),
            Onto::Nothing => None,
            Onto::Later if self.driver.capabilities().independent => None,
            Onto::Later => {
                let name = self.driver.name();
                let text = format!("the driver {name} has to know what a layer is on top of");
                return Err(GraphError::new(GraphErrorKind::NotSupported, text));
            }
        };
        let mut staged = self.stage_node(&layer_id, parent)?;
        let is_later = matches!(onto, Onto::Later);
        let applied = self.apply(&layer_id, &mut staged, is_later, layer, options)?;
        Ok(PreparedLayer {
            staged,
            is_later,
            applied,
        })
    }

    /// Makes a prepared layer the node that `image` is about, on top of the parent that it names.
    ///
    /// # Errors
    ///
    /// As for [`register`](Graph::register), and
    /// [`NeedsParent`](GraphErrorKind::NeedsParent) if the layer was prepared before its parent was
    /// known, and does something else on top of it than what could be settled: it has to be
    /// prepared again. The prepared layer is gone after an error.
    pub fn land(&self, prepared: PreparedLayer, image: &Image) -> Result<Node> {
        let id = image
            .node_id()
            .map_err(|error| GraphError::invalid_id(&error))?;
        let PreparedLayer {
            mut staged,
            is_later,
            applied,
        } = prepared;
        let parent = self.parent_layer(&LayerId::from(id), &image.parent)?;
        if is_later {
            if let Some(parent) = parent {
                self.settle(&LayerId::from(id), &mut staged, parent, &applied)?;
            }
        } else if staged.base.as_ref().map(|base| &base.layer) != parent.as_ref() {
            let text = format!("image {id} names another parent than its layer was prepared on");
            return Err(GraphError::new(GraphErrorKind::NotSupported, text));
        }
        self.land_staged(id, image, staged)
    }

    /// Puts a layer that was unpacked by itself on top of another one.
    fn settle(
        &self,
        id: &LayerId,
        staged: &mut Staged,
        parent: LayerId,
        applied: &Applied,
    ) -> Result<()> {
        let _lock = lock::share(&self.root, parent.as_str())?;
        let base = self.base(id, parent)?;
        let below = self.driver.view(&base.layer);
        let below = below.map_err(|error| self.no_rootfs(id, error))?;
        if let Some(unsettled) = &applied.unpacked.unsettled {
            let settled = unsettled.settle(staged.tree.dir(), &below);
            settled.map_err(|error| {
                let kind = match error {
                    UnpackError::Below { .. } => GraphErrorKind::NeedsParent,
                    _ => GraphErrorKind::Layer,
                };
                let text = format!("cannot put image {id} on top of image {}", base.layer);
                GraphError::new(kind, text).because(error)
            })?;
        }
        staged.base = Some(base);
        Ok(())
    }

    /// Begins a node: its tree, and its own directory.
    pub(crate) fn stage_node(&self, id: &LayerId, parent: Option<LayerId>) -> Result<Staged> {
        self.options.before_layers.act()?;
        let (tree, base) = self.stage(id, parent)?;
        let staging = Staging::new(&self.staging()?);
        Ok(Staged {
            tree,
            base,
            staging: staging.attempted(|| format!("cannot make image {id}"))?,
            size: None,
            durability: self.options.durability,
        })
    }

    /// Applies a layer to a staged tree, and writes its recipe.
    pub(crate) fn apply(
        &self,
        id: &LayerId,
        staged: &mut Staged,
        is_later: bool,
        layer: &mut (dyn Read + Send),
        wanted: &LayerOptions,
    ) -> Result<Applied> {
        let mut options = ApplyOptions::default();
        options.unpack.ownership = self.driver.ownership();
        options.unpack.limits = self.options.limits.clone();
        options.single_thread = wanted.single_thread;
        options.blob = wanted.blob;
        options.diff_id = wanted.diff_id;
        let recipe = NewRecipe {
            home: staged.staging.dir(),
            name: OsStr::new(files::RECIPE),
        };
        let below = staged.tree.below();
        let below = below.map_err(|error| self.no_rootfs(id, error))?;
        let place = match &below {
            _ if is_later => Place::detached(staged.tree.dir()),
            Some(below) => Place::over(staged.tree.dir(), below),
            None => staged.tree.dir().into(),
        };
        let applied = apply(layer, place, Some(recipe), &options).map_err(|error| {
            let kind = match &error {
                ApplyError::Unpack(UnpackError::Below { .. }) => GraphErrorKind::NeedsParent,
                _ => GraphErrorKind::Layer,
            };
            let text = format!("cannot apply the layer of image {id}");
            GraphError::new(kind, text).because(error)
        })?;
        staged.size = Some(i64::try_from(applied.unpacked.size).unwrap_or(i64::MAX));
        Ok(applied)
    }
}
