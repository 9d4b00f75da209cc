//! A set of digests in which each is found by its first digits.

use std::collections::{BTreeMap, BTreeSet, btree_set};

use crate::digest::nibble;
use crate::{Algorithm, Digest};

/// Digests that people name by their first digits.
///
/// ```
/// use layergraph_digest::{Algorithm, Digest, DigestSet, LookupError};
///
/// let one = Digest::of(Algorithm::Sha256, b"1"); // sha256:6b86b273…
/// let two = Digest::of(Algorithm::Sha256, b"2"); // sha256:d4735e3a…
/// let set = DigestSet::from_iter([one, two]);
///
/// assert_eq!(set.lookup("6b")?, one);
/// assert_eq!(set.lookup("sha256:d")?, two);
/// assert!(matches!(set.lookup("7"), Err(LookupError::NotFound { .. })));
/// assert_eq!(set.short_codes(4)[&two], "d473");
/// # Ok::<(), LookupError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DigestSet(BTreeSet<Digest>);

impl DigestSet {
    /// Returns a set with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a digest, and returns whether it was missing before.
    pub fn insert(&mut self, digest: Digest) -> bool {
        self.0.insert(digest)
    }

    /// Takes a digest out, and returns whether it was there.
    pub fn remove(&mut self, digest: &Digest) -> bool {
        self.0.remove(digest)
    }

    /// Returns whether the digest is there.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.0.contains(digest)
    }

    /// Returns how many digests there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns all digests, in the order of their texts.
    pub fn iter(&self) -> btree_set::Iter<'_, Digest> {
        self.0.iter()
    }

    /// Returns the one digest that begins with these digits.
    ///
    /// The digits may stand alone, and then all algorithms are searched, or behind an algorithm and
    /// a colon. No digits at all stand for every digest if they are alone, and for none behind a
    /// colon. A whole text always finds its digest.
    pub fn lookup(&self, prefix: &str) -> Result<Digest, LookupError> {
        let mut found = match prefix.split_once(':') {
            None => Algorithm::ALL
                .iter()
                .flat_map(|&algorithm| self.beginning_with(algorithm, prefix).take(2))
                .take(2)
                .collect(),
            Some((name, digits)) => match name.parse() {
                Ok(algorithm) if !digits.is_empty() => {
                    self.beginning_with(algorithm, digits).take(2).collect()
                }
                _ => Vec::new(),
            },
        }
        .into_iter();
        match (found.next(), found.next()) {
            (Some(&digest), None) => Ok(digest),
            (Some(&first), Some(&second)) => Err(LookupError::Ambiguous {
                prefix: prefix.to_owned(),
                digests: Box::new([first, second]),
            }),
            _ => Err(LookupError::NotFound {
                prefix: prefix.to_owned(),
            }),
        }
    }

    /// Returns the digests of an algorithm that begin with these digits.
    fn beginning_with<'s>(
        &'s self,
        algorithm: Algorithm,
        digits: &str,
    ) -> impl Iterator<Item = &'s Digest> + use<'s> {
        // Both ends are digests: the digits, and then as many `0` or `f` as are missing.
        let bound = |missing| {
            let mut bytes = vec![missing; algorithm.digest_bytes()];
            for (at, digit) in digits.bytes().enumerate() {
                let byte = bytes.get_mut(at / 2)?;
                *byte = match at % 2 {
                    0 => nibble(digit)? << 4 | missing & 0x0f,
                    _ => *byte & 0xf0 | nibble(digit)?,
                };
            }
            Digest::from_bytes(algorithm, &bytes)
        };
        let bounds = bound(0x00).zip(bound(0xff));
        bounds
            .into_iter()
            .flat_map(|(first, last)| self.0.range(first..=last))
    }

    /// Returns for each digest the shortest code that [`lookup`](Self::lookup) finds it by.
    ///
    /// A code consists of the first digits, `min_digits` of them or more. Where this would be all
    /// of them, it is the whole text, with the algorithm.
    pub fn short_codes(&self, min_digits: usize) -> BTreeMap<Digest, String> {
        // Among all algorithms, the digests that share most digits with one are beside it.
        let mut sorted: Vec<&Digest> = self.iter().collect();
        sorted.sort_by_key(|digest| digest.as_bytes());

        let mut shared_before = 0;
        let mut codes = BTreeMap::new();
        for (at, &digest) in sorted.iter().enumerate() {
            let shared_after = sorted.get(at + 1).map_or(0, |&next| shared(digest, next));
            let digits = (shared_before.max(shared_after) + 1).max(min_digits);
            let mut code = digest.hex();
            if digits < code.len() {
                code.truncate(digits);
            } else {
                code = digest.to_string();
            }
            codes.insert(*digest, code);
            shared_before = shared_after;
        }
        codes
    }
}

/// Returns how many hex digits are the same from the start on.
fn shared(one: &Digest, other: &Digest) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let bytes = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let half = match (one.get(bytes), other.get(bytes)) {
        (Some(a), Some(b)) => usize::from(a >> 4 == b >> 4),
        _ => 0,
    };
    2 * bytes + half
}

impl FromIterator<Digest> for DigestSet {
    fn from_iter<I: IntoIterator<Item = Digest>>(digests: I) -> Self {
        Self(BTreeSet::from_iter(digests))
    }
}

impl Extend<Digest> for DigestSet {
    fn extend<I: IntoIterator<Item = Digest>>(&mut self, digests: I) {
        self.0.extend(digests);
    }
}

impl<'s> IntoIterator for &'s DigestSet {
    type Item = &'s Digest;
    type IntoIter = btree_set::Iter<'s, Digest>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for DigestSet {
    type Item = Digest;
    type IntoIter = btree_set::IntoIter<Digest>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A lookup that did not end at one digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No digest begins like this.
    #[error("digest not found: {prefix:?}")]
    NotFound {
        /// What was looked up.
        prefix: String,
    },
    /// More than one digest begins like this.
    #[error("ambiguous digest string: {prefix:?}")]
    Ambiguous {
        /// What was looked up.
        prefix: String,
        /// The first two of the digests.
        digests: Box<[Digest; 2]>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a digest that begins with these bytes, and has zeros behind them.
    fn digest(algorithm: Algorithm, first: &[u8]) -> Digest {
        let mut bytes = first.to_vec();
        bytes.resize(algorithm.digest_bytes(), 0);
        Digest::from_bytes(algorithm, &bytes).unwrap()
    }

    #[test]
    fn digits_alone_are_looked_up_among_all_algorithms() {
        let short = digest(Algorithm::Sha256, &[0xab, 0xcd]);
        let long = digest(Algorithm::Sha512, &[0xab, 0xce]);
        let set = DigestSet::from_iter([long, short]);
        assert_eq!(set.lookup("abce"), Ok(long));
        assert_eq!(set.lookup("sha256:abc"), Ok(short));
        let prefix = "abc".to_owned();
        let digests = Box::new([short, long]);
        assert_eq!(
            set.lookup("abc"),
            Err(LookupError::Ambiguous { prefix, digests })
        );
    }

    #[test]
    fn what_is_no_prefix_of_a_digest_finds_nothing() {
        let only = digest(Algorithm::Sha256, &[0xab]);
        let set = DigestSet::from_iter([only]);
        assert_eq!(set.lookup(""), Ok(only));
        let too_long = format!("{only}0");
        for prefix in [
            "AB",
            "ab ",
            "xy",
            ":ab",
            "sha256:",
            "sha256::ab",
            "md5:ab",
            &too_long,
        ] {
            let error = set.lookup(prefix).unwrap_err();
            assert!(
                matches!(error, LookupError::NotFound { .. }),
                "{prefix}: {error}"
            );
        }
    }

    #[test]
    fn a_code_that_would_be_all_digits_is_the_whole_text() {
        let short = digest(Algorithm::Sha256, &[0xab]);
        let long = digest(Algorithm::Sha512, &[0xab]);
        let set = DigestSet::from_iter([short, long]);
        let codes = set.short_codes(2);
        assert_eq!(codes[&short], short.to_string());
        assert_eq!(codes[&long], long.hex()[..65]);
        assert_eq!(set.lookup(&codes[&long]), Ok(long));
    }
}
