//! A digest: which hash function, and what it gave. Nothing invalid can be held.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::{Algorithm, Hasher};

/// Bytes of the longest digest.
const MAX_BYTES: usize = 64;
/// Bytes of the longest text: name, colon, digits.
const MAX_TEXT: usize = "sha512:".len() + 2 * MAX_BYTES;

/// The digest of some bytes, printed and parsed as `algorithm:hex`.
///
/// The text has exactly as many digits as the algorithm gives, all in lower case, so two digests
/// are equal if and only if their texts are, and they are ordered as their texts are. What parses
/// is one plain name, and safe to use in a path.
///
/// The output of another hasher becomes a digest by [`from_bytes`](Self::from_bytes), which takes
/// the arrays of the `digest` crate as well.
///
/// ```
/// use layergraph_digest::{Algorithm, Digest};
///
/// let digest = Digest::of(Algorithm::Sha256, b"abc");
/// let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// assert_eq!(digest.to_string(), text);
/// assert_eq!(text.parse(), Ok(digest));
/// # Ok::<(), layergraph_digest::ParseDigestError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    // In this order the derived comparison is that of the texts.
    algorithm: Algorithm,
    /// Zero beyond what the algorithm gives.
    bytes: [u8; MAX_BYTES],
}

impl Digest {
    /// Returns the digest of these bytes.
    pub fn of(algorithm: Algorithm, bytes: impl AsRef<[u8]>) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes.as_ref());
        hasher.finish()
    }

    /// Returns the digest that consists of these bytes, `None` if they are not
    /// [as many as the algorithm gives](Algorithm::digest_bytes).
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == algorithm.digest_bytes()).then(|| Self::from_output(algorithm, bytes))
    }

    /// Returns the digest that consists of these bytes, of which there must be the right number.
    pub(crate) fn from_output(algorithm: Algorithm, output: &[u8]) -> Self {
        assert_eq!(output.len(), algorithm.digest_bytes());
        let mut bytes = [0; MAX_BYTES];
        bytes[..output.len()].copy_from_slice(output);
        Self { algorithm, bytes }
    }

    /// Returns the algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the bytes that the algorithm gave.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.digest_bytes()]
    }

    /// Returns the bytes as hex digits in lower case, as they stand behind the colon.
    pub fn hex(&self) -> String {
        self.with_text(|text| text[self.algorithm.name().len() + 1..].to_owned())
    }

    /// Gives the text to `use_text`, without an allocation.
    pub(crate) fn with_text<T>(&self, use_text: impl FnOnce(&str) -> T) -> T {
        use_text(self.text(&mut [0; MAX_TEXT]))
    }

    /// Writes the text to `buffer`: no allocation, for the places that print many.
    fn text<'b>(&self, buffer: &'b mut [u8; MAX_TEXT]) -> &'b str {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let name = self.algorithm.name();
        let (head, digits) = buffer.split_at_mut(name.len() + 1);
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[name.len()] = b':';
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.as_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0x0f)];
        }
        let len = name.len() + 1 + 2 * self.as_bytes().len();
        str::from_utf8(&buffer[..len]).expect("a name, a colon and hex digits are ASCII")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.pad(text))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, hex) = text.split_once(':').ok_or(ParseDigestError::MissingColon)?;
        let algorithm: Algorithm = name.parse()?;
        let mut bytes = [0; MAX_BYTES];
        for (digit, at) in hex.bytes().zip(0..) {
            let value = nibble(digit).ok_or(ParseDigestError::NotHex {
                at: name.len() + 1 + at,
            })?;
            // Digits beyond the longest digest are looked at only to name the right reason.
            if let Some(byte) = bytes.get_mut(at / 2) {
                *byte = *byte << 4 | value;
            }
        }
        let expected = 2 * algorithm.digest_bytes();
        if hex.len() != expected {
            let actual = hex.len();
            return Err(ParseDigestError::Length { expected, actual });
        }
        Ok(Self { algorithm, bytes })
    }
}

/// Returns what a hex digit stands for. Upper case is none: each digest has one text only.
pub(crate) fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Why a text is not a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDigestError {
    /// There is no colon between an algorithm and digits.
    #[error("a digest is `algorithm:hex`, but there is no colon")]
    MissingColon,
    /// The text before the colon names no algorithm of [`Algorithm`].
    #[error("unknown digest algorithm {algorithm:?}")]
    UnknownAlgorithm {
        /// What stands there instead.
        algorithm: String,
    },
    /// A character is not one of `0`-`9`, `a`-`f`.
    #[error("byte {at} of the digest is not a hex digit in lower case")]
    NotHex {
        /// The first such character: its offset in the whole text, in bytes.
        at: usize,
    },
    /// There are too few or too many digits for the algorithm.
    #[error("expected {expected} hex digits, got {actual}")]
    Length {
        /// How many digits the algorithm gives.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a digest as `algorithm:hex`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[track_caller]
    fn check_refused(text: &str, expected: &ParseDigestError) {
        assert_eq!(text.parse::<Digest>().as_ref(), Err(expected));
    }

    #[test]
    fn r2_a_text_that_is_no_digest_is_refused_with_the_first_reason() {
        use ParseDigestError::{Length, MissingColon, NotHex, UnknownAlgorithm};
        let unknown = |algorithm: &str| UnknownAlgorithm {
            algorithm: algorithm.to_owned(),
        };
        let length = |actual| Length {
            expected: 64,
            actual,
        };

        check_refused("", &MissingColon);
        check_refused("sha256", &MissingColon);
        check_refused(&ABC.replace(':', "-"), &MissingColon);

        check_refused(":", &unknown(""));
        check_refused("../sha256:ab", &unknown("../sha256"));
        check_refused(&ABC.to_uppercase(), &unknown("SHA256"));
        check_refused(
            "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
            &unknown("sha1"),
        );
        check_refused("tarsum.v1+sha256:ab", &unknown("tarsum.v1+sha256"));

        check_refused("sha256:xyz", &NotHex { at: 7 });
        check_refused("sha256:ab/../", &NotHex { at: 9 });
        check_refused("sha256::ab", &NotHex { at: 7 });
        check_refused("sha256:aé", &NotHex { at: 8 });
        check_refused(&ABC.replace('b', "B"), &NotHex { at: 7 });
        check_refused(&format!("{ABC} "), &NotHex { at: 71 });
        check_refused(&format!("{ABC}\n"), &NotHex { at: 71 });

        check_refused("sha256:", &length(0));
        check_refused(&ABC[..ABC.len() - 1], &length(63));
        check_refused(&format!("{ABC}0"), &length(65));
        check_refused(
            &ABC.replace("sha256", "sha512"),
            &Length {
                expected: 128,
                actual: 64,
            },
        );
    }

    #[test]
    fn r2_a_digest_of_the_wrong_length_cannot_be_made_from_bytes() {
        for &algorithm in Algorithm::ALL {
            let len = algorithm.digest_bytes();
            for wrong in [0, len - 1, len + 1, 200] {
                assert_eq!(Digest::from_bytes(algorithm, &vec![1; wrong]), None);
            }
            let digest = Digest::from_bytes(algorithm, &vec![1; len]).unwrap();
            assert_eq!(digest.as_bytes(), vec![1; len]);
            assert_eq!(digest.hex(), "01".repeat(len));
        }
    }

    #[test]
    fn a_digest_pads_like_a_string_and_debugs_as_its_text() {
        let digest: Digest = ABC.parse().unwrap();
        assert_eq!(
            format!("{digest:>73}|{digest:.12}"),
            format!("  {ABC}|sha256:ba781")
        );
        assert_eq!(format!("{digest:?}"), format!("Digest({ABC})"));
    }

    #[test]
    fn json_holds_the_text_and_nothing_invalid_is_read() {
        let json = format!("\"{ABC}\"");
        let digest: Digest = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&digest).unwrap(), json);

        let error = serde_json::from_str::<Digest>("\"sha256:xyz\"").unwrap_err();
        assert!(
            error.to_string().starts_with("byte 7 of the digest"),
            "{error}"
        );
        let error = serde_json::from_str::<Digest>("7").unwrap_err();
        assert!(error.to_string().contains("expected a digest"), "{error}");
    }
}
