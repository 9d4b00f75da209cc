//! Manifests and indexes, and what they point by.

use std::collections::BTreeMap;
use std::fmt;

use layergraph_digest::Digest;
use serde::{Deserialize, Serialize};

use super::document::{DocumentError, null_is_default, read};
use super::platform::Platform;

/// What a blob is: a media type (RFC 6838) as text.
///
/// ```
/// use layergraph_image::oci::MediaType;
///
/// let layer = MediaType::from("application/vnd.docker.image.rootfs.diff.tar.gzip");
/// assert!(layer.is_layer());
/// assert!(!layer.is_manifest());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(String);

impl MediaType {
    /// An OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image config.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A layer that is not compressed.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer compressed by gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer compressed by zstd.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker's manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's index.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's image config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it is that of a manifest.
    pub fn is_manifest(&self) -> bool {
        [MediaType::MANIFEST, MediaType::DOCKER_MANIFEST].contains(&self.as_str())
    }

    /// Returns whether it is that of an index.
    pub fn is_index(&self) -> bool {
        [MediaType::INDEX, MediaType::DOCKER_INDEX].contains(&self.as_str())
    }

    /// Returns whether it is that of an image's config.
    pub fn is_config(&self) -> bool {
        [MediaType::CONFIG, MediaType::DOCKER_CONFIG].contains(&self.as_str())
    }

    /// Returns whether it is that of a layer, in whatever codec, also of one that is not to be
    /// distributed.
    pub fn is_layer(&self) -> bool {
        const PREFIXES: [&str; 4] = [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
        ];
        let rest = PREFIXES
            .iter()
            .find_map(|prefix| self.0.strip_prefix(prefix));
        rest.is_some_and(|rest| matches!(rest, "" | "+gzip" | ".gzip" | "+zstd" | ".zstd"))
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> MediaType {
        MediaType(text.to_owned())
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Points to a blob (image-spec, *descriptor*).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descriptor {
    /// What the blob is.
    #[serde(default, deserialize_with = "null_is_default")]
    pub media_type: MediaType,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    /// Where else it may be found.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub urls: Vec<String>,
    /// What is said of it.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// What it runs on, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// Makes one without anything that may be left out.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
        }
    }
}

/// Points to the config and the layers of an image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Manifest {
    schema_version: u64,
    /// What it is, if it says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// What the artifact is, if it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, the lowest first.
    #[serde(deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// What is said of it.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Points to manifests, mostly of one image for several platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Index {
    schema_version: u64,
    /// What it is, if it says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The manifests, and perhaps further indexes.
    #[serde(deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// What is said of it.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest or an index, whichever the bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// A manifest.
    Manifest(Box<Manifest>),
    /// An index.
    Index(Index),
}

const FIELDS: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "annotations",
    "subject",
    "fsLayers",
];

impl Document {
    /// Reads a document that a descriptor of this media type points to; none says nothing.
    ///
    /// # Errors
    ///
    /// Also if it is both, or neither: Docker's first schema had no config.
    pub fn decode(bytes: &[u8], media_type: Option<&MediaType>) -> Result<Document, DocumentError> {
        let (Kind {}, fields) = read(bytes, "manifest", FIELDS)?;
        let has = |name: &str| fields.iter().any(|field| field == name);
        if has("manifests") && (has("layers") || has("config") || has("fsLayers")) {
            let reason = "it is an index and a manifest".to_owned();
            return Err(DocumentError::Ambiguous { reason });
        }
        let document = if has("manifests") {
            let (index, _) = read::<Index>(bytes, "index", FIELDS)?;
            check_version(index.schema_version)?;
            Document::Index(index)
        } else if has("fsLayers") {
            let found = "manifest of Docker's first schema".to_owned();
            let wanted = "manifest";
            return Err(DocumentError::Other { found, wanted });
        } else {
            let (manifest, _) = read::<Manifest>(bytes, "manifest", FIELDS)?;
            check_version(manifest.schema_version)?;
            Document::Manifest(manifest.into())
        };
        document.check_media_type(media_type)?;
        Ok(document)
    }

    /// Returns what the document says that it is.
    fn media_type(&self) -> Option<&MediaType> {
        match self {
            Document::Manifest(manifest) => manifest.media_type.as_ref(),
            Document::Index(index) => index.media_type.as_ref(),
        }
    }

    /// Checks that what the document says of itself, what is said of it, and what it is agree.
    fn check_media_type(&self, asked: Option<&MediaType>) -> Result<(), DocumentError> {
        let said = self.media_type().filter(|said| !said.as_str().is_empty());
        let asked = asked.filter(|asked| !asked.as_str().is_empty());
        if let (Some(said), Some(asked)) = (said, asked)
            && said != asked
        {
            let reason = format!("it says that it is {said}, and was to be {asked}");
            return Err(DocumentError::Contradiction { reason });
        }
        let (fits, wanted): (fn(&MediaType) -> bool, _) = match self {
            Document::Manifest(_) => (MediaType::is_manifest, "manifest"),
            Document::Index(_) => (MediaType::is_index, "index"),
        };
        match said.or(asked) {
            Some(other) if !fits(other) => {
                let reason = format!("it has the fields of a {wanted}, and is said to be {other}");
                Err(DocumentError::Contradiction { reason })
            }
            _ => Ok(()),
        }
    }
}

/// Any object.
#[derive(Deserialize)]
struct Kind {}

fn check_version(version: u64) -> Result<(), DocumentError> {
    if version == 2 {
        Ok(())
    } else {
        Err(DocumentError::Version(version))
    }
}

impl Manifest {
    /// Makes an OCI manifest.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
        Manifest {
            schema_version: 2,
            media_type: Some(MediaType::MANIFEST.into()),
            artifact_type: None,
            config,
            layers,
            annotations: BTreeMap::new(),
        }
    }

    /// Reads a manifest that a descriptor of this media type points to; none says nothing.
    ///
    /// # Errors
    ///
    /// Also if it is an index.
    pub fn decode(bytes: &[u8], media_type: Option<&MediaType>) -> Result<Manifest, DocumentError> {
        match Document::decode(bytes, media_type)? {
            Document::Manifest(manifest) => Ok(*manifest),
            Document::Index(_) => Err(DocumentError::Other {
                found: "index".to_owned(),
                wanted: "manifest",
            }),
        }
    }

    /// Writes it, always in the same bytes.
    ///
    /// # Panics
    ///
    /// Never: it has texts and numbers only.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has texts and numbers only")
    }
}

impl Index {
    /// Makes an OCI index.
    pub fn new(manifests: Vec<Descriptor>) -> Index {
        Index {
            schema_version: 2,
            media_type: Some(MediaType::INDEX.into()),
            manifests,
            annotations: BTreeMap::new(),
        }
    }

    /// Reads an index that a descriptor of this media type points to; none says nothing.
    ///
    /// # Errors
    ///
    /// Also if it is a manifest.
    pub fn decode(bytes: &[u8], media_type: Option<&MediaType>) -> Result<Index, DocumentError> {
        match Document::decode(bytes, media_type)? {
            Document::Index(index) => Ok(index),
            Document::Manifest(_) => Err(DocumentError::Other {
                found: "manifest".to_owned(),
                wanted: "index",
            }),
        }
    }

    /// Writes it, always in the same bytes.
    ///
    /// # Panics
    ///
    /// Never: it has texts and numbers only.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has texts and numbers only")
    }
}
