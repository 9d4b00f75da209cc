//! The crate as its users see it: the choice of drivers, and the model driver under the laws.
#![cfg(feature = "conformance")]

mod conformance;
mod registry;
