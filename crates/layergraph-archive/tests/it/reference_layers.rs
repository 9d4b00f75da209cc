//! The change sets of the reference: what the original found, exported and applied.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use layergraph_archive::{CompareOptions, changes};
use serde::Deserialize;
use tempfile::TempDir;

use crate::support::{apply, changes_between, listing_of, pack_of, view};

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

fn unpacked(tar: &Path) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), mode).expect("it is ours");
    apply(
        &fs::read(tar).expect("the reference is there"),
        directory.path(),
    )
    .expect("a tree");
    directory
}

#[test]
fn the_changes_of_each_case_are_those_the_original_found_or_fall_under_a_rule() {
    layergraph_tests::require!(root);
    for case in cases() {
        let name = case.file_name().expect("a name").to_str().expect("UTF-8");
        let text = fs::read_to_string(case.join("expected.json")).expect("the reference");
        let expected: Reference = serde_json::from_str(&text).expect("the reference is JSON");
        let (old, new) = (
            unpacked(&case.join("old.tar")),
            unpacked(&case.join("new.tar")),
        );

        if name == "aufs_named_root_file" {
            // Its trees hold names that unpacking makes nothing of.
            continue;
        }
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
        if case.ends_with("aufs_named_root_file") {
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
        let (old, new) = (
            unpacked(&case.join("old.tar")),
            unpacked(&case.join("new.tar")),
        );
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
