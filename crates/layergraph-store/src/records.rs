//! What a store writes down.

use layergraph_digest::{ChainId, DiffId, Digest};
use layergraph_image::oci::{MediaType, Platform};
use layergraph_image::{ImageName, NodeId};
use serde::{Deserialize, Serialize};

/// Which node has the tree of a chain of layers. The node has a [`Mark`] that says the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chain {
    #[serde(with = "as_text")]
    pub(crate) node: NodeId,
}

/// What a node says that an import made. It is written only after the layer was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The layer with all below it.
    pub(crate) chain: ChainId,
    pub(crate) diff_id: DiffId,
    /// The size of the layer's tar, in bytes.
    pub(crate) size: u64,
}

/// Which image has a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) name: ImageName,
    pub(crate) target: Digest,
}

/// An image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) manifest: Digest,
    pub(crate) media_type: MediaType,
    pub(crate) config: Digest,
    pub(crate) platform: Platform,
    /// The lowest first.
    pub(crate) chains: Vec<ChainId>,
    /// When the image was made, as its config says.
    pub(crate) created: Option<String>,
    /// The sum in bytes of the sizes of its layers' tars.
    pub(crate) size: u64,
}

mod as_text {
    use super::NodeId;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(id: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<NodeId, D::Error> {
        let text = String::deserialize(deserializer)?;
        NodeId::parse(&text).map_err(de::Error::custom)
    }
}
