//! Container image layers: unpack, compare, pack, safely.
//!
//! A layer is a tar of what it adds to the layers below and of signs, called whiteouts, for what it
//! removes of them (image-spec, *Image Layer Filesystem Changeset*). This crate turns layers into
//! trees of files and back:
//!
//! - [`unpack`] applies a layer to a directory, [`unpack_atomic`] wholly or not at all, [`apply`]
//!   a blob, whatever it is packed by, and says all that is to be known of it; a [`Place`] is one
//!   directory with the whole tree, or one that holds only what the layer changes;
//! - [`changes`] lists what differs between two trees, [`pack`] writes that as a layer;
//! - [`View`] is a tree to be read: a directory, or a union of layers as overlayfs would mount it;
//! - [`listing`](listing()) prints a tree, so that equal trees have equal listings;
//! - [`recipe`] gives a layer out again as it came in, to the byte;
//! - [`codec`] makes packed layers plain, whatever they are packed with.
//!
//! Layers come from anywhere. No name, link or order of entries leads [`unpack`] out of its
//! directory, not even while others change the tree; nothing that an archive claims is believed
//! before it is there; and every limit can be set ([`Limits`]).
//!
//! ```
//! use layergraph_archive::{CompareOptions, UnpackOptions, View, changes, pack, unpack};
//! use layergraph_fs::Dir;
//! use std::fs;
//!
//! # let base = tempfile::tempdir()?;
//! # let work = tempfile::tempdir()?;
//! fs::write(base.path().join("old"), "of the base")?;
//! fs::write(work.path().join("new"), "of the layer")?;
//!
//! // What makes `work` of `base`, as a layer.
//! let (upper, lower) = (Dir::open(work.path())?, Dir::open(base.path())?);
//! let (upper, lower) = (View::new(upper), View::new(lower));
//! let differences = changes(&upper, Some(&lower), &CompareOptions::default())?;
//! let printed: Vec<String> = differences.iter().map(ToString::to_string).collect();
//! assert_eq!(printed, ["A /new", "D /old"]);
//! let mut layer = Vec::new();
//! pack(&upper, &differences, &mut layer)?;
//!
//! // Applied to `base`, it makes the same tree.
//! # let mut options = UnpackOptions::default();
//! # options.ownership = layergraph_archive::Ownership::Squash;
//! unpack(&mut layer.as_slice(), &Dir::open(base.path())?, &options)?;
//! assert!(base.path().join("new").exists());
//! assert!(!base.path().join("old").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limitations
//!
//! - Layers are written plain; compress them on the way out.
//! - Sockets have no place in a layer.
//! - Trees are compared, packed and listed with a handle for each level, and in a union for each
//!   layer of it: one that is deeper than the limit of open files (`RLIMIT_NOFILE`, usually 1,024)
//!   fails with `EMFILE`.
//! - Linux only.
//!
//! # Features
//!
//! - `zstd`, `xz`, `bzip2`: codecs beside gzip, which is always there.

#![forbid(unsafe_code)]

mod apply;
mod atomic;
mod attributes;
mod changes;
pub mod codec;
pub mod listing;
mod ownership;
mod pack;
pub mod recipe;
mod uninterrupted;
mod unpack;
mod view;

pub use apply::{Applied, ApplyError, ApplyOptions, Digests, ExpectedBlob, apply};
pub use atomic::{Replaced, change_atomic, unpack_atomic};
pub use changes::{Change, ChangeKind, CompareOptions, changes};
#[doc(inline)]
pub use listing::listing;
pub use ownership::{IdKind, IdMap, IdMaps, IdRange, InvalidIds, Ownership, UnmappedId};
pub use pack::{PackError, Packed, pack};
pub use unpack::{Limits, Place, UnpackError, UnpackOptions, Unpacked, Unsettled, unpack};
pub use view::{Dialect, Entry, View, ViewDir};
