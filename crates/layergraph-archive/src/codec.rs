//! Codecs: a layer's bytes as they came, made plain again, in this process.
//!
//! A layer travels plain or packed by gzip, zstd, xz or bzip2. [`decode`] recognises the codec by
//! the first bytes, whatever a name or a media type claims, and returns a [`Decoder`]: a reader of
//! the plain bytes that ends only where the packed data ends whole and verified.
//!
//! The rule of this module: **the end is a promise.** `Ok(0)` from a [`Decoder`] means that every
//! checksum and length in the data held, that nothing was cut off, and that the input was read to
//! its own end, so that a digest computed on the way in covers each byte. Anything less is an
//! error that names the codec and the place, and it stays: reading on gives the same error again.
//!
//! Packed data is a series of members: gzip calls them members, zstd frames, xz and bzip2 streams.
//! Compressors that work in parallel and formats with an index inside (eStargz, zstd:chunked)
//! write thousands of them, some of them empty. All are decoded, one after the other. After the
//! last one:
//!
//! - zero bytes up to the end of the input are padding, as tapes and block devices leave it. The
//!   program of each codec decides: `gzip` and `bzip2` pass over any number of them, `xz` counts
//!   them in fours and allows them between its streams too, `zstd` refuses them, because it pads
//!   by skippable frames;
//! - anything else is refused. It would be covered by the digest of the blob and yet be no part of
//!   the layer, which is a place to hide things. `xz`, `zstd` and Go's readers, and so other
//!   container tools, refuse it as well; `gzip` ignores it with a warning and `bzip2` without.
//!
//! A codec is known by its first bytes alone, so data cut off or damaged within them is taken for
//! plain. Data that ends where one of its members does is whole, as far as can be told from it.
//!
//! Memory does not follow what the data claims: see [`DecodeOptions::memory`].
//!
//! ```
//! use layergraph_archive::codec::{Codec, DecodeOptions, decode};
//! use std::io::Read;
//!
//! # let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
//! # std::io::Write::write_all(&mut packed, b"a layer")?;
//! # let packed = packed.finish()?;
//! let mut decoder = decode(&packed[..], &DecodeOptions::default())?;
//! assert_eq!(decoder.codec(), Codec::Gzip);
//!
//! let mut plain = String::new();
//! decoder.read_to_string(&mut plain)?;
//! assert_eq!(plain, "a layer");
//! # std::io::Result::Ok(())
//! ```

use std::fmt;

mod decoder;
mod error;
mod input;
mod member;

#[cfg(feature = "bzip2")]
mod bzip2;
mod gzip;
#[cfg(feature = "xz")]
mod xz;
#[cfg(feature = "zstd")]
mod zstd;

pub use decoder::{DecodeOptions, Decoder, decode};
pub use error::CodecError;

/// How many first bytes [`Codec::detect`] needs to tell all codecs apart.
pub const MAGIC_LEN: usize = 6;

/// How the bytes of a layer are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// Not packed.
    None,
    /// gzip (RFC 1952), one or more members.
    Gzip,
    /// Zstandard (RFC 8878), frames and skippable frames. Needs the feature `zstd`.
    Zstd,
    /// xz, one or more streams. Needs the feature `xz`.
    Xz,
    /// bzip2, one or more streams. Needs the feature `bzip2`.
    Bzip2,
}

impl Codec {
    /// Recognises the codec of data that begins with `first_bytes`.
    ///
    /// Fewer than [`MAGIC_LEN`] bytes are judged as all there is, so too short a beginning is
    /// [`Codec::None`]. A codec is recognised whether or not its feature is on.
    ///
    /// The signatures of gzip (with the one method it ever had), bzip2 and xz are those that
    /// container tools have tested since 2013; zstd came later, as a frame or a skippable frame.
    pub fn detect(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0x00, ..] => Self::Xz,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }

    /// Returns the usual extension of a tar file packed by this codec, without a leading dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "tar",
            Self::Gzip => "tar.gz",
            Self::Zstd => "tar.zst",
            Self::Xz => "tar.xz",
            Self::Bzip2 => "tar.bz2",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        })
    }
}
