//! What `--json` prints is what docs/schema says.

use std::fs;

use serde_json::{Map, Value};

use crate::support::{Arg, Layer, Result, Store, good_layer, id};

const SCHEMAS: [(&str, &str); 21] = [
    ("gc", include_str!("../../../../docs/schema/gc.json")),
    (
        "images",
        include_str!("../../../../docs/schema/images.json"),
    ),
    (
        "inspect",
        include_str!("../../../../docs/schema/inspect.json"),
    ),
    ("load", include_str!("../../../../docs/schema/load.json")),
    ("rm", include_str!("../../../../docs/schema/rm.json")),
    ("save", include_str!("../../../../docs/schema/save.json")),
    (
        "assemble",
        include_str!("../../../../docs/schema/assemble.json"),
    ),
    (
        "changes",
        include_str!("../../../../docs/schema/changes.json"),
    ),
    (
        "diff-size",
        include_str!("../../../../docs/schema/diff-size.json"),
    ),
    (
        "digest",
        include_str!("../../../../docs/schema/digest.json"),
    ),
    (
        "export-layer",
        include_str!("../../../../docs/schema/export-layer.json"),
    ),
    (
        "history",
        include_str!("../../../../docs/schema/history.json"),
    ),
    ("info", include_str!("../../../../docs/schema/info.json")),
    (
        "layers",
        include_str!("../../../../docs/schema/layers.json"),
    ),
    ("mount", include_str!("../../../../docs/schema/mount.json")),
    ("pack", include_str!("../../../../docs/schema/pack.json")),
    (
        "register",
        include_str!("../../../../docs/schema/register.json"),
    ),
    (
        "rm-layer",
        include_str!("../../../../docs/schema/rm-layer.json"),
    ),
    ("split", include_str!("../../../../docs/schema/split.json")),
    ("tree", include_str!("../../../../docs/schema/tree.json")),
    (
        "unpack",
        include_str!("../../../../docs/schema/unpack.json"),
    ),
];

/// Checks a value against a schema, as far as ours go; what this does not know it refuses.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference} leads nowhere")),
        None => schema,
    };
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let holds = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "type" => has_type(rule, value),
            "minimum" => value.as_f64() >= rule.as_f64(),
            "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
            "pattern" => {
                let prefix = match rule.as_str() {
                    Some("^[0-9a-f]{64}$") => "",
                    Some("^sha256:[0-9a-f]{64}$") => "sha256:",
                    other => panic!("the pattern {other:?} is not known here"),
                };
                let hex = |text: &str| text.strip_prefix(prefix).is_some_and(is_id);
                value.as_str().is_none_or(hex)
            }
            "properties" => {
                for (name, schema) in rule.as_object().into_iter().flatten() {
                    if let Some(value) = value.get(name) {
                        check(root, schema, value, &format!("{at}/{name}"));
                    }
                }
                true
            }
            "required" => {
                let names = rule
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str);
                value
                    .as_object()
                    .is_none_or(|object| names.into_iter().all(|name| object.contains_key(name)))
            }
            "additionalProperties" => {
                assert_eq!(rule, &Value::Bool(false));
                let known = schema["properties"].as_object();
                let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
                value
                    .as_object()
                    .is_none_or(|object| object.keys().all(is_known))
            }
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{at}/{place}"));
                }
                true
            }
            other => panic!("the keyword {other} is not known here"),
        };
        assert!(holds, "{at}: {value} against {keyword}: {rule}");
    }
}

fn has_type(rule: &Value, value: &Value) -> bool {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    rule == name
        || rule
            .as_array()
            .is_some_and(|names| names.iter().any(|rule| rule == name))
}

fn is_id(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Checks a document against the schema of a command.
fn check_document(command: &str, document: &Value) -> Result {
    let found = SCHEMAS.iter().find(|(name, _)| *name == command);
    let (_, schema) = found.ok_or("there is a schema")?;
    let schema: Value = serde_json::from_str(schema)?;
    assert_eq!(schema["title"], format!("layergraph {command} --json"));
    check(&schema, &schema, document, command);
    Ok(())
}

#[test]
fn every_document_is_as_its_schema_says() -> Result {
    let store = Store::with_driver("vfs")?;
    let mut said = Vec::new();
    let mut ask = |args: &[Arg<'_>]| -> Result {
        let command = args[0].as_ref().to_string_lossy().into_owned();
        said.push((command, store.json(args)?));
        Ok(())
    };
    let layer = store.home.file("layer.tar", good_layer())?;
    let top = Layer::new()
        .file("bin/.wh.tool", "")
        .file("new", "x")
        .finish();
    let top = store.home.file("top.tar", top)?;
    let (a0, b0, c0) = (id("a0"), id("b0"), id("c0"));
    // Without a store.
    ask(&[&"info"])?;
    ask(&[&"register", &"--id", &a0, &layer])?;
    ask(&[
        &"register",
        &"--id",
        &b0,
        &"--parent",
        &a0,
        &"--comment",
        &"c",
        &"--author",
        &"a",
        &top,
    ])?;
    ask(&[&"register", &"--id", &c0, &"--parent", &b0])?;
    ask(&[&"digest", &"b0"])?;
    ask(&[&"digest", &"b0", &format!("sha256:{}", id("d0"))])?;
    ask(&[&"layers"])?;
    ask(&[&"tree"])?;
    ask(&[&"history", &"c0"])?;
    ask(&[&"changes", &"b0"])?;
    ask(&[&"diff-size", &"b0"])?;
    ask(&[&"export-layer", &"b0", &"-o", &store.home.path("out.tar")])?;
    ask(&[&"mount", &"b0"])?;
    ask(&[&"info"])?;
    let layout = store.home.path("layout");
    crate::images::layout(&layout, "x/y:v1", &[good_layer()])?;
    ask(&[&"load", &layout])?;
    ask(&[&"images"])?;
    ask(&[&"inspect", &"x/y:v1"])?;
    ask(&[&"history", &"x/y:v1"])?;
    ask(&[&"gc", &"--dry-run"])?;
    ask(&[&"save", &"-o", &store.home.path("saved.tar"), &"x/y:v1"])?;
    ask(&[&"rm", &"x/y:v1"])?;
    let dir = store.home.path("dir");
    ask(&[&"unpack", &layer, &dir])?;
    ask(&[&"pack", &dir, &"-o", &store.home.path("packed.tar")])?;
    let recipe = store.home.path("recipe");
    ask(&[&"split", &layer, &"-o", &recipe])?;
    let again = store.home.path("again.tar");
    ask(&[&"assemble", &recipe, &dir, &"-o", &again])?;
    ask(&[&"rm-layer", &"--force", &"a0", &"b0"])?;
    // With an orphan.
    ask(&[&"layers"])?;
    ask(&[&"tree"])?;
    for (command, _) in SCHEMAS {
        assert!(
            said.iter().any(|(name, _)| name == command),
            "{command} was asked"
        );
    }
    for (command, document) in &said {
        check_document(command, document)?;
    }
    Ok(())
}

/// The check itself, which could not fail otherwise.
#[test]
fn a_document_that_is_not_as_its_schema_says_is_found() {
    let wrong = |command: &'static str, document: Value| {
        let found = std::panic::catch_unwind(|| check_document(command, &document).is_ok());
        assert!(found.is_err(), "{command}");
    };
    wrong("digest", Value::Object(Map::new()));
    wrong("digest", serde_json::json!({"digest": 1}));
    wrong("digest", serde_json::json!({"digest": null, "more": 1}));
    wrong("changes", serde_json::json!([{"kind": "B", "path": "/"}]));
    wrong(
        "register",
        serde_json::json!({"id": "c0ffee", "parent": null, "size": 0}),
    );
    let node = serde_json::json!({"id": 7});
    wrong("tree", serde_json::json!([node]));
}

#[test]
fn each_schema_is_of_a_command_whose_json_is_asked_for_here() -> Result {
    let directory = std::path::Path::new("../../docs/schema");
    // Who runs the tests from another place has no docs there.
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(());
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_known = |(known, _): &(&str, &str)| name == format!("{known}.json");
        assert!(SCHEMAS.iter().any(is_known), "{name}");
    }
    Ok(())
}
