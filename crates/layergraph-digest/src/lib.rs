//! Content digests: parse, print, and verify bytes while they pass.
//!
//! Layers and documents are named by a [`Digest`] of their bytes, `sha256:` and 64 digits. Whoever
//! fetches one has to compare what came with the name, and a layer is too large to be read twice
//! for that. So the bytes pass through a [`Verifier`] on their way: it hashes them, stops a stream
//! that is longer than announced, and says at the end whether it was the right one.
//!
//! ```
//! use std::io::Read;
//! use layergraph_digest::{Algorithm, Digest, DigestSet, Verifier, VerifyError};
//!
//! let digest: Digest =
//!     "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".parse()?;
//!
//! let mut verifier = Verifier::new(digest, Some(3), &b"abc"[..]);
//! let mut bytes = Vec::new();
//! verifier.read_to_end(&mut bytes)?;
//! verifier.finish()?;
//!
//! let other = Verifier::new(digest, Some(3), &b"abd"[..]);
//! assert!(matches!(other.finish(), Err(VerifyError::Digest { .. })));
//!
//! // People name a digest by its first digits.
//! let set = DigestSet::from_iter([digest, Digest::of(Algorithm::Sha256, b"something else")]);
//! assert_eq!(set.lookup("ba78")?, digest);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is here
//!
//! - [`Digest`] and [`Algorithm`]: SHA-256, SHA-384 and SHA-512; exact length, lower case, and no
//!   other value can be held. With serde they are strings.
//! - [`Hasher`], [`HashReader`], [`HashWriter`] compute a digest; [`Verifier`] and [`VerifyWriter`]
//!   compare with the one that is expected.
//! - [`DiffId`], [`ChainId`] and [`chain_ids`]: what names a layer alone, and what names it with
//!   all layers below it.
//! - [`DigestSet`] finds digests by prefix, and prints short codes.
//! - [`parse_checksum`] reads the looser digests that old stores kept. They are a type of their
//!   own, [`Checksum`].
//!
//! # Limitations
//!
//! - No other algorithm: MD5 and SHA-1 are not collision-resistant, and the image-spec registers
//!   nothing else that images use.
//! - A tarsum, the digest of a tar's content that preceded the diff id, is read but not computed.
//! - Digests are compared in time that depends on their bytes. They are names, not secrets.
//! - Blocking I/O only, through [`std::io`].
//!
//! # Features
//!
//! None. The hardware is asked at run time, so one build is fast everywhere: on x86-64 the SHA
//! extensions for SHA-256 and AVX2 for the other two, on aarch64 the SHA-2 and SHA-3 extensions.

#![forbid(unsafe_code)]

mod algorithm;
mod chain;
mod checksum;
mod digest;
mod set;
mod stream;
mod verify;

pub use crate::algorithm::{Algorithm, Hasher};
pub use crate::chain::{ChainId, DiffId, chain_ids};
pub use crate::checksum::{
    Checksum, ParseChecksumError, ParseTarSumError, TarSum, parse_checksum, parse_tarsum,
};
pub use crate::digest::{Digest, ParseDigestError};
pub use crate::set::{DigestSet, LookupError};
pub use crate::stream::{HashReader, HashWriter, Hashed};
pub use crate::verify::{Verifier, VerifyError, VerifyWriter};
