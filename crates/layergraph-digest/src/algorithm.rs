//! The hash functions a digest can be made with, and one that is running.

use std::fmt;
use std::io;
use std::str::FromStr;

use sha2::Digest as _;
use sha2::{Sha256, Sha384, Sha512};

use crate::{Digest, ParseDigestError};

/// A hash function that a [`Digest`] can be made with.
///
/// The image-spec registers [SHA-256][sha256], which everybody must know, and SHA-512. SHA-384 is
/// from the original program of 2015.
///
/// [sha256]: https://github.com/opencontainers/image-spec/blob/main/descriptor.md#sha-256
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, `sha256`: the one that images are named with.
    Sha256,
    /// SHA-384, `sha384`.
    Sha384,
    /// SHA-512, `sha512`.
    Sha512,
}

impl Algorithm {
    /// All algorithms, in their order.
    pub const ALL: &'static [Self] = &[Self::Sha256, Self::Sha384, Self::Sha512];

    /// Returns the name as it stands before the colon of a digest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns how many bytes a digest has; its text has twice as many hex digits.
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = ParseDigestError;

    /// Reads a name, which is in lower case always.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            _ => Err(ParseDigestError::UnknownAlgorithm {
                algorithm: name.to_owned(),
            }),
        }
    }
}

/// A digest in the making: takes the bytes in pieces of any size.
///
/// It is an [`io::Write`] and a [`digest::Update`] as well, for code that is generic over these.
/// The processor's own instructions for hashing are used where it has them.
///
/// ```
/// use layergraph_digest::{Algorithm, Digest, Hasher};
///
/// let mut hasher = Hasher::new(Algorithm::Sha256);
/// hasher.update(b"lay");
/// hasher.update(b"er");
/// assert_eq!(hasher.finish(), Digest::of(Algorithm::Sha256, b"layer"));
/// ```
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    /// Returns a hasher that has seen no bytes yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha384 => State::Sha384(Sha384::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha384(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// Returns the digest of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest::from_output(Algorithm::Sha256, &state.finalize()),
            State::Sha384(state) => Digest::from_output(Algorithm::Sha384, &state.finalize()),
            State::Sha512(state) => Digest::from_output(Algorithm::Sha512, &state.finalize()),
        }
    }
}

impl digest::Update for Hasher {
    fn update(&mut self, bytes: &[u8]) {
        Hasher::update(self, bytes);
    }
}

impl io::Write for Hasher {
    /// Takes all bytes, always.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4 examples, and the message of no bytes.
    #[test]
    fn the_hash_functions_are_those_of_the_standard() {
        let check = |message: &str, expected: &str| {
            let algorithm = expected[..6].parse().unwrap();
            assert_eq!(
                Digest::of(algorithm, message.as_bytes()).to_string(),
                expected
            );
        };
        check(
            "",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        );
        check(
            "abc",
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
        check(
            "abc",
            "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
             8086072ba1e7cc2358baeca134c825a7",
        );
        check(
            "abc",
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        );
    }

    #[test]
    fn every_way_to_feed_a_hasher_gives_the_same_digest() {
        let expected = Digest::of(Algorithm::Sha384, b"layer");

        let mut hasher = Hasher::new(Algorithm::Sha384);
        digest::Update::update(&mut hasher, b"lay");
        io::copy(&mut &b"er"[..], &mut hasher).unwrap();
        assert_eq!(hasher.finish(), expected);

        let output = Sha384::digest(b"layer");
        assert_eq!(
            Digest::from_bytes(Algorithm::Sha384, &output),
            Some(expected)
        );
    }

    #[test]
    fn only_the_exact_name_is_an_algorithm() {
        for &algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        for name in ["", "SHA256", "sha-256", " sha256", "sha256 ", "sha1", "md5"] {
            assert_eq!(
                name.parse::<Algorithm>(),
                Err(ParseDigestError::UnknownAlgorithm {
                    algorithm: name.to_owned()
                })
            );
        }
    }
}
