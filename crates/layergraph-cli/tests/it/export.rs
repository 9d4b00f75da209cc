//! `export-layer`: the layer of a node, to stdout and to files.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::{Layer, Result, Store, good_layer, id, names, shell};

fn pair() -> std::io::Result<Store> {
    pair_of("auto")
}

fn pair_of(driver: &'static str) -> std::io::Result<Store> {
    let store = Store::with_driver(driver)?;
    store.register(&id("ba5e"), "", &good_layer())?;
    let top = Layer::new()
        .file("bin/.wh.tool", "")
        .file("etc/new", "three")
        .finish();
    store.register(&id("70"), "ba5e", &top)?;
    Ok(store)
}

#[test]
fn an_exported_layer_makes_the_same_tree_again() -> Result {
    let store = pair()?;
    let (base, top) = (store.home.path("base.tar"), store.home.path("top.tar"));
    store.say(&[&"export-layer", &"ba5e", &"-o", &base])?.done();
    store.say(&[&"export-layer", &"70", &"-o", &top])?.done();
    store.register(&id("ba5e1"), "", &fs::read(&base)?)?;
    store.register(&id("71"), "ba5e1", &fs::read(&top)?)?;
    let against = |one: &str, other: &str| store.json(&[&"changes", &one, &"--against", &other]);
    assert_eq!(against("71", "70")?, json!([]));
    assert_eq!(against("70", "71")?, json!([]));
    assert_eq!(
        store.say(&[&"changes", &"71"])?.done().text(),
        store.say(&[&"changes", &"70"])?.done().text()
    );
    Ok(())
}

#[test]
fn stdout_gets_the_same_bytes_as_a_file() -> Result {
    let store = pair()?;
    let file = store.home.path("layer.tar");
    let document = store.json(&[&"export-layer", &"70", &"-o", &file])?;
    let bytes = fs::read(&file)?;
    assert_eq!(document["size"], json!(bytes.len()));
    assert_eq!(document["sockets"], json!([]));
    assert_eq!(store.say(&[&"export-layer", &"70"])?.done().stdout, bytes);
    assert_eq!(
        store
            .say(&[&"export-layer", &"70", &"-o", &"-"])?
            .done()
            .stdout,
        bytes
    );
    store.say(&[&"export-layer", &"70", &"--json"])?.failed(
        2,
        "layergraph: export the layer of 70: --json needs -o FILE: the result takes stdout",
    );
    Ok(())
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() -> Result {
    let store = pair_of("vfs")?;
    let file = store.home.file("layer.tar", "what was there")?;
    let before = store.home.names()?;
    let said = store.say(&[&"export-layer", &"c0ffee", &"-o", &file])?;
    assert_eq!(said.status, Some(3), "{}", said.stderr);
    // A tree that does not hold what was registered.
    let mount = store.json(&[&"mount", &"70"])?;
    let tree = Path::new(mount["path"].as_str().ok_or("a path")?);
    fs::write(tree.join("etc/new"), "other")?;
    let said = store.say(&[&"export-layer", &"70", &"-o", &file])?;
    assert_eq!(said.status, Some(8), "{}", said.stderr);
    // One without a recipe, that has a name which no layer can hold.
    fs::remove_file(
        store
            .root()
            .join("graph")
            .join(id("70"))
            .join("tar-data.json.gz"),
    )?;
    fs::write(tree.join(".wh.x"), "")?;
    let said = store.say(&[&"export-layer", &"70", &"-o", &file])?;
    assert_eq!(said.status, Some(7), "{}", said.stderr);
    assert!(
        said.hint().is_some_and(|hint| hint.contains(".wh.")),
        "{}",
        said.stderr
    );
    assert_eq!(fs::read_to_string(&file)?, "what was there");
    assert_eq!(store.home.names()?, before);
    Ok(())
}

#[test]
fn a_layer_is_written_neither_into_the_store_nor_to_nowhere() -> Result {
    let store = pair()?;
    let inside = store.root().join("layer.tar");
    store
        .say(&[&"export-layer", &"70", &"-o", &inside])?
        .failed(
            2,
            "layergraph: export the layer of 70: \
         the result would be a part of what it is about: write it elsewhere",
        );
    assert!(!names(&store.root())?.contains(&"layer.tar".to_owned()));
    let nowhere = store.home.path("none/layer.tar");
    assert_eq!(
        store
            .say(&[&"export-layer", &"70", &"-o", &nowhere])?
            .status,
        Some(3)
    );
    Ok(())
}

#[test]
fn a_terminal_gets_no_layer() -> Result {
    layergraph_tests::require!(program "script");
    let store = pair()?;
    // script(1) gives what it runs a terminal; its own stdout is no terminal.
    let script =
        "script -qec \"$0 --root $1 export-layer 70\" /dev/null </dev/null; echo \"status $?\"";
    let said = shell(script, &[&store.root()])?.done();
    assert!(
        said.text()
            .contains("the result is not for a terminal: give -o FILE"),
        "{}",
        said.text()
    );
    assert!(said.text().ends_with("status 2\n"), "{}", said.text());
    Ok(())
}
