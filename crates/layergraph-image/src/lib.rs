//! The documents that describe a layered image, and the ids they are known by.
//!
//! A layer in a graph has metadata beside its files: who made it, when, on top of what, and how
//! to run it. In 2015 this was one line of JSON, written by the encoder of Go's standard library.
//! Other programs hold such lines, compare them and hash them, so they are read and written here
//! to the byte: the order of the fields, what is left out, what is escaped, and the difference
//! between a list that is absent and one that is empty.
//!
//! ```
//! use layergraph_image::v1::Image;
//!
//! let text = br#"{"ID": "b45e", "comment": "<none>", "config": {"Cmd": "/bin/sh"}}"#;
//! let mut image = Image::decode(text)?;
//! assert_eq!(image.config.as_ref().unwrap().cmd, Some(vec!["/bin/sh".to_owned()]));
//!
//! image.size = 206;
//! let line = String::from_utf8(image.encode()).unwrap();
//! assert!(line.starts_with(r#"{"id":"b45e","comment":"\u003cnone\u003e","created":"0001"#));
//! assert!(line.ends_with("\"Size\":206}\n"));
//! # Ok::<(), layergraph_image::v1::DecodeError>(())
//! ```
//!
//! - [`v1::Image`] is the document of 2015, [`v1::Config`] its run configuration;
//! - [`oci`] has the documents of today: index, manifest and config;
//! - [`ImageName`] is a name of an image in full, [`Reference`] what one is asked for by;
//! - [`transfer`] is what sources and sinks of images are to a store;
//! - [`NodeId`] names a node of the graph: 64 hex digits, opaque, and never invalid;
//! - [`Timestamp`] is a moment with the zone it was written in;
//! - [`Raw`] keeps the bytes of a document beside what they say, because encoding a document
//!   again may change it, and with it every digest made of it.
//!
//! # Limitations
//!
//! - Text is UTF-8. The original could hold other bytes in memory and wrote each of them as
//!   `\ufffd`; here they cannot be held. Reading replaces them one by one by U+FFFD, as it did.
//! - A document has at most [`v1::MAX_BYTES`] bytes and [`v1::MAX_VALUES`] values, and nests at
//!   most [`v1::MAX_DEPTH`] deep.
//! - A time of creation must be one that can be written again, with a year from 0 to 9999 in its
//!   zone. The original read some others, and failed when it wrote them.
//! - Nothing here reads or writes a file.

#![forbid(unsafe_code)]

mod id;
mod name;
pub mod oci;
mod raw;
mod text;
mod timestamp;
pub mod transfer;
pub mod v1;

pub use id::{InvalidId, NodeId, is_short_id, truncate_id};
pub use name::{ImageName, NameError, Reference};
pub use raw::Raw;
pub use timestamp::{Timestamp, TimestampError};
