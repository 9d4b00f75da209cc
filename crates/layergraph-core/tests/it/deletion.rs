//! Nodes that go, alone or together.

use std::collections::BTreeSet;
use std::fs;

use layergraph_core::{DeleteOptions, DeletedAll, Graph, GraphErrorKind};
use layergraph_image::NodeId;

use crate::hooked::{Failing, Hooked, once_at_nth};
use crate::kept;
use crate::support::{
    Result, Store, forced, id, image, kind, layer_id, listing_of, open_with, other_id, register,
    register_all, register_apart,
};

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
    store.set_parent(&id(2), &parent[..63])?;
    let deleted = graph.delete(&parent, DeleteOptions::default());
    if kept::INDEPENDENT {
        // The driver knows, whatever the nodes say.
        assert_eq!(kind(deleted), GraphErrorKind::InUse);
    } else {
        deleted.expect("the prefix says no more whose it is");
        register(&graph, &id(1), None)?;
    }
    graph.delete(&child, DeleteOptions::default())?;
    register(&graph, &other_id(7), Some(&id(1)))?;
    store.set_parent(&other_id(7), &parent[..12])?;
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
    if kept::INDEPENDENT {
        // The old tree is the one that the orphan needs. It goes with the orphan.
        let refused = graph.register(&image(&id(1), None), None);
        assert_eq!(kind(refused), GraphErrorKind::InUse);
        assert!(store.tree(&id(1)).exists());
        graph.delete(&child, DeleteOptions::default())?;
        assert!(store.contents().is_empty());
        return Ok(());
    }
    register(&graph, &id(1), None)?;
    assert_eq!(graph.changes(&orphan)?.len(), 1);
    Ok(())
}

#[test]
fn trees_that_outlive_their_nodes_go_when_nothing_needs_them_any_more() -> Result {
    // The last one may go by this graph, or with what a process that was killed has left.
    for is_swept in [false, true] {
        let store = Store::in_memory()?;
        let graph = store.open();
        register_all(&graph, FOREST)?;
        for number in [2, 1, 4] {
            let deleted = graph.delete(&id(number).to_string(), forced())?;
            assert!(deleted.leftover.is_none(), "{deleted:?}");
            assert_eq!(store.tree(&id(number)).exists(), kept::INDEPENDENT);
        }
        let trees = [3, 5].map(|number| listing_of(&graph, &id(number)));
        assert_eq!(store.open().sweep()?, 0);
        assert_eq!([3, 5].map(|number| listing_of(&graph, &id(number))), trees);
        if is_swept {
            for number in [3, 5] {
                graph.driver().remove(&layer_id(&id(number)))?;
                fs::remove_dir_all(store.node(&id(number)))?;
            }
            store.open();
        } else {
            // 2 goes with 3, and 1 with the last of 3 and 5.
            gone(&graph, &[3], DeleteOptions::default())?;
            assert!(!store.tree(&id(2)).exists());
            assert_eq!(store.tree(&id(1)).exists(), kept::INDEPENDENT);
            gone(&graph, &[5], DeleteOptions::default())?;
        }
        gone(&graph, &[6], DeleteOptions::default())?;
        assert!(store.contents().is_empty());
    }
    Ok(())
}

fn names(numbers: &[u8]) -> Vec<String> {
    numbers
        .iter()
        .map(|number| id(*number).to_string())
        .collect()
}

fn delete_all(
    graph: &Graph,
    names: &[String],
    options: DeleteOptions,
) -> layergraph_core::Result<DeletedAll> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    graph.delete_all(&names, options)
}

/// Deletes these, and returns the last bytes of the ids of all that went, in that order.
fn gone(graph: &Graph, numbers: &[u8], options: DeleteOptions) -> Result<Vec<u8>> {
    let all = delete_all(graph, &names(numbers), options)?;
    assert!(all.failed.is_none(), "{all:?}");
    deleted(&all)
}

fn deleted(all: &DeletedAll) -> Result<Vec<u8>> {
    let mut numbers = Vec::new();
    for deleted in &all.deleted {
        assert!(deleted.leftover.is_none(), "{deleted:?}");
        numbers.push(NodeId::parse(&deleted.id)?.as_bytes()[31]);
    }
    Ok(numbers)
}

/// Two trees of nodes: `1 <- (2 <- 3, 4 <- 5)` and `6`.
const FOREST: &[(u8, Option<u8>)] = &[
    (1, None),
    (2, Some(1)),
    (3, Some(2)),
    (4, Some(1)),
    (5, Some(4)),
    (6, None),
];

#[test]
fn nodes_that_build_on_each_other_go_together_children_first() -> Result {
    for numbers in [
        &[1, 2, 3, 4, 5][..],
        &[5, 4, 3, 2, 1],
        &[6, 4, 1, 5, 3, 2],
        &[2, 3],
        &[4, 6, 5],
    ] {
        let store = Store::in_memory()?;
        let graph = store.open();
        register_all(&graph, FOREST)?;
        let order = gone(&graph, numbers, DeleteOptions::default())?;
        let all: BTreeSet<u8> = numbers.iter().copied().collect();
        assert_eq!(order.iter().copied().collect::<BTreeSet<u8>>(), all);
        for (child, parent) in FOREST {
            let at = |number| order.iter().position(|gone| *gone == number);
            if let (Some(child), Some(parent)) = (at(*child), parent.and_then(at)) {
                assert!(child < parent, "{order:?}");
            }
        }
        let left = graph.map()?.by_id;
        assert_eq!(left.len() + all.len(), FOREST.len());
        for node in left.values() {
            graph.depth(node).expect("nobody is an orphan");
        }
        assert!(store.unfinished().is_empty());
        gone(&graph, &names_left(&graph)?, DeleteOptions::default())?;
        assert!(store.contents().is_empty());
    }
    Ok(())
}

fn names_left(graph: &Graph) -> Result<Vec<u8>> {
    let ids = graph.map()?.by_id.into_keys();
    Ok(ids.map(|id| id.as_bytes()[31]).collect())
}

#[test]
fn a_node_that_is_named_twice_or_by_a_prefix_goes_once() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    let other = register_apart(&graph)?;
    let names = [
        id(1).to_string(),
        "0".to_owned(),
        other.to_string(),
        "a".to_owned(),
        id(1).to_string(),
    ];
    let all = delete_all(&graph, &names, DeleteOptions::default())?;
    assert_eq!(deleted(&all)?, [7, 1]);
    assert!(all.failed.is_none() && store.contents().is_empty());
    Ok(())
}

#[test]
fn of_no_names_nothing_goes() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register(&graph, &id(1), None)?;
    let before = store.contents();
    assert_eq!(gone(&graph, &[], forced())?, [0; 0]);
    assert!(store.contents() == before);
    Ok(())
}

#[test]
fn what_may_not_go_is_refused_before_anything_goes() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register_all(&graph, FOREST)?;
    let before = store.contents();
    let (plain, name) = (DeleteOptions::default(), |text: &str| vec![text.to_owned()]);
    for (more, options, expected) in [
        (names(&[9]), plain, GraphErrorKind::NotFound),
        (names(&[9]), forced(), GraphErrorKind::NotFound),
        (name("abab"), forced(), GraphErrorKind::Ambiguous),
        (name("not an id"), forced(), GraphErrorKind::NotFound),
        (name(""), forced(), GraphErrorKind::NotFound),
        // 5 builds on 4, which builds on 1.
        (names(&[4]), plain, GraphErrorKind::InUse),
        (names(&[1, 2, 4]), plain, GraphErrorKind::InUse),
    ] {
        let named = [names(&[6, 3]), more].concat();
        assert_eq!(
            kind(delete_all(&graph, &named, options)),
            expected,
            "{named:?}"
        );
        assert!(store.contents() == before, "{named:?}");
    }
    let error = delete_all(&graph, &names(&[1, 2, 3, 4]), plain).unwrap_err();
    for number in [4, 5] {
        assert!(
            error.to_string().contains(&id(number).to_string()),
            "{error}"
        );
    }
    Ok(())
}

#[test]
fn by_force_those_that_build_on_the_named_stay_as_orphans() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register_all(&graph, FOREST)?;
    let trees = [3, 5].map(|number| listing_of(&graph, &id(number)));
    let order = gone(&graph, &[1, 4, 2], forced())?;
    assert_eq!(order.last(), Some(&1));
    assert_eq!(names_left(&graph)?, [3, 5, 6]);
    assert_eq!([3, 5].map(|number| listing_of(&graph, &id(number))), trees);
    Ok(())
}

#[test]
fn a_broken_child_goes_with_its_parent() -> Result {
    let plain = DeleteOptions::default();
    for (file, is_child) in [("layersize", true), ("json", false)] {
        let store = Store::in_memory()?;
        let graph = store.open();
        register_all(&graph, &[(1, None), (2, Some(1)), (3, Some(2))])?;
        fs::write(store.node(&id(2)).join(file), "{")?;
        let before = store.contents();
        // Who cannot say what he builds on is nobody's child.
        if is_child {
            assert_eq!(
                kind(delete_all(&graph, &names(&[1]), plain)),
                GraphErrorKind::InUse
            );
        }
        // Broken or not, there is one who builds on it.
        let refused = delete_all(&graph, &names(&[1, 2]), plain);
        assert_eq!(kind(refused), GraphErrorKind::InUse);
        assert!(store.contents() == before);
        let order = gone(&graph, &[1, 2, 3], plain)?;
        let at = |number| order.iter().position(|gone| *gone == number);
        assert!(at(3) < at(2) && (!is_child || at(2) < at(1)), "{order:?}");
        assert!(store.contents().is_empty());
    }
    Ok(())
}

/// A circle `1 <- 2 <- 3 <- 1`, and `4` on top of `3`.
fn circle(store: &Store) -> Result<Graph> {
    let graph = store.open();
    register_all(
        &graph,
        &[(1, None), (2, Some(1)), (3, Some(2)), (4, Some(3))],
    )?;
    store.set_parent(&id(1), &id(3).to_string())?;
    Ok(graph)
}

#[test]
fn a_circle_goes_whole_and_in_part_only_by_force() -> Result {
    let plain = DeleteOptions::default();
    let store = Store::in_memory()?;
    let graph = circle(&store)?;
    let before = store.contents();
    for part in [&[1][..], &[1, 2], &[3, 4], &[2, 3, 4], &[1, 2, 3]] {
        let refused = delete_all(&graph, &names(part), plain);
        assert_eq!(kind(refused), GraphErrorKind::InUse, "{part:?}");
        assert!(store.contents() == before, "{part:?}");
    }
    // What builds on the circle is no part of it, and goes first.
    let order = gone(&graph, &[1, 2, 3, 4], plain)?;
    assert_eq!((order.len(), order[0]), (4, 4));
    assert!(store.contents().is_empty());

    let graph = circle(&store)?;
    assert_eq!(gone(&graph, &[3, 2], forced())?.len(), 2);
    assert_eq!(names_left(&graph)?, [1, 4]);
    assert_eq!(gone(&graph, &[1, 4], plain)?.len(), 2);

    // A node on top of itself is a circle too.
    register(&graph, &id(1), None)?;
    store.set_parent(&id(1), &id(1).to_string())?;
    assert_eq!(gone(&graph, &[1], plain)?, [1]);
    assert!(store.contents().is_empty());
    Ok(())
}

#[test]
fn what_fails_in_the_middle_is_told_with_what_has_gone() -> Result {
    // While the tree of one of them goes, another builds on the last one, or deletes it. One that
    // has gone and comes back counts as well.
    for (nth, child, expected, left) in [
        (1, Some(5), GraphErrorKind::InUse, &[1, 5][..]),
        (2, Some(3), GraphErrorKind::InUse, &[1, 3]),
        (1, None, GraphErrorKind::NotFound, &[]),
    ] {
        let store = Store::in_memory()?;
        let other = store.open();
        register_all(&other, &[(1, None), (2, Some(1)), (3, Some(2))])?;
        let act = once_at_nth(nth, "remove", move || {
            if let Some(child) = child {
                register(&other, &id(child), Some(&id(1))).expect("it is there");
            } else {
                let deleted = other.delete(&id(1).to_string(), forced());
                assert!(deleted.expect("it is there").leftover.is_none());
            }
        });
        let graph = open_with(store.root(), Hooked::open(store.root(), act));
        let all = delete_all(&graph, &names(&[1, 2, 3]), DeleteOptions::default())?;
        assert_eq!(deleted(&all)?, [3, 2]);
        let failed = all.failed.expect("one is not deleted by us");
        assert_eq!(failed.kind(), expected);
        assert!(failed.to_string().contains(&id(1).to_string()), "{failed}");
        assert_eq!(names_left(&graph)?, left);
        assert!(store.unfinished().is_empty());
    }
    Ok(())
}

#[test]
fn p2_a_driver_that_fails_at_any_call_leaves_each_node_whole_or_gone() -> Result {
    for nth in 1.. {
        let store = Store::in_memory()?;
        let failing = Failing::default();
        let graph = open_with(store.root(), Hooked::open(store.root(), failing.hook()));
        register_all(&graph, FOREST)?;
        let before = store.contents();
        failing.arm(nth);
        let result = delete_all(&graph, &names(&[1, 2, 3, 4, 5]), DeleteOptions::default());
        let has_failed = failing.has_failed();
        failing.arm(0);
        let Ok(all) = result else {
            assert!(has_failed && store.contents() == before, "call {nth}");
            continue;
        };
        let leftovers = all
            .deleted
            .iter()
            .filter(|deleted| deleted.leftover.is_some());
        let leftovers = leftovers.count();
        let told = leftovers + usize::from(all.failed.is_some());
        // A tree that is left over keeps the one below it.
        let is_kept = kept::INDEPENDENT && leftovers == 1 && all.failed.is_some();
        assert_eq!(
            told,
            usize::from(has_failed) + usize::from(is_kept),
            "call {nth}: {all:?}"
        );
        let mut left = names(&[1, 2, 3, 4, 5, 6]);
        left.retain(|name| !all.deleted.iter().any(|deleted| deleted.id == *name));
        let nodes = graph.map()?;
        assert!(nodes.broken.is_empty(), "call {nth}");
        let found: Vec<String> = nodes.by_id.keys().map(ToString::to_string).collect();
        assert_eq!(found, left, "call {nth}");
        if !has_failed {
            break;
        }
    }
    Ok(())
}
