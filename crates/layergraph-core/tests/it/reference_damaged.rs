//! A damaged store, and what the original answered about it.

use std::collections::BTreeSet;
use std::fs;

use layergraph_core::{DeleteOptions, GraphErrorKind};
use layergraph_image::NodeId;
use layergraph_image::v1::Image;
use serde_json::Value;

use layergraph_tests::error_chain;

use crate::reference::{check_ids, ids, json, texts, unpacked};
use crate::support::{id, image, layer, layer_id};

/// The whole name of a case, which is its own where it has no id.
fn name_of<'a>(expected: &'a Value, case: &'a str) -> &'a str {
    let unknown = "c21fea69c4283fe116841ab6fce88cdbf826e9e134380585e18b0ad15afd280b";
    let own = if case == "driver-only" { unknown } else { case };
    expected["ids"][case].as_str().unwrap_or(own)
}

/// Checks what a broken node says of itself. The texts of the decoders depend on the runtime.
fn check_broken(case: &str, error: &layergraph_core::GraphError, theirs: &str) {
    let ours = error_chain(error);
    let made_by_the_store = ["could not find image: ", "image ID ", "Image stored at "];
    if theirs.starts_with("image ID ") {
        // G7: it is said whose id is invalid.
        assert!(ours.ends_with(theirs), "{case}: {ours}");
    } else if made_by_the_store
        .iter()
        .any(|text| theirs.starts_with(text))
    {
        assert_eq!(ours, theirs, "{case}");
    } else {
        assert_eq!(error.kind(), GraphErrorKind::Damaged, "{case}: {ours}");
        if theirs.starts_with("open ") {
            assert!(ours.contains("json"), "{case}: {ours}");
        }
    }
}

#[test]
fn p5_a_damaged_store_answers_as_it_did() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked("damaged-vfs.tar.gz"), json("damaged-vfs.json"));
    let graph = store.open();
    check_ids(&expected, &graph, "map");

    for (case, answer) in expected["get"].as_object().expect("an object") {
        let name = name_of(&expected, case);
        match (graph.get(name), answer["err"].as_str()) {
            (Ok(node), None) => {
                assert_eq!(node.id().to_string(), answer["id"], "{case}");
                assert_eq!(node.size(), answer["size"], "{case}");
                assert_eq!(
                    node.parent().unwrap_or_default(),
                    answer["parent"],
                    "{case}"
                );
            }
            (Err(error), Some(theirs)) => check_broken(case, &error, theirs),
            (ours, theirs) => panic!("{case}: {ours:?}, and not {theirs:?}"),
        }
        assert_eq!(
            graph.exists(name).unwrap(),
            expected["exists"][case],
            "{case}"
        );
        let size = store.path("graph").join(name).join("layersize");
        let size = fs::read_to_string(size).ok();
        assert_eq!(
            size.as_deref(),
            expected["layersize_after"][case].as_str(),
            "{case}"
        );
    }
    // Whoever cannot be read hides nobody, and is told.
    let broken = graph.map().unwrap().broken;
    let broken: BTreeSet<&str> = broken.iter().map(|broken| &*broken.name).collect();
    let names = [
        "badid",
        "badjson",
        "badsize",
        "emptyjson",
        "emptysize",
        "nojson",
        "notanid",
    ];
    let names = names.into_iter().chain(["wrongid"]);
    assert_eq!(broken, names.map(|case| name_of(&expected, case)).collect());

    for case in ["badjson", "nojson", "wrongid", "notanid", "nodriver"] {
        let deleted = graph.delete(name_of(&expected, case), DeleteOptions::default());
        let error = deleted.err().map(|error| error_chain(&error));
        assert_eq!(
            error.as_deref(),
            expected["delete"][case]["err"].as_str(),
            "{case}"
        );
    }
    let nodes = graph.map().unwrap();
    assert_eq!(
        ids(nodes.by_id.keys()),
        texts(&expected["map_after_delete"]["ok"])
    );

    let nodriver = NodeId::parse(name_of(&expected, "nodriver")).unwrap();
    let tar = layer(&["f-again = sixsix"]);
    let node = graph
        .register(&image(&nodriver, None), Some(&mut &tar[..]))
        .unwrap();
    assert_eq!(node.size(), expected["register_nodriver_again"]["size"]);
    assert_eq!(graph.get(&nodriver.to_string()).unwrap(), node);
}

#[test]
fn what_cannot_be_registered_fails_as_it_did_and_leaves_nothing() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked("damaged-vfs.tar.gz"), json("damaged-vfs.json"));
    let graph = store.open();
    let before = store.contents();
    for (id, answer) in expected["validate_errors"].as_object().expect("an object") {
        let image = Image {
            id: id.clone(),
            ..Image::default()
        };
        let error = graph.register(&image, None).unwrap_err();
        assert_eq!(error_chain(&error), answer["err"]);
        assert_eq!(error.kind(), GraphErrorKind::InvalidId);
    }
    let (fresh, absent) = (id(1), id(2));
    let error = graph
        .register(&image(&fresh, Some(&absent)), None)
        .unwrap_err();
    let text = format!("Driver vfs failed to create image rootfs {fresh}: ");
    assert!(
        error_chain(&error).starts_with(&text),
        "{}",
        error_chain(&error)
    );
    assert_eq!(error.kind(), GraphErrorKind::NotFound);
    assert!(!graph.driver().exists(&layer_id(&absent)).unwrap());

    let mut bad = layer(&["f = x"]);
    bad[0] ^= 1;
    for tar in [&b""[..], b"12345", &bad] {
        let error = graph
            .register(&image(&fresh, None), Some(&mut &*tar))
            .unwrap_err();
        assert_eq!(error.kind(), GraphErrorKind::Layer);
    }
    assert!(store.contents() == before);
    // U11: two blocks of zeros are a layer without entries.
    let node = graph
        .register(&image(&fresh, None), Some(&mut &[0; 1024][..]))
        .unwrap();
    assert_eq!(node.size(), expected["register_1024_zero_bytes"]["size"]);
}
