//! A graph of layers on disk.
//!
//! A *node* of the graph is a layer: an id of 64 hex digits, a parent, the image JSON of 2015, a
//! size, perhaps a digest, and a tree of files that a [`Driver`] keeps. [`Graph`] registers layers,
//! finds them by any unique prefix of their id, walks their history, compares, exports and deletes
//! them. It is the image store that Docker had in 2015, on its own directories, and opens what that
//! wrote; what it does otherwise is told in docs/compatibility.md.
//!
//! [`Driver`]: layergraph_driver::Driver
//!
//! ```
//! use layergraph_core::{Graph, GraphOptions, NewNode};
//! use layergraph_driver::DriverOptions;
//! use layergraph_driver_vfs::VfsDriver;
//!
//! # let directory = tempfile::tempdir()?;
//! # let root = directory.path();
//! # let mut driver_options = DriverOptions::default();
//! # driver_options.ownership = layergraph_archive::Ownership::Squash;
//! let driver = VfsDriver::open_dyn(root, &driver_options)?;
//! let graph = Graph::open(root, driver, &GraphOptions::default())?;
//!
//! // An empty layer is a tar too: two blocks of zeros.
//! let mut layer: &[u8] = &[0; 1024];
//! let node = graph.create(&NewNode::default(), Some(&mut layer))?;
//!
//! let prefix = &node.id().to_string()[..12];
//! assert_eq!(graph.get(prefix)?.id(), node.id());
//! assert_eq!(graph.map()?.by_id.len(), 1);
//! graph.delete(prefix, Default::default())?;
//! assert!(!graph.exists(prefix)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Several threads and processes
//!
//! A `Graph` may be shared by threads, and any number of processes may open the same root. A node
//! appears whole, by one rename, when its tree is there, and goes before its tree does. Whoever
//! registers or deletes a node holds a lock that ends with the process; readers take none, and get
//! an error where a node went while they read it. Who reads a [`view`](Graph::view) sees to it that
//! the node stays.
//!
//! # Limitations
//!
//! - A layer is exported by comparing its tree with that of its parent, so its tar is not the one
//!   that was registered, byte for byte.
//! - Linux only.

#![forbid(unsafe_code)]

mod children;
mod delete;
mod error;
mod export;
mod files;
mod graph;
mod history;
mod index;
mod lock;
mod node;
mod parents;
mod prepare;
pub mod progress;
mod register;
mod root;
mod seen;
mod sweep;

pub use delete::{DeleteOptions, Deleted, DeletedAll};
pub use error::{GraphError, GraphErrorKind};
pub use export::{Exported, TempArchive};
pub use graph::{BeforeLayers, BrokenNode, Graph, GraphOptions, Nodes};
pub use history::{MAX_DEPTH, ParentsSize};
pub use node::Node;
pub use prepare::{LayerOptions, Onto, PreparedLayer};
pub use register::NewNode;
pub use root::{count_nodes, holds_store, open_root};

/// The result of a graph's call.
pub type Result<T, E = GraphError> = std::result::Result<T, E>;
