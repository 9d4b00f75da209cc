//! The documents of the OCI image specification, and Docker's, which have the same shape.
//!
//! An *index* lists the manifests of one image for several platforms, a *manifest* points to a
//! config and to layers, a *config* says what the layers hold and how to run it (image-spec 1.1,
//! *index*, *manifest*, *config*; Docker's *Image Manifest Version 2, Schema 2*). All of them are
//! known by the digest of their exact bytes: keep those, in a [`Raw`](crate::Raw).
//!
//! Documents come from anywhere. One that another reader could take for something else is refused:
//! a manifest that is an index as well, a field that stands twice or in another case (readers in
//! Go do not look at the case), a media type that contradicts the one it was asked for by. What is
//! merely unknown is left alone.

mod config;
mod document;
mod manifest;
mod platform;

pub use config::{Config, History, RootFs, RunConfig};
pub use document::{DocumentError, MAX_BYTES, MAX_DEPTH, MAX_VALUES, check_limits};
pub use manifest::{Descriptor, Document, Index, Manifest, MediaType};
pub use platform::{Platform, PlatformError};
