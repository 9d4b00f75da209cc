//! What the crate promises, tried on real trees and real archives.

mod codec;
mod laws;
mod model;
mod reference_layers;
mod reference_unpack;
mod refusals;
mod support;
mod trees;
mod unions;
