//! The layers that the original exported, entry by entry.

use std::collections::BTreeMap;
use std::fs;
use std::time::UNIX_EPOCH;

use layergraph_digest::{Algorithm, Digest};
use layergraph_tar::{Kind, Reader};
use layergraph_tests::escaped;
use serde_json::Value;

use layergraph_tests::error_chain;

use crate::reference::{data, expected, images, is_lost, of_driver, text, unpacked};

/// What counts of an entry of a layer, by its name.
type Rows = BTreeMap<String, String>;

/// A whiteout is a name; when a directory was modified says little, so it is left out.
fn row(name: &str, mtime: u64, fields: &str) -> String {
    let base = name.rsplit('/').next().unwrap_or_default();
    if base.starts_with(".wh.") {
        "whiteout".to_owned()
    } else if name.ends_with('/') {
        fields.to_owned()
    } else {
        format!("{fields} {mtime}")
    }
}

fn our_rows(tar: &[u8]) -> (Vec<String>, Rows) {
    let mut reader = Reader::new(tar);
    let (mut names, mut rows) = (Vec::new(), Rows::new());
    while let Some(member) = reader.next_member().unwrap() {
        let mut content = Vec::new();
        loop {
            let length = match reader.chunk().unwrap() {
                [] => break,
                chunk => {
                    content.extend_from_slice(chunk);
                    chunk.len()
                }
            };
            reader.consume(length);
        }
        let (kind, has_content) = match member.kind {
            Kind::File => ('0', true),
            Kind::HardLink => ('1', false),
            Kind::Symlink => ('2', false),
            Kind::CharDevice => ('3', false),
            Kind::BlockDevice => ('4', false),
            Kind::Directory => ('5', false),
            Kind::Fifo => ('6', false),
            kind => panic!("{kind:?}"),
        };
        let sha256 = if has_content {
            Digest::of(Algorithm::Sha256, &content).hex().clone()
        } else {
            "null".to_owned()
        };
        let name = escaped(&member.path);
        let (major, minor) = member.device;
        let attributes: BTreeMap<String, String> = member
            .xattrs
            .iter()
            .map(|(key, value)| (escaped(key), escaped(value)))
            .collect();
        let fields = format!(
            "{kind} {:o} {} {} {} {} {major},{minor} {sha256} {attributes:?}",
            member.mode & 0o7777,
            member.uid,
            member.gid,
            member.size,
            escaped(&member.link),
        );
        let mtime = member.mtime.duration_since(UNIX_EPOCH).unwrap().as_secs();
        rows.insert(name.clone(), row(&name, mtime, &fields));
        names.push(name);
    }
    (names, rows)
}

fn their_rows(name: &str) -> (Vec<String>, Rows) {
    let lines = fs::read_to_string(data(of_driver(&format!("{name}.tarlayer.jsonl")))).unwrap();
    let (mut names, mut rows) = (Vec::new(), Rows::new());
    for line in lines.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let pax = entry["pax"].as_object().expect("an object");
        let attributes: BTreeMap<&str, &str> = pax
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("SCHILY.xattr.")?, text(value))))
            .collect();
        let mode = u32::from_str_radix(text(&entry["mode"]), 8).unwrap();
        let fields = format!(
            "{} {:o} {} {} {} {} {},{} {} {attributes:?}",
            text(&entry["type"]),
            mode & 0o7777,
            entry["uid"],
            entry["gid"],
            entry["size"],
            text(&entry["link"]),
            entry["dev"][0],
            entry["dev"][1],
            entry["sha256"].as_str().unwrap_or("null"),
        );
        let name = text(&entry["name"]);
        let mtime = entry["mtime"].as_u64().expect("seconds");
        rows.insert(name.to_owned(), row(name, mtime, &fields));
        names.push(name.to_owned());
    }
    (names, rows)
}

/// The entries that are ours alone, and those that say something else than the original's.
fn packed_otherwise(name: &str) -> (Vec<&'static str>, &'static [&'static str]) {
    // As for the changes.
    let lost: &[_] = if is_lost() {
        &["data/", "data/frac", "data/xattr"]
    } else {
        &[]
    };
    match name {
        // C5: an attribute that the original did not know.
        "base" => (Vec::new(), &["data/xattr"]),
        "child1" => (lost.to_vec(), &[]),
        // C1: here the new name is one of the file that has the others.
        "child2" => ([&["bin/hard1", "bin/hard2"], lost].concat(), &["bin/hard3"]),
        _ => (Vec::new(), &[]),
    }
}

#[test]
fn layers_have_the_entries_that_the_original_exported() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked(of_driver("root.tar.gz")), expected());
    let graph = store.open();
    // child1 comes last, because its tree is changed, and others are built on it.
    let (last, first): (Vec<_>, Vec<_>) = images(&expected)
        .into_iter()
        .partition(|(name, _)| *name == "child1");
    for (name, image) in first.into_iter().chain(last) {
        let node = graph.get(text(&image["id"])).unwrap();
        if !image["tarlayer"]["err"].is_null() {
            assert!(graph.tar_layer(&node, &mut Vec::new()).is_err(), "{name}");
            assert!(graph.temp_layer_archive(name, &mut ()).is_err(), "{name}");
            continue;
        }
        let (mut their_names, mut theirs) = their_rows(name);
        let digest = Digest::of(Algorithm::Sha256, their_names.join("\n"));
        assert_eq!(*digest.hex(), image["tarlayer"]["names_sha256"]);
        if name == "child1" {
            // C7: the original left an empty directory with the name of a sign in the tree.
            let error = graph.tar_layer(&node, &mut Vec::new()).unwrap_err();
            let text = "cannot pack .wh..wh.plnk: in a layer its name is that of a whiteout";
            assert!(
                error_chain(&error).ends_with(text),
                "{}",
                error_chain(&error)
            );
            fs::remove_dir(store.files(&node.id()).join(".wh..wh.plnk")).unwrap();
            their_names.retain(|name| name != ".wh..wh.plnk/");
            theirs.remove(".wh..wh.plnk/");
        }
        let mut tar = Vec::new();
        let packed = graph.tar_layer(&node, &mut tar).unwrap();
        assert_eq!(packed.size, tar.len() as u64);
        let (mut our_names, mut ours) = our_rows(&tar);
        let (more, other) = packed_otherwise(name);
        our_names.retain(|name| !more.contains(&name.as_str()));
        assert_eq!(our_names, their_names, "{name}");
        for entry in &more {
            assert!(ours.remove(*entry).is_some(), "{name}: {entry}");
        }
        for entry in other {
            assert_ne!(
                ours.remove(*entry),
                theirs.remove(*entry),
                "{name}: {entry}"
            );
        }
        assert_eq!(ours, theirs, "{name}");

        let mut buffered = Vec::new();
        let mut archive = graph
            .temp_layer_archive(&node.id().to_string()[..21], &mut ())
            .unwrap();
        assert_eq!(archive.size(), tar.len() as u64, "{name}");
        std::io::copy(&mut archive, &mut buffered).unwrap();
        assert!(buffered == tar, "{name}");
        // C6: the times of directories that no layer of child1 set have fractions, which take room.
        if more.is_empty() && other.is_empty() && name != "child1" {
            assert_eq!(archive.size(), image["templayer"]["ok"]["size"], "{name}");
        }
    }
    // G5: nothing of ours stays there; this is what an interrupted run of the original left.
    let left = store.unfinished();
    assert_eq!(left, [store.path("graph/_tmp").join("a".repeat(64))]);
}
