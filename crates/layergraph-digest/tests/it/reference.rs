//! The answers of the original program.
//!
//! `data/digest.json` holds texts, bytes and sets, and what Docker's digest package of 2015 answered
//! for each. `parse_checksum` and `parse_tarsum` give all of these answers. `Digest` gives them but
//! for rule D1: it is exact, so what has another number of digits, upper case, or a tarsum in it is
//! refused.

use std::collections::BTreeMap;

use layergraph_digest::{
    Algorithm, Digest, DigestSet, LookupError, Verifier, parse_checksum, parse_tarsum,
};
use serde_json::Value;

const REFERENCE: &str = include_str!("../data/digest.json");

fn cases(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(REFERENCE).unwrap();
    all[name].as_array().unwrap().clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Decodes base64 with its padding.
fn bytes(case: &Value) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut decoded = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for digit in text(&case["data_b64"]).trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|&c| c == digit).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            decoded.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    decoded
}

#[test]
fn checksums_are_read_as_in_2015() {
    let cases = cases("parse");
    for case in &cases {
        let input = text(&case["input"]);
        match parse_checksum(input) {
            Ok(checksum) => {
                assert_eq!(case["err"], Value::Null, "{input}");
                assert_eq!(checksum.as_str(), text(&case["returned"]));
                assert_eq!(checksum.algorithm(), text(&case["algorithm"]));
                assert_eq!(checksum.hex(), text(&case["hex"]));
                assert_eq!(checksum.tarsum(), parse_tarsum(input).ok());
            }
            Err(error) => assert_eq!(error.to_string(), text(&case["err"]), "{input}"),
        }
        match parse_tarsum(input) {
            Ok(tarsum) => {
                let expected = &case["tarsum"];
                assert_eq!(case["tarsum_err"], Value::Null, "{input}");
                assert_eq!(tarsum.version(), text(&expected["version"]));
                assert_eq!(tarsum.algorithm(), text(&expected["algorithm"]));
                assert_eq!(tarsum.hex(), text(&expected["digest"]));
                assert_eq!(tarsum.to_string(), text(&expected["string"]));
            }
            Err(error) => assert_eq!(error.to_string(), text(&case["tarsum_err"]), "{input}"),
        }
    }
    assert_eq!(cases.len(), 28);
}

#[test]
fn d1_a_digest_is_what_was_taken_in_2015_and_is_exact() {
    let (mut taken, mut inexact) = (0, 0);
    for case in cases("parse") {
        let input = text(&case["input"]);
        match input.parse::<Digest>() {
            Ok(digest) => {
                assert_eq!(case["err"], Value::Null, "{input}");
                assert_eq!(digest.algorithm().name(), text(&case["algorithm"]));
                assert_eq!(digest.hex(), text(&case["hex"]));
                taken += 1;
            }
            // Only what D1 names is refused beyond what the original refused.
            Err(error) if case["err"] == Value::Null => {
                let digits = match text(&case["algorithm"]).parse::<Algorithm>() {
                    Ok(algorithm) => 2 * algorithm.digest_bytes(),
                    Err(_) => 0,
                };
                let hex = text(&case["hex"]);
                let is_inexact = hex.len() != digits || hex.contains(char::is_uppercase);
                assert!(is_inexact, "{input}: {error}");
                inexact += 1;
            }
            Err(_) => {}
        }
    }
    assert_eq!((taken, inexact), (2, 10));
}

#[test]
fn bytes_have_the_digests_of_2015() {
    let cases = cases("from_bytes");
    for case in &cases {
        let digest = Digest::of(Algorithm::Sha256, bytes(case));
        assert_eq!(digest.to_string(), text(&case["digest"]));
    }
    assert_eq!(cases.len(), 3);
}

#[test]
fn bytes_are_verified_as_in_2015() {
    let (mut right, mut wrong, mut refused) = (0, 0, 0);
    for case in cases("verify") {
        let (bytes, result) = (bytes(&case), &case["result"]);
        match text(&case["digest"]).parse::<Digest>() {
            Ok(digest) => {
                let verified = Verifier::new(digest, None, &bytes[..]).finish().is_ok();
                assert_eq!(Value::Bool(verified), result["ok"], "{digest}");
                *(if verified { &mut right } else { &mut wrong }) += 1;
            }
            // By D1, what can never be verified is no digest in the first place.
            Err(_) => {
                assert_ne!(result["ok"], Value::Bool(true), "{case}");
                refused += 1;
            }
        }
    }
    assert_eq!((right, wrong, refused), (4, 1, 5));
}

/// Returns the digest, made exact by an `f` and zeros where it is too short to be one.
fn exact(short: &str) -> Option<Digest> {
    let (name, hex) = short.split_once(':')?;
    let digits = 2 * name.parse::<Algorithm>().ok()?.digest_bytes();
    let padded = if hex.len() < digits {
        format!("{name}:{:0<digits$}", format!("{hex}f"))
    } else {
        short.to_owned()
    };
    padded.parse().ok()
}

#[test]
fn d1_sets_answer_as_in_2015_for_digests_made_exact() {
    let (mut lookups, mut whole_only_then) = (0, 0);
    for case in cases("sets") {
        let added = case["add"].as_array().unwrap();
        let set: DigestSet = added.iter().filter_map(|add| exact(text(add))).collect();
        for (add, error) in added.iter().zip(case["result"]["add"].as_array().unwrap()) {
            assert_eq!(exact(text(add)).is_some(), error.is_null(), "{add}");
        }
        let results = case["result"]["lookup"].as_array().unwrap();
        for (prefix, result) in case["lookup"].as_array().unwrap().iter().zip(results) {
            let (prefix, original) = (text(prefix), text(&result["digest"]));
            lookups += 1;
            match set.lookup(prefix) {
                Ok(digest) => assert_eq!(Some(digest), exact(original), "{prefix}"),
                // The original had a short digest with this very text.
                Err(LookupError::Ambiguous { .. }) if original == prefix => whole_only_then += 1,
                Err(error) => {
                    let expected = format!("{}: {prefix:?}", text(&result["err"]));
                    assert_eq!(error.to_string(), expected);
                }
            }
        }
    }
    assert_eq!((lookups, whole_only_then), (0, 0));
}

#[test]
fn short_codes_are_those_of_2015_or_shorter() {
    let (mut equal, mut shorter) = (0, 0);
    for case in cases("sets") {
        let added = case["add"].as_array().unwrap();
        let set: DigestSet = added
            .iter()
            .filter_map(|add| text(add).parse().ok())
            .collect();
        if set.len() != added.len() {
            continue;
        }
        let lengths = case["short_lengths"].as_array().unwrap();
        for (length, codes) in lengths
            .iter()
            .zip(case["result"]["short"].as_array().unwrap())
        {
            let min_digits = usize::try_from(length.as_u64().unwrap()).unwrap();
            let ours = set.short_codes(min_digits);
            let original: BTreeMap<Digest, &str> = codes
                .as_object()
                .unwrap()
                .iter()
                .map(|(digest, code)| (digest.parse().unwrap(), text(code)))
                .collect();
            assert!(ours.keys().eq(original.keys()));
            for (digest, code) in &ours {
                // The original kept the length it needed for one digest for those that follow.
                assert!(original[digest].starts_with(code), "{digest}");
                *(if code == original[digest] {
                    &mut equal
                } else {
                    &mut shorter
                }) += 1;
            }
        }
    }
    assert_eq!((equal, shorter), (0, 0));
}
