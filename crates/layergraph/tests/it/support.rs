//! Roots to open.

use std::fs;
use std::io;
use std::path::PathBuf;

use layergraph::{Graph, NewNode};
use tempfile::TempDir;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A layer without entries.
pub(crate) const EMPTY_LAYER: [u8; 1024] = [0; 1024];

/// A directory for a store, which is not there yet.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> io::Result<Place> {
        tempfile::tempdir().map(Place)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.0.path().join("store")
    }

    /// Makes a root with the file that says how it was made.
    pub(crate) fn with_format(text: &str) -> io::Result<Place> {
        let place = Place::new()?;
        fs::create_dir(place.root())?;
        fs::write(place.root().join("layergraph.json"), text)?;
        Ok(place)
    }

    /// The text of that file, if it is there.
    pub(crate) fn format(&self) -> Option<String> {
        fs::read_to_string(self.root().join("layergraph.json")).ok()
    }
}

/// Registers a node with an empty layer.
pub(crate) fn register(graph: &Graph) -> Result<String> {
    let mut layer = &EMPTY_LAYER[..];
    let node = graph.create(&NewNode::default(), Some(&mut layer))?;
    Ok(node.id().to_string())
}
