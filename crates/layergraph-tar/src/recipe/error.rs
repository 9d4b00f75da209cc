//! What can go wrong with a recipe and with what is made from it.

use std::io;

/// Why a recipe could not be read further, or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// The input failed, or its compressed data are damaged or cut off.
    #[error("cannot read the recipe")]
    Read(#[source] io::Error),
    /// A line is not the JSON of an entry, or not base64 where it should be.
    #[error("line {line} of the recipe cannot be parsed")]
    Parse {
        /// Which line, from 1.
        line: u64,
        /// What the parser said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An entry says something that none can.
    #[error("line {line} of the recipe is invalid: {reason}")]
    Entry {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The recipe is larger than the [`RecipeLimits`](super::RecipeLimits) allow.
    #[error("the recipe has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

/// Why an archive could not be put together. What was written until then is incomplete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// The recipe could not be read.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The content of a file could not be opened.
    #[error("cannot open the content of {name}")]
    Open {
        /// The name as the archive has it, made printable.
        name: String,
        /// What the source said.
        source: io::Error,
    },
    /// The content of a file could not be read.
    #[error("cannot read the content of {name}")]
    Read {
        /// The name as the archive has it, made printable.
        name: String,
        /// What its reader said.
        source: io::Error,
    },
    /// The content of a file is longer or shorter than it was.
    #[error("the content of {name} has changed: it has not the {expected} bytes that it had")]
    Size {
        /// The name as the archive has it, made printable.
        name: String,
        /// The size that it had.
        expected: u64,
    },
    /// The content of a file has the size it had, and is another.
    #[error("the content of {name} has changed: its CRC-64 is {actual:016x}, not {expected:016x}")]
    Checksum {
        /// The name as the archive has it, made printable.
        name: String,
        /// The checksum that it had.
        expected: u64,
        /// The checksum that it has.
        actual: u64,
    },
    /// The output failed.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
}
