//! The driver as its users see it, on real file systems.

mod conformance;
mod faults;
mod layout;
mod ordinary_user;
mod reference;
mod sharing;
mod support;
