//! Why packed data is refused.

use std::io;

use super::Codec;

/// Why packed data could not be decoded.
///
/// Readers speak in [`io::Error`], so that is what a [`Decoder`](super::Decoder) returns, with one
/// of these inside (`error.get_ref()`, then `downcast_ref`). Errors of the input itself pass
/// through as they are. The kind of the outer error tells them apart without a look inside:
///
/// | kind | meaning |
/// |---|---|
/// | [`InvalidData`](io::ErrorKind::InvalidData) | damaged, cut off or followed by other bytes |
/// | [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) | a limit of the options |
/// | [`Unsupported`](io::ErrorKind::Unsupported) | a codec that is not built in |
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The input ended inside a member.
    #[error("{codec} data is cut off after {length} bytes")]
    Truncated {
        /// The codec of the data.
        codec: Codec,
        /// Length of the input in bytes.
        length: u64,
    },

    /// A member breaks the rules of its format, or a checksum or length in it does not hold.
    #[error("{codec} data is damaged at or before byte {offset}: {reason}")]
    Damaged {
        /// The codec of the data.
        codec: Codec,
        /// How many bytes of the input had been taken up before the step that failed.
        offset: u64,
        /// What the decoder says is wrong.
        reason: String,
    },

    /// Bytes follow the last member that are neither padding nor another member.
    #[error("{codec} data is followed by other bytes from byte {offset}")]
    TrailingBytes {
        /// The codec of the data before.
        codec: Codec,
        /// Where in the input the other bytes begin.
        offset: u64,
    },

    /// A member needs more memory than [`DecodeOptions::memory`](super::DecodeOptions::memory).
    #[error("{codec} data needs {needed} bytes of memory to decode, over the limit of {limit}")]
    Memory {
        /// The codec of the data.
        codec: Codec,
        /// What the member asks for, in bytes.
        needed: u64,
        /// The limit, in bytes.
        limit: u64,
    },

    /// The decoded data is longer than [`DecodeOptions::output`](super::DecodeOptions::output).
    #[error("decoded data exceeds the limit of {limit} bytes")]
    Output {
        /// The limit, in bytes.
        limit: u64,
    },

    /// The data is packed by a codec whose feature is off.
    #[error("data is packed by {codec}, which needs the feature `{feature}` of layergraph-archive")]
    NotBuilt {
        /// The codec of the data.
        codec: Codec,
        /// The cargo feature that turns it on.
        feature: &'static str,
    },
}

impl From<CodecError> for io::Error {
    fn from(error: CodecError) -> Self {
        let kind = match error {
            // Not `UnexpectedEof` for data cut off: a tar may lack its end marker, so a reader of
            // tar may take an early end for the end, and packed data cut off is never that.
            CodecError::Truncated { .. }
            | CodecError::Damaged { .. }
            | CodecError::TrailingBytes { .. } => io::ErrorKind::InvalidData,
            CodecError::Memory { .. } | CodecError::Output { .. } => io::ErrorKind::QuotaExceeded,
            CodecError::NotBuilt { .. } => io::ErrorKind::Unsupported,
        };
        Self::new(kind, error)
    }
}
