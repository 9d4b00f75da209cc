//! What an image holds and how it is run.

use std::collections::BTreeMap;

use layergraph_digest::DiffId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document::{DocumentError, null_is_default, read};
use super::platform::Platform;

/// The config of an image (image-spec, *config*). The digest of its bytes is the image id.
///
/// ```
/// use layergraph_image::oci::Config;
///
/// let text = br#"{"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
///     "rootfs": {"type": "layers", "diff_ids": []}, "history": null}"#;
/// let config = Config::decode(text)?;
/// assert_eq!(config.platform().to_string(), "linux/amd64");
/// assert_eq!(config.config.cmd, Some(vec!["/bin/sh".to_owned()]));
/// # Ok::<(), layergraph_image::oci::DocumentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Config {
    /// When it was made: RFC 3339 as a rule, but nobody checks that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The processor, in Go's words.
    #[serde(default, deserialize_with = "null_is_default")]
    pub architecture: String,
    /// The variant of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system, in Go's words.
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    /// The version of it.
    #[serde(
        rename = "os.version",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// What it needs of it.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// How it is run.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: RunConfig,
    /// The layers.
    pub rootfs: RootFs,
    /// How each layer, and what made no layer, came about, the first first.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<History>,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digests of the uncompressed layers, the lowest first.
    #[serde(deserialize_with = "null_is_default")]
    pub diff_ids: Vec<DiffId>,
}

/// How an image is run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct RunConfig {
    /// `user`, `user:group`, each by name or number.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    /// `port/protocol`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<BTreeMap<String, Value>>,
    /// `NAME=VALUE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// What comes first in the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// What comes after that unless something else is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Directories whose content is a container's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<BTreeMap<String, Value>>,
    /// Where it starts.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The signal that ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// What else there is, such as Docker's health check.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// How a layer came about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// When: RFC 3339 as a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The command that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// What there is to say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether it made no layer.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub empty_layer: bool,
}

const FIELDS: &[&str] = &[
    "created",
    "author",
    "architecture",
    "variant",
    "os",
    "os.version",
    "os.features",
    "config",
    "rootfs",
    "history",
];

impl Config {
    /// Reads a config.
    ///
    /// # Errors
    ///
    /// Also if the layers are of another kind than `layers`. That the history tells of as many of
    /// them as there are is not asked for: builders that squash layers leave it as it was.
    pub fn decode(bytes: &[u8]) -> Result<Config, DocumentError> {
        let (config, _) = read::<Config>(bytes, "config", FIELDS)?;
        if config.rootfs.kind != "layers" {
            return Err(DocumentError::Other {
                found: format!("root of the kind {:?}", config.rootfs.kind),
                wanted: "root of layers",
            });
        }
        Ok(config)
    }

    /// Writes it, always in the same bytes.
    ///
    /// # Panics
    ///
    /// Never: its maps have texts for keys.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("its maps have texts for keys")
    }

    /// Returns what it runs on.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
        }
    }

    /// Returns the history of what made layers.
    pub fn layer_history(&self) -> impl Iterator<Item = &History> {
        self.history.iter().filter(|history| !history.empty_layer)
    }
}
