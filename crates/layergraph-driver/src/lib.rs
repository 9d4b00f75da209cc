//! Storage drivers: where the trees of layers live on disk.
//!
//! A graph of layers knows ids, parents and metadata; a driver keeps the files. This crate says
//! what a driver is and leaves the disk to it:
//!
//! - [`Driver`] is the trait, [`StagedLayer`] a layer that is being made;
//! - [`naive`] compares two layers by reading both, for drivers that know no shorter way;
//! - [`Registry`] opens the driver that a store was made with, or the best one here;
//! - `conformance` (a feature) holds the laws that every driver keeps, as tests to be called by
//!   the driver's own, and a strict driver that keeps its books in memory.
//!
//! # The life of a layer
//!
//! A layer is *staged*: the driver makes a private directory in which the tree of the parent is
//! visible or not, as its [`Capabilities`] say. Whoever staged it unpacks into that directory.
//! Then it is *committed* under its id, in one step, or dropped and gone. A committed layer never
//! changes. It can be read ([`Driver::layers`], [`Driver::view`]), mounted, and removed.
//!
//! A driver does not know which layers a graph has: what is committed and has no node in the
//! graph is a leftover that the graph may remove and make again.
//!
//! ```
//! use layergraph_driver::LayerId;
//!
//! // An id is one plain name.
//! assert!("c0ffee-init".parse::<LayerId>().is_ok());
//! assert!("../c0ffee".parse::<LayerId>().is_err());
//! ```
//!
//! # Writing a driver
//!
//! A driver is a type that implements [`Driver`], a type for what it has staged that implements
//! [`StagedLayer`], and a function that opens it, an [`OpenDriver`]. It gets by with these rules:
//!
//! - It lives in `<root>/<its name>/` and makes nothing there before there is a layer. Whatever is
//!   no layer has a hidden name, because the [`Registry`] takes anything else for layers.
//! - What is staged stands where nobody looks for layers, on the file system where the layer will
//!   be. [`layergraph_fs::Staging`] does this: dropped, it is gone, and
//!   [`layergraph_fs::sweep`] tells a leftover from the work of a process that lives.
//! - A layer appears by one rename that does not replace anything
//!   ([`NoReplace`](layergraph_fs::RenameMode::NoReplace)), and goes by one. Of two that commit the
//!   same id one is told that it was late.
//! - [`DriverOptions::ownership`] is for whoever unpacks; the driver hands trees down as they are
//!   on disk, everything about them included ([`layergraph_fs::copy_tree`]). It gives the root of a
//!   tree without a parent to whom root's things belong
//!   ([`Ownership::root`](layergraph_archive::Ownership::root)).
//! - Whoever wants to know what a caller may do about an error asks for its
//!   [kind](DriverErrorKind). Only the kinds of which
//!   [`is_unusable_here`](DriverError::is_unusable_here) tells let another driver be tried.
//!
//! Then its tests call the laws, and `Registry::register` makes it known:
//!
//! ```
//! # #[cfg(feature = "conformance")]
//! mod conformance {
//!     # use layergraph_driver::conformance::ModelDriver as MyDriver;
//!     layergraph_driver::driver_conformance!(my_driver, MyDriver::open_dyn);
//! }
//! ```
//!
//! # Features
//!
//! - `conformance`: see above. For tests.

#![forbid(unsafe_code)]

#[cfg(feature = "conformance")]
pub mod conformance;
mod driver;
mod error;
mod id;
pub mod naive;
mod registry;

pub use driver::{Access, Capabilities, Driver, DriverOptions, MountOptions, StagedLayer};
pub use error::{Attempted, DriverError, DriverErrorKind};
pub use id::{InvalidLayerId, LayerId};
pub use registry::{DriverChoice, OpenDriver, Registry};

/// The result of a driver's call.
pub type Result<T, E = DriverError> = std::result::Result<T, E>;
