//! Digests as the original program of 2015 took them: its `checksum` files hold them.
//!
//! It looked at the form only. Any number of digits would do, upper case too, and everything in
//! which a tarsum can be found. So a [`Checksum`] is a text to keep and to show; only a text that
//! is a [`Digest`] as well can be compared with bytes.

use std::fmt;

use crate::{Algorithm, Digest, ParseDigestError};

/// A text that the original program accepts as a digest, kept as it is.
///
/// It comes from [`parse_checksum`]. It may hold blanks, slashes and any other character, so it is
/// not safe to use in a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checksum(String);

/// Why the original program refuses a text as a digest. The texts are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseChecksumError {
    /// The text is not a name, a colon and hex digits, and there is no tarsum in it.
    #[error("invalid checksum digest format")]
    InvalidFormat,
    /// The name before the colon is not exactly one of [`Algorithm::ALL`].
    #[error("unsupported digest algorithm")]
    UnsupportedAlgorithm,
}

/// Reads a digest as leniently as the original program.
///
/// ```
/// use layergraph_digest::{Digest, parse_checksum};
///
/// // Far too short, and yet a checksum. It is no digest.
/// let checksum = parse_checksum("sha256:A")?;
/// assert_eq!(checksum.as_str(), "sha256:A");
/// assert!(checksum.to_digest().is_err());
///
/// let error = parse_checksum("sha1:abc").unwrap_err();
/// assert_eq!(error.to_string(), "unsupported digest algorithm");
/// # Ok::<(), layergraph_digest::ParseChecksumError>(())
/// ```
pub fn parse_checksum(text: &str) -> Result<Checksum, ParseChecksumError> {
    if find_tarsum(text).is_some() {
        return Ok(Checksum(text.to_owned()));
    }
    // As the expression `^[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+$`.
    let (name, hex) = text
        .split_once(':')
        .filter(|(name, _)| is_all(name, |c| c.is_ascii_alphanumeric() || b"-_+.".contains(&c)))
        .filter(|(_, hex)| is_all(hex, |c| c.is_ascii_hexdigit()))
        .ok_or(ParseChecksumError::InvalidFormat)?;
    name.parse::<Algorithm>()
        .map(|_| Checksum(format!("{name}:{hex}")))
        .map_err(|_| ParseChecksumError::UnsupportedAlgorithm)
}

impl Checksum {
    /// Returns the whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what stands before the first colon, for a tarsum not only its algorithm.
    pub fn algorithm(&self) -> &str {
        self.split().0
    }

    /// Returns what stands behind the first colon, which may be more than digits.
    pub fn hex(&self) -> &str {
        self.split().1
    }

    /// Returns the tarsum in the text, if there is one.
    pub fn tarsum(&self) -> Option<TarSum> {
        parse_tarsum(&self.0).ok()
    }

    /// Returns the digest that the text is, if it is one by the rules of today.
    ///
    /// What it is not, never verified in 2015 either: digits were compared as they were written.
    /// Only a tarsum did, and tarsums are not computed here.
    pub fn to_digest(&self) -> Result<Digest, ParseDigestError> {
        self.0.parse()
    }

    fn split(&self) -> (&str, &str) {
        // Both accepted forms have a colon.
        self.0.split_once(':').unwrap_or((&self.0, ""))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The parts of a tarsum, a digest of a tar's entries that does not depend on their order.
///
/// Registries used it in 2014 and 2015, before the digest of the whole tar. It is printed in its
/// normal form, without what may have stood around it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TarSum {
    /// The version, `v1` or `dev`; empty for the first.
    pub version: String,
    /// The hash function, any letters and digits.
    pub algorithm: String,
    /// The hex digits, in the case they came in.
    pub hex: String,
}

/// A text without a tarsum in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid tarsum: {text:?}")]
pub struct ParseTarSumError {
    /// The text.
    pub text: String,
}

/// Finds the first tarsum in a text.
///
/// ```
/// use layergraph_digest::parse_tarsum;
///
/// let tarsum = parse_tarsum("tarsum.v1+sha256:220a60ec")?;
/// assert_eq!((&*tarsum.version, &*tarsum.algorithm), ("v1", "sha256"));
/// assert_eq!(tarsum.to_string(), "tarsum.v1+sha256:220a60ec");
/// # Ok::<(), layergraph_digest::ParseTarSumError>(())
/// ```
pub fn parse_tarsum(text: &str) -> Result<TarSum, ParseTarSumError> {
    find_tarsum(text).ok_or_else(|| ParseTarSumError {
        text: text.to_owned(),
    })
}

impl fmt::Display for TarSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.version.is_empty() { "" } else { "." };
        let (version, algorithm, hex) = (&self.version, &self.algorithm, &self.hex);
        write!(f, "tarsum{dot}{version}+{algorithm}:{hex}")
    }
}

/// Finds what the expression `(tarsum)(.([a-z0-9]+))?\+([a-zA-Z0-9]+):([A-Fa-f0-9]+)` finds, which
/// is bound to neither end of the text.
///
/// Each byte is looked at a few times, however often the word stands in the text: what comes behind
/// a version does not depend on where the version begins, so each end of one is tried once.
fn find_tarsum(text: &str) -> Option<TarSum> {
    const WORD: &str = "tarsum";
    let mut tried = 0;
    for (at, _) in text.match_indices(WORD) {
        let behind = &text[at + WORD.len()..];
        // The dot of the expression is unescaped and stands for any character that ends no line,
        // even a plus. So a version is looked for first, as the expression does.
        let mut chars = behind.chars();
        let is_dot = chars.next().is_some_and(|dot| dot != '\n');
        let start = text.len() - chars.as_str().len();
        if is_dot && start >= tried {
            let (version, rest) = split(chars.as_str(), |c| {
                c.is_ascii_lowercase() || c.is_ascii_digit()
            });
            tried = start + version.len();
            if !version.is_empty()
                && let Some(tarsum) = tarsum_behind_version(version, rest)
            {
                return Some(tarsum);
            }
        }
        if let Some(tarsum) = tarsum_behind_version("", behind) {
            return Some(tarsum);
        }
    }
    None
}

fn tarsum_behind_version(version: &str, text: &str) -> Option<TarSum> {
    let (algorithm, rest) = take(text.strip_prefix('+')?, |c| c.is_ascii_alphanumeric())?;
    let (hex, _) = take(rest.strip_prefix(':')?, |c| c.is_ascii_hexdigit())?;
    Some(TarSum {
        version: version.to_owned(),
        algorithm: algorithm.to_owned(),
        hex: hex.to_owned(),
    })
}

/// Splits off what belongs together at the beginning, which is at least one byte.
fn take(text: &str, belongs: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    Some(split(text, belongs)).filter(|(taken, _)| !taken.is_empty())
}

/// Splits off what belongs together at the beginning. The bytes that belong are ASCII, so the cut
/// is between characters.
fn split(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    let len = text.bytes().take_while(|&c| belongs(c)).count();
    text.split_at(len)
}

/// Tells whether the text is not empty and each byte belongs.
fn is_all(text: &str, belongs: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(belongs)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[track_caller]
    fn check_tarsum(text: &str, expected: Option<(&str, &str, &str)>) {
        let expected = expected.map(|(version, algorithm, hex)| TarSum {
            version: version.to_owned(),
            algorithm: algorithm.to_owned(),
            hex: hex.to_owned(),
        });
        assert_eq!(parse_tarsum(text).ok(), expected, "{text:?}");
        assert_eq!(
            parse_checksum(text).ok().and_then(|sum| sum.tarsum()),
            expected,
            "{text:?}"
        );
    }

    /// Expected values are those of the regular expression.
    #[test]
    fn a_tarsum_is_found_as_the_regular_expression_of_2015_finds_it() {
        check_tarsum("tarsum+a:b", Some(("", "a", "b")));
        check_tarsum("tarsum.dev+a:B/../..", Some(("dev", "a", "B")));
        check_tarsum("tarsum/v1+a:b", Some(("v1", "a", "b")));
        check_tarsum("tarsuméx+a:b", Some(("x", "a", "b")));
        check_tarsum("tarsum+v1+a:b", Some(("v1", "a", "b")));
        check_tarsum("tarsumtarsum+a:b", Some(("arsum", "a", "b")));
        check_tarsum("tarsum tarsum.v1+a:b", Some(("v1", "a", "b")));
        check_tarsum("x:y tarsum+a:b", Some(("", "a", "b")));
        check_tarsum("tarsum+tarsum+a:b", Some(("tarsum", "a", "b")));
        check_tarsum("tarsum+tarsumtarsum tarsum+a:b", Some(("tarsum", "a", "b")));
        check_tarsum("tarsumtarsumtarsum+:tarsum.1+a:b", Some(("1", "a", "b")));

        check_tarsum("", None);
        check_tarsum("tarsum", None);
        check_tarsum("tarsum\nv1+a:b", None);
        check_tarsum("tarsum.V1+a:b", None);
        check_tarsum("tarsum.v1:b", None);
        check_tarsum("tarsum+:b", None);
        check_tarsum("tarsum+é:b", None);
        check_tarsum("tarsum+a:", None);
        check_tarsum("tarsum+a:x", None);
        check_tarsum("Tarsum+a:b", None);
    }

    /// Tries each place by itself.
    fn find_by_definition(text: &str) -> Option<TarSum> {
        text.match_indices("tarsum").find_map(|(at, word)| {
            let behind = &text[at + word.len()..];
            let mut chars = behind.chars();
            let is_version = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
            chars
                .next()
                .filter(|&dot| dot != '\n')
                .and_then(|_| take(chars.as_str(), is_version))
                .and_then(|(version, rest)| tarsum_behind_version(version, rest))
                .or_else(|| tarsum_behind_version("", behind))
        })
    }

    proptest! {
        #[test]
        fn the_first_tarsum_is_found_among_many_beginnings(
            parts in vec(select(vec!["tarsum", "+", ":", ".", "a1", "A", "é", "\n"]), 0..24)
        ) {
            let text = parts.concat();
            prop_assert_eq!(find_tarsum(&text), find_by_definition(&text));
        }
    }

    /// By the square of the length these would take hours.
    #[test]
    fn the_time_grows_with_the_length_whatever_the_text_repeats() {
        for pattern in [
            "tarsum",
            "tarsum+",
            "tarsum.",
            "tarsum.1+a",
            "tarsum+tarsumtarsum",
        ] {
            let text = pattern.repeat(1 << 18);
            assert_eq!(find_tarsum(&text), None, "{pattern}");
            let text = text + "tarsum+a:b";
            assert!(find_tarsum(&text).is_some(), "{pattern}");
        }
    }

    #[test]
    fn parts_are_split_at_the_first_colon_as_in_2015() {
        let checksum = parse_checksum("x:y tarsum+a:b").unwrap();
        assert_eq!(
            (checksum.algorithm(), checksum.hex()),
            ("x", "y tarsum+a:b")
        );
    }

    #[test]
    fn only_a_checksum_that_is_exact_becomes_a_digest() {
        let exact = Digest::of(Algorithm::Sha256, b"").to_string();
        let check = |text: &str| parse_checksum(text).unwrap().to_digest().is_ok();
        assert!(check(&exact));
        assert!(!check(&exact.replace('e', "E")));
        assert!(!check(&exact[..70]));
        assert!(!check(&format!("{exact}0")));
        assert!(!check(&format!("tarsum+{exact}")));
    }
}
