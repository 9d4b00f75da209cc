//! Who builds on whom: parents by name and by prefix, what is remembered of them, and circles.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use layergraph_core::{DeleteOptions, Graph, GraphError, GraphErrorKind};
use layergraph_image::NodeId;

use layergraph_tests::error_chain;

use crate::hooked::{Hooked, once_at};
use crate::kept;
use crate::support::{
    Result, Store, forced, id, image, kind, open_with, other_id, register, register_all,
    register_apart,
};

/// Deletes a node that nobody is to build on.
fn delete(graph: &Graph, number: u8) -> Result<(), GraphError> {
    let deleted = graph.delete(&id(number).to_string(), DeleteOptions::default())?;
    assert!(deleted.leftover.is_none(), "{deleted:?}");
    Ok(())
}

#[test]
fn a_circle_of_parents_ends_every_walk_and_no_list() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register_all(
        &graph,
        &[(1, None), (2, Some(1)), (3, Some(2)), (4, Some(3))],
    )?;
    // 1 <- 2 <- 3 <- 1, and 4 on top of 3.
    store.set_parent(&id(1), &id(3).to_string())?;
    for number in 1..=4 {
        let node = graph.get(&id(number).to_string())?;
        let mut seen = Vec::new();
        let walked = graph.walk_history(&node, |node| {
            seen.push(node.id());
            Ok::<(), GraphError>(())
        });
        let error = walked.expect_err("it never ends");
        assert_eq!(error.kind(), GraphErrorKind::Damaged);
        assert!(error_chain(&error).starts_with("Error while getting parent image: "));
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
    store.set_parent(&id(1), &id(1).to_string()[..20])?;
    let node = graph.get(&id(1).to_string())?;
    assert_eq!(kind(graph.depth(&node)), GraphErrorKind::Damaged);
    assert!(graph.heads()?.is_empty());
    graph.delete(&id(1).to_string(), DeleteOptions::default())?;
    Ok(())
}

#[test]
fn a_parent_is_forgotten_when_the_node_is_made_anew() -> Result {
    // What was just made is not remembered, what has been left alone for a while is. On a disk,
    // where the numbers of inodes come again at once.
    for (pause, rounds) in [(Duration::ZERO, 40), (Duration::from_millis(250), 3)] {
        let store = Store::new()?;
        let (graph, other) = (store.open(), store.open());
        register_all(&other, &[(1, None), (2, None), (3, Some(1))])?;
        for round in 0..=rounds {
            let (old, new) = if round % 2 == 0 { (1, 2) } else { (2, 1) };
            thread::sleep(pause);
            for _ in 0..2 {
                assert_eq!(kind(delete(&graph, old)), GraphErrorKind::InUse);
            }
            delete(&other, 3)?;
            register(&other, &id(3), Some(&id(new)))?;
            assert_eq!(kind(delete(&graph, new)), GraphErrorKind::InUse);
            delete(&graph, old)?;
            register(&graph, &id(old), None)?;
        }
        // Nor is anything remembered of a node that is gone.
        let last = if rounds % 2 == 0 { 2 } else { 1 };
        thread::sleep(pause);
        assert_eq!(kind(delete(&graph, last)), GraphErrorKind::InUse);
        delete(&other, 3)?;
        delete(&graph, last)?;
    }
    Ok(())
}

#[test]
fn g9_a_layer_that_has_the_name_of_a_parent_comes_before_a_node_that_begins_so() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    let other = register_apart(&graph)?;
    store.set_parent(&other, "abab")?;
    let node = graph.get("07")?;

    // There is no such layer: it is the node that begins so.
    assert_eq!(graph.parent(&node)?.expect("found").id(), id(1));
    assert_eq!(graph.by_parent()?[&id(1)], [other]);
    assert!(graph.heads()?.keys().eq([&other]));
    assert_eq!(graph.depth(&node)?, 2);
    assert_eq!(graph.changes(&node)?.len(), 1);
    assert_eq!(kind(delete(&graph, 1)), GraphErrorKind::InUse);

    // As that of a container, which is no node.
    store.plant("abab")?;
    assert_eq!(kind(graph.parent(&node)), GraphErrorKind::NotFound);
    assert!(graph.by_parent()?.is_empty());
    assert_eq!(graph.heads()?.len(), 2);
    assert_eq!(kind(graph.depth(&node)), GraphErrorKind::NotFound);
    // Both files are new on top of an empty tree.
    let changes = graph.changes(&node)?;
    let files = changes.iter().filter(|change| change.to_string() != "C /");
    assert_eq!(files.count(), 2, "{changes:?}");
    let deleted = delete(&graph, 1);
    if kept::INDEPENDENT {
        // The driver knows who needs the tree.
        assert_eq!(kind(deleted), GraphErrorKind::InUse);
        return Ok(());
    }
    deleted.map_err(Box::from)
}

#[test]
fn g9_a_prefix_that_several_nodes_begin_with_is_nobodys_parent() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register(&graph, &id(2), None)?;
    let other = register_apart(&graph)?;
    store.set_parent(&other, "abab")?;
    let node = graph.get("07")?;
    assert_eq!(kind(graph.parent(&node)), GraphErrorKind::Ambiguous);
    assert!(graph.by_parent()?.is_empty());
    // So a third one is no circle either, and is nobody's parent.
    register(&graph, &id(3), Some(&other))?;
    assert_eq!(graph.by_parent()?.len(), 1);
    for number in [3, 2] {
        delete(&graph, number)?;
    }
    assert_eq!(kind(delete(&graph, 1)), GraphErrorKind::InUse);
    Ok(())
}

#[test]
fn g8_a_parent_in_the_form_of_an_id_is_a_node_and_no_mere_tree() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register(&graph, &id(1), None)?;
    for tree in [id(2).to_string(), "web-init".to_owned()] {
        store.plant(&tree)?;
    }
    let before = store.contents();
    let on_tree = graph.register(&image(&id(3), Some(&id(2))), None);
    assert_eq!(kind(on_tree), GraphErrorKind::NotFound);
    let mut on_container = image(&id(3), None);
    // Neither a prefix of the layer's name nor one of a node's id.
    for prefix in ["web", "abab"] {
        prefix.clone_into(&mut on_container.parent);
        let refused = graph.register(&on_container, None);
        assert_eq!(kind(refused), GraphErrorKind::NotFound, "{prefix}");
    }
    assert!(store.contents() == before);
    "web-init".clone_into(&mut on_container.parent);
    graph.register(&on_container, None)?;
    let node = graph.get(&id(3).to_string())?;
    assert_eq!(graph.changes(&node)?, []);
    assert_eq!(kind(graph.parent(&node)), GraphErrorKind::NotFound);
    Ok(())
}

/// Registers two nodes on `id(1)`, which is gone then, and returns them from below.
fn orphans(graph: &Graph) -> Result<[NodeId; 2]> {
    let orphans = [register_apart(graph)?, other_id(8)];
    register(graph, &orphans[1], Some(&orphans[0]))?;
    let deleted = graph.delete(&id(1).to_string(), forced())?;
    assert!(deleted.leftover.is_none());
    Ok(orphans)
}

#[test]
fn a_node_that_would_be_its_own_ancestor_is_refused_and_changes_nothing() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    let orphans = orphans(&graph)?;
    let whole = id(1).to_string();
    // Also where the orphan names it by a prefix that no other node has.
    for name in ["a", &whole[..63], &whole] {
        store.set_parent(&orphans[0], name)?;
        let before = store.contents();
        for parent in &orphans {
            let refused = graph.register(&image(&id(1), Some(parent)), None);
            let error = refused.expect_err("it leads back");
            assert_eq!(error.kind(), GraphErrorKind::Circle, "{name}: {error:?}");
            assert!(error_chain(&error).contains(&whole), "{error}");
            assert!(store.contents() == before, "{name}");
            assert!(store.unfinished().is_empty());
        }
    }
    // Elsewhere it is none, nor is what builds on it then.
    register(&graph, &id(2), Some(&orphans[1]))?;
    if kept::INDEPENDENT {
        // Its old tree is needed as long as the orphans are there.
        let refused = graph.register(&image(&id(1), None), None);
        assert_eq!(kind(refused), GraphErrorKind::InUse);
        return Ok(());
    }
    register(&graph, &id(1), None)?;
    assert_eq!(graph.depth(&graph.get(&id(2).to_string())?)?, 4);
    Ok(())
}

#[test]
fn a_circle_that_is_there_keeps_nobody_from_building_on_it() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register_all(&graph, &[(1, None), (2, Some(1))])?;
    store.set_parent(&id(1), &id(2).to_string())?;
    register(&graph, &id(3), Some(&id(1)))?;
    let node = graph.get(&id(3).to_string())?;
    assert_eq!(kind(graph.depth(&node)), GraphErrorKind::Damaged);
    assert!(graph.heads()?.keys().eq([&id(3)]));
    Ok(())
}

/// Leaves two orphans, `3` that names `1` and `4` that names `2`, so that `1` on `4` and `2` on `3`
/// are a circle together.
fn two_orphans(graph: &Graph) -> Result {
    register_all(graph, &[(1, None), (2, None), (3, Some(1)), (4, Some(2))])?;
    for number in [1, 2] {
        let deleted = graph.delete(&id(number).to_string(), forced())?;
        assert!(deleted.leftover.is_none());
    }
    Ok(())
}

fn has_circle(graph: &Graph) -> Result<bool> {
    let mut kinds = Vec::new();
    for node in graph.map()?.by_id.values() {
        kinds.extend(graph.depth(node).err().map(|error| error.kind()));
    }
    Ok(kinds.contains(&GraphErrorKind::Damaged))
}

#[test]
fn two_that_are_made_at_once_are_no_circle_together() -> Result {
    for _ in 0..20 {
        let store = Store::in_memory()?;
        two_orphans(&store.open())?;
        // The one waits, when it has looked at its ancestors, until the other one is there, or has
        // had the time for it.
        let (done, is_done) = mpsc::channel();
        let wait = once_at("commit", move || {
            let _ = is_done.recv_timeout(Duration::from_millis(100));
        });
        let (graph, other) = (
            open_with(store.root(), Hooked::open(store.root(), wait)),
            store.open(),
        );
        let (first, second) = thread::scope(|scope| {
            let first = scope.spawn(|| graph.register(&image(&id(1), Some(&id(4))), None));
            let second = scope.spawn(|| {
                let result = other.register(&image(&id(2), Some(&id(3))), None);
                let _ = done.send(());
                result
            });
            (first.join(), second.join())
        });
        let both = [first, second].map(|result| result.expect("it does not panic"));
        assert!(!has_circle(&graph)?, "{both:?}");
        let refused: Vec<_> = both.into_iter().filter_map(Result::err).collect();
        let kinds: Vec<_> = refused.iter().map(GraphError::kind).collect();
        let expected: &[_] = if kept::INDEPENDENT {
            // Their old trees are needed by the orphans.
            &[GraphErrorKind::InUse, GraphErrorKind::InUse]
        } else {
            &[GraphErrorKind::Circle]
        };
        assert_eq!(kinds, expected, "{refused:?}");
        assert!(store.unfinished().is_empty());
        assert_eq!(graph.map()?.by_id.len(), 4 - expected.len());
    }
    Ok(())
}
