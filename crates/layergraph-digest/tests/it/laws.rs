//! Laws that hold for all digests, and for all bytes and their pieces.

use std::io::{Read, Write};

use layergraph_digest::{
    Algorithm, Digest, DigestSet, HashReader, HashWriter, LookupError, Verifier, VerifyError,
    parse_checksum,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn digests() -> impl Strategy<Value = Digest> {
    (select(Algorithm::ALL), any::<[u8; 64]>()).prop_map(|(algorithm, bytes)| {
        Digest::from_bytes(algorithm, &bytes[..algorithm.digest_bytes()]).expect("length is right")
    })
}

/// Digests that begin alike, so that prefixes are ambiguous and the algorithms meet.
fn crowded_digests() -> impl Strategy<Value = Digest> {
    let bytes = select(&[0x00, 0x01, 0x10, 0xff][..]);
    (select(Algorithm::ALL), vec(bytes, 0..3)).prop_map(|(algorithm, mut bytes)| {
        bytes.resize(algorithm.digest_bytes(), 0);
        Digest::from_bytes(algorithm, &bytes).expect("length is right")
    })
}

/// Looks at each digest. Digits stand alone, or at least one behind a colon.
fn linear_lookup(digests: &[Digest], prefix: &str) -> Vec<Digest> {
    let is_found = |digest: &&Digest| match prefix.split_once(':') {
        None => digest.hex().starts_with(prefix),
        Some((_, digits)) => !digits.is_empty() && digest.to_string().starts_with(prefix),
    };
    digests.iter().filter(is_found).copied().collect()
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same_digest(digest in digests()) {
        let text = digest.to_string();
        prop_assert_eq!(text.parse::<Digest>(), Ok(digest));
        prop_assert_eq!(parse_checksum(&text).unwrap().digest(), Some(digest));
        let json = serde_json::to_string(&digest).unwrap();
        prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn what_parses_prints_as_it_was(text in "(sha(256|384|512)|[a-z0-9]{0,7}):?[0-9a-fA-Fg]{0,130}") {
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), text);
        }
    }

    #[test]
    fn every_digest_is_a_checksum_and_no_text_panics(text in any::<String>()) {
        let digest = text.parse::<Digest>();
        let checksum = parse_checksum(&text);
        prop_assert!(checksum.is_ok() || digest.is_err());
        if let Ok(checksum) = checksum {
            prop_assert_eq!(format!("{}:{}", checksum.algorithm(), checksum.hex()), text);
        }
    }

    #[test]
    fn digests_are_ordered_as_their_texts(one in crowded_digests(), other in digests()) {
        prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
    }

    #[test]
    fn a_set_is_a_list_that_is_searched_from_end_to_end(
        mut list in vec(crowded_digests(), 0..12),
        target in any::<Index>(),
        with_algorithm in any::<bool>(),
        digits in 0_usize..140,
        other in "(sha256:|sha512:|md5:)?[01f]{0,5}",
    ) {
        let set: DigestSet = list.iter().copied().collect();
        list.sort_unstable();
        list.dedup();
        prop_assert!(set.iter().eq(&list));

        let mut prefixes = vec![other];
        if !list.is_empty() {
            let target = target.get(&list);
            let mut text = if with_algorithm { target.to_string() } else { target.hex() };
            text.truncate(digits);
            prefixes.push(text);
        }
        for prefix in prefixes {
            let found = linear_lookup(&list, &prefix);
            match set.lookup(&prefix) {
                Ok(digest) => prop_assert_eq!(found, [digest]),
                Err(LookupError::NotFound { .. }) => prop_assert!(found.is_empty()),
                Err(LookupError::Ambiguous { digests, .. }) => {
                    prop_assert_eq!(&found[..2], &digests[..]);
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }

    #[test]
    fn a_short_code_finds_its_digest_and_no_shorter_one_does(
        set in vec(crowded_digests(), 0..12),
        min_digits in 0_usize..70,
    ) {
        let set: DigestSet = set.into_iter().collect();
        let codes = set.short_codes(min_digits);
        prop_assert!(codes.keys().eq(&set));
        for (digest, code) in codes {
            prop_assert_eq!(set.lookup(&code), Ok(digest));
            let digits = if code.contains(':') { digest.hex().len() } else { code.len() };
            if digits > min_digits.max(1) {
                let shorter = &digest.hex()[..digits - 1];
                prop_assert!(set.lookup(shorter).is_err());
            }
        }
    }

    #[test]
    fn pieces_of_any_size_give_one_digest(
        algorithm in select(Algorithm::ALL),
        bytes in vec(any::<u8>(), 0..600),
        piece in 1_usize..300,
    ) {
        let expected = Digest::of(algorithm, &bytes);
        let mut writer = HashWriter::new(algorithm, Vec::new());
        for piece in bytes.chunks(piece) {
            writer.write_all(piece).unwrap();
        }
        let (written, hashed) = writer.finish();
        prop_assert_eq!((&written, hashed.digest), (&bytes, expected));

        let mut reader = HashReader::new(algorithm, &bytes[..]);
        let mut start = vec![0; piece.min(bytes.len())];
        reader.read_exact(&mut start).unwrap();
        let hashed = reader.finish().unwrap();
        prop_assert_eq!((hashed.digest, hashed.size), (expected, bytes.len() as u64));
    }

    #[test]
    fn only_the_announced_bytes_are_verified(
        bytes in vec(any::<u8>(), 1..200),
        at in any::<Index>(),
        cut in any::<Index>(),
    ) {
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let size = Some(bytes.len() as u64);
        prop_assert!(Verifier::new(digest, size, &bytes[..]).finish().is_ok());

        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1;
        let error = Verifier::new(digest, size, &flipped[..]).finish().unwrap_err();
        prop_assert!(matches!(error, VerifyError::Digest { .. }), "{}", error);

        let cut = &bytes[..cut.index(bytes.len())];
        let error = Verifier::new(digest, size, cut).finish().unwrap_err();
        prop_assert!(matches!(error, VerifyError::Size { .. }), "{}", error);

        let longer = [&bytes[..], b"x"].concat();
        let error = Verifier::new(digest, size, &longer[..]).finish().unwrap_err();
        prop_assert!(matches!(error, VerifyError::TooLong { .. }), "{}", error);
    }
}
