//! Opening stores: what is there decides, and what is not known is left alone.

mod evidence;
mod formats;
mod mapped;
mod open;
mod support;
mod users;
