//! The image JSON of 2015 (Docker image specification, version 1).
//!
//! [`Image::decode`] and [`Image::encode`] behave as the decoder and the encoder of Go 1.4's
//! `encoding/json` did with the structs of that time. The order of the fields below is the order
//! in the text, so it must not change.

mod decode;
mod encode;
mod parse;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use decode::{DecodeError, MAX_BYTES};
pub use parse::{Kind, MAX_DEPTH, MAX_VALUES};

use crate::{InvalidId, NodeId, Timestamp};

/// What is known of one layer beside its files.
///
/// This is a value, not a promise: the id is any text until [`node_id`](Image::node_id) has
/// looked at it, and the parent may be a prefix of an id. An empty text is left out of the
/// encoding, so "absent" and "empty" are the same.
///
/// Serializing it with serde gives the same fields in the same order, but only
/// [`encode`](Image::encode) gives the bytes of 2015.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Image {
    /// The id of the layer.
    pub id: String,
    /// The id of the layer below it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// What its maker said of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// When it was made.
    pub created: Timestamp,
    /// The id of the container it was made in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// How that container was run.
    pub container_config: Config,
    /// The version of the program that made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    /// Who made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// How a container of this image is to be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Config>,
    /// The processor it is for, in Go's words, such as `amd64`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// The operating system it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// The bytes of content in the layer. In a stored layer the file `layersize` counts instead.
    #[serde(rename = "Size")]
    pub size: i64,
}

impl Image {
    /// Returns the id, if it is one.
    ///
    /// # Errors
    ///
    /// The text in [`id`](Image::id) is not 64 lower-case hex digits.
    pub fn node_id(&self) -> Result<NodeId, InvalidId> {
        NodeId::parse(&self.id)
    }
}

/// How to run a container.
///
/// `None` stands for `null`, which is not the same as an empty list or map: both stay what they
/// are when a document is read and written.
#[allow(
    clippy::struct_excessive_bools,
    reason = "the fields are those of the document"
)]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    /// The host name within the container.
    pub hostname: String,
    /// The domain name within the container.
    pub domainname: String,
    /// The user, by name or number, and with a colon the group.
    pub user: String,
    /// Whether standard input is attached.
    pub attach_stdin: bool,
    /// Whether standard output is attached.
    pub attach_stdout: bool,
    /// Whether standard error is attached.
    pub attach_stderr: bool,
    /// The ports it listens on, such as `80/tcp`.
    #[serde(serialize_with = "encode::keys_of_empty_objects")]
    pub exposed_ports: Option<BTreeSet<String>>,
    /// The name of a service to publish.
    pub publish_service: String,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether standard input is open.
    pub open_stdin: bool,
    /// Whether standard input is closed when the first client leaves.
    pub stdin_once: bool,
    /// The environment, as `NAME=value`.
    pub env: Option<Vec<String>>,
    /// The command, or the arguments to the entry point.
    pub cmd: Option<Vec<String>>,
    /// The name of the image the container was made of.
    pub image: String,
    /// The directories that are volumes.
    #[serde(serialize_with = "encode::keys_of_empty_objects")]
    pub volumes: Option<BTreeSet<String>>,
    /// The driver that makes the volumes.
    pub volume_driver: String,
    /// The directory the command starts in.
    pub working_dir: String,
    /// The program that the command is given to.
    pub entrypoint: Option<Vec<String>>,
    /// Whether it has no network.
    pub network_disabled: bool,
    /// The hardware address of its network interface.
    pub mac_address: String,
    /// Build steps to be run in images made from this one.
    pub on_build: Option<Vec<String>>,
    /// Free texts by name.
    pub labels: Option<BTreeMap<String, String>>,
}
