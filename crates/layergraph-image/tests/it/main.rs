//! Behaviour of image documents and ids as their users see it.

mod documents;
mod laws;
mod limits;
mod reference;
mod times;
