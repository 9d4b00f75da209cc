//! Behaviour of digests as the users of the crate see it.

mod laws;
mod reference;
