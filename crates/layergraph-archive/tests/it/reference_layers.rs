//! The change sets of the reference: what the original found, exported and applied.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use layergraph_archive::{CompareOptions, PackError, changes, pack};
use layergraph_digest::{Algorithm, Digest};
use layergraph_fs::seconds_and_nanos;
use layergraph_tar::{Kind, Member, Reader};
use layergraph_tests::escaped;
use serde::Deserialize;
use tempfile::TempDir;

use crate::support::{apply, changes_between, listing_of, open, pack_of, tree, view};

#[derive(Deserialize)]
struct Reference {
    changes: Changes,
    reverse_changes: Vec<String>,
    apply: Reply,
    result_equals_new: bool,
}

#[derive(Deserialize)]
struct Changes {
    changes: Vec<String>,
    size: u64,
}

#[derive(Deserialize)]
struct Reply {
    ok: u64,
}

/// What we list where the original did not; docs/compatibility.md has the rules.
fn listed_too(case: &str) -> (&'static [&'static str], u64) {
    match case {
        // C1: a file's names are listed all together.
        "hardlinks" => (&["C /keep", "C /old1", "C /old2"], 3),
        // C2: the root is listed if its owner, mode or attributes differ.
        "root_metadata_ignored" => (&["C /"], 0),
        // C3: content is compared.
        "same_size_same_mtime_undetected" => (&["C /d", "C /d/a"], 4),
        // C4: the targets of links are compared.
        "symlink_retarget" => (&["C /s1"], 3),
        _ => (&[], 0),
    }
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir("tests/data/layers").expect("the reference is there");
    let paths = entries.map(|entry| entry.expect("a readable directory").path());
    let mut cases: Vec<_> = paths.filter(|path| path.is_dir()).collect();
    cases.sort();
    assert_eq!(cases.len(), 14);
    cases
}

/// The case whose new tree has names that mean something else in a layer.
const SIGNS: &str = "aufs_named_root_file";

/// Returns the old and the new tree of a case.
fn trees(case: &Path) -> (TempDir, TempDir) {
    let new = case.join("new.tar");
    let new = if case.ends_with(SIGNS) {
        extracted(&new)
    } else {
        unpacked(&new)
    };
    (unpacked(&case.join("old.tar")), new)
}

fn unpacked(tar: &Path) -> TempDir {
    let directory = tree(&[]);
    let tar = fs::read(tar).expect("the reference is there");
    apply(&tar, directory.path()).expect("a tree");
    directory
}

/// Extracts files and directories whose names mean nothing but themselves.
fn extracted(tar: &Path) -> TempDir {
    let directory = tree(&[]);
    let mut times = Vec::new();
    for (member, data) in members(&fs::read(tar).expect("the reference is there")) {
        let path = directory.path().join(OsStr::from_bytes(&member.path));
        match member.kind {
            Kind::Directory => fs::create_dir(&path).expect("a new name"),
            Kind::File => fs::write(&path, data).expect("a new name"),
            kind => panic!("{kind:?} in a tree of files and directories"),
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(member.mode)).expect("it is ours");
        chown(&path, Some(member.uid), Some(member.gid)).expect("root may");
        times.push((path, member.mtime));
    }
    for (path, time) in times.iter().rev() {
        let parent = open(path.parent().expect("it has one"));
        let name = path.file_name().expect("it has one");
        parent.set_times(name, None, Some(*time)).expect("root may");
    }
    directory
}

/// Returns the members of an archive with their data.
fn members(tar: &[u8]) -> Vec<(Member, Vec<u8>)> {
    let mut archive = Reader::new(tar);
    let mut members = Vec::new();
    while let Some(member) = archive.next_member().expect("a good archive") {
        let mut data = Vec::new();
        loop {
            let chunk = archive.chunk().expect("a good archive");
            if chunk.is_empty() {
                break;
            }
            data.extend(chunk);
            let taken = chunk.len();
            archive.consume(taken);
        }
        members.push((member, data));
    }
    members
}

#[test]
fn the_changes_of_each_case_are_those_the_original_found_or_fall_under_a_rule() {
    layergraph_tests::require!(root);
    for case in cases() {
        let name = case.file_name().expect("a name").to_str().expect("UTF-8");
        let text = fs::read_to_string(case.join("expected.json")).expect("the reference");
        let expected: Reference = serde_json::from_str(&text).expect("the reference is JSON");
        let (old, new) = trees(&case);
        let (more, more_size) = listed_too(name);
        let ours = changes_between(new.path(), Some(old.path()));
        let theirs: BTreeSet<String> = expected
            .changes
            .changes
            .into_iter()
            .chain(more.iter().map(|&line| line.into()))
            .collect();
        assert_eq!(ours.into_iter().collect::<BTreeSet<_>>(), theirs, "{name}");

        let (upper, lower) = (view(new.path()), view(old.path()));
        let list = changes(&upper, Some(&lower), &CompareOptions::default()).expect("readable");
        let size: u64 = list.iter().map(|change| change.size).sum();
        assert_eq!(size, expected.changes.size + more_size, "{name}");

        let reverse = changes_between(old.path(), Some(new.path()));
        let more: BTreeSet<String> = more.iter().map(|&line| line.into()).collect();
        let theirs: BTreeSet<String> = expected.reverse_changes.into_iter().collect();
        let ours: BTreeSet<String> = reverse.into_iter().collect();
        assert!(
            ours.is_superset(&theirs),
            "{name}: {ours:?} lacks some of {theirs:?}"
        );
        let unexplained: Vec<_> = ours
            .difference(&theirs)
            .filter(|c| !more.contains(*c))
            .collect();
        assert!(unexplained.is_empty(), "{name}: {unexplained:?}");
    }
}

#[test]
fn the_layers_the_original_exported_give_the_trees_that_it_made_of_them() {
    layergraph_tests::require!(root);
    for case in cases() {
        let text = fs::read_to_string(case.join("expected.json")).expect("the reference");
        let expected: Reference = serde_json::from_str(&text).expect("the reference is JSON");
        let old = unpacked(&case.join("old.tar"));
        let layer = fs::read(case.join("diff.tar")).expect("the reference");
        let done = apply(&layer, old.path()).expect("a layer of the original");
        assert_eq!(
            done.size,
            expected.apply.ok,
            "the size of {}",
            case.display()
        );

        let mut result = fs::read_to_string(case.join("result.listing")).expect("the reference");
        if case.ends_with(SIGNS) {
            // U6: of AUFS's own directory nothing stays.
            result = result.replace(".wh..wh.plnk\td\t0600\t0:0\t-\t-\t-\t-\n", "");
        }
        assert_eq!(listing_of(old.path()), result, "{}", case.display());
        if expected.result_equals_new {
            let new = unpacked(&case.join("new.tar"));
            assert_eq!(
                listing_of(old.path()),
                listing_of(new.path()),
                "{}",
                case.display()
            );
        }
    }
}

#[test]
fn our_layers_give_the_new_tree_where_the_original_s_lost_something_too() {
    layergraph_tests::require!(root);
    for case in cases() {
        let (old, new) = trees(&case);
        if case.ends_with(SIGNS) {
            // C7: names that a layer cannot hold are refused.
            let (upper, lower) = (view(new.path()), view(old.path()));
            let list = changes(&upper, Some(&lower), &CompareOptions::default()).expect("readable");
            match pack(&upper, &list, &mut Vec::new()) {
                Err(PackError::Name { path }) => assert_eq!(path, Path::new(".wh..wh.foo")),
                other => panic!("{other:?}"),
            }
            continue;
        }
        let layer = pack_of(new.path(), Some(old.path()));
        apply(&layer, old.path()).expect("a layer of ours");
        assert_eq!(
            listing_of(old.path()),
            listing_of(new.path()),
            "{}",
            case.display()
        );
    }
}

/// The archive of a whole tree, as the original wrote it.
#[derive(Deserialize)]
struct Whole {
    bytes: u64,
    entries: Vec<WholeEntry>,
    /// The archive it was made from.
    source: String,
}

/// One entry of it. The names of users and groups are left out, as are the records of PAX.
#[derive(Debug, PartialEq, Deserialize)]
struct WholeEntry {
    name: String,
    r#type: String,
    mode: String,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: i64,
    link: String,
    dev: (u32, u32),
    sha256: Option<String>,
}

impl WholeEntry {
    fn new((member, data): &(Member, Vec<u8>)) -> WholeEntry {
        let (kind, type_bits) = match member.kind {
            Kind::File => ("0", 0o100_000),
            Kind::Symlink => ("2", 0o120_000),
            Kind::CharDevice => ("3", 0o020_000),
            Kind::BlockDevice => ("4", 0o060_000),
            Kind::Directory => ("5", 0o040_000),
            Kind::Fifo => ("6", 0o010_000),
            kind => panic!("{kind:?} in the reference"),
        };
        let (mtime, nanos) = seconds_and_nanos(member.mtime);
        assert_eq!(nanos, 0);
        let digest = Digest::of(Algorithm::Sha256, data);
        WholeEntry {
            name: escaped(&member.path),
            r#type: kind.to_owned(),
            mode: format!("{:07o}", member.mode | type_bits),
            uid: member.uid,
            gid: member.gid,
            size: member.size,
            mtime,
            link: escaped(&member.link),
            dev: member.device,
            sha256: (member.kind == Kind::File).then(|| digest.hex()),
        }
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
        bytes.extend(rest.as_bytes());
    }
    bytes
}

#[test]
fn the_archive_of_a_whole_tree_is_read_unpacked_and_packed_as_the_original_did() {
    layergraph_tests::require!(root);
    let data = Path::new("tests/data/layers");
    for name in ["full", "full_sort"] {
        let text = fs::read_to_string(data.join(format!("{name}.expected.json")));
        let text = text.expect("the reference");
        let expected: Whole = serde_json::from_str(&text).expect("the reference is JSON");
        let path = data.join(format!("{name}.tar"));
        let archive = fs::read(&path).expect("the reference");
        assert_eq!(archive.len() as u64, expected.bytes, "{name}");
        let read: Vec<_> = members(&archive).iter().map(WholeEntry::new).collect();
        assert_eq!(read, expected.entries, "{name}");

        // The tree is the one it was made from, if that is in the reference.
        let tree = unpacked(&path);
        let source = data.join(&expected.source);
        if source.exists() {
            let source = unpacked(&source);
            assert_eq!(listing_of(tree.path()), listing_of(source.path()), "{name}");
        } else {
            assert_eq!(expected.source, "sort_order/new.tar");
        }

        // Packed by us in the order of a walk, it has the same entries in the same order.
        let view = view(tree.path());
        let mut list = changes(&view, None, &CompareOptions::default()).expect("readable");
        list.sort_by(|a, b| a.path.cmp(&b.path));
        let mut ours = Vec::new();
        pack(&view, &list, &mut ours).expect("a tree that a layer can hold");
        let packed: Vec<_> = members(&ours).iter().map(WholeEntry::new).collect();
        assert_eq!(packed, expected.entries, "{name}");
        assert_eq!(ours.len() as u64, expected.bytes, "{name}");

        // In the order of changes, which the original's exports have, it has the same entries.
        let exported = pack_of(tree.path(), None);
        let exported: Vec<_> = members(&exported).iter().map(WholeEntry::new).collect();
        let mut sorted = expected.entries;
        sorted.sort_by_cached_key(|entry| unescaped(entry.name.trim_end_matches('/')));
        assert_eq!(exported, sorted, "{name}");
    }
}
