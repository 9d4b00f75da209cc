//! What holds of every graph: all or nothing, nobody hidden, nothing left.

use std::fs;
use std::io::{self, Read};

use layergraph_core::{DeleteOptions, Graph, GraphErrorKind, GraphOptions};
use layergraph_digest::{Algorithm, Digest, Hasher};
use layergraph_driver::DriverOptions;
use layergraph_driver::conformance::ModelDriver;
use layergraph_image::NodeId;

use layergraph_tests::error_chain;

use crate::hooked::{Failing, Hooked, once_at};
use crate::kept;
use crate::support::{
    FailsAfter, Meanwhile, Result, Store, forced, id, image, layer, layer_id, listing_of,
    open_driver, open_with, register,
};

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
        assert!(error_chain(&error).ends_with("the source is gone"));
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
    store.plant(&id(2).to_string())?;
    fs::create_dir(store.files(&id(2)).join("left"))?;
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
            |path: &std::path::PathBuf| path.starts_with(kept::NAME) && before.contains_key(path);
        after.extend(before.clone().into_iter().filter(|(path, _)| left(path)));
        assert!(after == before, "call {nth}");
    }
    assert!(!store.files(&id(2)).join("left").exists());

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
fn records_of_directories_have_their_limit_and_what_the_decoder_does_not_need() -> Result {
    let tar = layer(&["d/", "d/e/", "d/e/f = x"]);
    // The largest number is no limit, and none at all still leaves what the decoder had.
    for bytes in [0, 1, usize::MAX] {
        let store = Store::in_memory()?;
        let mut options = GraphOptions::default();
        options.limits.directory_bytes = bytes;
        let graph = Graph::open(store.root(), open_driver(store.root()), &options)?;
        let node = graph.register(&image(&id(1), None), Some(&mut &tar[..]))?;
        assert_eq!(node.size(), 1, "{bytes}");
    }
    Ok(())
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
    assert_eq!(
        error_chain(&error),
        format!("Image {} already exists", id(1))
    );
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
    store.plant("_tmp")?;
    let graph = store.open();
    assert!(!graph.exists("_")?);
    assert!(graph.map()?.broken.is_empty());
    assert_eq!(
        graph.delete("_tmp", forced()).unwrap_err().kind(),
        GraphErrorKind::NotFound
    );
    Ok(())
}
