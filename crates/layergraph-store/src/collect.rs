//! What nothing needs any more.

use std::collections::{BTreeMap, BTreeSet};

use layergraph_core::{DeleteOptions, GraphErrorKind};
use layergraph_digest::{ChainId, Digest};

use crate::error::Attempted;
use crate::files::name_of;
use crate::records::Chain;
use crate::store::{blob_of, damaged};
use crate::{Image, Result, Store, StoreErrorKind, lease};

/// How a collection is done.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct CollectOptions {
    /// Whether it is only told what would be done.
    pub dry_run: bool,
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
}

/// Why something is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// An image has it: the one whose manifest has this digest.
    Image(Digest),
    /// Somebody is using it at this moment.
    Lease,
    /// Others build on it, or it is mounted.
    InUse,
}

/// What images and leases need.
#[derive(Default)]
struct Needed {
    chains: BTreeMap<ChainId, Reason>,
    blobs: BTreeSet<Digest>,
}

impl Store {
    /// Removes an image with all its names. Its layers stay until a collection.
    ///
    /// # Errors
    ///
    /// [`NotFound`](StoreErrorKind::NotFound) if it is gone.
    pub fn remove(&self, image: &Image) -> Result<()> {
        for (name, target) in self.all_names(&mut Vec::new())? {
            if target == image.manifest {
                match self.untag(&name) {
                    Err(error) if error.kind() == StoreErrorKind::NotFound => {}
                    result => result?,
                }
            }
        }
        if self.images.remove(None, &name_of(&image.manifest))? {
            return Ok(());
        }
        Err(crate::store::no_image(&image.manifest.to_string()))
    }

    /// Removes layers and documents that no image needs and nobody is using.
    ///
    /// It may run beside imports and mounts. Nodes of the graph that no import made stay.
    ///
    /// # Errors
    ///
    /// An image that cannot be read: what it needs cannot be told, so nothing is removed.
    pub fn collect(&self, options: CollectOptions) -> Result<Collected> {
        let mut done = Collected::default();
        let needed = self.needed()?;
        let mut candidates = Vec::new();
        for chain in self.all_chains()? {
            match needed.chains.get(&chain) {
                Some(reason) => done.kept.push((chain, reason.clone())),
                None => candidates.push(chain),
            }
        }
        let blobs = self.all_blobs()?;
        let blobs = blobs
            .into_iter()
            .filter(|(digest, _)| !needed.blobs.contains(digest));
        let blobs: Vec<(Digest, u64)> = blobs.collect();
        if options.dry_run {
            for chain in candidates {
                let record = self
                    .chains
                    .record::<Chain>(None, &name_of(&chain.digest()))?;
                done.freed += record.map_or(0, |record| record.size);
                done.layers.push(chain);
            }
            done.freed += blobs.iter().map(|(_, size)| size).sum::<u64>();
            done.blobs = blobs.into_iter().map(|(digest, _)| digest).collect();
            return Ok(done);
        }
        self.collect_layers(candidates, &mut done)?;
        self.collect_blobs(&blobs, &mut done)?;
        Ok(done)
    }

    /// Removes the nodes of chains that nothing needs.
    ///
    /// Their records go first, so that nobody finds them; then it is looked once more whether
    /// somebody had.
    fn collect_layers(&self, candidates: Vec<ChainId>, done: &mut Collected) -> Result<()> {
        let mut taken: BTreeMap<ChainId, Chain> = BTreeMap::new();
        for chain in candidates {
            let name = name_of(&chain.digest());
            if let Some(record) = self.chains.record::<Chain>(None, &name)? {
                taken.insert(chain, record);
            }
            self.chains.remove(None, &name)?;
        }
        let needed = self.needed()?;
        taken.retain(|chain, record| {
            let Some(reason) = needed.chains.get(chain) else {
                return true;
            };
            done.kept.push((*chain, reason.clone()));
            // An import that missed it meanwhile has written another one, or will.
            let _ = self.put_chain(chain, record, self.durability);
            false
        });
        // Children first: a node goes when nothing is on top of it.
        let mut left: Vec<(ChainId, Chain)> = taken.into_iter().collect();
        loop {
            let before = left.len();
            let mut stuck = Vec::new();
            for (chain, record) in left {
                let node = record.node.to_string();
                match self.graph.delete(&node, DeleteOptions::default()) {
                    Ok(_) => {
                        done.freed += record.size;
                        done.layers.push(chain);
                    }
                    Err(error) if error.kind() == GraphErrorKind::NotFound => {
                        done.layers.push(chain);
                    }
                    Err(error) if error.kind() == GraphErrorKind::InUse => {
                        stuck.push((chain, record));
                    }
                    Err(error) => {
                        return Err(error)
                            .attempted(|| format!("cannot remove the layers {chain}"));
                    }
                }
            }
            left = stuck;
            if left.is_empty() || left.len() == before {
                break;
            }
        }
        for (chain, record) in left {
            // The next collection tries again.
            self.put_chain(&chain, &record, self.durability)?;
            done.kept.push((chain, Reason::InUse));
        }
        Ok(())
    }

    fn collect_blobs(&self, blobs: &[(Digest, u64)], done: &mut Collected) -> Result<()> {
        let needed = self.needed()?;
        for (digest, size) in blobs {
            if needed.blobs.contains(digest) {
                continue;
            }
            let (part, name) = blob_of(digest);
            if self.blobs.remove(Some(&part), &name)? {
                done.freed += size;
                done.blobs.push(*digest);
            }
        }
        Ok(())
    }

    /// Finds out what images and leases need.
    fn needed(&self) -> Result<Needed> {
        let mut needed = Needed::default();
        // Leases first: an import that ends meanwhile has its record then.
        let leased = lease::used(self)?;
        for digest in leased {
            needed.blobs.insert(digest);
            needed.chains.insert(ChainId::new(digest), Reason::Lease);
        }
        let all = self.images()?;
        if let Some(error) = all.broken.into_iter().next() {
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
