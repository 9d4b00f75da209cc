//! Archives and layouts of images: what is written is read again, and what is hostile is refused.

mod adding;
mod docker;
mod faults;
mod hostile;
mod hostile_docker;
mod hostile_layouts;
mod legacy;
mod names;
mod sinks;
mod streams;
mod support;
mod tools;
mod written;
