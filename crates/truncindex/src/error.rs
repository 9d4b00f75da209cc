//! What can go wrong with an id or a prefix.
//!
//! The texts are those of Docker's `pkg/truncindex` of 2015, capitals and quotes included: programs
//! compare them, so they are part of this crate's contract.

use thiserror::Error;

/// A lookup that did not end at one id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The prefix was empty, so it says nothing about the id that is meant.
    #[error("Prefix can't be empty")]
    EmptyPrefix,

    /// No id begins with the prefix.
    #[error("no such id: {prefix}")]
    NotFound {
        /// The prefix that was looked up.
        prefix: String,
    },

    /// More than one id begins with the prefix, and none is equal to it.
    ///
    /// [`TruncIndex::matches`](crate::TruncIndex::matches) gives all of them.
    #[error("Multiple IDs found with provided prefix")]
    Ambiguous {
        /// The prefix that was looked up.
        prefix: String,
        /// The first two ids that begin with it.
        ids: [String; 2],
    },
}

/// An id that cannot be inserted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InsertError {
    /// The id was empty.
    #[error("Prefix can't be empty")]
    EmptyId,

    /// The id has a space in it.
    #[error("illegal character: ' '")]
    IllegalCharacter,

    /// The index has this id already.
    #[error("id already exists: '{id}'")]
    AlreadyExists {
        /// The id that was to be inserted.
        id: String,
    },
}

/// An id that cannot be removed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The index does not have this id; a prefix of an id is not enough.
    #[error("no such id: '{id}'")]
    NotFound {
        /// The id that was to be removed.
        id: String,
    },
}
