//! Behaviour of the index as its users see it.

mod laws;
mod reference;
