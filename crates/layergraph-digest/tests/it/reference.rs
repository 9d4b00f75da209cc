//! The answers of the original program.
//!
//! `data/digest.json` holds what Docker's `distribution/digest` of 2015 answered. Where this crate
//! answers otherwise, a rule is named and every such case is counted.

use std::error::Error;

use layergraph_digest::{
    Algorithm, Digest, DigestSet, Verifier, VerifyError, parse_checksum, parse_tarsum,
};
use serde_json::Value;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn cases(part: &str) -> Result<Vec<Value>> {
    let reference: Value = serde_json::from_str(include_str!("../data/digest.json"))?;
    Ok(list(&reference[part])?.clone())
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    Ok(value.as_array().ok_or("expected a list")?)
}

fn text(value: &Value) -> Result<&str> {
    Ok(value.as_str().ok_or("expected a string")?)
}

/// Decodes base64, RFC 4648 section 4.
fn base64(value: &Value) -> Result<Vec<u8>> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for c in text(value)?.trim_end_matches('=').chars() {
        let value = DIGITS.find(c).ok_or("expected base64")?;
        bits = bits << 6 | u32::try_from(value)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Ok(bytes)
}

#[test]
fn lenient_parsing_gives_the_answers_of_2015() -> Result {
    let cases = cases("parse")?;
    let (mut accepted, mut tarsums) = (0, 0);
    for case in &cases {
        let input = text(&case["input"])?;
        match parse_checksum(input) {
            Ok(checksum) => {
                assert_eq!(case["err"], Value::Null, "{input}");
                assert_eq!(checksum.to_string(), text(&case["returned"])?);
                assert_eq!(checksum.algorithm(), text(&case["algorithm"])?);
                assert_eq!(checksum.hex(), text(&case["hex"])?);
                accepted += 1;
            }
            Err(error) => assert_eq!(error.to_string(), text(&case["err"])?, "{input}"),
        }
        match parse_tarsum(input) {
            Ok(tarsum) => {
                let expected = &case["tarsum"];
                assert_eq!(case["tarsum_err"], Value::Null, "{input}");
                assert_eq!(tarsum.to_string(), text(&expected["string"])?);
                assert_eq!(tarsum.version, text(&expected["version"])?);
                assert_eq!(tarsum.algorithm, text(&expected["algorithm"])?);
                assert_eq!(tarsum.hex, text(&expected["digest"])?);
                tarsums += 1;
            }
            Err(error) => assert_eq!(error.to_string(), text(&case["tarsum_err"])?),
        }
    }
    // So that a file read wrongly cannot pass.
    assert_eq!((cases.len(), accepted, tarsums), (28, 12, 5));
    Ok(())
}

/// Rule: a `Digest` has exactly the digits of its algorithm, in lower case, and nothing else. Of
/// what the original accepts, that leaves what can be verified.
#[test]
fn rule_r2_strict_parsing_accepts_only_whole_digests() -> Result {
    let mut refused = 0;
    for case in cases("parse")? {
        let input = text(&case["input"])?;
        let accepted_in_2015 = case["err"].is_null();
        let whole = input.split_once(':').is_some_and(|(name, hex)| {
            let digits = [("sha256", 64), ("sha384", 96), ("sha512", 128)];
            digits.contains(&(name, hex.len()))
                && hex.chars().all(|c| "0123456789abcdef".contains(c))
        });
        assert_eq!(input.parse::<Digest>().is_ok(), whole, "{input}");
        assert!(accepted_in_2015 || !whole, "{input}");
        refused += usize::from(accepted_in_2015 && !whole);
    }
    assert_eq!(refused, 10);
    Ok(())
}

/// Rule: tarsums are not computed, so what only a tarsum can verify is refused before any bytes.
#[test]
fn verifying_gives_the_answers_of_2015_but_for_the_rule_that_tarsums_are_refused() -> Result {
    let cases = cases("verify")?;
    let (mut verified, mut refused, mut tarsums) = (0, 0, 0);
    for case in &cases {
        let digest = text(&case["digest"])?;
        let bytes = base64(&case["data_b64"])?;
        let expected = &case["result"];
        match parse_checksum(digest) {
            Err(error) => assert_eq!(error.to_string(), text(&expected["err"])?),
            Ok(checksum) if checksum.tarsum().is_some() => {
                assert!(checksum.to_digest().is_err());
                let message = "string does not include a TarSum Version";
                assert_eq!(text(&expected["err"])?, message);
                tarsums += 1;
            }
            Ok(checksum) => {
                // What is not a whole digest is equal to none, as in 2015.
                let verify = |digest| Verifier::new(digest, None, &*bytes).finish();
                let ok = match checksum.to_digest().map(verify) {
                    Ok(Ok(_)) => true,
                    Ok(Err(VerifyError::Digest { .. })) | Err(_) => false,
                    Ok(Err(error)) => return Err(error.into()),
                };
                assert_eq!(expected["ok"], ok, "{digest}");
                verified += usize::from(ok);
                refused += usize::from(!ok);
            }
        }
    }
    assert_eq!((cases.len(), verified, refused, tarsums), (10, 4, 3, 1));
    Ok(())
}

#[test]
fn digests_of_bytes_are_those_of_2015() -> Result {
    let cases = cases("from_bytes")?;
    for case in &cases {
        let digest = Digest::of(Algorithm::Sha256, base64(&case["data_b64"])?);
        assert_eq!(digest.to_string(), text(&case["digest"])?);
    }
    assert_eq!(cases.len(), 3);
    Ok(())
}

/// Fills up the digits of a checksum with zeros.
///
/// Rule: a set holds whole digests only. The original was asked about digests of a few digits; as
/// none of them ends in a zero, they stay different and in the same order.
fn complete(checksum: &str) -> Result<Digest> {
    let checksum = parse_checksum(checksum)?;
    let algorithm: Algorithm = checksum.algorithm().parse()?;
    let width = 2 * algorithm.digest_bytes();
    assert!(!checksum.hex().ends_with('0') || checksum.hex().len() == width);
    Ok(format!("{algorithm}:{:0<width$}", checksum.hex()).parse()?)
}

/// A set of the reference: the texts that were accepted, and the same digests in a set of ours.
fn read_set(case: &Value) -> Result<(Vec<&str>, DigestSet)> {
    let mut members = Vec::new();
    let mut set = DigestSet::new();
    let add = list(&case["add"])?;
    let results = list(&case["result"]["add"])?;
    assert_eq!(add.len(), results.len());
    for (added, result) in add.iter().zip(results) {
        match parse_checksum(text(added)?) {
            Ok(checksum) => {
                assert_eq!(*result, Value::Null);
                set.insert(complete(checksum.as_str())?);
                members.push(text(added)?);
            }
            Err(error) => assert_eq!(error.to_string(), text(result)?),
        }
    }
    Ok((members, set))
}

/// Rule: digits behind an algorithm are looked for in that algorithm. The original looked at the
/// first two digests of any algorithm, and so missed what stood behind them.
#[test]
fn lookups_in_sets_give_the_answers_of_2015_but_for_the_rule_that_an_algorithm_is_searched_alone()
-> Result {
    let (mut sets, mut lookups, mut found_by_rule) = (0, 0, 0);
    for case in cases("sets")? {
        let (members, set) = read_set(&case)?;
        let results = list(&case["result"]["lookup"])?;
        for (asked, result) in list(&case["lookup"])?.iter().zip(results) {
            let asked = text(asked)?;
            // The whole text of a member means this member only, and has to be completed as it was.
            let ours = if members.contains(&asked) {
                set.lookup(&complete(asked)?.to_string())
            } else {
                set.lookup(asked)
            };
            let original = match &result["err"] {
                Value::Null => Ok(complete(text(&result["digest"])?)?),
                message => Err(text(message)?.to_owned()),
            };
            if asked == "sha512:abc" {
                assert_eq!(original, Err("digest not found".to_owned()));
                assert_eq!(ours, Ok(complete("sha512:abcdef")?));
                found_by_rule += 1;
            } else {
                assert_eq!(ours.map_err(|error| error.to_string()), original, "{asked}");
            }
            lookups += 1;
        }
        sets += 1;
    }
    assert_eq!((sets, lookups, found_by_rule), (6, 62, 1));
    Ok(())
}

/// Rule: a code is the shortest one that finds its digest. The original kept the length it had
/// found for the digest before, which was sometimes longer than needed; and it took a code that
/// was equal to a shorter digest, which its own lookup called ambiguous.
///
/// Where it ran out of digits and took the whole text, ours goes on in the zeros that complete the
/// digest, or takes the whole text as well.
#[test]
fn short_codes_are_those_of_2015_but_for_the_rule_that_each_is_the_shortest_that_finds() -> Result {
    let (mut equal, mut completed, mut shorter, mut ambiguous) = (0, 0, 0, 0);
    for case in cases("sets")? {
        let (members, set) = read_set(&case)?;
        let tables = list(&case["result"]["short"])?;
        for (length, table) in list(&case["short_lengths"])?.iter().zip(tables) {
            let length = usize::try_from(length.as_u64().ok_or("expected a number")?)?;
            let ours = set.short_codes(length);
            let table = table.as_object().ok_or("expected an object")?;
            assert_eq!(table.len(), ours.len());
            for (member, code) in table {
                let code = text(code)?;
                let digest = complete(member)?;
                let our_code = &*ours[&digest];
                assert_eq!(set.lookup(our_code), Ok(digest));

                if code == our_code {
                    equal += 1;
                } else if code == member {
                    let digits = member.split_once(':').map_or(0, |(_, hex)| hex.len());
                    assert!(our_code.len() >= digits.max(length), "{member}");
                    completed += 1;
                } else if our_code.len() < code.len() {
                    assert_eq!(set.lookup(code), Ok(digest));
                    assert!(our_code.len() >= length, "{member}");
                    shorter += 1;
                } else {
                    assert!(
                        members
                            .iter()
                            .any(|other| other.ends_with(&format!(":{code}")))
                    );
                    ambiguous += 1;
                }
            }
        }
    }
    assert_eq!((equal, completed, shorter, ambiguous), (125, 34, 2, 2));
    Ok(())
}
