//! A set of digests that finds each by its first digits, and tells how few of them are enough.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::digest::nibble;
use crate::{Algorithm, Digest};

/// A set of digests, asked by prefix.
///
/// A digest is meant by a text in one of three forms:
///
/// | text | means |
/// |---|---|
/// | `sha256:` and all digits | this digest |
/// | `sha256:` and some digits | the digests of this algorithm that begin with them |
/// | some digits | the digests of any algorithm that begin with them |
///
/// Digits are in lower case. No digits at all, not even an algorithm, mean every digest.
///
/// ```
/// use layergraph_digest::{Algorithm, Digest, DigestSet, LookupError};
///
/// let [one, two] = ["one", "two"].map(|text| Digest::of(Algorithm::Sha256, text));
/// let set: DigestSet = [one, two].into_iter().collect();
///
/// assert_eq!(one.to_string()[..11], *"sha256:7692");
/// assert_eq!(set.lookup("7692"), Ok(one));
/// assert_eq!(set.lookup("sha256:7692"), Ok(one));
/// assert!(matches!(set.lookup("sha512:7692"), Err(LookupError::NotFound { .. })));
/// assert!(matches!(set.lookup(""), Err(LookupError::Ambiguous { .. })));
///
/// // What to print so that a person can type it back.
/// assert_eq!(set.short_codes(12)[&one], "7692c3ad3540");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigestSet {
    digests: BTreeSet<Digest>,
}

/// A lookup that did not end at one digest.
///
/// The texts are those of the original program of 2015.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The text means no digest of the set.
    #[error("digest not found")]
    NotFound {
        /// The text that was looked up.
        text: String,
    },
    /// The text means several digests.
    ///
    /// [`DigestSet::matches`] gives all of them.
    #[error("ambiguous digest string")]
    Ambiguous {
        /// The text that was looked up.
        text: String,
        /// The first two digests that it means.
        digests: Box<[Digest; 2]>,
    },
}

impl DigestSet {
    /// Returns a set without digests.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a digest. Tells whether it is new.
    pub fn insert(&mut self, digest: Digest) -> bool {
        self.digests.insert(digest)
    }

    /// Removes a digest. Tells whether it was there.
    pub fn remove(&mut self, digest: &Digest) -> bool {
        self.digests.remove(digest)
    }

    /// Returns the only digest that the text means.
    ///
    /// # Errors
    ///
    /// Fails if the text means none or several.
    pub fn lookup(&self, text: &str) -> Result<Digest, LookupError> {
        let mut matches = self.matches(text);
        let text = || text.to_owned();
        match (matches.next(), matches.next()) {
            (None, _) => Err(LookupError::NotFound { text: text() }),
            (Some(only), None) => Ok(only),
            (Some(first), Some(second)) => Err(LookupError::Ambiguous {
                text: text(),
                digests: Box::new([first, second]),
            }),
        }
    }

    /// Returns the digests that the text means, in their order.
    pub fn matches<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Digest> + 'a {
        let (name, hex) = match text.split_once(':') {
            Some((name, hex)) => (Some(name), hex),
            None => (None, text),
        };
        // Only the text of no digits and no colon means all; an algorithm alone means nothing.
        let complete = name.is_none() || !hex.is_empty();
        Algorithm::ALL
            .iter()
            .filter(move |algorithm| complete && name.is_none_or(|name| name == algorithm.name()))
            .filter_map(move |&algorithm| with_prefix(algorithm, hex))
            .flat_map(|range| self.digests.range(range))
            .copied()
    }

    /// Returns for each digest the shortest text of at least `min_len` digits that
    /// [`lookup`](Self::lookup) finds it by.
    ///
    /// Where that would take as many digits as the digest has, it is the whole text, algorithm
    /// included. No code is empty. What is unique today may be ambiguous after the next insertion,
    /// so a code is for eyes, not for records.
    pub fn short_codes(&self, min_len: usize) -> BTreeMap<Digest, String> {
        let mut by_hex: Vec<&Digest> = self.digests.iter().collect();
        by_hex.sort_by_key(|digest| (digest.as_bytes(), digest.algorithm()));
        // In this order the digest that has most digits in common stands before or behind.
        let common: Vec<usize> = by_hex
            .windows(2)
            .map(|pair| common_digits(pair[0].as_bytes(), pair[1].as_bytes()))
            .collect();
        let code = |(at, &digest): (usize, &&Digest)| {
            let before = at.checked_sub(1).map_or(0, |before| common[before]);
            let behind = common.get(at).copied().unwrap_or(0);
            let len = min_len.max(before.max(behind) + 1);
            let hex = digest.hex();
            let code = match hex.get(..len) {
                Some(short) if len < hex.len() => short.to_owned(),
                _ => digest.to_string(),
            };
            (*digest, code)
        };
        by_hex.iter().enumerate().map(code).collect()
    }

    /// Tells whether the set has this digest.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }

    /// Returns the number of digests.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Tells whether the set has no digests.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Returns all digests, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Digest> + '_ {
        self.digests.iter().copied()
    }
}

impl FromIterator<Digest> for DigestSet {
    fn from_iter<I: IntoIterator<Item = Digest>>(digests: I) -> Self {
        let digests = digests.into_iter().collect();
        Self { digests }
    }
}

impl Extend<Digest> for DigestSet {
    fn extend<I: IntoIterator<Item = Digest>>(&mut self, digests: I) {
        self.digests.extend(digests);
    }
}

/// Returns the bounds of the digests that begin with these digits, if any can: the digits filled up
/// with zeros, and with `f`s.
fn with_prefix(algorithm: Algorithm, hex: &str) -> Option<RangeInclusive<Digest>> {
    let mut low = vec![0x00; algorithm.digest_bytes()];
    let mut high = vec![0xff; algorithm.digest_bytes()];
    for (at, digit) in hex.bytes().enumerate() {
        let (value, shift) = (nibble(digit)?, if at % 2 == 0 { 4 } else { 0 });
        *low.get_mut(at / 2)? |= value << shift;
        *high.get_mut(at / 2)? &= !((0xf ^ value) << shift);
    }
    Some(Digest::from_output(algorithm, &low)..=Digest::from_output(algorithm, &high))
}

/// Returns how many hex digits two byte strings have in common at their beginning.
fn common_digits(a: &[u8], b: &[u8]) -> usize {
    let pairs = || a.iter().zip(b);
    let bytes = pairs().take_while(|(a, b)| a == b).count();
    let half = pairs().nth(bytes).is_some_and(|(a, b)| a >> 4 == b >> 4);
    2 * bytes + usize::from(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A digest of these digits and as many zeros as are missing.
    fn digest(algorithm: Algorithm, digits: &str) -> Digest {
        let width = 2 * algorithm.digest_bytes();
        format!("{algorithm}:{digits:0<width$}").parse().unwrap()
    }

    #[test]
    fn an_algorithm_without_digits_means_nothing() {
        let set = DigestSet::from_iter([digest(Algorithm::Sha256, "ab")]);
        assert!(set.lookup("").is_ok());
        for text in [
            "sha256:",
            ":",
            ":ab",
            "sha1:ab",
            "SHA256:ab",
            "AB",
            "ab:",
            "sha256:ab:",
        ] {
            let text = text.to_owned();
            assert_eq!(set.lookup(&text), Err(LookupError::NotFound { text }));
        }
    }

    #[test]
    fn digits_that_are_one_whole_digest_and_begin_another_are_ambiguous() {
        let short = digest(Algorithm::Sha256, "ab");
        let long = digest(Algorithm::Sha512, "ab");
        let set = DigestSet::from_iter([long, short]);
        assert_eq!(
            set.lookup(&short.hex()),
            Err(LookupError::Ambiguous {
                text: short.hex(),
                digests: Box::new([short, long])
            })
        );
        assert_eq!(set.lookup(&short.to_string()), Ok(short));
        assert_eq!(set.lookup("sha512:a"), Ok(long));
        assert_eq!(set.lookup(&long.hex()[..65]), Ok(long));

        let codes = set.short_codes(2);
        assert_eq!(codes[&short], short.to_string());
        assert_eq!(codes[&long], long.hex()[..65]);
    }

    #[test]
    fn a_code_has_the_least_length_where_that_is_unique_already() {
        let [a, b, c] = ["a0", "a1", "b"].map(|digits| digest(Algorithm::Sha256, digits));
        let set = DigestSet::from_iter([a, b, c]);
        let codes = |min_len| set.short_codes(min_len).into_values().collect::<Vec<_>>();
        assert_eq!(codes(0), ["a0", "a1", "b"]);
        assert_eq!(codes(4), ["a000", "a100", "b000"]);
        assert_eq!(
            codes(63),
            [a, b, c].map(|digest| digest.hex()[..63].to_owned())
        );
        assert_eq!(codes(64), [a, b, c].map(|digest| digest.to_string()));
        assert_eq!(codes(usize::MAX), codes(64));
    }
}
