//! What can go wrong while reading and while writing.

use std::io;

/// Why an archive could not be read further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The input failed.
    #[error("cannot read the archive at offset {position}")]
    Read {
        /// Where in the stream.
        position: u64,
        /// What the input said.
        source: io::Error,
    },
    /// The tap failed.
    #[error("cannot pass on the archive at offset {position}")]
    Tap {
        /// Where in the stream.
        position: u64,
        /// What the tap said.
        source: io::Error,
    },
    /// The stream ends within a header or within the data of a member.
    #[error("the archive is cut off at offset {position}, in {what}")]
    Truncated {
        /// Where the stream ends.
        position: u64,
        /// What it ends in.
        what: &'static str,
    },
    /// A header says something that no archive can.
    #[error("the header at offset {position} is invalid: {reason}")]
    Header {
        /// Where the header block begins.
        position: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A header wants more than the [`Limits`](crate::Limits) allow.
    #[error("the header at offset {position} wants more than {limit} {what}")]
    Limit {
        /// Where the header block begins.
        position: u64,
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The reader was asked again after an error.
    #[error("the archive could not be read before")]
    Stopped,
}

/// Why a member could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The output failed.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// The source of the data failed.
    #[error("cannot read the data")]
    Data(#[source] io::Error),
    /// The data was not as long as the member said.
    #[error("the data has not the {expected} bytes that were announced")]
    Length {
        /// The length that was announced.
        expected: u64,
    },
    /// The member has something that a tar has no room for. Nothing was written of it.
    #[error("a tar cannot hold this member: {reason}")]
    Member {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The writer was used again after an error: the archive is incomplete.
    #[error("the archive could not be written before")]
    Stopped,
}
