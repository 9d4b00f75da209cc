//! Texts and digests are the same thing, and a set equals a list that is searched from end to end.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use layergraph_digest::{
    Algorithm, ChainId, DiffId, Digest, DigestSet, HashReader, LookupError, Verifier, VerifyError,
    VerifyWriter, chain_ids, parse_checksum,
};
use proptest::prelude::*;
use proptest::sample::Index;

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL)
}

fn any_digest() -> impl Strategy<Value = Digest> {
    (algorithm(), any::<[u8; 64]>()).prop_map(|(algorithm, bytes)| {
        Digest::from_bytes(algorithm, &bytes[..algorithm.digest_bytes()])
            .expect("the number of bytes is right")
    })
}

/// Digests that often have many digits in common, across algorithms too.
fn similar_digest() -> impl Strategy<Value = Digest> {
    (algorithm(), "[0f]{0,3}", "[0a]", "[0f]{0,2}").prop_map(|(algorithm, head, fill, tail)| {
        let digits = 2 * algorithm.digest_bytes() - head.len() - tail.len();
        format!("{algorithm}:{head}{}{tail}", fill.repeat(digits))
            .parse()
            .expect("the number of digits is right")
    })
}

/// Texts that are a digest, nearly one, or nothing of the kind.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any_digest().prop_map(|digest| digest.to_string()),
        any_digest().prop_map(|digest| digest.to_string().to_uppercase()),
        (any_digest(), any::<Index>(), any::<char>()).prop_map(|(digest, at, c)| {
            let mut text = digest.to_string();
            let at = at.index(text.len());
            text.replace_range(at..=at, c.encode_utf8(&mut [0; 4]));
            text
        }),
        "sha(256|384|512):[0-9a-f]{60,130}",
        ":?[a-z0-9+:]{0,20}",
        any::<String>(),
    ]
}

/// The same set, in the plainest form.
#[derive(Default)]
struct Model(Vec<Digest>);

impl Model {
    fn insert(&mut self, digest: Digest) -> bool {
        let new = !self.0.contains(&digest);
        if new {
            self.0.push(digest);
            self.0.sort_by_key(Digest::to_string);
        }
        new
    }

    fn remove(&mut self, digest: Digest) -> bool {
        let before = self.0.len();
        self.0.retain(|other| *other != digest);
        self.0.len() < before
    }

    fn matches(&self, text: &str) -> Vec<Digest> {
        let matches = |digest: &&Digest| {
            if text.contains(':') {
                !text.ends_with(':') && digest.to_string().starts_with(text)
            } else {
                digest.hex().starts_with(text)
            }
        };
        self.0.iter().filter(matches).copied().collect()
    }

    fn lookup(&self, text: &str) -> Result<Digest, LookupError> {
        let text = text.to_owned();
        match *self.matches(&text) {
            [] => Err(LookupError::NotFound { text }),
            [only] => Ok(only),
            [first, second, ..] => Err(LookupError::Ambiguous {
                text,
                digests: Box::new([first, second]),
            }),
        }
    }

    fn short_codes(&self, min_len: usize) -> BTreeMap<Digest, String> {
        let code = |digest: &Digest| {
            let hex = digest.hex();
            (min_len.max(1)..hex.len())
                .map(|len| &hex[..len])
                .find(|short| self.lookup(short) == Ok(*digest))
                .map_or_else(|| digest.to_string(), str::to_owned)
        };
        self.0
            .iter()
            .map(|digest| (*digest, code(digest)))
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Digest),
    Remove(Digest),
    /// Operations on a digest of the set: a random one is seldom in it.
    RemoveAt(Index),
    AskPartOf(Index, Index),
    Ask(String),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => similar_digest().prop_map(Step::Insert),
        1 => any_digest().prop_map(Step::Insert),
        1 => similar_digest().prop_map(Step::Remove),
        1 => any::<Index>().prop_map(Step::RemoveAt),
        4 => any::<(Index, Index)>().prop_map(|(digest, len)| Step::AskPartOf(digest, len)),
        1 => text().prop_map(Step::Ask),
    ]
}

fn check_answers(set: &DigestSet, model: &Model, text: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(set.lookup(text), model.lookup(text));
    prop_assert_eq!(set.matches(text).collect::<Vec<_>>(), model.matches(text));
    Ok(())
}

proptest! {
    #[test]
    fn parse_of_print_is_the_identity(digest in any_digest()) {
        let text = digest.to_string();
        prop_assert_eq!(text.parse(), Ok(digest));
        prop_assert_eq!(text.parse().map(DiffId::digest), Ok(digest));
        prop_assert_eq!(Digest::from_bytes(digest.algorithm(), digest.as_bytes()), Some(digest));

        let json = serde_json::to_string(&digest)?;
        prop_assert_eq!(&json, &format!("\"{text}\""));
        prop_assert_eq!(serde_json::from_str::<Digest>(&json)?, digest);
        prop_assert_eq!(serde_json::from_str::<ChainId>(&json)?, ChainId::new(digest));
    }

    #[test]
    fn r2_print_of_parse_is_the_identity_so_a_digest_has_one_text(text in text()) {
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), &*text);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ':';
            prop_assert!(text.chars().all(plain));
            let checksum = parse_checksum(&text).expect("lenient is no stricter");
            prop_assert_eq!(checksum.to_digest(), Ok(digest));
        }
    }

    #[test]
    fn a_checksum_is_the_text_it_was_read_from(text in text()) {
        if let Ok(checksum) = parse_checksum(&text) {
            prop_assert_eq!(checksum.as_str(), &*text);
            prop_assert_eq!(format!("{}:{}", checksum.algorithm(), checksum.hex()), &*text);
        }
    }

    #[test]
    fn order_is_that_of_the_texts(a in similar_digest(), b in similar_digest()) {
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        prop_assert_eq!(a == b, a.to_string() == b.to_string());
    }

    #[test]
    fn a_set_gives_what_a_linear_search_gives(steps in prop::collection::vec(step(), 0..40)) {
        let mut set = DigestSet::new();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Insert(digest) => {
                    prop_assert_eq!(set.insert(digest), model.insert(digest));
                }
                Step::Remove(digest) => {
                    prop_assert_eq!(set.remove(&digest), model.remove(digest));
                }
                Step::Ask(text) => check_answers(&set, &model, &text)?,
                Step::RemoveAt(_) | Step::AskPartOf(..) if model.0.is_empty() => {}
                Step::RemoveAt(at) => {
                    let digest = *at.get(&model.0);
                    prop_assert_eq!(set.remove(&digest), model.remove(digest));
                }
                Step::AskPartOf(at, len) => {
                    let digest = *at.get(&model.0);
                    let (text, hex) = (digest.to_string(), digest.hex());
                    check_answers(&set, &model, &text)?;
                    check_answers(&set, &model, &text[..len.index(text.len() + 1)])?;
                    check_answers(&set, &model, &hex[..len.index(hex.len() + 1)])?;
                    prop_assert!(set.contains(&digest));
                }
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), &*model.0);
            prop_assert_eq!((set.len(), set.is_empty()), (model.0.len(), model.0.is_empty()));
        }
        prop_assert_eq!(model.0.into_iter().collect::<DigestSet>(), set);
    }

    #[test]
    fn a_short_code_is_the_shortest_text_that_finds_its_digest(
        digests in prop::collection::vec(similar_digest(), 0..12),
        min_len in prop_oneof![0..4_usize, 62..66_usize, 0..140_usize],
    ) {
        let mut model = Model::default();
        for digest in &digests {
            model.insert(*digest);
        }
        let set: DigestSet = digests.into_iter().collect();
        let codes = set.short_codes(min_len);
        for (digest, code) in &codes {
            prop_assert_eq!(set.lookup(code), Ok(*digest));
        }
        prop_assert_eq!(codes, model.short_codes(min_len));
    }

    #[test]
    fn r26_verifying_fails_unless_digest_and_size_are_those_of_the_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        other in prop::collection::vec(any::<u8>(), 0..100),
        same in any::<bool>(),
        algorithm in algorithm(),
        size in prop_oneof![Just(None), (0..100_u64).prop_map(Some)],
        cut in any::<Index>(),
    ) {
        let bytes = if same { other.clone() } else { bytes };
        let digest = Digest::of(algorithm, &other);
        let expected = bytes == other && size.is_none_or(|size| size == bytes.len() as u64);

        let mut verifier = Verifier::new(digest, size, &*bytes);
        let mut head = vec![0; cut.index(bytes.len() + 1)];
        // A failure here is one that `finish` has to repeat.
        let _ = verifier.read(&mut head);
        prop_assert_eq!(verifier.finish().is_ok(), expected);

        let mut writer = VerifyWriter::new(digest, size, Vec::new());
        let (head, tail) = bytes.split_at(head.len());
        let _ = writer.write_all(head).and_then(|()| writer.write_all(tail));
        prop_assert_eq!(writer.finish().is_ok(), expected);

        let hashed = HashReader::new(algorithm, &*bytes).finish()?;
        let verified = hashed.verify(digest, size);
        prop_assert_eq!(verified.is_ok(), expected);
        if let Err(VerifyError::Size { expected, actual }) = verified {
            prop_assert_ne!(expected, actual);
        }
    }

    /// The definition of the image-spec, which begins at the top and not at the bottom.
    #[test]
    fn chain_ids_are_those_of_the_recursive_definition(
        diff_ids in prop::collection::vec(any_digest().prop_map(DiffId::new), 0..6),
    ) {
        fn chain_id(diff_ids: &[DiffId]) -> Option<Digest> {
            let (last, below) = diff_ids.split_last()?;
            Some(match chain_id(below) {
                None => last.digest(),
                Some(below) => Digest::of(Algorithm::Sha256, format!("{below} {last}")),
            })
        }

        let expected: Vec<ChainId> = (1..=diff_ids.len())
            .filter_map(|len| chain_id(&diff_ids[..len]))
            .map(ChainId::new)
            .collect();
        prop_assert_eq!(chain_ids(&diff_ids), expected);
    }
}
