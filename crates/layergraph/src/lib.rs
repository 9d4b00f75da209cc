//! A store of layered file systems.
//!
//! Images are made of layers, each a set of changes on top of its parent. This crate keeps them on
//! disk: register a layer under its parent, find it by the first digits of its id, read its tree,
//! see what it changed, export it, delete it. No daemon; several programs may use one store at the
//! same time, and one that is killed leaves nothing half made.
//!
//! ```
//! use layergraph::{NewNode, StoreOptions};
//! use std::fs;
//!
//! # let directory = tempfile::tempdir()?;
//! # let root = directory.path().join("store");
//! # let (base, changed) = (directory.path().join("base"), directory.path().join("changed"));
//! # fs::create_dir(&base)?;
//! # fs::create_dir(&changed)?;
//! # fs::write(base.join("greeting"), "hello")?;
//! # fs::write(changed.join("greeting"), "good evening")?;
//! let graph = StoreOptions::new().open_graph(&root)?;
//!
//! // Two layers, made of two directories.
//! let layer = pack(&base, None)?;
//! let base_node = graph.create(&NewNode::default(), Some(&mut &layer[..]))?;
//! let layer = pack(&changed, Some(&base))?;
//! let mut new = NewNode::default();
//! new.parent = Some(base_node.id());
//! let node = graph.create(&new, Some(&mut &layer[..]))?;
//!
//! let changes = graph.changes(&node)?;
//! assert!(changes.iter().any(|change| change.to_string() == "C /greeting"));
//! let tree = graph.view(&node.id())?;
//! assert_eq!(tree.root()?.entries()?[0].metadata().size, "good evening".len() as u64);
//!
//! fn pack(
//!     dir: &std::path::Path,
//!     against: Option<&std::path::Path>,
//! ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//!     use layergraph::archive::{CompareOptions, View, changes, pack};
//!     use layergraph::fs::Dir;
//!
//!     let upper = View::new(Dir::open(dir)?);
//!     let lower = against.map(Dir::open).transpose()?.map(View::new);
//!     let mut layer = Vec::new();
//!     let changes = changes(&upper, lower.as_ref(), &CompareOptions::default())?;
//!     pack(&upper, &changes, &mut layer)?;
//!     Ok(layer)
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The parts are crates of their own, and are here under their short names: [`archive`],
//! [`digest`], [`driver`], [`fs`], [`image`], [`oci`], [`tar`], [`truncindex`].
//!
//! # Features
//!
//! - `zstd`, `xz`, `bzip2` (default): codecs of layers beside gzip, which is always there.
//!
//! # Limitations
//!
//! Linux only. Without overlayfs, a full copy of each layer's tree is kept, shared where the file
//! system can share (btrfs, xfs).

#![forbid(unsafe_code)]

mod format;
mod open;

pub use layergraph_core::{
    BrokenNode, DeleteOptions, Deleted, DeletedAll, Exported, Graph, GraphError, GraphErrorKind,
    MAX_DEPTH, NewNode, Node, Nodes, ParentsSize, TempArchive, progress,
};
pub use layergraph_driver::{DriverChoice, DriverError, DriverErrorKind};
pub use layergraph_driver_overlay::{Probe, probe};
pub use layergraph_image::{ImageName, NodeId};
pub use layergraph_store::{
    CollectOptions, Collected, Image, Images, ImportOptions, ImportProgress, Imported,
    ImportedLayer, Reason, Store, StoreError, StoreErrorKind,
};

pub use self::format::{Features, FormatError};
pub use self::open::{Description, OpenError, StoreOptions, drivers};

#[doc(no_inline)]
pub use layergraph_archive as archive;
#[doc(no_inline)]
pub use layergraph_digest as digest;
#[doc(no_inline)]
pub use layergraph_driver as driver;
#[doc(no_inline)]
pub use layergraph_fs as fs;
#[doc(no_inline)]
pub use layergraph_image as image;
#[doc(no_inline)]
pub use layergraph_oci as oci;
#[doc(no_inline)]
pub use layergraph_tar as tar;
#[doc(no_inline)]
pub use truncindex;
