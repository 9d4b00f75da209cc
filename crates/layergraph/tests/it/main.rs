//! Opening stores: what is there decides, and what is not known is left alone.

mod evidence;
mod formats;
mod open;
mod support;
mod users;
