//! Images that come in: planned, prepared on all processors, landed bottom first, and only then
//! written down.
//!
//! Each step looks at what there is, so an import that was interrupted goes on where it stopped:
//! the layers that landed are found by their chains.

mod land;
mod plan;
mod prepare;

use std::sync::atomic::AtomicBool;

use layergraph_digest::{ChainId, DiffId, Digest};
use layergraph_image::ImageName;
use layergraph_image::oci::{Descriptor, Document, Index, Platform};
use layergraph_image::transfer::{ImageSource, Offered};

use self::plan::Plan;
use self::plan::read_document;
use crate::records::Record;
use crate::store::no_image;
use crate::{Image, Result, Store, StoreError, StoreErrorKind};

/// How images are imported.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ImportOptions<'a> {
    /// For which platform, if there are several; this machine's, if not given.
    pub platform: Option<Platform>,
    /// Whether all platforms are imported.
    pub all: bool,
    /// The names that the only image gets, instead of those it has at the source.
    pub names: Vec<ImageName>,
    /// Ends the import with an error when it is set.
    pub interrupt: Option<&'a AtomicBool>,
    /// Is told how far it has come.
    pub progress: Option<&'a dyn ImportProgress>,
}

/// Is told how far an import has come, by several threads at once.
pub trait ImportProgress: std::fmt::Debug + Sync {
    /// An image was planned: these are its layers, the lowest first, and whether each is there.
    fn planned(&self, layers: &[(Descriptor, bool)]) {
        let _ = layers;
    }

    /// So many bytes more of a layer were read.
    fn read(&self, layer: &Descriptor, bytes: u64) {
        let _ = (layer, bytes);
    }

    /// A layer is in its place.
    fn landed(&self, layer: &Descriptor) {
        let _ = layer;
    }
}

/// An image that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The image, as it now is in the store.
    pub image: Image,
    /// Its layers, the lowest first.
    pub layers: Vec<ImportedLayer>,
}

/// A layer of an image that was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedLayer {
    /// The layer with all below it.
    pub chain: ChainId,
    /// The digest of its tar.
    pub diff_id: DiffId,
    /// The digest of its blob.
    pub digest: Digest,
    /// The size of its blob in bytes.
    pub size: u64,
    /// Whether it was there before.
    pub reused: bool,
}

/// A manifest that was read.
pub(crate) struct Found {
    blob: Descriptor,
    bytes: Vec<u8>,
}

/// What goes with each part of an import.
pub(crate) struct Import<'a> {
    store: &'a Store,
    source: &'a dyn ImageSource,
    options: &'a ImportOptions<'a>,
}

impl Store {
    /// Imports all images of a source.
    ///
    /// Of one for several platforms the one that fits best is taken, or all. Everything is verified
    /// before it is visible: the digests and sizes of documents and layers, and the digests of the
    /// plain layers. Layers that the store has are not read.
    ///
    /// # Errors
    ///
    /// [`Refused`](StoreErrorKind::Refused) if something is not what it is said to be, or cannot be
    /// taken; the error names it. Of an image that fails nothing is visible, though layers of it
    /// may stay for the next time; the images before it are imported.
    pub fn import(
        &self,
        source: &dyn ImageSource,
        options: &ImportOptions<'_>,
    ) -> Result<Vec<Imported>> {
        let offered = source.images().map_err(|error| {
            StoreError::refused("cannot read what images there are").because(error)
        })?;
        if offered.is_empty() {
            return Err(StoreError::refused("there are no images"));
        }
        if !options.names.is_empty() && offered.len() > 1 {
            let text = "several images cannot have one name";
            return Err(StoreError::refused(text));
        }
        let import = Import {
            store: self,
            source,
            options,
        };
        let mut imported = Vec::new();
        for offered in &offered {
            import.offered(offered, &mut imported)?;
        }
        Ok(imported)
    }
}

impl Import<'_> {
    fn offered(&self, offered: &Offered, imported: &mut Vec<Imported>) -> Result<()> {
        let names = match &self.options.names[..] {
            [] => &offered.names,
            names => names,
        };
        let manifests = self.manifests(&offered.root, 0)?;
        let [_, ..] = manifests[..] else {
            let text = format!("{} has no image for this platform", offered.root.digest);
            return Err(StoreError::refused(text));
        };
        for (at, manifest) in manifests.iter().enumerate() {
            // A name is that of the one that fits best.
            let names: &[ImageName] = if at == 0 { names } else { &[] };
            imported.push(self.image(manifest, names)?);
        }
        Ok(())
    }

    /// Finds the manifests to import, the one that fits best first.
    fn manifests(&self, root: &Descriptor, depth: usize) -> Result<Vec<Found>> {
        /// An index that is in itself would have to have its own digest; this bounds what others
        /// make up.
        const MAX_DEPTH: usize = 4;
        let bytes = read_document(self.source, root)?;
        let media_type = Some(&root.media_type);
        let document = Document::decode(&bytes, media_type).map_err(|error| {
            StoreError::refused(format!("refused the document {}", root.digest)).because(error)
        })?;
        let index = match document {
            Document::Manifest(_) => {
                let blob = root.clone();
                return Ok(vec![Found { blob, bytes }]);
            }
            Document::Index(_) if depth == MAX_DEPTH => {
                let text = format!("the index {} is in too many others", root.digest);
                return Err(StoreError::refused(text));
            }
            Document::Index(index) => index,
        };
        let mut found = Vec::new();
        for entry in self.fitting(&index) {
            found.extend(self.manifests(&entry, depth + 1)?);
            if !self.options.all && !found.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// Returns the entries of an index that may be imported, the one that fits best first.
    fn fitting(&self, index: &Index) -> Vec<Descriptor> {
        let here = self.options.platform.clone().unwrap_or_else(Platform::here);
        let is_image =
            |entry: &&Descriptor| entry.media_type.is_manifest() || entry.media_type.is_index();
        let mut ranked: Vec<(Option<u32>, &Descriptor)> = Vec::new();
        for entry in index.manifests.iter().filter(is_image) {
            let rank = match &entry.platform {
                Some(platform) => here.rank(platform),
                // What does not say fits anywhere, if nothing fits better.
                None => Some(0),
            };
            ranked.push((rank, entry));
        }
        // Whatever is not an image, such as an attestation, says an unknown platform.
        let is_known = |platform: &Platform| platform.os != "unknown";
        ranked.retain(|(rank, entry)| {
            let may_be = entry.platform.as_ref().is_none_or(is_known);
            rank.is_some() || self.options.all && may_be
        });
        // A stable sort: of equal ones the first.
        ranked.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        ranked.into_iter().map(|(_, entry)| entry.clone()).collect()
    }

    fn image(&self, manifest: &Found, names: &[ImageName]) -> Result<Imported> {
        let mut plan = Plan::read(self.source, manifest)?;
        // From here on a collection waits.
        let _kept = self.store.keep()?;
        self.find_reused(&mut plan)?;
        if let Some(progress) = self.options.progress {
            let layers = plan
                .layers
                .iter()
                .map(|layer| (layer.blob.clone(), layer.node.is_some()));
            progress.planned(&layers.collect::<Vec<_>>());
        }
        self.land_missing(&mut plan)?;
        self.commit(&plan, names)?;
        self.imported(&plan)
    }

    /// Looks which layers the store has. Only those count that are on top of others that count.
    fn find_reused(&self, plan: &mut Plan) -> Result<()> {
        for layer in &mut plan.layers {
            let Some(chain) = self.store.chain(&layer.chain)? else {
                break;
            };
            let (node, mark) = chain;
            layer.node = Some(node);
            layer.size = mark.size;
            layer.reused = true;
        }
        Ok(())
    }

    /// Makes the image visible: the documents, the record, and last the names.
    fn commit(&self, plan: &Plan, names: &[ImageName]) -> Result<()> {
        let store = self.store;
        store.put_document(&plan.manifest.digest, &plan.manifest_bytes)?;
        store.put_document(&plan.manifest_config.digest, &plan.config_bytes)?;
        let record = Record {
            manifest: plan.manifest.digest,
            media_type: plan.media_type.clone(),
            config: plan.manifest_config.digest,
            platform: plan.config.platform(),
            chains: plan.layers.iter().map(|layer| layer.chain).collect(),
            created: plan.config.created.clone(),
            size: plan.layers.iter().map(|layer| layer.size).sum(),
        };
        let file = crate::files::name_of(&plan.manifest.digest);
        store.images.put(None, &file, &record, store.durability)?;
        for name in names {
            store.tag(&plan.manifest.digest, name)?;
        }
        Ok(())
    }

    fn imported(&self, plan: &Plan) -> Result<Imported> {
        let digest = plan.manifest.digest.to_string();
        let images = self.store.images()?.images;
        let image = images
            .into_iter()
            .find(|image| image.manifest == plan.manifest.digest);
        let layers = plan.layers.iter().map(|layer| ImportedLayer {
            chain: layer.chain,
            diff_id: layer.diff_id,
            digest: layer.blob.digest,
            size: layer.blob.size,
            reused: layer.reused,
        });
        Ok(Imported {
            image: image.ok_or_else(|| no_image(&digest))?,
            layers: layers.collect(),
        })
    }

    fn check_interrupt(&self) -> Result<()> {
        let is_set = |flag: &AtomicBool| flag.load(std::sync::atomic::Ordering::Relaxed);
        if self.options.interrupt.is_some_and(is_set) {
            let text = "the import was interrupted";
            return Err(StoreError::new(StoreErrorKind::Interrupted, text));
        }
        Ok(())
    }
}
