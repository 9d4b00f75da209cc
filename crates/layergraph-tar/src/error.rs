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
    /// The writer was used again after an error: the archive is incomplete.
    #[error("the archive could not be written before")]
    Stopped,
}
