//! What an image consists of, read and checked before a layer is.

use std::io::Read;

use layergraph_digest::{ChainId, DiffId, Verifier, chain_ids};
use layergraph_image::NodeId;
use layergraph_image::oci::{Config, Descriptor, MAX_BYTES, Manifest, MediaType};
use layergraph_image::transfer::ImageSource;

use super::Found;
use crate::{Result, StoreError};

/// More layers than overlayfs can unite are refused before the first is read.
const MAX_LAYERS: usize = 500;

/// An image that is going to be imported.
pub(crate) struct Plan {
    pub(crate) manifest: Descriptor,
    pub(crate) manifest_bytes: Vec<u8>,
    pub(crate) media_type: MediaType,
    pub(crate) manifest_config: Descriptor,
    pub(crate) config_bytes: Vec<u8>,
    pub(crate) config: Config,
    pub(crate) layers: Vec<PlannedLayer>,
}

/// One of its layers.
pub(crate) struct PlannedLayer {
    pub(crate) blob: Descriptor,
    pub(crate) diff_id: DiffId,
    pub(crate) chain: ChainId,
    /// The node that has its tree, as soon as there is one.
    pub(crate) node: Option<NodeId>,
    /// The size of its tar in bytes, as soon as it is known.
    pub(crate) size: u64,
    pub(crate) reused: bool,
}

impl Plan {
    pub(super) fn read(source: &dyn ImageSource, found: &Found) -> Result<Plan> {
        let (manifest, manifest_bytes) = (&found.blob, found.bytes.clone());
        let refused =
            |what: &str| StoreError::refused(format!("refused {what} {}", manifest.digest));
        let media_type = Some(&manifest.media_type);
        let read = Manifest::decode(&manifest_bytes, media_type)
            .map_err(|error| refused("the manifest").because(error))?;
        if !read.config.media_type.as_str().is_empty() && !read.config.media_type.is_config() {
            let text = format!("its config is a {}: it is no image", read.config.media_type);
            return Err(refused("the manifest").because(text));
        }
        let config_bytes = read_document(source, &read.config)?;
        let config = Config::decode(&config_bytes).map_err(|error| {
            let digest = read.config.digest;
            StoreError::refused(format!("refused the config {digest}")).because(error)
        })?;
        let layers =
            planned(&read, &config).map_err(|reason| refused("the image").because(reason))?;
        let own = read
            .media_type
            .clone()
            .filter(|own| !own.as_str().is_empty());
        let media_type = match own {
            Some(own) => own,
            None if manifest.media_type.is_manifest() => manifest.media_type.clone(),
            None => MediaType::MANIFEST.into(),
        };
        Ok(Plan {
            manifest: manifest.clone(),
            manifest_bytes,
            media_type,
            manifest_config: read.config,
            config_bytes,
            config,
            layers,
        })
    }
}

fn planned(manifest: &Manifest, config: &Config) -> std::result::Result<Vec<PlannedLayer>, String> {
    let diff_ids = &config.rootfs.diff_ids;
    if manifest.layers.len() != diff_ids.len() {
        let (layers, ids) = (manifest.layers.len(), diff_ids.len());
        return Err(format!(
            "its manifest has {layers} layers, its config {ids}"
        ));
    }
    if manifest.layers.len() > MAX_LAYERS {
        let layers = manifest.layers.len();
        return Err(format!(
            "it has {layers} layers, and {MAX_LAYERS} can be mounted"
        ));
    }
    let is_layer =
        |blob: &&Descriptor| !blob.media_type.is_layer() && !blob.media_type.as_str().is_empty();
    if let Some(other) = manifest.layers.iter().find(is_layer) {
        return Err(format!(
            "its layer {} is a {}",
            other.digest, other.media_type
        ));
    }
    let chains = chain_ids(diff_ids);
    let layers = manifest.layers.iter().zip(diff_ids).zip(chains);
    let planned = layers.map(|((blob, &diff_id), chain)| PlannedLayer {
        blob: blob.clone(),
        diff_id,
        chain,
        node: None,
        size: 0,
        reused: false,
    });
    Ok(planned.collect())
}

/// Reads a document of a source, and checks that it is the one that is described.
pub(crate) fn read_document(source: &dyn ImageSource, blob: &Descriptor) -> Result<Vec<u8>> {
    let digest = blob.digest;
    let refused = || StoreError::refused(format!("cannot take the document {digest}"));
    if blob.size > MAX_BYTES as u64 {
        let text = format!("it has {} bytes, and {MAX_BYTES} are allowed", blob.size);
        return Err(refused().because(text));
    }
    let opened = source
        .open(blob)
        .map_err(|error| refused().because(error))?;
    let mut reader = Verifier::new(digest, Some(blob.size), opened);
    let mut bytes = Vec::new();
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| refused().because(error))?;
    reader.finish().map_err(|error| refused().because(error))?;
    Ok(bytes)
}
