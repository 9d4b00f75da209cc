//! What nothing needs any more.

use std::collections::{BTreeMap, BTreeSet};

use layergraph_core::{DeleteOptions, GraphErrorKind};
use layergraph_digest::{ChainId, Digest};
use layergraph_image::{ImageName, NodeId};

use crate::error::Attempted;
use crate::files::name_of;
use crate::records::Mark;
use crate::store::{blob_of, damaged};
use crate::{Result, Store};

/// How a collection is done.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct CollectOptions {
    /// Whether it is only told what would be done.
    pub dry_run: bool,
    /// Whether imports and exports that are running are waited for. If not, and there are some,
    /// nothing is done.
    pub wait: bool,
}

/// What a collection has found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Collected {
    /// The layers, with all below them, that were removed.
    pub layers: Vec<ChainId>,
    /// The documents and blobs that were removed.
    pub blobs: Vec<Digest>,
    /// How many bytes the blobs and the tars of the layers had.
    pub freed: u64,
    /// The layers that stay, and why.
    pub kept: Vec<(ChainId, Reason)>,
    /// Whether nothing was done, because others were at work.
    pub is_busy: bool,
}

/// Why something is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// An image has it: the one whose manifest has this digest.
    Image(Digest),
    /// Others build on it, or it is mounted.
    InUse,
}

/// What images need.
#[derive(Default)]
struct Needed {
    chains: BTreeMap<ChainId, Reason>,
    blobs: BTreeSet<Digest>,
}

impl Store {
    /// Removes the image whose manifest has this digest, with all its names, which are returned.
    /// Its layers stay until a collection.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::StoreErrorKind::NotFound) if it is gone.
    pub fn remove(&self, manifest: &Digest) -> Result<Vec<ImageName>> {
        let _naming = self.naming()?;
        let mut lost = Vec::new();
        for (name, target) in self.all_names(&mut Vec::new())? {
            if target == *manifest && self.remove_name(&name)? {
                lost.push(name);
            }
        }
        if self.images.remove(None, &name_of(manifest))? {
            return Ok(lost);
        }
        Err(crate::store::no_image(&manifest.to_string()))
    }

    /// Removes layers and documents that no image needs, and what killed processes have left.
    ///
    /// While it runs, imports and exports wait; readers and mounts do not. Nodes of the graph that
    /// no import made stay.
    ///
    /// # Errors
    ///
    /// An image that cannot be read: what it needs cannot be told, so nothing is removed. After any
    /// error the next collection goes on.
    pub fn collect(&self, options: CollectOptions) -> Result<Collected> {
        let mut done = Collected::default();
        let Some(_alone) = self.collecting(options.wait)? else {
            done.is_busy = true;
            return Ok(done);
        };
        let needed = self.needed()?;
        if !options.dry_run {
            self.sweep()?;
        }
        self.collect_layers(&needed, options, &mut done)?;
        for (digest, size) in self.all_blobs()? {
            if needed.blobs.contains(&digest) {
                continue;
            }
            let (part, name) = blob_of(&digest);
            if options.dry_run || self.blobs.remove(Some(&part), &name)? {
                done.freed += size;
                done.blobs.push(digest);
            }
        }
        Ok(done)
    }

    /// Removes the nodes that imports made and no image needs, those on top first.
    fn collect_layers(
        &self,
        needed: &Needed,
        options: CollectOptions,
        done: &mut Collected,
    ) -> Result<()> {
        let mut unneeded: Vec<(usize, NodeId, Mark)> = Vec::new();
        let listed = || "cannot list the layers".to_owned();
        let nodes = self.graph.map().attempted(listed)?.by_id;
        for (id, node) in &nodes {
            let Some(mark) = self.mark(id)? else { continue };
            let is_current = || -> Result<bool> {
                let found = self.chain(&mark.chain)?;
                Ok(found.is_some_and(|(node, _)| node == *id))
            };
            match needed.chains.get(&mark.chain) {
                // Another node has taken its place.
                Some(reason) if is_current()? => done.kept.push((mark.chain, reason.clone())),
                _ => {
                    let depth = self.graph.depth(node).unwrap_or(usize::MAX);
                    unneeded.push((depth, *id, mark));
                }
            }
        }
        unneeded.sort_by_key(|(depth, id, _)| (std::cmp::Reverse(*depth), *id));
        for (_, id, mark) in unneeded {
            let deleted = if options.dry_run {
                Ok(())
            } else {
                let deleted = self.graph.delete(&id.to_string(), DeleteOptions::default());
                deleted.map(drop)
            };
            match deleted {
                Err(error) if error.kind() == GraphErrorKind::InUse => {
                    done.kept.push((mark.chain, Reason::InUse));
                    continue;
                }
                Err(error) if error.kind() == GraphErrorKind::NotFound => {}
                result => result.attempted(|| format!("cannot remove the node {id}"))?,
            }
            done.freed += mark.size;
            done.layers.push(mark.chain);
        }
        // Last, because a record without a node is none.
        if !options.dry_run {
            for name in self.chains.names(None)? {
                let chain = crate::files::digest_of(&name).map(ChainId::new);
                let found = chain.map_or(Ok(None), |chain| self.chain(&chain))?;
                if found.is_none() {
                    self.chains.remove(None, &name)?;
                }
            }
        }
        Ok(())
    }

    /// Removes what killed processes have left half written.
    fn sweep(&self) -> Result<()> {
        for files in [&self.images, &self.chains] {
            files.sweep(None)?;
        }
        for files in [&self.blobs, &self.names] {
            for part in files.names(None)? {
                files.sweep(Some(&part))?;
            }
        }
        Ok(())
    }

    /// Finds out what images need.
    fn needed(&self) -> Result<Needed> {
        let mut needed = Needed::default();
        let all = self.images()?;
        if let Some(error) = all.broken_images.into_iter().next() {
            let text = "an image cannot be read, and what it needs is not known";
            return Err(damaged(text.to_owned()).because(error));
        }
        for image in all.images {
            needed.blobs.extend([image.manifest, image.id]);
            for chain in image.chains {
                needed.chains.insert(chain, Reason::Image(image.manifest));
            }
        }
        Ok(needed)
    }
}
