//! What the crate promises, tried against other programs, hostile streams and itself.

mod ends;
mod laws;
mod links;
mod programs_read;
mod programs_write;
#[cfg(feature = "recipe")]
mod recipes;
mod refusals;
mod support;
mod taps;
