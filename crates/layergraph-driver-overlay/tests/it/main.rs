//! The driver as its users see it, on real file systems.

mod conformance;
mod faults;
mod layout;
mod methods;
mod mounts;
mod probing;
mod reference;
mod support;
mod sweeping;
