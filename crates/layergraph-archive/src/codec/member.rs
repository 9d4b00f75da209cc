//! What a codec has to say for itself: how one member is decoded, in memory.
//!
//! The codecs do no I/O and know nothing of what stands between members; the [`Decoder`] does
//! both for all of them alike.
//!
//! [`Decoder`]: super::Decoder

use super::{Codec, CodecError};

/// Decodes the members of packed data, one at a time.
pub(super) trait MemberDecoder: Send {
    /// Makes ready for a member that begins with `head`.
    ///
    /// `head` holds at least [`HEAD_LEN`] bytes, or all that is left of the input, and passes
    /// [`Codec::detect`]. It is not consumed.
    fn begin(&mut self, head: &[u8]) -> Result<(), Fault>;

    /// Decodes what it can of `input` into `output`.
    ///
    /// Without room for output it takes up what has none: headers and trailers.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Fault>;

    /// Returns how many bytes of memory the member that has begun takes, once it has said so. One
    /// without content may never do.
    fn memory(&mut self) -> Option<u64>;

    /// Sets how much memory members may ask for from now on. One that has begun keeps what it has.
    ///
    /// Does nothing for codecs in which they cannot ask.
    fn limit_memory(&mut self, _limit: u64) {}
}

/// The longest header of which a codec wants to see all: that of a zstd frame.
pub(super) const HEAD_LEN: usize = 18;

/// What one step did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Bytes of input taken up.
    pub(super) consumed: usize,
    /// Bytes of output made.
    pub(super) produced: usize,
    /// The member has ended, and what it says of itself holds.
    pub(super) ended: bool,
}

impl Step {
    /// A step told by a codec's running totals, before and after.
    pub(super) fn between(before: (u64, u64), after: (u64, u64), ended: bool) -> Self {
        let distance = |from: u64, to: u64| {
            usize::try_from(to - from).expect("a step moves within two slices in memory")
        };
        Self {
            consumed: distance(before.0, after.0),
            produced: distance(before.1, after.1),
            ended,
        }
    }
}

/// Why a member cannot be decoded.
#[derive(Debug)]
pub(super) enum Fault {
    Damaged(String),
    /// Only zstd and xz let the data ask for memory.
    #[cfg_attr(not(any(feature = "xz", feature = "zstd")), allow(dead_code))]
    Memory {
        needed: u64,
    },
}

/// Returns the decoder of `codec`'s members, or `None` for data that is not packed.
// With every codec built, none is missing.
#[allow(clippy::unnecessary_wraps)]
pub(super) fn member_decoder(
    codec: Codec,
    memory: u64,
) -> Result<Option<Box<dyn MemberDecoder>>, CodecError> {
    // Only zstd and xz let the data say how much memory it takes.
    #[cfg(not(any(feature = "xz", feature = "zstd")))]
    let _ = memory;
    #[cfg(not(all(feature = "bzip2", feature = "xz", feature = "zstd")))]
    let not_built = |feature| Err(CodecError::NotBuilt { codec, feature });

    match codec {
        Codec::None => Ok(None),
        Codec::Gzip => Ok(Some(Box::new(super::gzip::Gzip::new()))),

        #[cfg(feature = "zstd")]
        Codec::Zstd => Ok(Some(Box::new(super::zstd::Zstd::new(memory)))),
        #[cfg(not(feature = "zstd"))]
        Codec::Zstd => not_built("zstd"),

        #[cfg(feature = "xz")]
        Codec::Xz => Ok(Some(Box::new(super::xz::Xz::new(memory)))),
        #[cfg(not(feature = "xz"))]
        Codec::Xz => not_built("xz"),

        #[cfg(feature = "bzip2")]
        Codec::Bzip2 => Ok(Some(Box::new(super::bzip2::Bzip2::new()))),
        #[cfg(not(feature = "bzip2"))]
        Codec::Bzip2 => not_built("bzip2"),
    }
}
