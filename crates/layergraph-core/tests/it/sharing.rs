//! One store, seen by several at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use layergraph_core::{DeleteOptions, GraphErrorKind};
use layergraph_digest::parse_checksum;
use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};

use crate::hooked::{Hooked, once_at};
use crate::kept;
use crate::support::{
    Result, Store, forced, id, listing_of, open, open_driver, open_with, register, try_open,
};

/// Makes the graph's directory look as if it had been left alone for long.
fn age(store: &Store) -> Result {
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    File::open(store.path("graph"))?.set_modified(long_ago)?;
    Ok(())
}

#[test]
fn what_another_registers_or_deletes_is_seen_at_once() -> Result {
    let store = Store::in_memory()?;
    let (graph, other) = (store.open(), store.open());
    for number in 0..60 {
        let whole = id(number).to_string();
        if number % 2 == 0 {
            age(&store)?;
            graph.get("ab").unwrap_err();
        }
        register(&other, &id(number), None)?;
        assert_eq!(graph.get("ab")?.id(), id(number));
        if number % 3 == 0 {
            age(&store)?;
            graph.get("ab")?;
        }
        other.delete("ab", DeleteOptions::default())?;
        assert_eq!(graph.get("a").unwrap_err().kind(), GraphErrorKind::NotFound);
        assert!(!graph.exists(&whole)?);
        assert!(graph.delete(&whole, DeleteOptions::default()).is_err());
    }
    Ok(())
}

#[test]
fn a_listing_made_in_the_tick_of_a_change_is_not_trusted() -> Result {
    let store = Store::in_memory()?;
    let (graph, other) = (store.open(), store.open());
    // What is to come is never past.
    let tick = SystemTime::now() + Duration::from_secs(3600);
    let stop_the_clock = || File::open(store.path("graph"))?.set_modified(tick);
    for number in 1..4 {
        register(&other, &id(number), None)?;
        stop_the_clock()?;
        assert!(graph.exists(&id(number).to_string())?);
    }
    Ok(())
}

#[test]
fn a_list_is_made_of_what_the_driver_has_by_now() -> Result {
    let store = Store::in_memory()?;
    register(&store.open(), &id(1), None)?;
    let (tree, aside) = (store.tree(&id(1)), store.root().with_extension("aside"));
    fs::rename(&tree, &aside)?;
    let graph = store.open();
    age(&store)?;
    assert!(graph.map()?.by_id.is_empty());
    // As if it came back from a backup: the graph's own directory does not tell.
    fs::rename(&aside, &tree)?;
    assert!(graph.map()?.by_id.contains_key(&id(1)));
    Ok(())
}

#[test]
fn a_tree_that_goes_while_it_is_compared_is_an_error_and_no_shorter_list() -> Result {
    // The tree of a parent does not go where others need it.
    let all: &[u8] = if kept::INDEPENDENT { &[2] } else { &[1, 2] };
    for &goes in all {
        let store = Store::in_memory()?;
        let other = store.open();
        register(&other, &id(1), None)?;
        register(&other, &id(2), Some(&id(1)))?;
        let node = other.get(&id(2).to_string())?;
        let hook = once_at("layers", move || {
            other
                .delete(&id(goes).to_string(), forced())
                .expect("it is there");
            let parent = (goes == 2).then(|| id(1));
            register(&other, &id(goes), parent.as_ref()).expect("it is free");
        });
        let graph = open_with(store.root(), Hooked::open(store.root(), hook));
        let error = graph.changes(&node).unwrap_err();
        assert_eq!(error.kind(), GraphErrorKind::NotFound);
        assert_eq!(graph.changes(&node)?.len(), 1);
        // A tree that is there still is not read when its node is gone already.
        let aside = store.root().with_extension("aside");
        fs::rename(store.node(&id(goes)), &aside)?;
        let error = graph.changes(&node).unwrap_err();
        assert_eq!(error.kind(), GraphErrorKind::NotFound);
        // With a recipe, the layer is assembled of the node alone.
        assert!(goes == 1 || graph.tar_layer(&node, &mut Vec::new()).is_err());
        fs::rename(&aside, store.node(&id(goes)))?;
        assert_eq!(graph.changes(&node)?.len(), 1);
    }
    Ok(())
}

#[test]
fn a_node_that_goes_while_its_size_is_computed_is_not_found_or_the_new_one() -> Result {
    for comes_again in [false, true] {
        let store = Store::in_memory()?;
        let other = store.open();
        register(&other, &id(1), None)?;
        fs::remove_file(store.node(&id(1)).join("layersize"))?;
        let hook = once_at("layers", move || {
            other
                .delete(&id(1).to_string(), DeleteOptions::default())
                .expect("it is there");
            if comes_again {
                register(&other, &id(1), None).expect("it is free");
            }
        });
        let graph = open_with(store.root(), Hooked::open(store.root(), hook));
        let found = graph.get(&id(1).to_string());
        if comes_again {
            assert_eq!(found?.size(), 64);
        } else {
            assert_eq!(found.unwrap_err().kind(), GraphErrorKind::NotFound);
        }
        assert!(store.unfinished().is_empty());
    }
    Ok(())
}

/// A read-only view of a directory, as long as it lives.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn new(of: &Path, at: &Path) -> Result<ReadOnly> {
        fs::create_dir(at)?;
        mount_bind(of, at)?;
        let view = ReadOnly(at.to_owned());
        mount_remount(at, MountFlags::BIND | MountFlags::RDONLY, "")?;
        Ok(view)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        // The temporary directory cannot be removed while it is mounted, which is seen.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_store_on_a_read_only_mount_answers_and_refuses_changes() -> Result {
    layergraph_tests::require!(root);
    let store = Store::new()?;
    let graph = store.open();
    register(&graph, &id(1), None)?;
    register(&graph, &id(2), Some(&id(1)))?;
    let digest = parse_checksum("sha256:ab")?;
    graph.set_digest(&id(1), &digest)?;
    fs::remove_file(store.node(&id(2)).join("layersize"))?;
    // With and without what another process has left behind.
    for is_swept in [true, false] {
        if !is_swept {
            fs::create_dir(store.path("graph/_tmp/.layergraph-0123456789abcdef"))?;
        }
        let before = store.contents();
        let view = ReadOnly::new(store.root(), &store.root().with_extension("view"))?;
        let graph = if is_swept {
            open(&view.0)
        } else {
            let graph = try_open(&view.0, open_driver(&view.0))?;
            assert!(graph.unswept().is_some());
            graph
        };
        for number in [1, 2] {
            assert_eq!(graph.get(&id(number).to_string())?.size(), 64);
            assert!(listing_of(&graph, &id(number)).contains("f-ab0"));
        }
        assert_eq!(graph.map()?.by_id.len(), 2);
        assert_eq!(graph.digest(&id(1))?, digest);
        let node = graph.get(&id(2).to_string())?;
        assert_eq!(graph.changes(&node)?.len(), 1);
        assert!(graph.tar_layer(&node, &mut Vec::new()).is_ok());
        register(&graph, &id(3), None).unwrap_err();
        graph.delete(&id(2).to_string(), forced()).unwrap_err();
        graph.set_digest(&id(2), &digest).unwrap_err();
        drop(view);
        assert!(store.contents() == before);
        fs::remove_dir(store.root().with_extension("view"))?;
    }
    let node = graph.get(&id(2).to_string())?;
    assert_eq!(node.size(), 64);
    assert_eq!(fs::read(store.node(&id(2)).join("layersize"))?, b"64");
    Ok(())
}
