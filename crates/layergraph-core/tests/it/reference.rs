//! The stores that the original wrote, and what it answered about them.
//!
//! Where ours differ, the test names the rule of docs/compatibility.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use layergraph_core::{DeleteOptions, Graph, GraphErrorKind, Node};
use layergraph_digest::{Algorithm, Digest, parse_checksum};
use layergraph_image::NodeId;
use layergraph_image::v1::Image;
use serde_json::Value;

use layergraph_tests::error_chain;

use crate::kept;
use crate::support::{Store, forced, image, kind, layer, layer_id, listing_of};

pub(crate) fn data(name: impl AsRef<Path>) -> PathBuf {
    Path::new("tests/data/graph").join(name)
}

pub(crate) fn json(name: impl AsRef<Path>) -> Value {
    let text = fs::read(data(name)).expect("the reference is there");
    serde_json::from_slice(&text).expect("the reference is JSON")
}

/// What the original wrote and answered with the driver of the tests.
pub(crate) fn of_driver(name: &str) -> PathBuf {
    kept::recorded().join(name)
}

pub(crate) fn expected() -> Value {
    json(of_driver("expected.json"))
}

/// Unpacks the root of a store, with all that it was packed with.
pub(crate) fn unpacked(name: impl AsRef<Path>) -> Store {
    let store = Store::new().expect("a place for a store");
    let status = Command::new("tar")
        .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-p"])
        .arg("-xf")
        .arg(data(name))
        .arg("-C")
        .arg(store.root())
        .status();
    assert!(status.expect("tar runs").success());
    store
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

pub(crate) fn number(value: &Value) -> i64 {
    value.as_i64().expect("a number")
}

pub(crate) fn texts(value: &Value) -> Vec<&str> {
    let array = value.as_array().expect("a list");
    array.iter().map(text).collect()
}

pub(crate) fn parse(id: &Value) -> NodeId {
    NodeId::parse(text(id)).expect("an id")
}

pub(crate) fn ids<'a>(ids: impl IntoIterator<Item = &'a NodeId>) -> Vec<String> {
    ids.into_iter().map(ToString::to_string).collect()
}

/// The images by name, but for `gone`, which is not there.
pub(crate) fn images(expected: &Value) -> Vec<(&str, &Value)> {
    let images = expected["images"].as_object().expect("an object");
    let images = images.iter().filter(|(_, image)| image["err"].is_null());
    images.map(|(name, image)| (name.as_str(), image)).collect()
}

pub(crate) fn check_ids(expected: &Value, graph: &Graph, map: &str) {
    let nodes = graph.map().expect("a graph that can be listed");
    assert_eq!(ids(nodes.by_id.keys()), texts(&expected[map]["ok"]));
    let heads = graph.heads().expect("a graph that can be listed");
    assert_eq!(ids(heads.keys()), texts(&expected["heads"]["ok"]));
    let by_parent = graph.by_parent().expect("a graph that can be listed");
    let ours: BTreeMap<String, Vec<String>> = by_parent
        .iter()
        .map(|(parent, children)| (parent.to_string(), ids(children)))
        .collect();
    let theirs: BTreeMap<String, Vec<String>> =
        serde_json::from_value(expected["byparent"]["ok"].clone()).expect("lists of ids by id");
    assert_eq!(ours, theirs);
}

#[test]
fn the_nodes_and_every_prefix_are_those_of_the_original() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked(of_driver("root.tar.gz")), expected());
    let graph = store.open();
    check_ids(&expected, &graph, "map");
    assert!(graph.map().unwrap().broken.is_empty());

    for asked in expected["get"].as_array().expect("a list") {
        let (name, answer) = (text(&asked[0]), &asked[1]);
        match graph.get(name) {
            Ok(node) => assert_eq!(node.id().to_string(), answer["id"], "{name:?}"),
            Err(error) => assert_eq!(error_chain(&error), answer["err"], "{name:?}"),
        }
    }
    for asked in expected["exists"].as_array().expect("a list") {
        assert_eq!(graph.exists(text(&asked[0])).unwrap(), asked[1], "{asked}");
    }
}

#[test]
fn what_a_node_says_is_what_it_said() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked(of_driver("root.tar.gz")), expected());
    let graph = store.open();
    for (name, image) in images(&expected) {
        let id = parse(&image["id"]);
        let node = graph.get(text(&image["id"])).unwrap();
        assert_eq!(node.parent().unwrap_or_default(), image["parent"], "{name}");
        // C5, C6: the size of child1, which was not written down, is that of its changes.
        let more = if name == "child1" { lost_size() } else { 0 };
        assert_eq!(node.size(), number(&image["size"]) + more, "{name}");
        let created = node.image().created.to_string();
        assert_eq!(created, image["created"], "{name}");
        let raw = graph.raw_json(&id).unwrap();
        assert_eq!(String::from_utf8(raw).unwrap(), image["rawjson"], "{name}");
        let size = fs::read_to_string(store.node(&id).join("layersize")).unwrap();
        assert_eq!(size, node.size().to_string(), "{name}");
        if name != "child1" {
            assert_eq!(size, image["layersize"], "{name}");
        }

        match (graph.digest(&id), image["digest"]["err"].as_str()) {
            (Ok(digest), None) => assert_eq!(digest.as_str(), image["digest"]["digest"], "{name}"),
            // G4: the text that is no digest stands in the error.
            (Err(error), Some(theirs)) if name == "child2" => assert_eq!(
                error_chain(&error),
                format!("the layer's digest is written down as \"not a digest\": {theirs}")
            ),
            (Err(error), Some(theirs)) => assert_eq!(error_chain(&error), theirs, "{name}"),
            (digest, theirs) => panic!("{name}: {digest:?}, and not {theirs:?}"),
        }
        let is_on_child1 = name == "grand" || name == "metaonly";
        let more = if is_on_child1 { lost_size() } else { 0 };
        check_history(&graph, &node, &image["history"]["ok"], more);
        check_files(&store, &id, image);
    }
    // G3: these were asked with texts that are no ids.
    for asked in ["rawjson_errors", "getdigest_errors"] {
        for asked in expected[asked].as_array().expect("a list") {
            assert!(NodeId::parse(text(&asked[0])).is_err(), "{asked}");
        }
    }
    let missing = parse(&expected["ids"]["gone"]);
    let error = error_chain(&graph.raw_json(&missing).unwrap_err());
    let text = format!("Failed to read json for image {missing}: ");
    assert!(error.starts_with(&text), "{error}");
    let error = graph.digest(&missing).unwrap_err();
    assert_eq!(error_chain(&error), "digest is not set for layer");
}

fn check_history(graph: &Graph, node: &Node, theirs: &Value, more: i64) {
    let mut history = Vec::new();
    let walked = graph.walk_history(node, |node| {
        history.push(node.id());
        Ok::<(), layergraph_core::GraphError>(())
    });
    assert_eq!(ids(&history), texts(&theirs["ids"]));
    let error = walked.err().map(|error| error_chain(&error));
    assert_eq!(error.as_deref(), theirs["err"].as_str());
    let error = graph
        .check_depth(node)
        .err()
        .map(|error| error_chain(&error));
    assert_eq!(error.as_deref(), theirs["depth_err"].as_str());
    let below = graph.parents_size(node);
    assert_eq!(below.bytes, number(&theirs["parents_size"]) + more);
    assert_eq!(below.stopped.is_some(), !theirs["err"].is_null());
}

fn check_files(store: &Store, id: &NodeId, image: &Value) {
    let mode = |path: &Path| {
        let metadata = fs::symlink_metadata(path).expect("it is there");
        format!("{:04o}", metadata.permissions().mode() & 0o7777)
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(store.node(id)).expect("it is there") {
        let entry = entry.expect("a readable directory");
        let name = entry.file_name().into_string().expect("UTF-8");
        files.push(vec![name, mode(&entry.path())]);
    }
    files.sort();
    assert_eq!(serde_json::to_value(files).unwrap(), image["files"]);
    assert_eq!(mode(&store.node(id)), image["dirmode"]);
}

/// C5, C6: of data/frac the copy of 2015 lost the fraction of a second, of data/xattr an attribute,
/// and both went unnoticed. Trees of hard links lost nothing.
pub(crate) fn is_lost() -> bool {
    kept::NAME == "vfs"
}

/// The bytes in the files of which something was lost.
fn lost_size() -> i64 {
    if is_lost() { 5 } else { 0 }
}

/// What we list of a layer where the original did not, and by how many bytes it is larger for it.
fn listed_too(name: &str) -> (Vec<&'static str>, u64) {
    let (mut more, mut size) = (Vec::new(), 0);
    if is_lost() && ["child1", "child2"].contains(&name) {
        more.extend(["C /data", "C /data/frac", "C /data/xattr"]);
        size += 5;
    }
    if name == "child2" {
        // C1: bin/hard3 is a new name of a file that has two already.
        more.extend(["C /bin/hard1", "C /bin/hard2"]);
        size += 20;
    }
    (more, size)
}

#[test]
fn trees_and_changes_are_those_of_the_original() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked(of_driver("root.tar.gz")), expected());
    let graph = store.open();
    for (name, image) in images(&expected) {
        let node = graph.get(text(&image["id"])).unwrap();
        let ours = listing_of(&graph, &node.id());
        let theirs = fs::read_to_string(data(of_driver(&format!("{name}.listing")))).unwrap();
        assert_eq!(ours, theirs, "{name}");
        let digest = Digest::of(Algorithm::Sha256, &ours);
        assert_eq!(*digest.hex(), image["listing_sha256"], "{name}");

        if let Some(theirs) = image["changes"]["err"].as_str() {
            // Orphans: the text is that of the operating system.
            let gone = text(&image["parent"]);
            assert!(theirs.contains(gone), "{name}: {theirs}");
            let error = graph.changes(&node).unwrap_err();
            assert_eq!(error.kind(), GraphErrorKind::NotFound);
            assert!(
                error_chain(&error).contains(gone),
                "{name}: {}",
                error_chain(&error)
            );
            assert!(graph.diff_size(&node).is_err(), "{name}");
            continue;
        }
        let (more, more_size) = listed_too(name);
        let changes = graph.changes(&node).unwrap();
        let ours: BTreeSet<String> = changes.iter().map(ToString::to_string).collect();
        let theirs: BTreeSet<String> = texts(&image["changes"]["ok"])
            .iter()
            .chain(&more)
            .map(ToString::to_string)
            .collect();
        assert_eq!(ours, theirs, "{name}");
        let size = image["diffsize"]["ok"].as_u64().expect("a size");
        assert_eq!(graph.diff_size(&node).unwrap(), size + more_size, "{name}");
    }
    let layers = expected["driver_layers"].as_object().expect("an object");
    for (name, theirs) in layers {
        check_driver_layer(&graph, &expected[name], theirs);
    }
}

/// The layers of containers, which the graph knows nothing of.
fn check_driver_layer(graph: &Graph, id: &Value, theirs: &Value) {
    let driver = graph.driver();
    let id = text(id).parse().unwrap();
    let parent = text(&theirs["parent"]).parse().unwrap();
    let mut listing = Vec::new();
    layergraph_archive::listing(&driver.view(&id).unwrap(), &mut listing).unwrap();
    let digest = Digest::of(Algorithm::Sha256, &listing);
    assert_eq!(*digest.hex(), theirs["listing_sha256"], "{id}");
    let changes = driver.changes(&id, Some(&parent)).unwrap();
    let mut ours: Vec<String> = changes.iter().map(ToString::to_string).collect();
    ours.sort();
    assert_eq!(ours, texts(&theirs["changes"]["ok"]), "{id}");
    let size = layergraph_driver::naive::diff_size(&changes);
    assert_eq!(size, theirs["diffsize"]["ok"], "{id}");
}

#[test]
fn digests_are_set_where_they_were() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked(of_driver("root.tar.gz")), expected());
    let graph = store.open();
    let digest = parse_checksum(&format!("sha256:{}", "ab".repeat(32))).unwrap();
    let id = parse(&expected["ids"]["twin"]);
    graph.set_digest(&id, &digest).unwrap();
    let (base, twin) = (
        store.node(&parse(&expected["ids"]["base"])),
        store.node(&id),
    );
    assert_eq!(
        fs::read(base.join("checksum")).unwrap(),
        fs::read(twin.join("checksum")).unwrap()
    );
    assert_eq!(graph.digest(&id).unwrap(), digest);
    // G4: what is no digest cannot be set.
    assert!(parse_checksum("not a digest").is_err());

    let theirs = text(&expected["setdigest_missing"]["err"]);
    let missing = NodeId::from_bytes([0xff; 32]);
    let error = error_chain(&graph.set_digest(&missing, &digest).unwrap_err());
    let (root, said) = (store.root().display().to_string(), "checksum: ");
    let theirs = theirs.replace("$ROOT", &root);
    let until = theirs.find(said).expect("it names the file") + said.len();
    assert_eq!(error[..until], theirs[..until]);
    assert!(!store.node(&missing).exists());
}

#[test]
fn what_is_deleted_goes_and_can_be_registered_again() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked(of_driver("root.tar.gz")), expected());
    let graph = store.open();
    let plain = DeleteOptions::default();
    for (name, asked) in [("b45e", "delete_ambiguous"), ("Not_foo", "delete_unknown")] {
        let error = error_chain(&graph.delete(name, plain).unwrap_err());
        assert_eq!(error, expected[asked]["err"]);
    }
    // G2: what others build on is not deleted, unless it is forced. The original did it.
    let child1 = parse(&expected["ids"]["child1"]);
    let error = graph.delete("c1", plain).unwrap_err();
    assert_eq!(error.kind(), GraphErrorKind::InUse);
    assert!(graph.exists("c1").unwrap() && store.tree(&child1).exists());
    let deleted = graph.delete("c1", forced()).unwrap();
    assert_eq!(
        (deleted.id, deleted.leftover.is_none()),
        (child1.to_string(), true)
    );
    assert!(!graph.exists("c1").unwrap());
    assert!(!store.node(&child1).exists());
    // O2: what layers of containers are built on stays for them.
    assert_eq!(store.tree(&child1).exists(), kept::INDEPENDENT);
    // The others are as they were, and what was built on it is an orphan.
    assert_eq!(graph.map().unwrap().by_id.len(), 7);
    let grand = graph.get("9a").unwrap();
    assert!(graph.parent(&grand).is_err() && !graph.by_parent().unwrap().contains_key(&child1));

    let raw = text(&expected["images"]["child1"]["rawjson"]).as_bytes();
    let again = Image::decode(raw).unwrap();
    let tar = fs::read(data("layers/child1.tar")).unwrap();
    if kept::INDEPENDENT {
        let refused = graph.register(&again, Some(&mut &tar[..]));
        assert_eq!(kind(refused), GraphErrorKind::InUse, "O2");
        for container in ["container", "container_init"] {
            let container = text(&expected[container]).parse().unwrap();
            graph.driver().remove(&container).unwrap();
        }
    }
    let node = graph.register(&again, Some(&mut &tar[..])).unwrap();
    assert_eq!(node.size(), expected["register"]["child1"]["size"]);
    check_ids(&expected, &graph, "map");
}

#[test]
fn registering_an_id_that_exists_is_the_same_error_and_harms_nothing() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked(of_driver("root.tar.gz")), expected());
    let (graph, expected) = (store.open(), &expected["register_existing_id"]);
    let id = NodeId::from_bytes([0xab; 32]);
    let tar = layer(&["a = four"]);
    let node = graph
        .register(&image(&id, None), Some(&mut &tar[..]))
        .unwrap();
    assert_eq!(node.size(), expected["first"]["size"]);
    let before = store.contents();
    let error = graph.register(&image(&id, None), Some(&mut &tar[..]));
    assert_eq!(error_chain(&error.unwrap_err()), expected["again"]["err"]);
    // G1: the original removed the tree.
    assert_eq!(expected["driver_exists_after"], false);
    assert!(graph.driver().exists(&layer_id(&id)).unwrap());
    assert!(store.contents() == before);
    graph
        .delete(&id.to_string(), DeleteOptions::default())
        .unwrap();
}
