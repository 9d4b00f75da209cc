//! Layers that get their places, bottom first.

use layergraph_core::{GraphErrorKind, Onto, PreparedLayer};
use layergraph_image::v1::{Config as RunConfig, Image as NodeImage};
use layergraph_image::{NodeId, Timestamp};

use super::Import;
use super::plan::Plan;
use super::prepare::node_id;
use crate::error::Attempted;
use crate::records::{Chain, Known};
use crate::{Result, StoreError, StoreErrorKind};

/// How often a layer is tried again whose place others took meanwhile.
const ATTEMPTS: usize = 8;

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
        let mut prepared = prepared.into_iter();
        for at in first..plan.layers.len() {
            self.check_interrupt()?;
            self.land_one(plan, at, prepared.next().flatten())?;
            if let Some(progress) = self.options.progress {
                progress.landed(&plan.layers[at].blob);
            }
        }
        Ok(())
    }

    /// Makes a node of one layer, which may be prepared already.
    fn land_one(&self, plan: &mut Plan, at: usize, prepared: Option<PreparedLayer>) -> Result<()> {
        let parent = at.checked_sub(1).and_then(|below| plan.layers[below].node);
        let mut prepared = prepared;
        for attempt in 0..ATTEMPTS {
            // Another import may have landed it since.
            if attempt > 0
                && let Some(chain) = self.store.chain(&plan.layers[at].chain)?
            {
                (plan.layers[at].node, plan.layers[at].size) = (Some(chain.node), chain.size);
                return Ok(());
            }
            let layer = &plan.layers[at];
            let ready = if let Some(ready) = prepared.take() {
                ready
            } else {
                let onto = parent.as_ref().map_or(Onto::Nothing, Onto::Node);
                match self.prepare(layer, onto, false)? {
                    Some(ready) => ready,
                    None => continue,
                }
            };
            let size = ready.applied().digests.map_or(0, |digests| digests.size);
            let id = self.free_id(node_id(layer))?;
            let image = node_image(plan, at, id, parent);
            match self.store.graph.land(ready, &image) {
                Ok(node) => return self.landed(plan, at, node.id(), size),
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
    fn landed(&self, plan: &mut Plan, at: usize, node: NodeId, size: u64) -> Result<()> {
        let layer = &mut plan.layers[at];
        (layer.node, layer.size) = (Some(node), size);
        let diff_id = layer.diff_id;
        let chain = Chain {
            node,
            diff_id,
            size,
        };
        self.store.put_chain(&layer.chain, &chain)?;
        if layer.blob.digest != diff_id.digest() {
            self.store
                .put_known(&layer.blob.digest, &Known { diff_id, size })?;
        }
        Ok(())
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
