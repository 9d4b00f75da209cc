//! The original's own tests of its graph, by their names.

use std::fs;

use layergraph_core::{DeleteOptions, Graph, NewNode};
use layergraph_driver::MountOptions;
use layergraph_image::NodeId;
use layergraph_image::v1::Image;

use crate::kept;
use crate::support::{FailsAfter, Result, Store, image, layer};

/// Eight files, two of them in directories of their own, as the original's tests had.
fn fake_tar() -> Vec<u8> {
    layer(&[
        "etc/",
        "etc/passwd = Hello world!\n",
        "etc/postgres/",
        "etc/postgres/postgres.conf = Hello world!\n",
        "proc/",
        "var/",
        "var/log/",
        "var/log/postgres.log = Hello world!\n",
    ])
}

fn create(graph: &Graph, comment: &str) -> Result<NodeId> {
    let mut new = NewNode::default();
    comment.clone_into(&mut new.comment);
    Ok(graph.create(&new, Some(&mut &fake_tar()[..]))?.id())
}

/// An image with a new id.
fn commented(comment: &str, parent: Option<&NodeId>) -> Result<Image> {
    Ok(Image {
        comment: comment.to_owned(),
        ..image(&NodeId::random()?, parent)
    })
}

fn assert_images(graph: &Graph, count: usize) {
    let nodes = graph.map().expect("a graph that can be listed");
    assert_eq!((nodes.by_id.len(), nodes.broken.len()), (count, 0));
}

#[test]
fn init() -> Result {
    let store = Store::new()?;
    let root = store.path("new/store");
    let graph = crate::support::open(&root);
    assert!(root.is_dir() && root.join("graph").is_dir());
    assert_images(&graph, 0);
    assert!(graph.heads()?.is_empty() && graph.by_parent()?.is_empty());
    Ok(())
}

#[test]
fn mount() -> Result {
    layergraph_tests::require!(that(kept::CAN_MOUNT)());
    let store = Store::new()?;
    let graph = store.open();
    let id = create(&graph, "Testing")?;
    let path = graph.mount(&id, &MountOptions::default())?;
    let text = fs::read_to_string(path.join("etc/passwd"))?;
    assert_eq!(text, "Hello world!\n");
    graph.unmount(&id)?;
    Ok(())
}

#[test]
fn interrupted_register() -> Result {
    let store = Store::new()?;
    let graph = store.open();
    let image = commented("testing", None)?;
    let tar = fake_tar();
    let mut interrupted = FailsAfter(&tar, tar.len() / 2);
    assert!(graph.register(&image, Some(&mut interrupted)).is_err());
    assert!(!graph.exists(&image.id)?);
    assert_images(&graph, 0);
    // The id is still free.
    graph.register(&image, Some(&mut &tar[..]))?;
    assert!(graph.exists(&image.id)?);
    Ok(())
}

#[test]
fn graph_create() -> Result {
    let store = Store::new()?;
    let graph = store.open();
    let mut new = NewNode::default();
    new.comment = "Testing".to_owned();
    let node = graph.create(&new, Some(&mut &fake_tar()[..]))?;
    let image = node.image();
    assert_eq!(NodeId::parse(&image.id)?, node.id());
    assert_eq!(image.comment, "Testing");
    assert!(image.docker_version.starts_with("layergraph "));
    assert_eq!(image.os, "linux");
    assert!(!image.architecture.is_empty());
    assert_eq!(graph.map()?.by_id[&node.id()], node);
    assert_eq!(graph.get(&image.id)?, node);
    Ok(())
}

#[test]
fn register() -> Result {
    let store = Store::new()?;
    let graph = store.open();
    let image = commented("testing", None)?;
    graph.register(&image, Some(&mut &fake_tar()[..]))?;
    assert_images(&graph, 1);
    let found = graph.get(&image.id)?;
    assert_eq!(found.image().id, image.id);
    assert_eq!(found.image().comment, image.comment);
    Ok(())
}

#[test]
fn delete_prefix() -> Result {
    let store = Store::new()?;
    let graph = store.open();
    let id = create(&graph, "Testing")?.to_string();
    graph.delete(&id[..12], DeleteOptions::default())?;
    assert_images(&graph, 0);
    Ok(())
}

#[test]
fn delete() -> Result {
    let store = Store::new()?;
    let graph = store.open();
    let plain = DeleteOptions::default();
    assert_images(&graph, 0);
    let first = create(&graph, "Bla bla")?;
    assert_images(&graph, 1);
    graph.delete(&first.to_string(), plain)?;
    assert_images(&graph, 0);

    // It is the id that is given, and not the content.
    let first = create(&graph, "Bla bla")?;
    let second = create(&graph, "Another one")?;
    assert_images(&graph, 2);
    graph.delete(&first.to_string(), plain)?;
    assert_images(&graph, 1);
    assert!(graph.delete("Not_foo", plain).is_err());
    assert!(graph.delete(&first.to_string(), plain).is_err());
    assert_images(&graph, 1);

    // Once more under the same id.
    graph.register(&image(&first, None), Some(&mut &fake_tar()[..]))?;
    assert_images(&graph, 2);
    graph.delete(&first.to_string(), plain)?;
    assert_images(&graph, 1);
    assert!(graph.exists(&second.to_string())?);
    Ok(())
}

#[test]
fn by_parent() -> Result {
    let store = Store::new()?;
    let graph = store.open();
    let parent = commented("parent", None)?;
    let parent = graph.register(&parent, Some(&mut &fake_tar()[..]))?.id();
    let mut children = Vec::new();
    for comment in ["child1", "child2"] {
        let child = commented(comment, Some(&parent))?;
        children.push(graph.register(&child, Some(&mut &fake_tar()[..]))?.id());
    }
    children.sort();
    let by_parent = graph.by_parent()?;
    assert_eq!(by_parent.len(), 1);
    assert_eq!(by_parent[&parent], children);
    let heads = graph.heads()?;
    assert!(heads.keys().eq(&children));
    Ok(())
}
