//! `layers`: the nodes, and what cannot be read as one.

use serde_json::{Value, json};

use crate::support::{Layer, Result, Store, good_layer, id, with_tail};

/// A base with two children, and one that shares twenty digits with the base.
fn family() -> std::io::Result<Store> {
    let store = Store::new()?;
    store.register(&id("ba5e"), "", &good_layer())?;
    store.register(&with_tail("ba5e0000000000000000", 'f'), "", &good_layer())?;
    let parent = id("ba5e");
    store.register(&id("c1"), &parent, &Layer::new().file("one", "1").finish())?;
    store.register(&id("c2"), &parent, &Layer::new().file("two", "22").finish())?;
    Ok(store)
}

fn ids(document: &Value) -> Vec<&str> {
    let nodes = document.as_array().map_or(&[][..], Vec::as_slice);
    nodes
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect()
}

#[test]
fn nodes_are_listed_by_id_with_their_parents_and_children() -> Result {
    let store = family()?;
    let (base, twin) = (id("ba5e"), with_tail("ba5e0000000000000000", 'f'));
    let all = store.json(&[&"layers"])?;
    assert_eq!(ids(&all), [&base, &twin, &id("c1"), &id("c2")]);
    assert_eq!(all[0]["children"], json!([id("c1"), id("c2")]));
    assert_eq!(all[0]["parent"], Value::Null);
    assert_eq!(all[2]["parent"], json!(base));
    assert_eq!(all[3]["size"], json!(2));
    assert_eq!(
        (&all[0]["comment"], &all[0]["author"]),
        (&Value::Null, &Value::Null)
    );
    let heads = store.json(&[&"layers", &"--heads"])?;
    assert_eq!(ids(&heads), [&twin, &id("c1"), &id("c2")]);
    Ok(())
}

#[test]
fn people_are_shown_as_many_digits_as_it_takes() -> Result {
    let store = family()?;
    let said = store.say(&[&"layers"])?.done();
    let first = |line: &str| line.split(' ').next().map(str::to_owned);
    let shown: Vec<String> = said.text().lines().filter_map(first).collect();
    let long = [
        &id("ba5e")[..21],
        &with_tail("ba5e0000000000000000", 'f')[..21],
    ];
    assert_eq!(
        shown,
        ["ID", long[0], long[1], "c10000000000", "c20000000000"]
    );
    // Each finds its node.
    for id in &shown[1..] {
        store.say(&[&"raw-json", id])?.done();
    }
    let row = said.text().lines().nth(4).ok_or("a row")?;
    assert!(
        row.contains(&format!("  {}  ", long[0])) && row.contains("  2 B"),
        "{row}"
    );
    Ok(())
}

#[test]
fn a_broken_node_is_a_warning_and_hides_no_other() -> Result {
    let store = family()?;
    store.break_node(&id("c1"))?;
    for command in ["layers", "tree"] {
        let said = store.say(&[&command, &"--quiet"])?.done();
        let line = format!(
            "layergraph: warning: broken node {}: cannot read the JSON",
            id("c1")
        );
        assert!(said.stderr.starts_with(&line), "{}", said.stderr);
        assert_eq!(said.stderr.lines().count(), 1);
        assert!(said.text().contains("c20000000000"), "{}", said.text());
        assert!(!said.text().contains("c10000000000"), "{}", said.text());
        let silent = store.say(&[&command, &"--log", &"error"])?.done();
        assert_eq!(silent.stderr, "");
        assert_eq!(silent.text(), said.text());
    }
    let all = store.json(&[&"layers"])?;
    assert_eq!(all[0]["children"], json!([id("c2")]));
    Ok(())
}

#[test]
fn status_8_is_a_command_on_a_broken_node() -> Result {
    let store = family()?;
    store.break_node(&id("c1"))?;
    for args in [
        vec!["raw-json", "c1"],
        vec!["digest", "c1"],
        vec!["digest", "c1", &format!("sha256:{}", id("d"))],
        vec!["export-layer", "c1"],
        vec!["changes", "c1"],
        vec!["changes", "c2", "--against", "c1"],
        vec!["diff-size", "c1"],
        vec!["history", "c1"],
        vec!["mount", "c1"],
    ] {
        let said = crate::support::run(store.command(&[]).args(&args))?;
        assert_eq!(said.status, Some(8), "{args:?}: {}", said.stderr);
        assert_eq!(said.text(), "");
    }
    Ok(())
}

#[test]
fn a_digest_that_is_none_is_a_warning_in_the_list() -> Result {
    let store = family()?;
    let checksum = store.root().join("graph").join(id("c2")).join("checksum");
    std::fs::write(checksum, "no digest")?;
    let said = store.say(&[&"layers", &"--json"])?.done();
    let line = format!("layergraph: warning: digest of node {}: ", id("c2"));
    assert!(said.stderr.starts_with(&line), "{}", said.stderr);
    let all: Value = serde_json::from_str(said.text())?;
    assert_eq!(all[3]["digest"], Value::Null);
    Ok(())
}
