//! Docker-archives, as `docker save` writes them since Docker 1.10.
//!
//! `manifest.json` lists the images, each with the members that are its config and its layers.
//! There are no manifests, so one is made for each image, always the same for the same config and
//! layers: that of OCI, over the layers as they are when they are not packed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use layergraph_archive::codec::{Codec, DecodeOptions, decode};
use layergraph_digest::{Algorithm, Digest};
use layergraph_image::oci::{Config, Descriptor, Manifest, MediaType};

use super::archive::{Archive, Extent};
use super::files::Files;
use super::list::{Listed, MAX_BYTES, read_list};
use super::names::{Candidate, offer, parse};
use super::spool::{codec, decoding};
use super::{Content, LIST, Part, Source, SourceOptions};
use crate::error::{MemberError, OciError, shown};

/// How many layers the images may have, together.
const MAX_LAYERS: usize = 1 << 16;

/// Reads a docker-archive.
pub(super) fn read(archive: Archive, options: &SourceOptions<'_>) -> Result<Source, OciError> {
    let files = Files::Archive(archive);
    let Some(listed) = read_list(&files)? else {
        return Err(OciError::member(files.path(), LIST, MemberError::Missing));
    };
    let Files::Archive(archive) = &files else {
        unreachable!("it was just made so");
    };
    let mut found = Found {
        archive,
        decode: decoding(options),
        manifests: BTreeMap::new(),
        blobs: BTreeMap::new(),
        sizes: BTreeMap::new(),
        layers: 0,
    };
    let mut candidates = Vec::new();
    for image in listed {
        let root = found.add(&image)?;
        let tags = image.repo_tags.unwrap_or_default();
        let names = tags.iter().map(|tag| parse(tag, LIST, archive.path()));
        let names = names.collect::<Result<_, _>>()?;
        candidates.push(Candidate { root, names });
    }
    let offered = offer(candidates, options.select, archive.path())?;
    let content = Content::Docker {
        manifests: found.manifests,
        blobs: found.blobs,
        decode: found.decode,
    };
    Ok(Source {
        files,
        offered,
        content,
    })
}

/// What was found of the images so far.
struct Found<'a> {
    archive: &'a Archive,
    decode: DecodeOptions,
    manifests: BTreeMap<Digest, Vec<u8>>,
    blobs: BTreeMap<Digest, Part>,
    /// How members are packed that were looked at.
    sizes: BTreeMap<Extent, (Codec, u64)>,
    layers: usize,
}

impl Found<'_> {
    /// Finds config and layers of an image, and makes its manifest.
    fn add(&mut self, image: &Listed) -> Result<Descriptor, OciError> {
        let path = self.archive.path();
        let (config, digest, extent) = self.config(&image.config)?;
        let diff_ids = &config.rootfs.diff_ids;
        if image.layers.len() != diff_ids.len() {
            let (layers, ids) = (image.layers.len(), diff_ids.len());
            let reason = format!("an image has {layers} layers, and its config says {ids}");
            return Err(OciError::contradiction(path, LIST, reason));
        }
        self.layers += diff_ids.len();
        if self.layers > MAX_LAYERS {
            return Err(OciError::limit(path, "layers", MAX_LAYERS as u64));
        }
        let mut layers = Vec::new();
        for (name, diff_id) in image.layers.iter().zip(diff_ids) {
            let part = self.layer(name)?;
            let digest = diff_id.digest();
            // A second member for the same layer adds nothing; if one of the two lies, it is not
            // the same layer, and whoever reads the first will see that.
            let part = *self.blobs.entry(digest).or_insert(part);
            layers.push(Descriptor::new(MediaType::LAYER, digest, part.size));
        }
        let size = extent.size;
        let part = Part {
            extent,
            codec: Codec::None,
            size,
        };
        self.blobs.insert(digest, part);
        let config = Descriptor::new(MediaType::CONFIG, digest, size);
        let manifest = Manifest::new(config, layers).encode();
        let digest = Digest::of(Algorithm::Sha256, &manifest);
        let root = Descriptor::new(MediaType::MANIFEST, digest, manifest.len() as u64);
        self.manifests.insert(digest, manifest);
        Ok(root)
    }

    /// Reads a config, whose digest its name must not deny.
    fn config(&self, name: &str) -> Result<(Config, Digest, Extent), OciError> {
        let path = self.archive.path();
        let extent = self.archive.find(name)?;
        if extent.size > MAX_BYTES as u64 {
            let what = format!("bytes of {}", shown(name));
            return Err(OciError::limit(path, what, MAX_BYTES as u64));
        }
        let bytes = self.archive.read(extent)?;
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        if let Some(named) = digest_in(name)
            && named != digest
        {
            let reason = format!("it is called so, and its digest is {digest}");
            return Err(OciError::contradiction(path, name, reason));
        }
        let config = Config::decode(&bytes).map_err(|source| OciError::Document {
            path: path.to_owned(),
            name: shown(name),
            source,
        })?;
        Ok((config, digest, extent))
    }

    /// Finds a layer, and how many bytes it has when it is not packed.
    fn layer(&mut self, name: &str) -> Result<Part, OciError> {
        let extent = self.archive.find(name)?;
        let known = self.sizes.get(&extent).copied();
        let (codec, size) = known
            .map_or_else(|| self.measure(extent), Ok)
            .map_err(|source| OciError::Read {
                path: self.archive.path().join(shown(name)),
                source,
            })?;
        self.sizes.insert(extent, (codec, size));
        Ok(Part {
            extent,
            codec,
            size,
        })
    }

    /// A packed layer says nowhere how long it is, and has to be decoded for that.
    fn measure(&self, extent: Extent) -> io::Result<(Codec, u64)> {
        let codec = codec(self.archive.open(extent))?;
        if codec == Codec::None {
            return Ok((codec, extent.size));
        }
        let mut decoder = decode(self.archive.open(extent), &self.decode)?;
        let size = io::copy(&mut decoder, &mut io::sink())?;
        Ok((codec, size))
    }
}

/// Returns the digest that is the name of a config, as Docker calls it: its digits, in a layout or
/// with `.json` behind.
fn digest_in(name: &str) -> Option<Digest> {
    let stem = Path::new(name).file_name()?.to_str()?;
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    format!("{}:{stem}", Algorithm::Sha256).parse().ok()
}
