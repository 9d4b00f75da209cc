//! A node as it is read.

use layergraph_image::NodeId;
use layergraph_image::v1::Image;

/// A layer of the graph: its id, and what is known about it beside its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    id: NodeId,
    image: Image,
}

impl Node {
    /// Takes an image whose id was looked at.
    pub(crate) fn new(id: NodeId, image: Image) -> Node {
        Node { id, image }
    }

    /// Returns the id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Returns the parent as it is written down, which need not be a whole id, nor there.
    pub fn parent(&self) -> Option<&str> {
        Some(self.image.parent.as_str()).filter(|parent| !parent.is_empty())
    }

    /// Returns the size of the layer in bytes: that of the content in it, without what is below.
    pub fn size(&self) -> i64 {
        self.image.size
    }

    /// Returns the image JSON's content, with the size that is written down beside it.
    pub fn image(&self) -> &Image {
        &self.image
    }
}
