//! What the crate promises, tried against other programs, hostile streams and itself.

mod ends;
mod laws;
mod links;
mod programs_read;
mod programs_write;
mod refusals;
mod support;
mod taps;
