//! The command, run as scripts run it.

mod atomic;
mod codecs;
mod listing;
mod messages;
mod pack;
mod statuses;
mod support;
mod unpack;
mod users;
