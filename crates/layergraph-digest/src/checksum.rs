//! The looser digests of 2015, as old stores kept them in their `checksum` files.
//!
//! The original program took any number of digits in either case, and any text that contains a
//! tarsum. This module answers as it did. Its results are types of their own, so that none of them
//! passes for a [`Digest`].

use std::fmt;

use crate::{Algorithm, Digest};

/// A text that the original program took for a digest.
///
/// It names bytes only if [`digest`](Self::digest) gives one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checksum(String);

impl Checksum {
    /// Returns the text, unchanged.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what stands before the first colon.
    pub fn algorithm(&self) -> &str {
        self.0
            .split_once(':')
            .map_or("", |(algorithm, _)| algorithm)
    }

    /// Returns what stands behind the first colon.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// Returns the digest, if the text is one in the strict sense as well.
    ///
    /// A checksum in upper case is none: the original compared texts, and it never verified.
    pub fn digest(&self) -> Option<Digest> {
        self.0.parse().ok()
    }

    /// Returns the tarsum that the text contains, if any.
    pub fn tarsum(&self) -> Option<TarSum> {
        find_tarsum(&self.0)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a text is not a [`Checksum`]. The messages are those of the original program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseChecksumError {
    /// The text is not an algorithm, a colon, and hex digits.
    #[error("invalid checksum digest format")]
    Format {
        /// The whole text; the original handed it on in spite of the error.
        text: String,
    },
    /// The form is right, but the algorithm is not one of [`Algorithm`].
    #[error("unsupported digest algorithm")]
    UnsupportedAlgorithm {
        /// The whole text; the original handed it on in spite of the error.
        text: String,
    },
}

/// Reads a digest as the original program did.
///
/// A text that contains a tarsum anywhere is taken. So is an algorithm of [`Algorithm`], a colon,
/// and at least one hex digit in either case.
///
/// ```
/// use layergraph_digest::parse_checksum;
///
/// let short = parse_checksum("sha256:ABC")?;
/// assert_eq!((short.algorithm(), short.hex()), ("sha256", "ABC"));
/// assert_eq!(short.digest(), None);
///
/// let error = parse_checksum("md5:ab").unwrap_err();
/// assert_eq!(error.to_string(), "unsupported digest algorithm");
/// # Ok::<(), layergraph_digest::ParseChecksumError>(())
/// ```
pub fn parse_checksum(text: &str) -> Result<Checksum, ParseChecksumError> {
    if find_tarsum(text).is_some() {
        return Ok(Checksum(text.to_owned()));
    }
    let owned = || text.to_owned();
    let is_algorithm = |c: u8| c.is_ascii_alphanumeric() || b"-_+.".contains(&c);
    let (name, _) = text
        .split_once(':')
        .filter(|(name, hex)| !name.is_empty() && !hex.is_empty())
        .filter(|(name, _)| name.bytes().all(is_algorithm))
        .filter(|(_, hex)| hex.bytes().all(|c| c.is_ascii_hexdigit()))
        .ok_or_else(|| ParseChecksumError::Format { text: owned() })?;
    match name.parse::<Algorithm>() {
        Ok(_) => Ok(Checksum(owned())),
        Err(_) => Err(ParseChecksumError::UnsupportedAlgorithm { text: owned() }),
    }
}

/// A tarsum: a digest of a tar's headers and contents, printed as `tarsum.version+algorithm:hex`.
///
/// It preceded the diff ID. Nothing computes it any more, and its parts are not checked: a version
/// or an algorithm may be one that never was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TarSum {
    version: String,
    algorithm: String,
    hex: String,
}

impl TarSum {
    /// Returns the version, empty for the first one, which had none.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the name of the hash function.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// Returns the hex digits, any number, in either case.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for TarSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.version.is_empty() { "" } else { "." };
        let (version, algorithm, hex) = (&self.version, &self.algorithm, &self.hex);
        write!(f, "tarsum{dot}{version}+{algorithm}:{hex}")
    }
}

/// There is no tarsum in a text. The message is that of the original program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid tarsum: {text:?}")]
pub struct ParseTarSumError {
    text: String,
}

/// Returns the first tarsum in a text; what stands around it is ignored, as it was in 2015.
///
/// ```
/// use layergraph_digest::parse_tarsum;
///
/// let tarsum = parse_tarsum("about tarsum.v1+sha256:ab!")?;
/// assert_eq!(tarsum.version(), "v1");
/// assert_eq!(tarsum.to_string(), "tarsum.v1+sha256:ab");
///
/// let error = parse_tarsum("sha256:ab").unwrap_err();
/// assert_eq!(error.to_string(), "invalid tarsum: \"sha256:ab\"");
/// # Ok::<(), layergraph_digest::ParseTarSumError>(())
/// ```
pub fn parse_tarsum(text: &str) -> Result<TarSum, ParseTarSumError> {
    find_tarsum(text).ok_or_else(|| ParseTarSumError {
        text: text.to_owned(),
    })
}

/// Finds the first match of `(tarsum)(.([a-z0-9]+))?\+([a-zA-Z0-9]+):([A-Fa-f0-9]+)`.
fn find_tarsum(text: &str) -> Option<TarSum> {
    const WORD: &str = "tarsum";
    text.match_indices(WORD)
        .find_map(|(at, _)| after_word(&text[at + WORD.len()..]))
}

/// Matches what follows the word: with a version if that is possible, else without.
fn after_word(rest: &str) -> Option<TarSum> {
    let with_version = || {
        let mut chars = rest.chars();
        // Any character stands for the dot, but a line's end does not.
        chars.next().filter(|&c| c != '\n')?;
        let (version, rest) = run(chars.as_str(), |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit()
        })?;
        after_version(version, rest)
    };
    with_version().or_else(|| after_version("", rest))
}

fn after_version(version: &str, rest: &str) -> Option<TarSum> {
    let (algorithm, rest) = run(rest.strip_prefix('+')?, |c| c.is_ascii_alphanumeric())?;
    let (hex, _) = run(rest.strip_prefix(':')?, |c| c.is_ascii_hexdigit())?;
    Some(TarSum {
        version: version.to_owned(),
        algorithm: algorithm.to_owned(),
        hex: hex.to_owned(),
    })
}

/// Splits off the longest start of which all characters are wanted, `None` if it is empty.
fn run(text: &str, is_wanted: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    let end = text.find(|c| !is_wanted(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_character_but_a_line_end_stands_before_the_version() {
        for dot in [".", "+", "-", "\u{e9}", ":"] {
            let text = format!("tarsum{dot}v1+sha256:ab");
            assert_eq!(
                parse_tarsum(&text).unwrap().to_string(),
                "tarsum.v1+sha256:ab"
            );
        }
        assert!(parse_tarsum("tarsum\nv1+sha256:ab").is_err());
    }

    #[test]
    fn the_first_tarsum_that_is_complete_is_found() {
        for text in ["tarsum tarsum+a:b", "tarsumtarsum+a:b tarsum+c:d"] {
            assert_eq!(parse_tarsum(text).unwrap().to_string(), "tarsum+a:b");
        }
        for text in [
            "",
            "tarsum",
            "tarsum+",
            "tarsum+a",
            "tarsum+a:",
            "tarsum+:b",
            "tarsum+a:g",
        ] {
            assert!(parse_tarsum(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_refused_is_not_lost() {
        let text = "sha256:xyz".to_owned();
        assert_eq!(
            parse_checksum(&text),
            Err(ParseChecksumError::Format { text })
        );
    }

    #[test]
    fn upper_case_is_a_checksum_and_no_digest() {
        let digest = Digest::of(Algorithm::Sha256, b"layer");
        let lower = parse_checksum(&digest.to_string()).unwrap();
        assert_eq!(lower.digest(), Some(digest));
        let upper = format!("sha256:{}", digest.hex().to_uppercase());
        assert_eq!(parse_checksum(&upper).unwrap().digest(), None);
    }
}
