//! Behaviour of the crate as its users see it, on real file systems.

mod atomic;
mod attributes;
#[cfg(feature = "faults")]
mod closed_again;
mod copies;
#[cfg(feature = "faults")]
mod faults;
mod locks;
mod objects;
mod processes;
mod races;
mod removal;
mod roots;
mod sharing;
mod support;
mod sweeping;
mod trees;
