//! The command, run as scripts run it.

mod atomic;
mod codecs;
mod export;
mod history;
mod images;
mod info;
mod layers;
mod listing;
mod mapped;
mod messages;
mod mount;
mod namespaces;
mod node;
mod pack;
mod progress;
mod recipes;
mod register;
mod remove;
mod schemas;
mod statuses;
mod store;
mod support;
mod tree;
mod unpack;
mod users;
