//! Finds a full id from any unique prefix of it.
//!
//! People do not type 64 digits. They type the first few and expect the program to know the rest,
//! as long as only one id begins that way. A [`TruncIndex`] holds a set of ids and answers a
//! prefix in one of three ways: the id, "no such id", or "more than one", with two of the ids that
//! the prefix could have meant.
//!
//! ```
//! use truncindex::{LookupError, TruncIndex};
//!
//! let mut index = TruncIndex::new();
//! index.insert("4d2eab1c0b9a")?;
//! index.insert("4d2fc5efd1b2")?;
//! index.insert("99ec81b80c55")?;
//!
//! assert_eq!(index.get("99")?, "99ec81b80c55");
//! assert_eq!(index.get("4d2e")?, "4d2eab1c0b9a");
//! assert!(matches!(index.get("77"), Err(LookupError::NotFound { .. })));
//!
//! match index.get("4d2") {
//!     Err(LookupError::Ambiguous { ids, .. }) => {
//!         assert_eq!(ids, ["4d2eab1c0b9a", "4d2fc5efd1b2"]);
//!     }
//!     other => panic!("two ids begin with 4d2: {other:?}"),
//! }
//!
//! // What to print so that a person can type it back.
//! assert_eq!(index.shortest_prefix("4d2eab1c0b9a"), Some("4d2e"));
//!
//! // Leaving takes the full id; then the other one is free to be called by less.
//! index.remove("4d2eab1c0b9a")?;
//! assert_eq!(index.get("4")?, "4d2fc5efd1b2");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//!
//! - An id is any text that is not empty and has no space in it. Upper and lower case differ.
//! - A prefix that is itself a full id means that id, even if longer ids begin with it.
//! - Order is by bytes, everywhere.
//!
//! # Size and speed
//!
//! Ids of 64 lower-case hexadecimal digits, the usual form of a SHA-256, are kept as 32 bytes in a
//! B-tree. A million of them take 51 bytes each if they were inserted one by one, 34 if they were
//! collected at once, and a lookup, insertion or removal takes logarithmic time whatever the ids
//! are. Other ids are kept as text in a second B-tree.
//!
//! # Limitations
//!
//! - No lock: share an index between threads behind an [`RwLock`](std::sync::RwLock).
//! - No I/O: the index lives in memory and is filled by its owner.
//! - Ids are returned as new `String`s, because a packed id has no text to borrow.

#![forbid(unsafe_code)]

mod error;
mod index;
mod packed;

pub use error::{InsertError, LookupError, RemoveError};
pub use index::TruncIndex;
