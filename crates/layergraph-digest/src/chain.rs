//! What names a layer: the digest of its own bytes, and that of all layers up to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Algorithm, Digest, Hasher, ParseDigestError};

/// Names what a layer changes: the digest of its uncompressed tar.
///
/// Printed, parsed and serialized as its digest is.
///
/// ```
/// use layergraph_digest::{Algorithm, Digest, DiffId};
///
/// let diff_id = DiffId::new(Digest::of(Algorithm::Sha256, b"the bytes of a tar"));
/// assert_eq!(diff_id.to_string().parse(), Ok(diff_id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(Digest);

/// Names the tree that a layer makes on top of all layers below it.
///
/// The same diff on another parent is another tree, so this, and not the [`DiffId`], says whether
/// an unpacked layer can be used again. See the image-spec, [Layer ChainID][spec].
///
/// Printed, parsed and serialized as its digest is.
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(Digest);

impl DiffId {
    /// Returns the id that is this digest.
    pub const fn new(digest: Digest) -> Self {
        Self(digest)
    }

    /// Returns the digest.
    pub const fn digest(self) -> Digest {
        self.0
    }
}

impl ChainId {
    /// Returns the id that is this digest, which came from somewhere else: a file name, a record.
    pub const fn new(digest: Digest) -> Self {
        Self(digest)
    }

    /// Returns the digest.
    pub const fn digest(self) -> Digest {
        self.0
    }

    /// Returns the id of a layer that has none below it: its diff id.
    pub const fn lowest(diff_id: DiffId) -> Self {
        Self(diff_id.0)
    }

    /// Returns the id of the next layer: the SHA-256 of this id, a space, and the diff id, both in
    /// their texts.
    ///
    /// It is SHA-256 whatever algorithm the diff ids were made with, as in other implementations.
    #[must_use]
    pub fn child(self, diff_id: DiffId) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        self.0.with_text(|text| hasher.update(text.as_bytes()));
        hasher.update(b" ");
        diff_id.0.with_text(|text| hasher.update(text.as_bytes()));
        Self(hasher.finish())
    }
}

/// Returns the chain id of each layer of a stack, whose diff ids are given from the lowest up.
///
/// ```
/// use layergraph_digest::{Algorithm, ChainId, DiffId, Digest, chain_ids};
///
/// let base = DiffId::new(Digest::of(Algorithm::Sha256, b"base.tar"));
/// let above = DiffId::new(Digest::of(Algorithm::Sha256, b"above.tar"));
///
/// let chain_ids = chain_ids(&[base, above]);
/// assert_eq!(chain_ids[0].digest(), base.digest());
/// assert_eq!(chain_ids[1], ChainId::lowest(base).child(above));
/// ```
pub fn chain_ids(diff_ids: &[DiffId]) -> Vec<ChainId> {
    diff_ids
        .iter()
        .scan(None, |below: &mut Option<ChainId>, &diff_id| {
            let id = below.map_or_else(|| ChainId::lowest(diff_id), |below| below.child(diff_id));
            *below = Some(id);
            Some(id)
        })
        .collect()
}

/// Both ids are read and shown as their digests are; what they mean differs.
macro_rules! show_as_digest {
    ($id:ident) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($id), self.0)
            }
        }

        impl FromStr for $id {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

show_as_digest!(DiffId);
show_as_digest!(ChainId);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(diff_ids: &[&str], expected: &[&str]) {
        let diff_ids: Vec<DiffId> = diff_ids.iter().map(|id| id.parse().unwrap()).collect();
        let texts: Vec<String> = chain_ids(&diff_ids)
            .iter()
            .map(ChainId::to_string)
            .collect();
        assert_eq!(texts, expected);
    }

    // The digests of "" and "abc". The chains were computed with sha256sum(1).
    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABC_512: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                           2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn chain_ids_are_those_of_the_image_spec() {
        check(&[], &[]);
        check(&[EMPTY], &[EMPTY]);
        check(
            &[EMPTY, ABC, ABC],
            &[
                EMPTY,
                "sha256:a893da35bd22286079f2f3931516d3423eb9b4945f2379e0f8a501ec3d665dd6",
                "sha256:5ec9348848fd45cca2ad39be19fd612c40c8e705eb15a8db8415789f1ead1613",
            ],
        );
    }

    #[test]
    fn a_chain_id_above_the_lowest_is_sha256_whatever_the_diff_ids_are() {
        check(
            &[ABC_512, EMPTY, ABC_512],
            &[
                ABC_512,
                "sha256:b811e900bcea2df12f6299eee8ba98c0c19a2560c60922ef8311b56482809da3",
                "sha256:56179bd7e36dced6fa5d2798ab4d75b630ded58ce4958df0a64d18748220cce0",
            ],
        );
    }

    #[test]
    fn json_holds_the_digest_and_nothing_around_it() {
        let json = format!("[\"{EMPTY}\",\"{ABC}\"]");
        let ids: (DiffId, ChainId) = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&ids).unwrap(), json);
        assert_eq!(
            format!("{ids:?}"),
            format!("(DiffId({EMPTY}), ChainId({ABC}))")
        );
        assert!(serde_json::from_str::<ChainId>("\"sha256:abc\"").is_err());
    }
}
