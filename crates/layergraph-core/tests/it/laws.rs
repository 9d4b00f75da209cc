//! What holds of every graph: all or nothing, nobody hidden, nothing left.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};

use layergraph_core::{DeleteOptions, Graph, GraphError, GraphErrorKind};
use layergraph_digest::{Algorithm, Digest, Hasher};
use layergraph_driver::DriverOptions;
use layergraph_driver::conformance::ModelDriver;
use layergraph_image::NodeId;
use layergraph_image::v1::Image;

use crate::hooked::{Failing, Hooked, once_at};
use crate::support::{
    Result, Store, chain, id, image, layer, layer_id, listing_of, open, open_with,
};

pub(crate) fn forced() -> DeleteOptions {
    let mut options = DeleteOptions::default();
    options.force = true;
    options
}

/// Registers a node with one file in its layer, which is called as the id ends.
pub(crate) fn register(graph: &Graph, id: &NodeId, parent: Option<&NodeId>) -> Result {
    let name = id.to_string();
    let tar = layer(&[&format!("f-{} = {name}", &name[60..])]);
    graph.register(&image(id, parent), Some(&mut &tar[..]))?;
    Ok(())
}

/// Reads some bytes, and then fails.
struct FailsAfter<'a>(&'a [u8], usize);

impl Read for FailsAfter<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1 == 0 {
            return Err(io::Error::other("the source is gone"));
        }
        let length = buffer.len().min(self.1);
        let read = self.0.read(&mut buffer[..length])?;
        self.1 -= read;
        Ok(read)
    }
}

#[test]
fn p2_a_reader_that_fails_after_any_number_of_bytes_leaves_nothing() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register(&graph, &id(1), None)?;
    let before = store.contents();
    let tar = layer(&["a = x", "d/", "d/b = y", ".wh.f-ab01"]);
    let child = image(&id(2), Some(&id(1)));
    for length in 0..=tar.len() {
        let mut reader = FailsAfter(&tar, length);
        let error = graph.register(&child, Some(&mut reader)).unwrap_err();
        assert_eq!(error.kind(), GraphErrorKind::Layer, "after {length} bytes");
        assert!(chain(&error).ends_with("the source is gone"));
        assert!(store.contents() == before, "after {length} bytes");
    }
    graph.register(&child, Some(&mut &tar[..]))?;
    Ok(())
}

/// Compares the digest of all bytes with what it should be, where they end.
struct Verified<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        if length > 0 {
            let hasher = self.hasher.as_mut().expect("it has not ended");
            hasher.update(&buffer[..length]);
        } else if let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.expected
        {
            return Err(io::Error::other("another digest"));
        }
        Ok(length)
    }
}

#[test]
fn r26_a_layer_whose_digest_or_checksum_is_wrong_leaves_nothing() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    let before = store.contents();
    let image = image(&id(1), None);
    // The blocks behind the end of the archive count too.
    let mut tar = layer(&["a = x"]);
    tar.extend([0; 10240]);
    let expected = Digest::of(Algorithm::Sha256, &tar);
    for at in [0, 1024, tar.len() - 1] {
        let mut other = tar.clone();
        other[at] ^= 1;
        let mut reader = Verified {
            inner: &other[..],
            hasher: Some(Hasher::new(Algorithm::Sha256)),
            expected,
        };
        let error = graph.register(&image, Some(&mut reader)).unwrap_err();
        assert_eq!(error.kind(), GraphErrorKind::Layer, "byte {at}");
        assert!(store.contents() == before, "byte {at}");
    }
    let packed = fs::read("tests/data/graph/layers/child2.tar.gz")?;
    for length in [packed.len() - 1, packed.len() - 8, 40] {
        let error = graph.register(&image, Some(&mut &packed[..length]));
        assert_eq!(error.unwrap_err().kind(), GraphErrorKind::Layer);
        assert!(store.contents() == before, "{length} bytes");
    }
    for from_end in 1..=8 {
        // The checksum and the length of gzip (RFC 1952).
        let mut packed = packed.clone();
        let at = packed.len() - from_end;
        packed[at] ^= 1;
        let error = graph.register(&image, Some(&mut &packed[..]));
        assert_eq!(error.unwrap_err().kind(), GraphErrorKind::Layer);
        assert!(store.contents() == before, "byte {at}");
    }
    Ok(())
}

#[test]
fn p2_a_driver_that_fails_at_any_call_leaves_the_store_as_before() -> Result {
    let store = Store::in_memory()?;
    register(&store.open(), &id(1), None)?;
    // A tree that a crash has left is in the way.
    fs::create_dir_all(store.tree(&id(2)).join("left"))?;
    let failing = Failing::default();
    let graph = open_with(store.root(), Hooked::open(store.root(), failing.hook()));
    let before = store.contents();
    for nth in 1.. {
        failing.arm(nth);
        let registered = register(&graph, &id(2), Some(&id(1)));
        if !failing.has_failed() {
            failing.arm(0);
            registered?;
            assert!(nth > 6, "only {nth} calls");
            break;
        }
        let error = registered.expect_err("a call has failed");
        assert!(error.to_string().contains(&id(2).to_string()), "{error}");
        failing.arm(0);
        assert!(!graph.exists(&id(2).to_string())?, "call {nth}");
        let mut after = store.contents();
        // The tree without a node is the one thing that may have gone already.
        let left =
            |path: &std::path::PathBuf| path.starts_with("vfs/dir") && before.contains_key(path);
        after.extend(before.clone().into_iter().filter(|(path, _)| left(path)));
        assert!(after == before, "call {nth}");
    }
    assert!(!store.tree(&id(2)).join("left").exists());

    let before = store.contents();
    for nth in 1.. {
        failing.arm(nth);
        let deleted = graph.delete(&id(2).to_string(), DeleteOptions::default());
        let has_failed = failing.has_failed();
        failing.arm(0);
        match deleted {
            Err(_) => assert!(store.contents() == before, "call {nth}"),
            Ok(deleted) => {
                // The node is gone, and what could not be removed is told.
                assert_eq!(deleted.leftover.is_some(), has_failed);
                assert!(!store.node(&id(2)).exists());
                assert_eq!(deleted.leftover.is_some(), store.tree(&id(2)).exists());
                break;
            }
        }
    }
    assert!(graph.exists(&id(1).to_string())?);
    Ok(())
}

#[test]
fn p2_a_node_that_cannot_be_published_leaves_no_tree() -> Result {
    let store = Store::in_memory()?;
    let directory = store.node(&id(1));
    let hook = once_at("commit", move || {
        fs::create_dir_all(directory.join("in the way")).expect("it can be made");
    });
    let graph = open_with(store.root(), Hooked::open(store.root(), hook));
    let error = register(&graph, &id(1), None).unwrap_err();
    assert!(error.to_string().contains(&id(1).to_string()), "{error}");
    assert!(!store.tree(&id(1)).exists());
    assert!(store.unfinished().is_empty());
    register(&graph, &id(1), None)
}

#[test]
fn the_graph_asks_a_driver_nothing_that_the_trait_forbids() -> Result {
    let store = Store::in_memory()?;
    let driver = ModelDriver::new(&DriverOptions::default())?;
    let graph = open_with(store.root(), std::sync::Arc::new(driver.clone()));
    register(&graph, &id(1), None)?;
    register(&graph, &id(2), Some(&id(1)))?;
    register(&graph, &id(3), Some(&id(2)))?;
    register(&graph, &id(3), Some(&id(1))).unwrap_err();
    register(&graph, &id(5), Some(&id(4))).unwrap_err();
    let node = graph.get(&id(3).to_string())?;
    assert_eq!(graph.changes(&node)?.len(), 1);
    graph.tar_layer(&node, &mut Vec::new())?;
    graph.temp_layer_archive(&id(2).to_string(), &mut ())?;
    graph
        .delete(&id(1).to_string(), DeleteOptions::default())
        .unwrap_err();
    for number in [3, 2, 1] {
        let deleted = graph.delete(&id(number).to_string(), DeleteOptions::default())?;
        assert!(deleted.leftover.is_none());
    }
    assert!(driver.misuses().is_empty(), "{:?}", driver.misuses());
    assert_eq!(
        driver
            .calls()
            .iter()
            .filter(|call| call.error.is_some())
            .count(),
        0
    );
    Ok(())
}

#[test]
fn an_id_that_exists_is_refused_before_the_layer_is_read() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register(&graph, &id(1), None)?;
    let before = store.contents();
    let mut unread = FailsAfter(&[], 0);
    let error = graph
        .register(&image(&id(1), None), Some(&mut unread))
        .unwrap_err();
    assert_eq!(error.kind(), GraphErrorKind::AlreadyExists);
    assert!(store.contents() == before);
    Ok(())
}

/// Does something once, when the layer is read.
pub(crate) struct Meanwhile<'a, F> {
    pub(crate) tar: &'a [u8],
    pub(crate) act: Option<F>,
}

impl<F: FnOnce()> Read for Meanwhile<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(act) = self.act.take() {
            act();
        }
        self.tar.read(buffer)
    }
}

#[test]
fn the_second_of_two_registers_of_one_id_fails_and_harms_nothing() -> Result {
    let store = Store::in_memory()?;
    let (graph, other) = (store.open(), store.open());
    let tar = layer(&["mine = x"]);
    let mut reader = Meanwhile {
        tar: &tar,
        act: Some(|| register(&other, &id(1), None).expect("it is free")),
    };
    let error = graph
        .register(&image(&id(1), None), Some(&mut reader))
        .unwrap_err();
    assert_eq!(error.kind(), GraphErrorKind::AlreadyExists);
    assert_eq!(chain(&error), format!("Image {} already exists", id(1)));
    assert!(listing_of(&graph, &id(1)).contains("f-ab01"));
    assert!(store.unfinished().is_empty());
    Ok(())
}

#[test]
fn a_parent_that_goes_or_is_made_anew_meanwhile_fails_the_register() -> Result {
    let store = Store::in_memory()?;
    let (graph, other) = (store.open(), store.open());
    let tar = layer(&["mine = x"]);
    for is_made_anew in [false, true] {
        register(&graph, &id(1), None)?;
        let mut reader = Meanwhile {
            tar: &tar,
            act: Some(|| {
                other
                    .delete(&id(1).to_string(), DeleteOptions::default())
                    .expect("unused yet");
                if is_made_anew {
                    other
                        .register(&image(&id(1), None), None)
                        .expect("it is free");
                }
            }),
        };
        let child = image(&id(2), Some(&id(1)));
        let error = graph.register(&child, Some(&mut reader)).unwrap_err();
        assert_eq!(error.kind(), GraphErrorKind::NotFound);
        assert!(!store.node(&id(2)).exists() && !store.tree(&id(2)).exists());
        assert!(store.unfinished().is_empty());
        if is_made_anew {
            other.delete(&id(1).to_string(), DeleteOptions::default())?;
        }
    }
    Ok(())
}

#[test]
fn trees_without_node_and_nodes_without_tree_are_replaced_by_a_register() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register(&graph, &id(1), None)?;
    let whole = (listing_of(&graph, &id(1)), graph.raw_json(&id(1))?);
    let registers_anew = |graph: &Graph| {
        assert!(!graph.exists(&id(1).to_string())?);
        register(graph, &id(1), None)?;
        assert_eq!((listing_of(graph, &id(1)), graph.raw_json(&id(1))?), whole);
        assert!(
            graph.digest(&id(1)).is_err(),
            "nothing is left of the old one"
        );
        assert!(store.unfinished().is_empty());
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    // A crash after the tree was committed.
    fs::remove_dir_all(store.node(&id(1)))?;
    fs::write(store.tree(&id(1)).join("stale"), "x")?;
    registers_anew(&graph)?;
    // Another driver made the node, or a crash came before the node was.
    fs::remove_dir_all(store.tree(&id(1)))?;
    fs::write(store.node(&id(1)).join("checksum"), "sha256:ab")?;
    registers_anew(&open(store.root()))?;
    fs::remove_dir_all(store.tree(&id(1)))?;
    fs::remove_dir_all(store.node(&id(1)))?;
    fs::write(store.node(&id(1)), "a file")?;
    registers_anew(&open(store.root()))
}

/// Lets a node name another parent.
fn set_parent(store: &Store, id: &NodeId, parent: &str) {
    let path = store.node(id).join("json");
    let mut image = Image::decode(&fs::read(&path).expect("a node")).expect("a whole node");
    parent.clone_into(&mut image.parent);
    fs::write(path, image.encode()).expect("it can be written");
}

#[test]
fn a_circle_of_parents_ends_every_walk_and_no_list() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    for number in 1..=4 {
        let parent = (number > 1).then(|| id(number - 1));
        register(&graph, &id(number), parent.as_ref())?;
    }
    // 1 <- 2 <- 3 <- 1, and 4 on top of 3.
    set_parent(&store, &id(1), &id(3).to_string());
    for number in 1..=4 {
        let node = graph.get(&id(number).to_string())?;
        let mut seen = Vec::new();
        let walked = graph.walk_history(&node, |node| {
            seen.push(node.id());
            Ok::<(), GraphError>(())
        });
        let error = walked.expect_err("it never ends");
        assert_eq!(error.kind(), GraphErrorKind::Damaged);
        assert!(chain(&error).starts_with("Error while getting parent image: "));
        assert_eq!(seen.len(), seen.iter().collect::<BTreeSet<_>>().len());
        assert!(graph.depth(&node).is_err() && graph.check_depth(&node).is_err());
        let below = graph.parents_size(&node);
        assert_eq!(below.bytes, 64 * (i64::try_from(seen.len())? - 1));
        assert!(below.stopped.is_some());
    }
    assert_eq!(graph.map()?.by_id.len(), 4);
    assert!(graph.heads()?.keys().eq([&id(4)]));
    assert_eq!(graph.by_parent()?.len(), 3);
    // Its own parent, and by a prefix.
    graph.delete(&id(4).to_string(), DeleteOptions::default())?;
    graph.delete(&id(3).to_string(), forced())?;
    graph.delete(&id(2).to_string(), forced())?;
    set_parent(&store, &id(1), &id(1).to_string()[..20]);
    let node = graph.get(&id(1).to_string())?;
    assert_eq!(
        graph.depth(&node).unwrap_err().kind(),
        GraphErrorKind::Damaged
    );
    assert!(graph.heads()?.is_empty());
    graph.delete(&id(1).to_string(), DeleteOptions::default())?;
    Ok(())
}

#[test]
fn p5_a_broken_node_is_told_and_hides_no_other() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    for number in 1..=9 {
        let parent = (number == 9).then(|| id(8));
        register(&graph, &id(number), parent.as_ref())?;
    }
    let file = |number, name| store.node(&id(number)).join(name);
    fs::write(file(1, "json"), "{")?;
    fs::remove_file(file(2, "json"))?;
    fs::write(file(3, "layersize"), "many")?;
    fs::remove_file(file(4, "layersize"))?;
    fs::create_dir(file(4, "layersize"))?;
    fs::remove_file(file(5, "json"))?;
    std::os::unix::fs::symlink("/etc/passwd", file(5, "json"))?;
    fs::copy(file(8, "json"), file(6, "json"))?;
    // Its size is to be computed, and the parent is not there.
    set_parent(&store, &id(7), &id(200).to_string());
    fs::remove_file(file(7, "layersize"))?;

    let nodes = graph.map()?;
    assert_eq!(
        nodes.by_id.keys().copied().collect::<Vec<_>>(),
        [id(8), id(9)]
    );
    let broken: Vec<String> = nodes
        .broken
        .iter()
        .map(|broken| broken.name.clone())
        .collect();
    assert_eq!(
        broken,
        (1..=7)
            .map(|number| id(number).to_string())
            .collect::<Vec<_>>()
    );
    for broken in &nodes.broken {
        assert_eq!(
            broken.error.kind(),
            GraphErrorKind::Damaged,
            "{:?}",
            broken.error
        );
        assert!(!graph.exists(&broken.name)?);
        assert_eq!(
            graph.get(&broken.name).unwrap_err().kind(),
            GraphErrorKind::Damaged
        );
    }
    let error = chain(&graph.get(&id(7).to_string()).unwrap_err());
    let text = format!("unable to calculate size of image id \"{}\": ", id(7));
    assert!(error.starts_with(&text), "{error}");
    assert_eq!(graph.by_parent()?.len(), 1);
    assert!(graph.heads()?.keys().eq([&id(9)]));
    // They are in nobody's way, and can be deleted.
    graph.delete(&id(9).to_string(), DeleteOptions::default())?;
    for number in 1..=8 {
        graph.delete(&id(number).to_string(), DeleteOptions::default())?;
    }
    assert!(store.contents().is_empty());
    Ok(())
}

#[test]
fn what_others_build_on_is_deleted_only_by_force_and_leaves_them_readable() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register(&graph, &id(1), None)?;
    register(&graph, &id(2), Some(&id(1)))?;
    let (parent, child) = (id(1).to_string(), id(2).to_string());
    let before = (store.contents(), listing_of(&graph, &id(2)));
    let refused = |graph: &Graph| {
        let error = graph.delete(&parent, DeleteOptions::default()).unwrap_err();
        assert_eq!(error.kind(), GraphErrorKind::InUse);
        assert!(error.to_string().contains(&child), "{error}");
    };
    refused(&graph);
    assert!(store.contents() == before.0);
    // Also by a node that is broken, or names its parent by a prefix.
    fs::write(store.node(&id(2)).join("layersize"), "x")?;
    refused(&graph);
    fs::write(store.node(&id(2)).join("layersize"), "64")?;
    set_parent(&store, &id(2), &parent[..63]);
    graph
        .delete(&parent, DeleteOptions::default())
        .expect("the prefix says no more whose it is");
    register(&graph, &id(1), None)?;
    graph.delete(&child, DeleteOptions::default())?;
    register(&graph, &NodeId::from_bytes([7; 32]), Some(&id(1)))?;
    set_parent(&store, &NodeId::from_bytes([7; 32]), &parent[..12]);
    let error = graph.delete(&parent, DeleteOptions::default()).unwrap_err();
    assert_eq!(error.kind(), GraphErrorKind::InUse);
    graph.delete("0707", DeleteOptions::default())?;
    register(&graph, &id(2), Some(&id(1)))?;

    let deleted = graph.delete(&parent, forced())?;
    assert!(deleted.id == parent && deleted.leftover.is_none());
    let orphan = graph.get(&child)?;
    assert_eq!(listing_of(&graph, &id(2)), before.1);
    assert_eq!(orphan.parent(), Some(&*parent));
    assert!(graph.heads()?.contains_key(&id(2)) && graph.by_parent()?.is_empty());
    assert_eq!(
        graph.parent(&orphan).unwrap_err().kind(),
        GraphErrorKind::NotFound
    );
    // As long as the parent is missing, there is nothing to compare with.
    assert_eq!(
        graph.changes(&orphan).unwrap_err().kind(),
        GraphErrorKind::NotFound
    );
    register(&graph, &id(1), None)?;
    assert_eq!(graph.changes(&orphan)?.len(), 1);
    Ok(())
}

#[test]
fn ids_that_share_many_digits_are_told_apart_by_the_first_that_differs() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    let mut bytes = [0x5c; 32];
    let first = NodeId::from_bytes(bytes);
    // The 21st digit is another.
    bytes[10] = 0xac;
    let second = NodeId::from_bytes(bytes);
    register(&graph, &first, None)?;
    register(&graph, &second, None)?;
    let (one, two) = (first.to_string(), second.to_string());
    assert_eq!(one[..20], two[..20]);
    for digits in 1..=20 {
        let error = graph.get(&one[..digits]).unwrap_err();
        assert_eq!(error.kind(), GraphErrorKind::Ambiguous);
        let error = graph.delete(&one[..digits], forced()).unwrap_err();
        assert_eq!(error.kind(), GraphErrorKind::Ambiguous);
    }
    for digits in 21..=64 {
        assert_eq!(graph.get(&one[..digits])?.id(), first);
        assert_eq!(graph.get(&two[..digits])?.id(), second);
    }
    graph.delete(&two[..21], DeleteOptions::default())?;
    assert_eq!(graph.get(&one[..1])?.id(), first);
    Ok(())
}

#[test]
fn exists_is_an_error_where_it_could_not_be_looked() -> Result {
    let store = Store::in_memory()?;
    register(&store.open(), &id(1), None)?;
    let failing = Failing::default();
    let graph = open_with(store.root(), Hooked::open(store.root(), failing.hook()));
    register(&store.open(), &id(2), None)?;
    failing.arm(1);
    graph.exists(&id(2).to_string()).unwrap_err();
    assert!(graph.exists(&id(2).to_string())?);
    assert!(graph.driver().exists(&layer_id(&id(2)))?);
    Ok(())
}

#[test]
fn the_directory_of_half_made_nodes_is_never_a_node() -> Result {
    let store = Store::in_memory()?;
    register(&store.open(), &id(1), None)?;
    // A driver may have a layer of any name.
    fs::create_dir(store.path("vfs/dir/_tmp"))?;
    let graph = store.open();
    assert!(!graph.exists("_")?);
    assert!(graph.map()?.broken.is_empty());
    assert_eq!(
        graph.delete("_tmp", forced()).unwrap_err().kind(),
        GraphErrorKind::NotFound
    );
    Ok(())
}
