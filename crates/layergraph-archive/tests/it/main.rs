//! What the crate promises, tried on real trees and real archives.

mod atomic;
mod codec;
mod deep;
mod laws;
mod limits;
mod model;
mod moments;
mod mounts;
mod packing;
mod races;
mod reference_layers;
mod reference_unpack;
mod refusals;
mod support;
mod trees;
mod unions;
