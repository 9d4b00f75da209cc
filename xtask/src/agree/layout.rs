//! An image in an OCI layout: from its tag to its layers (image-spec, *image layout*).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use layergraph::digest::Verifier;
use layergraph::image::oci::{Config, Descriptor, Document, Index, Manifest};

use crate::Result;

/// Where an index says what a manifest is called.
const TAG: &str = "org.opencontainers.image.ref.name";

/// An image of a layout.
#[derive(Debug)]
pub(super) struct Layout {
    directory: PathBuf,
    /// What umoci calls it.
    pub(super) name: String,
    /// The lowest first.
    pub(super) layers: Vec<Descriptor>,
}

impl Layout {
    /// Finds the image that `LAYOUT[:TAG]` names; without a tag it is `latest`, as with umoci.
    pub(super) fn open(image: &str) -> Result<Layout> {
        let (directory, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        let mut layout = Layout {
            directory: directory.into(),
            name: format!("{directory}:{tag}"),
            layers: Vec::new(),
        };
        let index = fs::read(layout.directory.join("index.json"))?;
        let index = Index::decode(&index, None)?;
        let mut tagged = index.manifests.iter();
        let found = tagged.find(|it| it.annotations.get(TAG).is_some_and(|name| name == tag));
        let found = found.ok_or_else(|| format!("{directory} has no image {tag:?}"))?;
        let manifest = layout.manifest(found)?;
        let config = Config::decode(&layout.read(&manifest.config)?)?;
        let (layers, ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != ids {
            return Err(format!("{image} has {layers} layers and {ids} diff ids").into());
        }
        layout.layers = manifest.layers;
        Ok(layout)
    }

    /// Reads a manifest. Which of several would be taken is not umoci's to choose either.
    fn manifest(&self, found: &Descriptor) -> Result<Manifest> {
        match Document::decode(&self.read(found)?, Some(&found.media_type))? {
            Document::Manifest(manifest) => Ok(*manifest),
            Document::Index(_) => Err("an image for several platforms: give one of them".into()),
        }
    }

    /// Reads a document, and verifies it.
    fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let file = File::open(self.blob(descriptor))?;
        let mut blob = Verifier::new(descriptor.digest, Some(descriptor.size), file);
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut blob, &mut bytes)?;
        blob.finish()?;
        Ok(bytes)
    }

    /// Returns where a blob is.
    pub(super) fn blob(&self, descriptor: &Descriptor) -> PathBuf {
        let digest = descriptor.digest;
        let algorithm = digest.algorithm().to_string();
        Path::new(&self.directory)
            .join("blobs")
            .join(algorithm)
            .join(digest.hex())
    }
}
