//! Docker-archives.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use layergraph_archive::codec::DecodeOptions;
use layergraph_digest::Digest;
use layergraph_fs::{Dir, Durability};
use layergraph_image::ImageName;
use layergraph_image::oci::{Config, Descriptor, DocumentError, Manifest};
use layergraph_image::transfer::{ImageSink, Offered, TransferError};
use layergraph_tar::Writer;

use super::archive::{OUTPUT, Tar};
use super::images::Images;
use super::staged::Staged;
use crate::error::OciError;
use crate::read::list::{Listed, Repositories};
use crate::read::{LIST, REPOSITORIES};

/// Writes images as a docker-archive, which Docker since 1.10, podman, skopeo and containerd read.
///
/// It has no manifests and no compressed layers, so a layer is decoded when it is taken. Each image
/// has to be a manifest: an index is refused. As with [`ArchiveWriter`](crate::ArchiveWriter), the
/// same images give the same bytes, and nothing is written before [`finish`](ImageSink::finish).
#[derive(Debug)]
#[must_use = "nothing is written until `finish`"]
pub struct DockerWriter<W> {
    output: W,
    staged: Staged,
    decode: DecodeOptions,
    images: Images,
    saved: Vec<Saved>,
}

/// An image with what it consists of.
#[derive(Debug)]
struct Saved {
    config: Digest,
    /// The layers, by the digests that they were taken by, the lowest first.
    layers: Vec<Digest>,
    names: Vec<ImageName>,
}

impl<W: Write> DockerWriter<W> {
    /// Makes a writer to `output` that keeps blobs in a private directory in `spool` meanwhile;
    /// `decode` is what decoding a layer may cost.
    ///
    /// # Errors
    ///
    /// The private directory cannot be made.
    pub fn new(output: W, spool: &Dir, decode: DecodeOptions) -> Result<DockerWriter<W>, OciError> {
        Ok(DockerWriter {
            output,
            staged: Staged::new(spool, Durability::None)?,
            decode,
            images: Images::default(),
            saved: Vec::new(),
        })
    }

    /// Takes note of an image, all of which has been taken.
    fn save(&mut self, image: &Offered) -> Result<(), OciError> {
        let output = Path::new(OUTPUT);
        let refused = |digest: Digest| {
            move |source: DocumentError| OciError::Document {
                path: output.to_owned(),
                name: digest.to_string(),
                source,
            }
        };
        let root = &image.root;
        let bytes = self.staged.read(&root.digest, output)?;
        let manifest = Manifest::decode(&bytes, Some(&root.media_type));
        let manifest = manifest.map_err(refused(root.digest))?;
        let digest = manifest.config.digest;
        let config =
            Config::decode(&self.staged.read(&digest, output)?).map_err(refused(digest))?;
        let layers: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest).collect();
        let mut found = Vec::new();
        for layer in &layers {
            let stored = self.staged.get(layer).ok_or_else(|| OciError::NoBlob {
                path: output.to_owned(),
                digest: Box::new(*layer),
            })?;
            found.push(stored.digest);
        }
        let expected = config.rootfs.diff_ids.iter().map(|id| id.digest());
        if !expected.eq(found) {
            let reason = "its layers are not those that its config tells of".to_owned();
            return Err(OciError::contradiction(
                output,
                &root.digest.to_string(),
                reason,
            ));
        }
        self.images.add(image, output)?;
        // The same config means the same layers, however these were packed.
        let names = image.names.clone();
        match self.saved.iter_mut().find(|other| other.config == digest) {
            Some(other) => other.names.extend(names),
            None => self.saved.push(Saved {
                config: digest,
                layers,
                names,
            }),
        }
        Ok(())
    }

    fn write(mut self) -> Result<(), OciError> {
        // What is a member, and which blob that was taken is in it.
        let mut files: BTreeMap<String, Digest> = BTreeMap::new();
        let mut listed = Vec::new();
        let mut repositories = Repositories::new();
        for image in &mut self.saved {
            image.names.sort();
            image.names.dedup();
            let config = format!("{}.json", image.config.hex());
            files.insert(config.clone(), image.config);
            let mut layers = Vec::new();
            let mut top = None;
            for layer in &image.layers {
                let stored = self.staged.get(layer).ok_or_else(|| OciError::NoBlob {
                    path: OUTPUT.into(),
                    digest: Box::new(*layer),
                })?;
                let directory = stored.digest.hex();
                let name = format!("{directory}/layer.tar");
                files.entry(name.clone()).or_insert(*layer);
                layers.push(name);
                top = Some(directory);
            }
            for (name, top) in image
                .names
                .iter()
                .filter_map(|name| Some((name, top.clone()?)))
            {
                let repository = name.familiar_repository().to_string();
                let tags = repositories.entry(repository).or_default();
                tags.insert(name.tag().to_owned(), top);
            }
            let tags = image.names.iter().map(|name| name.familiar().to_string());
            listed.push(Listed {
                config,
                repo_tags: (!image.names.is_empty()).then(|| tags.collect()),
                layers,
            });
        }
        let mut tar = Tar(Writer::new(self.output));
        for (name, blob) in &files {
            if let Some((directory, _)) = name.split_once('/') {
                tar.directory(directory)?;
            }
            tar.blob(name, &self.staged, blob)?;
        }
        tar.document(REPOSITORIES, &json(&repositories))?;
        tar.document(LIST, &json(&listed))?;
        tar.finish()
    }
}

fn json(document: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("it has texts only")
}

impl<W: Write> ImageSink for DockerWriter<W> {
    fn has(&mut self, blob: &Descriptor) -> Result<bool, TransferError> {
        Ok(self.staged.get(&blob.digest).is_some())
    }

    fn put(&mut self, blob: &Descriptor, content: &mut dyn Read) -> Result<(), TransferError> {
        Ok(self.staged.put(blob, content, Some(&self.decode))?)
    }

    fn add(&mut self, image: &Offered) -> Result<(), TransferError> {
        Ok(self.save(image)?)
    }

    fn finish(self: Box<Self>) -> Result<(), TransferError> {
        Ok(self.write()?)
    }
}
