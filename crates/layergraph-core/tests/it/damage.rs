//! Stores in which something is not what it should be.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use layergraph_core::{DeleteOptions, Graph, GraphErrorKind};
use layergraph_digest::parse_checksum;
use layergraph_image::v1::Image;
use layergraph_tests::names;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use layergraph_tests::error_chain;

use crate::hooked::{COMMITTED, Hooked, once_at};
use crate::support::{
    Result, Store, forced, id, image, kind, listing_of, open, open_driver, open_with, register,
    register_all, try_open,
};

#[test]
fn r34_p5_a_broken_node_is_told_and_hides_no_other() -> Result {
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
    symlink("/etc/passwd", file(5, "json"))?;
    fs::copy(file(8, "json"), file(6, "json"))?;
    // Its size is to be computed, and the parent is not there.
    store.set_parent(&id(7), &id(200).to_string())?;
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
    let error = error_chain(&graph.get(&id(7).to_string()).unwrap_err());
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
    fs::write(store.files(&id(1)).join("stale"), "x")?;
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

#[test]
fn what_stale_metadata_says_is_never_taken_for_the_new_node() -> Result {
    let store = Store::in_memory()?;
    let other = store.open();
    register(&other, &id(1), None)?;
    other.set_digest(&id(1), &parse_checksum("sha256:ab")?)?;
    fs::remove_dir_all(store.tree(&id(1)))?;
    // Whoever looks when the new tree is there and the new node is not, finds none.
    let root = store.root().to_owned();
    let look = once_at(COMMITTED, move || {
        let graph = open(&root);
        assert_eq!(
            open_driver(&root).list().expect("it can be listed").len(),
            1
        );
        let found = graph.map().expect("it can be listed");
        assert!(
            found.by_id.is_empty() && found.broken.is_empty(),
            "{found:?}"
        );
        assert_eq!(kind(graph.raw_json(&id(1))), GraphErrorKind::NotFound);
        assert_eq!(kind(graph.digest(&id(1))), GraphErrorKind::NotFound);
    });
    let graph = open_with(store.root(), Hooked::open(store.root(), look));
    register(&graph, &id(1), None)?;
    assert_eq!(kind(graph.digest(&id(1))), GraphErrorKind::NotFound);
    assert!(store.unfinished().is_empty());
    Ok(())
}

/// Puts something else in the place of a file or directory: a link to it, a file, an empty
/// directory, a named pipe. The content goes `aside`.
fn replace(path: &Path, aside: &Path, by: &str) -> Result {
    fs::rename(path, aside)?;
    match by {
        "link" => symlink(aside, path)?,
        "file" => fs::write(path, "")?,
        "directory" => fs::create_dir(path)?,
        _ => mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?,
    }
    Ok(())
}

#[test]
fn r11_a_lock_that_is_no_file_is_damage_and_keeps_nobody_from_reading() -> Result {
    for by in ["link", "directory", "pipe"] {
        let store = Store::in_memory()?;
        let graph = store.open();
        register_all(&graph, &[(1, None), (2, Some(1))])?;
        let digest = parse_checksum("sha256:ab")?;
        replace(
            &store.path("lock"),
            &store.root().with_extension("aside"),
            by,
        )?;
        let before = store.contents();
        let parent = graph.register(&image(&id(3), Some(&id(1))), None);
        let mut refused = vec![
            parent.expect_err(by),
            graph.register(&image(&id(3), None), None).expect_err(by),
            graph.set_digest(&id(1), &digest).expect_err(by),
            graph.delete(&id(2).to_string(), forced()).expect_err(by),
        ];
        let all = graph.delete_all(&[&id(1).to_string(), &id(2).to_string()], forced())?;
        assert!(all.deleted.is_empty());
        refused.extend(all.failed);
        assert_eq!(refused.len(), 5);
        for error in refused {
            assert_eq!(error.kind(), GraphErrorKind::Damaged, "{by}: {error:?}");
            assert!(error_chain(&error).contains("/lock"), "{by}: {error:?}");
        }
        assert!(store.contents() == before, "{by}");
        let again = store.open();
        for graph in [&graph, &again] {
            assert_eq!(graph.map()?.by_id.len(), 2);
            assert_eq!(graph.depth(&graph.get(&id(2).to_string())?)?, 2);
        }
    }
    Ok(())
}

#[test]
fn a_staging_directory_that_is_none_is_damage_and_keeps_nobody_from_reading() -> Result {
    for by in ["link", "file"] {
        let store = Store::in_memory()?;
        register_all(&store.open(), &[(1, None), (2, Some(1))])?;
        let aside = store.root().with_extension("aside");
        // What is in there is another's, and stays.
        fs::create_dir(store.path("graph/_tmp/.layergraph-0123456789abcdef"))?;
        replace(&store.path("graph/_tmp"), &aside, by)?;
        let before = store.contents();
        let graph = try_open(store.root(), open_driver(store.root()))?;
        let mut told = vec![
            graph.sweep().expect_err(by),
            graph.register(&image(&id(3), None), None).expect_err(by),
            graph.delete(&id(2).to_string(), forced()).expect_err(by),
            graph
                .set_digest(&id(1), &parse_checksum("sha256:ab")?)
                .expect_err(by),
            graph
                .temp_layer_archive(&id(1).to_string(), &mut ())
                .expect_err(by),
        ];
        told.extend(graph.delete_all(&[&id(2).to_string()], forced())?.failed);
        assert_eq!(told.len(), 6);
        for error in told.iter().chain(graph.unswept()) {
            assert_eq!(error.kind(), GraphErrorKind::Damaged, "{by}: {error:?}");
            assert!(error_chain(error).contains("_tmp"), "{by}: {error:?}");
        }
        assert!(graph.unswept().is_some());
        assert_eq!(graph.map()?.by_id.len(), 2);
        assert!(store.contents() == before, "{by}");
        assert_eq!(names(&aside)?, [".layergraph-0123456789abcdef"]);
    }
    Ok(())
}

#[test]
fn a_graph_that_is_no_directory_is_damage() -> Result {
    for by in ["link", "file"] {
        let store = Store::in_memory()?;
        register(&store.open(), &id(1), None)?;
        replace(
            &store.path("graph"),
            &store.root().with_extension("aside"),
            by,
        )?;
        let opened = try_open(store.root(), open_driver(store.root()));
        assert_eq!(kind(opened), GraphErrorKind::Damaged, "{by}");
    }
    Ok(())
}

#[test]
fn r11_r34_what_is_in_the_place_of_a_node_is_told_as_damage_and_can_be_deleted() -> Result {
    for by in ["link", "file"] {
        let store = Store::in_memory()?;
        register(&store.open(), &id(2), None)?;
        let before = store.contents();
        register(&store.open(), &id(1), None)?;
        let aside = store.root().with_extension("aside");
        let files = names(&store.node(&id(1)))?;
        replace(&store.node(&id(1)), &aside, by)?;
        let graph = store.open();
        let whole = id(1).to_string();
        for error in [
            graph.get(&whole).expect_err(by),
            graph.raw_json(&id(1)).expect_err(by),
            graph.digest(&id(1)).expect_err(by),
            graph
                .set_digest(&id(1), &parse_checksum("sha256:ab")?)
                .expect_err(by),
            graph
                .register(&image(&id(3), Some(&id(1))), None)
                .expect_err(by),
        ] {
            // As a parent it is none.
            let expected = if error.to_string().starts_with("Driver ") {
                GraphErrorKind::NotFound
            } else {
                GraphErrorKind::Damaged
            };
            assert_eq!(error.kind(), expected, "{by}: {error:?}");
        }
        assert!(!graph.exists(&whole)?);
        let nodes = graph.map()?;
        assert!(nodes.by_id.keys().eq([&id(2)]));
        let broken: Vec<&str> = nodes.broken.iter().map(|broken| &*broken.name).collect();
        assert_eq!(broken, [&whole]);
        // It is in nobody's way.
        graph.delete(&id(2).to_string(), DeleteOptions::default())?;
        register(&graph, &id(2), None)?;
        let deleted = graph.delete(&whole, DeleteOptions::default())?;
        assert!(deleted.leftover.is_none());
        assert!(store.contents() == before, "{by}");
        // Of a link, where it led to is another's.
        assert_eq!(names(&aside)?, files);
    }
    Ok(())
}

#[test]
fn a_negative_size_of_an_image_is_none() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    let mut described = image(&id(1), None);
    for (stated, size) in [(-1, 0), (i64::MIN, 0), (0, 0), (7, 7), (i64::MAX, i64::MAX)] {
        described.size = stated;
        let node = graph.register(&described, None)?;
        assert_eq!(node.size(), size);
        assert_eq!(graph.get(&id(1).to_string())?, node);
        let stored = Image::decode(&graph.raw_json(&id(1))?)?;
        assert_eq!(stored.size, size);
        let file = store.node(&id(1)).join("layersize");
        assert_eq!(fs::read_to_string(&file)?, size.to_string());
        // In a stored node the file counts, and nothing of what the JSON says.
        described.size = -5;
        fs::write(store.node(&id(1)).join("json"), described.encode())?;
        assert_eq!(graph.get(&id(1).to_string())?.size(), size);
        fs::remove_file(&file)?;
        assert_eq!(graph.get(&id(1).to_string())?.size(), 0);
        assert_eq!(fs::read_to_string(&file)?, "0");
        graph.delete(&id(1).to_string(), DeleteOptions::default())?;
    }
    Ok(())
}

#[test]
fn a_size_that_is_written_oddly_counts_as_it_did_or_is_damage() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    register(&graph, &id(1), None)?;
    let file = store.node(&id(1)).join("layersize");
    let digits = "9".repeat(100_000);
    // What counts, and what is then written down.
    for (text, expected) in [
        ("+7", Some((7, "+7"))),
        ("007", Some((7, "007"))),
        (
            "9223372036854775807",
            Some((i64::MAX, "9223372036854775807")),
        ),
        // A negative one is computed anew.
        ("-1", Some((64, "64"))),
        ("-9223372036854775808", Some((64, "64"))),
        ("-0", Some((0, "-0"))),
        ("", None),
        ("64\n", None),
        (" 64", None),
        ("6 4", None),
        ("0x40", None),
        ("9223372036854775808", None),
        ("-9223372036854775809", None),
        ("\u{661}", None),
        (&digits, None),
    ] {
        fs::write(&file, text)?;
        let before = store.contents();
        match (graph.get(&id(1).to_string()), expected) {
            (Ok(node), Some((size, written))) => {
                assert_eq!(node.size(), size, "{text:?}");
                assert_eq!(fs::read_to_string(&file)?, written, "{text:?}");
            }
            (Err(error), None) => {
                assert_eq!(error.kind(), GraphErrorKind::Damaged, "{text:?}");
                assert!(store.contents() == before, "{text:?}");
                assert_eq!(graph.map()?.broken.len(), 1);
            }
            (node, _) => panic!("{text:?}: {node:?}"),
        }
        assert!(store.unfinished().is_empty());
    }
    // A link is not followed: it is as if none was written down.
    fs::remove_file(&file)?;
    let elsewhere = store.root().with_extension("size");
    fs::write(&elsewhere, "5")?;
    symlink(&elsewhere, &file)?;
    assert_eq!(graph.get(&id(1).to_string())?.size(), 64);
    assert!(fs::symlink_metadata(&file)?.is_file());
    assert_eq!(fs::read_to_string(&elsewhere)?, "5");
    assert_eq!(fs::read_to_string(&file)?, "64");
    Ok(())
}
