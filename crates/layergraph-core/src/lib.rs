//! A graph of layers on disk.

#![forbid(unsafe_code)]
