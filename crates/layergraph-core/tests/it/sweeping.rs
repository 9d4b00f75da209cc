//! What processes that were killed leave behind, and what a sweep makes of it.

use std::fs;
use std::path::Path;

use layergraph_core::{DeleteOptions, Graph, GraphErrorKind};
use layergraph_driver::{DriverError, DriverErrorKind};
use layergraph_tests::{Partner, partner_home, ready_until_told, this_test};
use rustix::fs::{FlockOperation, flock};

use crate::hooked::{COMMITTED, Hooked, REMOVED, once_at};
use crate::kept;
use crate::support::{
    Contents, Meanwhile, Result, Store, id, image, kind, layer, listing_of, open, open_driver,
    open_with, register, register_all, try_open,
};

/// A name as that of a directory in which something is being made.
const LEFT: &str = "graph/_tmp/.layergraph-0123456789abcdef";

/// Does something with the store at `root`, as a partner that never gets beyond the call it was
/// told.
fn work_until_killed(root: &Path, work: impl FnOnce(&Graph) -> Result) -> Result {
    let call = fs::read_to_string(root.with_extension("call"))?;
    let stop = once_at(call, || ready_until_told().expect("somebody listens"));
    work(&open_with(root, Hooked::open(root, stop)))
}

/// Lets the test's partner get as far as the call, and kills it there.
fn kill_at(store: &Store, test: &str, call: &str) -> Result {
    fs::write(store.root().with_extension("call"), call)?;
    let mut partner = Partner::start(test, store.root())?;
    partner.wait_ready()?;
    // It is at work, and nobody sweeps that.
    open(store.root());
    assert!(!store.unfinished().is_empty(), "{call}");
    partner.kill()?;
    Ok(())
}

/// `1 <- (2, 3)`, and the contents of the store before and after `2` was registered.
fn family() -> Result<(Store, Contents, Contents)> {
    let store = Store::in_memory()?;
    let graph = store.open();
    register_all(&graph, &[(1, None), (3, Some(1))])?;
    let without = store.contents();
    register(&graph, &id(2), Some(&id(1)))?;
    let with = store.contents();
    Ok((store, without, with))
}

/// Checks that all is tidy in a store that has just been opened.
fn assert_swept(store: &Store, graph: &Graph) -> Result {
    assert!(store.unfinished().is_empty(), "{:?}", store.unfinished());
    assert_eq!(graph.sweep()?, 0);
    Ok(())
}

/// Checks that `2` is gone from the store of a [`family`] when it is opened, and can be made anew.
fn assert_gone_and_made_anew(
    store: &Store,
    without: &Contents,
    with: &Contents,
    call: &str,
) -> Result {
    let graph = store.open();
    assert!(store.contents() == *without, "{call}");
    assert_swept(store, &graph)?;
    register(&graph, &id(2), Some(&id(1)))?;
    assert!(store.contents() == *with, "{call}");
    Ok(())
}

#[test]
fn p1_a_register_that_is_killed_at_any_step_leaves_nothing_once_the_store_is_opened() -> Result {
    if let Some(root) = partner_home() {
        return work_until_killed(&root, |graph| register(graph, &id(2), Some(&id(1))));
    }
    for (call, has_tree) in [("commit", false), (COMMITTED, true)] {
        let (store, without, with) = family()?;
        store
            .open()
            .delete(&id(2).to_string(), DeleteOptions::default())?;
        kill_at(&store, &this_test!(), call)?;
        assert_eq!(store.tree(&id(2)).exists(), has_tree, "{call}");
        assert!(!store.node(&id(2)).exists(), "{call}");
        assert_gone_and_made_anew(&store, &without, &with, call)?;
    }
    Ok(())
}

#[test]
fn p1_a_register_that_is_killed_while_it_reads_its_layer_leaves_nothing() -> Result {
    if let Some(root) = partner_home() {
        let graph = open(&root);
        let tar = layer(&["a = x"]);
        let wait = || ready_until_told().expect("somebody listens");
        let mut reader = Meanwhile {
            tar: &tar,
            act: Some(wait),
        };
        graph.register(&image(&id(2), Some(&id(1))), Some(&mut reader))?;
        return Ok(());
    }
    let store = Store::in_memory()?;
    register(&store.open(), &id(1), None)?;
    let before = store.contents();
    let mut partner = Partner::start(&this_test!(), store.root())?;
    partner.wait_ready()?;
    store.open();
    assert!(!store.unfinished().is_empty());
    partner.kill()?;
    let graph = store.open();
    assert!(store.unfinished().is_empty());
    assert!(store.contents() == before);
    register(&graph, &id(2), Some(&id(1)))
}

#[test]
fn p1_a_register_over_stale_metadata_that_is_killed_leaves_neither() -> Result {
    if let Some(root) = partner_home() {
        return work_until_killed(&root, |graph| register(graph, &id(2), Some(&id(1))));
    }
    for call in ["commit", COMMITTED] {
        let (store, without, with) = family()?;
        // As of a node of another driver, or one whose tree is lost.
        fs::remove_dir_all(store.tree(&id(2)))?;
        kill_at(&store, &this_test!(), call)?;
        // What the old one says is nowhere to be found beside the new tree.
        assert!(!store.node(&id(2)).exists(), "{call}");
        assert_gone_and_made_anew(&store, &without, &with, call)?;
    }
    Ok(())
}

#[test]
fn p1_a_delete_that_is_killed_at_any_step_is_complete_once_the_store_is_opened() -> Result {
    if let Some(root) = partner_home() {
        return work_until_killed(&root, |graph| {
            let deleted = graph.delete(&id(2).to_string(), DeleteOptions::default())?;
            Err(format!("{deleted:?}").into())
        });
    }
    for (call, has_tree) in [("remove", true), (REMOVED, false)] {
        let (store, without, with) = family()?;
        kill_at(&store, &this_test!(), call)?;
        assert_eq!(store.tree(&id(2)).exists(), has_tree, "{call}");
        assert!(!store.node(&id(2)).exists(), "{call}");
        assert_gone_and_made_anew(&store, &without, &with, call)?;
    }
    Ok(())
}

/// Leaves the tree of a node that was being made or removed, and what tells its id.
fn leave(store: &Store, test: &str, is_removed: bool) -> Result {
    kill_at(store, test, if is_removed { "remove" } else { COMMITTED })?;
    assert!(store.tree(&id(2)).exists() && !store.node(&id(2)).exists());
    Ok(())
}

/// What [`leave`] needs a partner to do.
fn leave_as_partner(root: &Path) -> Result {
    work_until_killed(root, |graph| {
        if graph.exists(&id(2).to_string())? {
            let deleted = graph.delete(&id(2).to_string(), DeleteOptions::default())?;
            return Err(format!("{deleted:?}").into());
        }
        register(graph, &id(2), Some(&id(1)))
    })
}

/// A store in which a partner of [`leave_as_partner`] does the one or the other.
fn store_to_leave(is_removed: bool) -> Result<Store> {
    let (store, ..) = family()?;
    if !is_removed {
        store
            .open()
            .delete(&id(2).to_string(), DeleteOptions::default())?;
    }
    Ok(store)
}

#[test]
fn a_node_that_was_made_since_is_no_leftover() -> Result {
    if let Some(root) = partner_home() {
        return leave_as_partner(&root);
    }
    for is_removed in [false, true] {
        let store = store_to_leave(is_removed)?;
        let graph = store.open();
        leave(&store, &this_test!(), is_removed)?;
        // By somebody who has opened the store long before.
        let tar = layer(&["new = x"]);
        graph.register(&image(&id(2), None), Some(&mut &tar[..]))?;
        assert!(!store.unfinished().is_empty());
        let with = store.contents();
        let graph = store.open();
        assert_swept(&store, &graph)?;
        let left = |path: &Path| path.starts_with("graph/_tmp");
        let mut expected = with;
        expected.retain(|path, _| !left(path));
        assert!(store.contents() == expected);
        assert!(listing_of(&graph, &id(2)).contains("new\tf\t"));
    }
    Ok(())
}

#[test]
fn a_tree_that_somebody_is_about_to_make_a_node_is_no_leftover() -> Result {
    if let Some(root) = partner_home() {
        return leave_as_partner(&root);
    }
    for is_removed in [false, true] {
        let store = store_to_leave(is_removed)?;
        let root = store.root().to_owned();
        let sweep = once_at(COMMITTED, move || drop(open(&root)));
        // Opened before there is something left.
        let graph = open_with(store.root(), Hooked::open(store.root(), sweep));
        leave(&store, &this_test!(), is_removed)?;
        register(&graph, &id(2), Some(&id(1)))?;
        assert!(graph.exists(&id(2).to_string())?);
        assert!(listing_of(&graph, &id(2)).contains("f-ab02\tf\t"));
        assert_swept(&store, &graph)?;
    }
    Ok(())
}

#[test]
fn what_lives_is_not_swept_while_another_opens_the_store() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register(&graph, &id(1), None)?;
    let tar = layer(&["a = x"]);
    let mut reader = Meanwhile {
        tar: &tar,
        act: Some(|| {
            let other = store.open();
            assert_eq!(other.sweep().expect("nothing is in the way"), 0);
            assert!(!store.unfinished().is_empty());
        }),
    };
    graph.register(&image(&id(2), Some(&id(1))), Some(&mut reader))?;
    assert!(listing_of(&graph, &id(2)).contains("a\tf\t"));
    assert_swept(&store, &graph)
}

#[test]
fn g5_trees_without_node_that_were_not_made_here_stay_and_what_the_original_left() -> Result {
    let store = Store::in_memory()?;
    register(&store.open(), &id(1), None)?;
    // The original's containers have such ids, and so has what it left half made.
    for tree in [id(2).to_string(), id(3).to_string(), "web-init".to_owned()] {
        store.plant(&tree)?;
    }
    let half = store.path("graph/_tmp").join(id(2).to_string());
    fs::create_dir(&half)?;
    fs::copy(store.node(&id(1)).join("json"), half.join("json"))?;
    let before = store.contents();
    let graph = store.open();
    assert_eq!(graph.sweep()?, 0);
    assert!(store.contents() == before);
    Ok(())
}

#[test]
fn a_leftover_that_cannot_say_whose_it_is_goes_alone() -> Result {
    for json in [
        None,
        Some(""),
        Some("{"),
        Some("{\"id\":\"x\"}"),
        Some("link"),
    ] {
        let store = Store::in_memory()?;
        register(&store.open(), &id(1), None)?;
        store.plant(&id(2).to_string())?;
        let before = store.contents();
        let left = store.path(LEFT);
        fs::create_dir(&left)?;
        match json {
            // A sweep follows no links.
            Some("link") => {
                let elsewhere = store.root().with_extension("json");
                fs::write(&elsewhere, image(&id(2), None).encode())?;
                std::os::unix::fs::symlink(elsewhere, left.join("json"))?;
            }
            Some(json) => fs::write(left.join("json"), json)?,
            None => {}
        }
        let graph = store.open();
        assert!(store.contents() == before, "{json:?}");
        assert_swept(&store, &graph)?;
    }
    Ok(())
}

#[test]
fn a_tree_of_which_somebody_alive_tells_stays() -> Result {
    let store = Store::in_memory()?;
    register(&store.open(), &id(1), None)?;
    // Somebody is about to register what there is a tree of already, and may yet be refused.
    let left = store.path(LEFT);
    fs::create_dir(&left)?;
    fs::write(left.join("json"), image(&id(2), None).encode())?;
    store.plant(&id(2).to_string())?;
    let alive = fs::File::open(&left)?;
    flock(&alive, FlockOperation::LockExclusive)?;
    assert_eq!(store.open().sweep()?, 0);
    assert!(left.exists() && store.tree(&id(2)).exists());
    drop(alive);
    store.open();
    assert!(!left.exists() && !store.tree(&id(2)).exists());
    Ok(())
}

#[test]
fn a_sweep_that_fails_in_one_place_goes_on_in_the_others_and_is_told() -> Result {
    let store = Store::in_memory()?;
    register(&store.open(), &id(1), None)?;
    let before = store.contents();
    fs::create_dir(store.path(LEFT))?;
    let failing = |call: &str| match call {
        "sweep" => Err(DriverError::new(DriverErrorKind::Failed, "it was to fail")),
        _ => Ok(()),
    };
    let driver = Hooked::open(store.root(), failing);
    let graph = try_open(store.root(), driver)?;
    let unswept = graph.unswept().expect("the driver has failed");
    assert_eq!(unswept.kind(), GraphErrorKind::Failed);
    assert!(store.contents() == before);
    // It works all the same.
    register(&graph, &id(2), Some(&id(1)))?;
    assert_eq!(kind(graph.sweep()), GraphErrorKind::Failed);

    // And the other way round: it is the graph's own part that cannot be swept.
    let left = store
        .path(kept::NAME)
        .join(".staging/.layergraph-0123456789abcdef");
    fs::create_dir_all(left.join("tree"))?;
    fs::remove_dir(store.path("graph/_tmp"))?;
    fs::write(store.path("graph/_tmp"), "")?;
    let graph = try_open(store.root(), open_driver(store.root()))?;
    let unswept = graph.unswept().expect("what is there is no directory");
    assert_eq!(unswept.kind(), GraphErrorKind::Damaged);
    assert!(!left.exists());
    assert_eq!(graph.map()?.by_id.len(), 2);
    Ok(())
}
