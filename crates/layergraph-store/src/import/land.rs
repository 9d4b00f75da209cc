//! Layers that get their places, bottom first.

use layergraph_core::{GraphErrorKind, Onto, PreparedLayer};
use layergraph_fs::{Durability, can_sync_whole};
use layergraph_image::v1::{Config as RunConfig, Image as NodeImage};
use layergraph_image::{NodeId, Timestamp};

use super::Import;
use super::plan::Plan;
use crate::error::Attempted;
use crate::records::Mark;
use crate::store::node_of_chain;
use crate::{Result, StoreError, StoreErrorKind};

/// How often a layer is tried again whose place others took meanwhile.
const ATTEMPTS: usize = 8;

/// How layers become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// Each by itself, as the graph's and the driver's options say.
    Each,
    /// All of them by a sync of their file system, before the first lands and after the last.
    Synced,
}

impl Import<'_> {
    /// Makes nodes of the layers that the store does not have.
    pub(super) fn land_missing(&self, plan: &mut Plan) -> Result<()> {
        let first = plan.layers.iter().position(|layer| layer.node.is_none());
        let Some(first) = first else {
            return Ok(());
        };
        let parent = first.checked_sub(1).and_then(|at| plan.layers[at].node);
        let is_independent = self.store.graph.driver().capabilities().independent;
        let mut prepared = Vec::new();
        if is_independent {
            prepared = self.prepare_all(parent, &plan.layers[first..])?;
        }
        let group = self.group(&prepared)?;
        let mut prepared = prepared.into_iter();
        for at in first..plan.layers.len() {
            self.check_interrupt()?;
            self.land_one(plan, at, prepared.next().flatten(), group)?;
            if let Some(progress) = self.options.progress {
                progress.landed(&plan.layers[at].blob);
            }
        }
        if group == Group::Synced {
            // What is written down from here on counts on all that was landed.
            self.sync()?;
        }
        Ok(())
    }

    /// Decides how layers that were prepared together become durable. If they can by one sync of
    /// the file system, that is done: then no node is without its tree.
    fn group(&self, prepared: &[Option<PreparedLayer>]) -> Result<Group> {
        let store = self.store;
        if store.durability == Durability::None {
            return Ok(Group::Each);
        }
        let decided = || "cannot tell how layers are synced".to_owned();
        let place = store.root.metadata_here().attempted(decided)?.filesystem;
        for layer in prepared {
            let Some(layer) = layer else {
                return Ok(Group::Each);
            };
            if layer.dir().metadata_here().attempted(decided)?.filesystem != place {
                return Ok(Group::Each);
            }
        }
        if prepared.len() < 2 || !can_sync_whole(&store.root).attempted(decided)? {
            return Ok(Group::Each);
        }
        self.sync()?;
        Ok(Group::Synced)
    }

    /// Makes everything durable that was written so far. An error is final: nothing is made visible
    /// after it.
    fn sync(&self) -> Result<()> {
        let synced = self.store.root.sync_filesystem();
        synced.attempted(|| "cannot sync the layers".to_owned())
    }

    /// Makes a node of one layer, which may be prepared already.
    fn land_one(
        &self,
        plan: &mut Plan,
        at: usize,
        prepared: Option<PreparedLayer>,
        group: Group,
    ) -> Result<()> {
        let parent = at.checked_sub(1).and_then(|below| plan.layers[below].node);
        let mut prepared = prepared;
        for _ in 0..ATTEMPTS {
            let layer = &plan.layers[at];
            let _landing = self.store.landing(&layer.chain)?;
            // Another import may have landed it since.
            if let Some((node, mark)) = self.store.chain(&layer.chain)? {
                self.store
                    .put_chain(&layer.chain, node, self.store.durability)?;
                let layer = &mut plan.layers[at];
                (layer.node, layer.size) = (Some(node), mark.size);
                return Ok(());
            }
            let ready = if let Some(mut ready) = prepared.take() {
                if group == Group::Synced {
                    ready.set_durability(Durability::None);
                }
                ready
            } else {
                let onto = parent.as_ref().map_or(Onto::Nothing, Onto::Node);
                match self.prepare(layer, onto, false)? {
                    Some(ready) => ready,
                    None => continue,
                }
            };
            let mark = Mark {
                chain: layer.chain,
                diff_id: layer.diff_id,
                size: ready.applied().digests.map_or(0, |digests| digests.size),
            };
            let text = serde_json::to_vec(&mark).map_err(|error| {
                StoreError::new(StoreErrorKind::Failed, "cannot mark a layer").because(error)
            })?;
            ready
                .mark(&text)
                .attempted(|| "cannot mark a layer".to_owned())?;
            let size = mark.size;
            let id = self.free_id(node_of_chain(&layer.chain))?;
            let image = node_image(plan, at, id, parent);
            match self.store.graph.land(ready, &image) {
                Ok(node) => return self.landed(plan, at, node.id(), size, group),
                // It is prepared again: on its parent, or with another id.
                Err(error)
                    if matches!(
                        error.kind(),
                        GraphErrorKind::NeedsParent | GraphErrorKind::AlreadyExists
                    ) => {}
                Err(error) => {
                    let digest = layer.blob.digest;
                    return Err(error).attempted(|| format!("cannot keep the layer {digest}"));
                }
            }
        }
        let text = format!(
            "others keep taking the place of {}",
            plan.layers[at].blob.digest
        );
        Err(StoreError::new(StoreErrorKind::Failed, text))
    }

    /// Returns the id, or a random one if a node has it: what is in that one nobody has verified.
    fn free_id(&self, wanted: NodeId) -> Result<NodeId> {
        let looked = || format!("cannot look for the node {wanted}");
        if !self
            .store
            .graph
            .exists(&wanted.to_string())
            .attempted(looked)?
        {
            return Ok(wanted);
        }
        NodeId::random().map_err(|error| {
            StoreError::new(StoreErrorKind::Failed, "cannot draw an id").because(error)
        })
    }

    /// Writes down which node has the layer with all below it.
    fn landed(
        &self,
        plan: &mut Plan,
        at: usize,
        node: NodeId,
        size: u64,
        group: Group,
    ) -> Result<()> {
        let layer = &mut plan.layers[at];
        (layer.node, layer.size) = (Some(node), size);
        let durability = match group {
            Group::Synced => Durability::None,
            Group::Each => self.store.durability,
        };
        self.store.put_chain(&layer.chain, node, durability)
    }
}

/// Says of a node what the image's history says of its layer.
fn node_image(plan: &Plan, at: usize, id: NodeId, parent: Option<NodeId>) -> NodeImage {
    let config = &plan.config;
    let history = config.layer_history().nth(at).cloned().unwrap_or_default();
    let created = history.created.as_deref().or(config.created.as_deref());
    // A time that cannot be written down is no reason to refuse an image.
    let created = created.and_then(|created| created.parse().ok());
    let command = history.created_by.map(|command| vec![command]);
    NodeImage {
        id: id.to_string(),
        parent: parent.map_or_else(String::new, |parent| parent.to_string()),
        comment: history.comment.unwrap_or_default(),
        created: created.unwrap_or(Timestamp::ZERO),
        container: String::new(),
        container_config: RunConfig {
            cmd: command,
            ..RunConfig::default()
        },
        docker_version: String::new(),
        author: history
            .author
            .or_else(|| config.author.clone())
            .unwrap_or_default(),
        config: None,
        architecture: config.architecture.clone(),
        os: config.os.clone(),
        size: 0,
    }
}
