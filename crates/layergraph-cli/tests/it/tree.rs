//! `tree`: the nodes below their parents.

use std::fs;

use serde_json::json;

use crate::support::{Layer, Result, Store, good_layer, id};

/// Two bases; on the first a child with a child, and another one.
fn forest() -> std::io::Result<Store> {
    let store = Store::new()?;
    store.register(&id("a0"), "", &good_layer())?;
    store.register(&id("b0"), "", &good_layer())?;
    store.register(
        &id("c1"),
        "a0",
        &Layer::new().file("f", &"x".repeat(1000)).finish(),
    )?;
    store.register(&id("d1"), "c1", &Layer::new().file("g", "y").finish())?;
    store.register(&id("c2"), "a0", &Layer::new().file("f", "").finish())?;
    Ok(store)
}

#[test]
fn the_forest_is_drawn_as_the_original_drew_it() -> Result {
    let store = forest()?;
    let said = store.say(&[&"tree"])?.done();
    let expected = "\
├─ a00000000000 Virtual Size: 6 B
│  ├─ c10000000000 Virtual Size: 1.006 kB
│  │  └─ d10000000000 Virtual Size: 1.007 kB
│  └─ c20000000000 Virtual Size: 6 B
└─ b00000000000 Virtual Size: 6 B
";
    assert_eq!(said.text(), expected);
    Ok(())
}

#[test]
fn a_long_chain_is_drawn_in_lines_of_bounded_length() -> Result {
    let store = Store::with_driver("vfs")?;
    let number = |level: usize| format!("{level:064x}");
    store.register(&number(0), "", &good_layer())?;
    for level in 1..=101 {
        let node = store.root().join("graph").join(number(level));
        fs::create_dir(&node)?;
        let json = json!({"id": number(level), "parent": number(level - 1)});
        fs::write(node.join("json"), json.to_string())?;
        fs::write(node.join("layersize"), "0")?;
        fs::create_dir(store.root().join("vfs/dir").join(number(level)))?;
    }
    let said = store.say(&[&"tree"])?.done();
    let lines: Vec<&str> = said.text().lines().collect();
    assert_eq!(lines.len(), 102);
    assert!(lines[100].starts_with(&"   ".repeat(100)));
    let line = format!("    101 └─ {} Virtual Size: 6 B", number(101));
    assert_eq!(lines[101], line);
    Ok(())
}

#[test]
fn in_json_each_node_holds_its_children() -> Result {
    let store = forest()?;
    let mut forest = store.json(&[&"tree"])?;
    assert_eq!(forest.as_array().map(Vec::len), Some(2));
    assert_eq!(forest[1]["children"], json!([]));
    let top = &forest[0]["children"][0]["children"][0];
    assert_eq!(top["id"], json!(id("d1")));
    assert_eq!(top["parent"], json!(id("c1")));
    assert_eq!(
        (&top["size"], &top["virtual_size"]),
        (&json!(1), &json!(1007))
    );
    let children = forest[0]["children"].take();
    assert_eq!(children.as_array().map(Vec::len), Some(2));
    Ok(())
}

#[test]
fn graphviz_is_told_each_node_and_who_builds_on_whom() -> Result {
    let store = forest()?;
    let said = store.say(&[&"tree", &"--dot"])?.done();
    let text = said.text();
    assert!(text.starts_with("digraph layergraph {\n"), "{text}");
    assert!(text.ends_with(" base [style=invisible]\n}\n"), "{text}");
    for line in [
        format!(" base -> \"{}\" [style=invis]\n", id("b0")),
        format!(" \"{}\" -> \"{}\"\n", id("c1"), id("d1")),
        format!(
            " \"{}\" [label=\"d10000000000\\n1.007 kB\",shape=box]\n",
            id("d1")
        ),
    ] {
        assert!(text.contains(&line), "{line}{text}");
    }
    assert_eq!(store.say(&[&"tree", &"--dot", &"--json"])?.status, Some(2));
    Ok(())
}

#[test]
fn an_orphan_is_a_root_and_its_parent_is_what_is_written_down() -> Result {
    let store = forest()?;
    store.say(&[&"rm-layer", &"--force", &"c1"])?.done();
    let said = store.say(&[&"tree"])?.done();
    assert!(
        said.text().ends_with("└─ d10000000000 Virtual Size: 1 B\n"),
        "{}",
        said.text()
    );
    let forest = store.json(&[&"tree"])?;
    assert_eq!(forest[2]["parent"], json!(id("c1")));
    let dot = store.say(&[&"tree", &"--dot"])?.done();
    assert!(
        !dot.text().contains(&format!("\"{}\" ->", id("c1"))),
        "{}",
        dot.text()
    );
    Ok(())
}

/// As only somebody could make it who writes into the store.
#[test]
fn nodes_that_are_their_own_ancestors_are_shown_once() -> Result {
    let store = Store::new()?;
    store.register(&id("a0"), "", &good_layer())?;
    store.register(&id("b0"), "a0", &good_layer())?;
    let json = store.root().join("graph").join(id("a0")).join("json");
    let text = fs::read_to_string(&json)?;
    let id_a = format!("\"id\":\"{}\",", id("a0"));
    let circle = text.replace(&id_a, &format!("{id_a}\"parent\":\"{}\",", id("b0")));
    assert_ne!(text, circle);
    fs::write(&json, circle)?;
    let said = store.say(&[&"tree"])?.done();
    let expected = "\
└─ a00000000000 Virtual Size: 6 B
   └─ b00000000000 Virtual Size: 12 B
";
    assert_eq!(said.text(), expected);
    let forest = store.json(&[&"tree"])?;
    assert_eq!(forest[0]["children"][0]["children"], json!([]));

    let said = store.say(&[&"history", &"b0"])?;
    assert_eq!(said.status, Some(8), "{}", said.stderr);
    // Each of them has a child, so that nothing goes but by force.
    let both = store.say(&[&"rm-layer", &"--force", &"a0", &"b0"])?.done();
    assert_eq!(both.text().lines().count(), 2);
    Ok(())
}

/// Deeper than most parsers of JSON go.
#[test]
fn a_long_chain_is_drawn() -> Result {
    const LONG: usize = 140;
    let store = Store::new()?;
    // A node without a layer costs little: its tree is empty.
    let mut parent = String::new();
    for number in 0..LONG {
        let id = id(&format!("{number:04x}f"));
        let mut command = store.command(&[&"register", &"--id", &id]);
        if !parent.is_empty() {
            command.args(["--parent", &parent]);
        }
        crate::support::run(&mut command)?.done();
        parent = id;
    }
    let said = store.say(&[&"tree"])?.done();
    assert_eq!(said.text().lines().count(), LONG);
    let said = store.say(&[&"tree", &"--json"])?.done();
    assert_eq!(said.text().matches("\"children\":[").count(), LONG);
    assert!(said.text().ends_with(&format!("{}]\n", "]}".repeat(LONG))));
    Ok(())
}
