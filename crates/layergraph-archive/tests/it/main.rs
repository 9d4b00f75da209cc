//! What the crate promises, tried on real trees and real archives.

mod applying;
mod atomic;
mod behind_mounts;
mod codec;
mod costs;
mod deep;
mod laws;
mod limits;
mod mapped;
mod metadata;
mod model;
mod moments;
mod mounts;
mod packing;
mod races;
mod recipes;
mod reference_layers;
mod reference_unpack;
mod refusals;
mod restated;
mod support;
mod trees;
mod unions;
mod users;
mod xattrs;
