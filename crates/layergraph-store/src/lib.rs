//! Images with names, over a graph of layers.
//!
//! A name points to a manifest, a manifest to a config and to layers, and the layers of an image,
//! each with all below it (a *chain*), to a node of the graph that has the tree. Images share
//! layers by their chains, which are written down only after the layers were verified: whoever
//! registers a node in the graph by hand cannot change what a later import finds.
//!
//! - [`Store::import`] takes the images of a source in, with all layers unpacked at once;
//! - [`Store::export`] gives them out, each layer to the byte as it came;
//! - [`Store::image`] finds one by a name, an id, a digest, or the beginning of one;
//! - [`Store::remove`] makes one vanish, and [`Store::collect`] removes what no other needs.
//!
//! A [source](layergraph_image::transfer::ImageSource) is an archive, a directory or a registry;
//! the store knows none of their formats.
//!
//! # On disk
//!
//! ```text
//! <root>/blobs/<algorithm>/<hex>     manifests and configs, in their exact bytes
//! <root>/images/<manifest>           what is known of an image
//! <root>/chains/<chain id>           which node has the layer with all below it
//! <root>/names/<2 digits>/<sha256>   a name, and the manifest it points to
//! ```
//!
//! All of them are one file for each thing, which appears by a rename.

#![forbid(unsafe_code)]

mod collect;
mod error;
mod export;
mod files;
mod import;
mod lock;
mod records;
mod store;

pub use collect::{CollectOptions, Collected, Reason};
pub use error::{StoreError, StoreErrorKind};
pub use export::Exported;
pub use import::{ImportOptions, ImportProgress, Imported, ImportedLayer};
pub use store::{Image, Images, Store, StoreOptions};

/// The result of a store's call.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
