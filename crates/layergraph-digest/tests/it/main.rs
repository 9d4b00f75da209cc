//! Behaviour of digests as their users see it.

mod laws;
mod reference;
