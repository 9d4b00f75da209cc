//! Many threads and processes on one store.
//!
//! Each registers, reads and deletes nodes at random, and they share ids and parents. What each
//! layer holds is marked with a token that no other has, so that halves and mixtures are seen. The
//! operations that succeeded are logged; those on one id exclude each other, so the log tells what
//! has to be there at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use layergraph_core::{DeleteOptions, Graph, GraphError, GraphErrorKind};
use layergraph_driver::{DriverErrorKind, LayerId};
use layergraph_tests::{Partner, partner_home, ready_until_told, say, this_test};

use crate::support::{Result, Store, files_of, forced, id, image, open};
use crate::worker::{ALL, Done, LAYERED, Worker, names, written};

/// Checks that each node is whole, and returns the tokens.
fn check_nodes(store: &Store, graph: &Graph) -> BTreeMap<u8, String> {
    let nodes = graph.map().expect("it can be listed");
    assert!(nodes.broken.is_empty(), "{:?}", nodes.broken);
    let mut tokens = BTreeMap::new();
    for node in nodes.by_id.values() {
        let number = node.id().as_bytes()[31];
        let token = node.image().comment.clone();
        let mut tree: BTreeMap<u8, Vec<(String, String)>> = BTreeMap::new();
        for (name, text) in files_of(graph, &node.id()) {
            let layer = name[1..2].parse().expect("a name of ours");
            tree.entry(layer).or_default().push((name, text));
        }
        // The files of each layer in it are those of one registration, and none is missing.
        for (layer, files) in &mut tree {
            files.sort();
            let token = if *layer == number {
                &token
            } else {
                &files[0].1
            };
            let whole = names(*layer).map(|name| (name, token.clone()));
            assert_eq!(files[..], whole, "in the tree of {number}");
        }
        assert_eq!(tree.contains_key(&number), number < LAYERED);
        for file in fs::read_dir(store.node(&node.id())).expect("a node has files") {
            let name = file.expect("a readable directory").file_name();
            assert!(
                ["json", "layersize", "checksum", "tar-data.json.gz"]
                    .iter()
                    .any(|file| name == *file),
                "{}",
                name.display()
            );
        }
        tokens.insert(number, token);
    }
    tokens
}

/// Checks that no node is its own ancestor, whatever was missing when they were made.
fn check_histories(graph: &Graph) {
    for node in graph.map().expect("it can be listed").by_id.values() {
        if let Err(error) = graph.depth(node) {
            assert_eq!(error.kind(), GraphErrorKind::NotFound, "{error:?}");
        }
    }
}

/// Checks the store against what was done.
fn check_end(store: &Store, done: &[Done]) {
    let graph = store.open();
    let tokens = check_nodes(store, &graph);
    check_histories(&graph);
    assert!(store.unfinished().is_empty(), "{:?}", store.unfinished());
    let count = |number, registered| {
        let same = |done: &&Done| done.id == number && done.token.is_some() == registered;
        done.iter().filter(same).count()
    };
    for number in 0..ALL {
        let (registered, deleted) = (count(number, true), count(number, false));
        assert!(
            registered > 0 && deleted > 0,
            "{number}: {registered} and {deleted}"
        );
        let token = tokens.get(&number);
        assert_eq!(
            registered,
            deleted + usize::from(token.is_some()),
            "{number}"
        );
        // The operation whose result is there was the last: none began after its end.
        let of_id = || done.iter().filter(|done| done.id == number);
        let mut results = of_id().filter(|done| done.token.as_ref() == token);
        let is_last = |last: &Done| of_id().all(|done| done.start <= last.end);
        assert!(results.any(is_last), "{number}: {token:?}");
    }
    check_trees(store, &tokens);
}

/// Checks that there is a tree for each node, and no other but those that are needed.
fn check_trees(store: &Store, tokens: &BTreeMap<u8, String>) {
    let graph = store.open();
    let trees = graph.driver().list().expect("it can be listed");
    let expected: BTreeSet<String> = tokens
        .keys()
        .map(|number| id(*number).to_string())
        .collect();
    let is_needed = |tree: &LayerId| {
        let unused = graph.driver().check_unused(tree);
        unused.is_err_and(|error| error.kind() == DriverErrorKind::InUse)
    };
    let counts = |tree: &&LayerId| expected.contains(tree.as_str()) || !is_needed(tree);
    let trees = trees.iter().filter(counts).map(ToString::to_string);
    let trees: BTreeSet<String> = trees.collect();
    assert_eq!(trees, expected);
}

#[test]
fn p7_threads_leave_what_their_last_operations_made() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    let done = Mutex::new(Vec::new());
    let log = |operation| {
        done.lock()
            .expect("nobody panics while it logs")
            .push(operation);
    };
    thread::scope(|scope| {
        for number in 0..16 {
            let mut worker = Worker::new(&graph, number, &log);
            scope.spawn(move || worker.work(60));
        }
    });
    drop(graph);
    check_end(&store, &done.into_inner()?);
    Ok(())
}

#[test]
fn p7_a_node_that_comes_and_goes_is_read_whole_or_not_at_all() -> Result {
    // A size that is stated differs from the one that would be computed if its file were missed;
    // one that has to be computed is written down while the node may go.
    for (stated, size) in [(7, 7), (-1, 0)] {
        let store = Store::in_memory()?;
        let (graph, other) = (store.open(), store.open());
        let mut described = image(&id(1), None);
        described.size = stated;
        let whole = id(1).to_string();
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..400 {
                    other.register(&described, None).expect("it is free");
                    let deleted = other.delete(&whole, DeleteOptions::default());
                    let leftover = deleted.expect("it is there").leftover;
                    assert!(leftover.is_none(), "{leftover:?}");
                }
                is_done.store(true, Ordering::SeqCst);
            });
            while !is_done.load(Ordering::SeqCst) {
                let absent = |error: GraphError| {
                    assert_eq!(error.kind(), GraphErrorKind::NotFound, "{error:?}");
                };
                match graph.get(&whole) {
                    Ok(node) => assert_eq!(node.size(), size),
                    Err(error) => absent(error),
                }
                graph.raw_json(&id(1)).map_or_else(absent, |_| ());
                let nodes = graph.map().expect("it can be listed");
                assert!(nodes.broken.is_empty(), "{:?}", nodes.broken);
            }
        });
        assert!(store.unfinished().is_empty(), "{:?}", store.unfinished());
    }
    Ok(())
}

/// What a partner process does: it works and logs.
fn partner(root: &Path, operations: usize) -> Result {
    let graph = open(root);
    ready_until_told()?;
    let number = usize::try_from(std::process::id())? % 1000;
    let log = |done: Done| say(&done.line()).expect("somebody listens");
    Worker::new(&graph, number, &log).work(operations);
    Ok(())
}

fn start_partners(store: &Store, test: &str, count: usize) -> Result<Vec<Partner>> {
    let start = |_| Partner::start(test, store.root());
    let mut partners: Vec<Partner> = (0..count).map(start).collect::<std::io::Result<_>>()?;
    for partner in &mut partners {
        partner.wait_ready()?;
    }
    for partner in &mut partners {
        partner.tell();
    }
    Ok(partners)
}

#[test]
fn p7_processes_leave_what_their_last_operations_made() -> Result {
    if let Some(root) = partner_home() {
        return partner(&root, 100);
    }
    let store = Store::in_memory()?;
    store.open();
    let mut done = Vec::new();
    for partner in start_partners(&store, &this_test!(), 8)? {
        let said = partner.finish()?;
        done.extend(said.iter().filter_map(|line| Done::parse(line)));
    }
    check_end(&store, &done);
    Ok(())
}

#[test]
fn p1_processes_that_are_killed_leave_no_damage_and_nobody_waiting() -> Result {
    if let Some(root) = partner_home() {
        return partner(&root, 200);
    }
    let store = Store::in_memory()?;
    store.open();
    let mut partners = start_partners(&store, &this_test!(), 8)?;
    // Those that are killed are at work: each has said something already.
    for partner in partners.drain(..5) {
        let mut partner = partner;
        partner.wait_line("done ")?;
        partner.kill()?;
        check_nodes_while_others_work(&store);
    }
    for partner in partners {
        partner.finish()?;
    }
    let graph = store.open();
    assert!(store.unfinished().is_empty(), "{:?}", store.unfinished());
    check_nodes(&store, &graph);
    check_histories(&graph);
    // Trees without node may be left, and are nobody's hindrance.
    for number in 0..ALL {
        let whole = id(number).to_string();
        if graph.exists(&whole)? {
            graph.delete(&whole, forced())?;
        }
    }
    for number in 0..ALL {
        let mut described = image(&id(number), None);
        "999-99999999".clone_into(&mut described.comment);
        let tar = written(number, &described.comment);
        let layer: Option<&mut (dyn std::io::Read + Send)> = if number < LAYERED {
            Some(&mut &tar[..])
        } else {
            None
        };
        graph.register(&described, layer)?;
    }
    let tokens = check_nodes(&store, &graph);
    assert_eq!(tokens.len(), usize::from(ALL));
    check_trees(&store, &tokens);
    Ok(())
}

fn check_nodes_while_others_work(store: &Store) {
    let graph = store.open();
    let nodes = graph.map().expect("it can be listed");
    assert!(nodes.broken.is_empty(), "{:?}", nodes.broken);
}
