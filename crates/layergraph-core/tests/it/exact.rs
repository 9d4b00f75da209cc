//! Layers that come out of the graph as they went in.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use layergraph_core::{Exported, GraphErrorKind, Node};
use layergraph_image::NodeId;
use layergraph_tar::recipe::RecipeWriter;
use layergraph_tar::{Limits, Reader};

use crate::support::{Result, Store, id, image, layer};

/// Registers a layer, and returns the node.
fn registered(store: &Store, number: u8, tar: &[u8]) -> Result<Node> {
    let mut tar = tar;
    let node = store
        .open()
        .register(&image(&id(number), None), Some(&mut tar))?;
    Ok(node)
}

fn export(store: &Store, node: &Node) -> layergraph_core::Result<(Vec<u8>, Exported)> {
    let mut tar = Vec::new();
    let exported = store.open().tar_layer(node, &mut tar)?;
    Ok((tar, exported))
}

fn recipe_of(store: &Store, id: &NodeId) -> std::path::PathBuf {
    store.node(id).join("tar-data.json.gz")
}

#[test]
fn a_layer_comes_out_as_it_went_in_byte_for_byte() -> Result {
    let store = Store::new()?;
    let mut tar = layer(&["d/", "d/f = 1", "d/f = the same name", "g"]);
    tar.extend_from_slice(b"and what follows the end");
    let node = registered(&store, 1, &tar)?;
    let (again, exported) = export(&store, &node)?;
    assert!(again == tar);
    assert!(exported.exact);
    assert_eq!(exported.size, tar.len() as u64);

    let mut again = Vec::new();
    let mut archive = store
        .open()
        .temp_layer_archive(&node.id().to_string(), &mut ())?;
    assert_eq!(archive.size(), tar.len() as u64);
    archive.read_to_end(&mut again)?;
    assert!(again == tar);
    assert!(store.unfinished().is_empty());
    Ok(())
}

#[test]
fn a_node_without_a_recipe_has_its_changes_packed() -> Result {
    let store = Store::new()?;
    let tar = layer(&["f = 1"]);
    let node = registered(&store, 1, &tar)?;
    fs::remove_file(recipe_of(&store, &node.id()))?;
    let (packed, exported) = export(&store, &node)?;
    assert!(!exported.exact);
    assert_eq!(exported.size, packed.len() as u64);

    let empty = store.open().register(&image(&id(2), None), None)?;
    assert!(!recipe_of(&store, &id(2)).exists());
    assert!(!export(&store, &empty)?.1.exact);
    Ok(())
}

#[test]
fn a_recipe_that_docker_left_is_assembled() -> Result {
    let store = Store::new()?;
    let tar = layer(&["f = 1", "d/", "d/g = 22"]);
    let node = registered(&store, 1, &tar)?;
    // In an order that no packing has, so that it can only come of the recipe.
    let other = layer(&["d/", "d/g = 22", "f = 1"]);
    let tap = RecipeWriter::new(Vec::new());
    let reader = Reader::with(&other[..], tap, Limits::default());
    let recipe = reader.finish()?.tap.finish()?;
    fs::write(recipe_of(&store, &node.id()), recipe)?;
    assert!(export(&store, &node)?.0 == other);
    Ok(())
}

#[test]
fn r54_a_tree_that_does_not_hold_what_it_did_is_damage_and_names_the_file() -> Result {
    let store = Store::new()?;
    let tar = layer(&["f = 1", "d/", "d/g = 22"]);
    let node = registered(&store, 1, &tar)?;
    let file = store.files(&node.id()).join("d/g");
    let check = |expected: &str| -> Result {
        let error = export(&store, &node).err().ok_or("it is damaged")?;
        assert_eq!(error.kind(), GraphErrorKind::Damaged);
        let source = std::error::Error::source(&error).ok_or("there is a cause")?;
        assert!(source.to_string().contains(expected), "{source}");
        Ok(())
    };
    fs::write(&file, "2x")?;
    check("the content of d/g has changed")?;
    fs::remove_file(&file)?;
    check("cannot open the content of d/g")?;
    symlink("/etc/passwd", &file)?;
    check("cannot open the content of d/g")
}

#[test]
fn a_recipe_that_cannot_be_read_is_damage_and_not_as_if_there_were_none() -> Result {
    let store = Store::new()?;
    let node = registered(&store, 1, &layer(&["f = 1"]))?;
    let recipe = recipe_of(&store, &node.id());
    let whole = fs::read(&recipe)?;
    let check = || -> Result {
        let error = export(&store, &node).err().ok_or("it is damaged")?;
        assert_eq!(error.kind(), GraphErrorKind::Damaged, "{error}");
        Ok(())
    };
    for damaged in [&b""[..], b"x", &whole[..whole.len() / 2]] {
        fs::write(&recipe, damaged)?;
        check()?;
    }
    fs::remove_file(&recipe)?;
    symlink("json", &recipe)?;
    check()?;
    fs::remove_file(&recipe)?;
    fs::create_dir(&recipe)?;
    check()
}
