//! The answers of the original program.
//!
//! `data/truncindex.json` holds lists of operations and what Docker's `pkg/truncindex` of 2015
//! answered to each. All answers hold but one kind: a prefix that is itself an id is never
//! ambiguous here.

use std::error::Error;

use serde_json::Value;
use truncindex::{LookupError, TruncIndex};

const REFERENCE: &str = include_str!("../data/truncindex.json");

#[test]
fn answers_are_those_of_2015_except_that_an_exact_id_wins() -> Result<(), Box<dyn Error>> {
    let cases: serde_json::Map<String, Value> = serde_json::from_str(REFERENCE)?;
    let mut answers = 0;
    let mut exact_wins = 0;
    for (name, case) in &cases {
        let mut index: TruncIndex = list(&case["init"])?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let operations = list(&case["ops"])?;
        let results = list(&case["results"])?;
        assert_eq!(operations.len(), results.len(), "{name}");

        for (at, (operation, result)) in operations.iter().zip(results).enumerate() {
            let verb = operation[0].as_str().ok_or("a verb is a string")?;
            let text = operation[1].as_str().ok_or("an id is a string")?;
            let original = match &result["err"] {
                Value::Null => Ok(result["id"].as_str().unwrap_or_default().to_owned()),
                message => Err(message.as_str().ok_or("an error is a string")?.to_owned()),
            };
            let ours = apply(&mut index, verb, text);

            if ours != original {
                // The one deviation: an id that the original called ambiguous.
                let ambiguous = "Multiple IDs found with provided prefix";
                assert_eq!(
                    original,
                    Err(ambiguous.to_owned()),
                    "{name}, operation {at}"
                );
                assert_eq!(ours, Ok(text.to_owned()), "{name}, operation {at}");
                assert!(index.contains(text), "{name}, operation {at}");
                exact_wins += 1;
            }
            answers += 1;
        }
    }
    // So that a file read wrongly cannot pass.
    assert_eq!((cases.len(), answers, exact_wins), (12, 610, 19));
    Ok(())
}

/// Runs one operation and returns the id or the message, as the original program gave them.
fn apply(index: &mut TruncIndex, verb: &str, text: &str) -> Result<String, String> {
    match verb {
        "add" => index
            .insert(text)
            .map(|()| String::new())
            .map_err(|e| e.to_string()),
        "delete" => index
            .remove(text)
            .map(|()| String::new())
            .map_err(|e| e.to_string()),
        "get" => index.get(text).map_err(|e| e.to_string()),
        other => panic!("the reference has no verb {other}"),
    }
}

fn list(value: &Value) -> Result<&Vec<Value>, Box<dyn Error>> {
    Ok(value.as_array().ok_or("expected a list")?)
}

#[test]
fn messages_are_those_of_2015() {
    let mut index: TruncIndex = ["abc", "abd"].into_iter().collect();
    assert_eq!(
        index.get("").unwrap_err().to_string(),
        "Prefix can't be empty"
    );
    assert_eq!(index.get("x").unwrap_err().to_string(), "no such id: x");
    let ambiguous = index.get("ab").unwrap_err();
    assert_eq!(
        ambiguous.to_string(),
        "Multiple IDs found with provided prefix"
    );
    assert!(matches!(ambiguous, LookupError::Ambiguous { ids, .. } if ids == ["abc", "abd"]));
    assert_eq!(
        index.remove("ab").unwrap_err().to_string(),
        "no such id: 'ab'"
    );
    assert_eq!(
        index.insert("").unwrap_err().to_string(),
        "Prefix can't be empty"
    );
    assert_eq!(
        index.insert("a b").unwrap_err().to_string(),
        "illegal character: ' '"
    );
    assert_eq!(
        index.insert("abc").unwrap_err().to_string(),
        "id already exists: 'abc'"
    );
}
