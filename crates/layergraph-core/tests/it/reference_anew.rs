//! What the original was given to register, registered here.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use layergraph_core::{DeleteOptions, Graph, GraphErrorKind, Node};
use layergraph_digest::{Algorithm, Digest};
use layergraph_image::v1::Image;
use layergraph_tar::{Kind, NewMember, Writer};

use crate::reference::{check_ids, data, expected, json, number, of_driver, texts};
use crate::support::{Store, forced, id, image, listing_of};

/// The listing of the original's tree, with what our rules make of the same layers.
fn listing_by_rule(name: &str) -> String {
    let read =
        |name: &str| fs::read_to_string(data(of_driver(&format!("{name}.listing")))).unwrap();
    let is_of = |line: &str, path: &str| line.split('\t').next() == Some(path);
    let base = read("base");
    let of_base = |path: &str| {
        let line = base.lines().find(|line| is_of(line, path));
        line.expect("it is in the base").to_owned()
    };
    let on_child1 = ["child1", "grand", "metaonly"].contains(&name);
    let mut lines = Vec::new();
    for line in read(name).lines() {
        let path = line.split('\t').next().unwrap_or_default();
        let mut line = line.to_owned();
        // U3: directories that only the names in a layer imply have mode 0755.
        if path.starts_with("long/seg00") || ["a", "a/b", "a/b/c"].contains(&path) {
            line = line.replace("\td\t0600\t", "\td\t0755\t");
        }
        // U6: nothing stays of AUFS's own directory, and its links are links.
        if path == ".wh..wh.plnk" {
            continue;
        }
        if path == "usr/lnk2" {
            line = format!(
                "{}\tusr/lnk1\t-",
                line.strip_suffix("\t-\t-").unwrap_or(&line)
            );
        }
        // U5: child1 makes etc/conf.d opaque.
        if on_child1 && path.starts_with("etc/conf.d/") && !path.ends_with("/d.conf") {
            continue;
        }
        // G6: a copy keeps fractions of a second, and all attributes.
        if ["data/frac", "data/xattr"].contains(&path) {
            line = of_base(path);
        }
        // U8: in child2 the new name bin/hard3 parts bin/hard1 from the other name it had.
        if name == "child2" && path == "bin/hard2" {
            line = line.replace("\tbin/hard1\t", "\t-\t");
        }
        // U4: grand makes a file called late, and removes the one below, which is none.
        if ["grand", "metaonly"].contains(&name) && path == "locked" {
            lines.push(late());
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

fn late() -> String {
    let x = Digest::of(Algorithm::Sha256, "x").hex();
    format!("late\tf\t0644\t0:0\t1:{x}\t1433116800.000000000\t-\t-")
}

/// Registers what the original was given under this name.
pub(crate) fn register(graph: &Graph, name: &str) -> Node {
    let described = fs::read(data(format!("json/{name}.json"))).unwrap();
    let image = Image::decode(&described).unwrap();
    let layer = [".tar", ".tar.gz", ".tar.bz2"]
        .iter()
        .find_map(|extension| fs::read(data(format!("layers/{name}{extension}"))).ok());
    match &layer {
        Some(layer) => graph.register(&image, Some(&mut &layer[..])).unwrap(),
        None => graph.register(&image, None).unwrap(),
    }
}

#[test]
fn what_the_original_registered_gives_the_same_sizes_files_and_trees() {
    layergraph_tests::require!(root);
    let (store, expected) = (Store::new().unwrap(), expected());
    let graph = store.open();
    for name in texts(&expected["order"]) {
        let node = register(&graph, name);
        let size = number(&expected["register"][name]["size"]);
        assert_eq!(node.size(), size, "{name}");
        assert_eq!(graph.get(&node.id().to_string()).unwrap(), node, "{name}");
        if name == "gone" {
            continue;
        }
        let theirs = &expected["images"][name];
        let raw = graph.raw_json(&node.id()).unwrap();
        assert_eq!(String::from_utf8(raw).unwrap(), theirs["rawjson"], "{name}");
        let ours = listing_of(&graph, &node.id());
        assert_eq!(ours, listing_by_rule(name), "{name}");
    }
    let error = graph.delete("dead", DeleteOptions::default()).unwrap_err();
    assert_eq!(error.kind(), GraphErrorKind::InUse, "G2");
    graph.delete("dead", forced()).unwrap();
    check_ids(&expected, &graph, "map");
}

#[test]
fn u8_a_hard_link_in_a_layer_leaves_the_parent_as_it_is() {
    layergraph_tests::require!(root);
    let expected = &json("hardlink_metadata.json")["vfs"];
    let store = Store::new().unwrap();
    let graph = store.open();
    let member = |name: &'static [u8], kind, seconds| NewMember {
        mtime: UNIX_EPOCH + Duration::from_secs(seconds),
        ..NewMember::new(name, kind)
    };
    let tar = |member: &NewMember<'_>, content: &[u8]| {
        let mut writer = Writer::new(Vec::new());
        writer.append(member, content).unwrap();
        writer.finish().unwrap()
    };
    let file = NewMember {
        mode: 0o644,
        size: 4,
        ..member(b"f", Kind::File, 1_433_116_800)
    };
    let link = NewMember {
        link: b"f",
        mode: 0o4711,
        uid: 77,
        gid: 78,
        ..member(b"h", Kind::HardLink, 1_433_117_799)
    };
    let (parent, child) = (id(1), id(2));
    let layer = tar(&file, b"base");
    graph
        .register(&image(&parent, None), Some(&mut &layer[..]))
        .unwrap();
    let layer = tar(&link, b"");
    let node = graph
        .register(&image(&child, Some(&parent)), Some(&mut &layer[..]))
        .unwrap();

    // The content is not told; it is the same everywhere.
    let lines = |listing: &str| -> Vec<String> {
        let without_content = |line: &str| {
            let mut fields: Vec<&str> = line.split('\t').collect();
            fields.remove(4);
            fields.join(" ")
        };
        listing.lines().map(without_content).collect()
    };
    for (id, theirs) in [(parent, "parent"), (child, "child")] {
        let theirs = texts(&expected[theirs]).join("\n");
        assert_eq!(lines(&listing_of(&graph, &id)), lines(&theirs));
    }
    let mut changes: Vec<String> = graph
        .changes(&node)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    changes.sort();
    assert_eq!(changes, texts(&expected["child_changes"]["ok"]));
}
