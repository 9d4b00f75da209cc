//! Container image layers: unpack, compare, pack, safely.

#![forbid(unsafe_code)]
pub mod codec;
mod ownership;

pub use ownership::Ownership;
