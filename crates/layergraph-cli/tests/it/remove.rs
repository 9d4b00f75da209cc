//! `rm-layer`: nodes that go, and those that stay.

use serde_json::{Value, json};

use crate::support::{Result, Store, good_layer, id, names};

/// A base, two children of it, and a child of the first.
fn family() -> std::io::Result<Store> {
    family_of("auto")
}

fn family_of(driver: &'static str) -> std::io::Result<Store> {
    let store = Store::with_driver(driver)?;
    for (name, parent) in [("a0", ""), ("b1", "a0"), ("b2", "a0"), ("c1", "b1")] {
        store.register(&id(name), parent, &good_layer())?;
    }
    Ok(store)
}

fn left(store: &Store) -> std::io::Result<Vec<String>> {
    let nodes = store.json(&[&"layers"])?;
    let nodes = nodes.as_array().map_or(&[][..], Vec::as_slice);
    Ok(nodes
        .iter()
        .filter_map(|node| node["id"].as_str().map(str::to_owned))
        .collect())
}

#[test]
fn what_is_removed_is_printed_and_gone() -> Result {
    let store = family_of("vfs")?;
    assert_eq!(
        store.say(&[&"rm-layer", &"c1"])?.done().text(),
        format!("{}\n", id("c1"))
    );
    assert_eq!(
        store.json(&[&"rm-layer", &"b1"])?,
        json!({"removed": [id("b1")]})
    );
    assert_eq!(left(&store)?, [id("a0"), id("b2")]);
    assert_eq!(names(&store.root().join("vfs/dir"))?, [id("a0"), id("b2")]);
    assert_eq!(names(&store.root().join("graph/_tmp"))?, [""; 0]);
    Ok(())
}

#[test]
fn children_that_are_named_too_go_first_in_whatever_order() -> Result {
    let store = family()?;
    let removed = store.json(&[&"rm-layer", &"a0", &"c1", &"b2", &"b1", &"c1"])?;
    let removed = removed["removed"].as_array().ok_or("an array")?;
    let place = |name: &str| {
        removed
            .iter()
            .position(|removed| *removed == json!(id(name)))
    };
    assert_eq!(removed.len(), 4);
    assert!(place("c1") < place("b1") && place("b1") < place("a0") && place("b2") < place("a0"));
    assert_eq!(left(&store)?, [""; 0]);
    Ok(())
}

#[test]
fn status_6_is_a_node_that_others_build_on() -> Result {
    let store = family()?;
    for ids in [vec!["b1"], vec!["b2", "b1"], vec!["a0", "b1", "b2"]] {
        let said = crate::support::run(store.command(&[&"rm-layer"]).args(&ids))?;
        let line = format!(
            "layergraph: remove {}: image {} has children, one of them {}",
            ids.join(", "),
            id("b1"),
            id("c1")
        );
        said.failed(6, &line);
        assert_eq!(
            said.hint(),
            Some("remove that one as well, or give --force")
        );
        assert_eq!(said.text(), "");
    }
    assert_eq!(left(&store)?.len(), 4);
    Ok(())
}

#[test]
fn by_force_the_children_stay_as_orphans() -> Result {
    let store = family()?;
    store.say(&[&"rm-layer", &"--force", &"a0"])?.done();
    assert_eq!(left(&store)?, [id("b1"), id("b2"), id("c1")]);
    let nodes = store.json(&[&"layers"])?;
    assert_eq!(nodes[0]["parent"], json!(id("a0")));
    assert_eq!(
        store
            .json(&[&"layers", &"--heads"])?
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    Ok(())
}

#[test]
fn nothing_is_removed_unless_all_ids_are_found() -> Result {
    let store = family()?;
    for (other, status) in [("d", 3), ("b", 4), ("", 2), ("x", 2)] {
        let said = store.say(&[&"rm-layer", &"--force", &"c1", &other])?;
        assert_eq!(said.status, Some(status), "{}", said.stderr);
        assert_eq!(said.text(), "");
    }
    assert_eq!(left(&store)?.len(), 4);
    Ok(())
}

#[test]
fn a_broken_node_can_be_removed() -> Result {
    let store = family()?;
    store.break_node(&id("b2"))?;
    store.break_node(&id("c1"))?;
    let removed = store.json(&[&"rm-layer", &"b2", &"c", &"b1"])?;
    assert_eq!(removed["removed"].as_array().map(Vec::len), Some(3));
    assert_eq!(left(&store)?, [id("a0")]);
    let layers = store.say(&[&"layers"])?.done();
    assert_eq!(layers.stderr, "");
    assert_eq!(
        store.json(&[&"layers"])?[0]["children"],
        Value::Array(Vec::new())
    );
    Ok(())
}

#[test]
fn a_circle_goes_as_a_whole_and_not_in_part() -> Result {
    let store = family()?;
    let json = store.root().join("graph").join(id("a0")).join("json");
    std::fs::write(
        &json,
        json!({"id": id("a0"), "parent": id("c1")}).to_string(),
    )?;
    let said = store.say(&[&"rm-layer", &"b1", &"c1"])?;
    let line = format!(
        "layergraph: remove b1, c1: image {} has children, one of them {}",
        id("c1"),
        id("a0")
    );
    said.failed(6, &line);
    let removed = store.json(&[&"rm-layer", &"a0", &"b1", &"b2", &"c1"])?;
    assert_eq!(removed["removed"].as_array().map(Vec::len), Some(4));
    assert_eq!(left(&store)?, [""; 0]);
    Ok(())
}
