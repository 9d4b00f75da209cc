//! Behaviour of image documents and ids as their users see it.

mod documents;
mod laws;
mod limits;
mod names;
mod oci;
mod reference;
mod times;
