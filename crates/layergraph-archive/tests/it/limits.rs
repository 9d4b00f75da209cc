//! What a layer may cost, and trees that are large in a way of their own.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;

use layergraph_archive::{UnpackError, Unpacked, unpack};
use layergraph_tests::{is_prepared, this_test};

use crate::support::{apply_in_steps, apply_roots, layer, lines, open, options, pack_of, tree};

/// Applies entries to a tree of one file of 1,000 bytes and another, with room for so many bytes.
fn apply_within(limit: u64, entries: &[&str]) -> Result<Unpacked, UnpackError> {
    let text = "x".repeat(1000);
    let directory = tree(&[&format!("a = {text}"), &format!("b = {text}")]);
    let mut options = options();
    options.limits.unpacked_bytes = limit;
    unpack(
        &mut layer(entries).as_slice(),
        &open(directory.path()),
        &options,
    )
}

#[track_caller]
fn check_too_many_bytes(result: Result<Unpacked, UnpackError>, at: &str) {
    match result {
        Err(UnpackError::Limit { path, what, .. }) => {
            assert_eq!((path.as_str(), what), (at, "bytes in all files"));
        }
        other => panic!("{at}: {other:?}"),
    }
}

#[test]
fn r32_a_copy_that_a_hard_link_makes_of_a_file_below_counts_once_and_is_no_size() {
    let done = apply_within(1000, &["c => a", "d => a", "e => c"]).expect("it is one copy");
    assert_eq!(done.size, 0);
    check_too_many_bytes(apply_within(999, &["c => a"]), "c");
    check_too_many_bytes(apply_within(1999, &["c => a", "d => b"]), "d");
    check_too_many_bytes(apply_within(1000, &["new = 1", "c => a"]), "c");
}

#[test]
fn r32_hard_links_through_aufs_are_names_of_one_file_and_copy_nothing() {
    let text = "x".repeat(1000);
    let kept = format!(".wh..wh.plnk/1.2 = {text}");
    let links: Vec<String> = (0..50)
        .map(|number| format!("{number} => .wh..wh.plnk/1.2"))
        .collect();
    let entries: Vec<&str> = std::iter::once(&kept)
        .chain(&links)
        .map(String::as_str)
        .collect();
    let directory = tree(&[]);
    let mut options = options();
    options.limits.unpacked_bytes = 1000;
    let done = unpack(
        &mut layer(&entries).as_slice(),
        &open(directory.path()),
        &options,
    );
    assert_eq!(done.expect("it is one file").size, 1000);
    let metadata = fs::metadata(directory.path().join("7")).expect("it was made");
    assert_eq!((metadata.nlink(), metadata.size()), (50, 1000));
    assert_eq!(lines(directory.path()).len(), 50);
}

#[test]
fn r32_links_in_the_way_of_entries_may_take_so_many_steps_in_all() {
    // Each entry goes through 4 links with 101 components each, and a link forgets the way.
    let mut entries = vec!["a/".to_owned()];
    for number in 0..4 {
        let next = if number < 3 {
            format!("l{}", number + 1)
        } else {
            "a".to_owned()
        };
        entries.push(format!("l{number} -> {}{next}", "a/../".repeat(50)));
    }
    for number in 0..10 {
        entries.push(format!("l0/f{number} = 1"));
        entries.push(format!("s{number} -> nowhere"));
    }
    let apply = |steps| apply_in_steps(steps, &entries);
    apply(10_000).expect("they are 4,050");
    match apply(3000) {
        Err(UnpackError::Limit { path, what, .. }) => {
            assert_eq!(
                (path.as_str(), what),
                ("l0/f7", "steps through links and layers")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn r44_what_has_the_longest_name_can_be_removed_by_a_layer() {
    let (name, other) = ("n".repeat(255), "n".repeat(252));
    let old = tree(&[&format!("{name} = 1"), &format!("d/{other}/f = 1")]);
    let new = tree(&["d/"]);
    apply_roots(&pack_of(new.path(), Some(old.path())), old.path()).expect("a layer of ours");
    assert_eq!(lines(old.path()), ["d/"]);
}

#[test]
fn r44_what_has_the_longest_path_can_be_removed_by_a_layer() {
    let parts = vec!["d".repeat(200); 20].join("/");
    let path = format!("{parts}/{}", "e".repeat(4095 - parts.len() - 3));
    let directory = tree(&[&format!("{path}/f = 1"), &format!("{path}/g = 1")]);
    let count = || {
        let mut root = layergraph_fs::Root::new(open(directory.path()));
        let below = root.directory(path.as_bytes()).expect("it was made");
        below.entries().expect("it can be read").len()
    };
    assert_eq!(count(), 2);
    apply_roots(&layer(&[&format!("{path}/.wh.f")]), directory.path()).expect("a good layer");
    assert_eq!(count(), 1);
    let marker = format!("{path}/.wh..wh..opq");
    apply_roots(&layer(&[&marker]), directory.path()).expect("a good layer");
    assert_eq!(count(), 0);
}

#[test]
fn r10_a_sign_for_a_deep_tree_takes_few_handles() {
    if !is_prepared("ulimit -n 256", &this_test!()).expect("it holds there") {
        return;
    }
    let deep = format!("top/{}", "d/".repeat(400));
    let (old, new) = (format!("{deep}old = 1"), format!("{deep}new = 1"));
    for (sign, left) in [(".wh.top", 0), ("top/.wh..wh..opq", 1)] {
        let directory = tree(&[&old]);
        apply_roots(&layer(&[sign]), directory.path()).expect("a good layer");
        let names = open(directory.path()).entries().expect("it can be read");
        assert_eq!(names.len(), left);

        // The directories stay, for what the layer has in them.
        let directory = tree(&[&old]);
        apply_roots(&layer(&[&new, sign]), directory.path()).expect("a good layer");
        let below = open(&directory.path().join(&deep));
        let names = below.sorted_names().expect("it can be read");
        assert_eq!(names, ["new"]);
    }
}

#[test]
fn r44_a_sign_removes_each_of_very_many_directories_and_keeps_each_of_the_layer() {
    const COUNT: usize = 5000;
    // More names than a level may hold at once.
    let name = |number: usize| format!("{number:0>250}");
    let directory = tree(&["d/", "d/f = 1"]);
    let path = directory.path().join("d");
    for number in 0..COUNT {
        fs::create_dir(path.join(name(number))).expect("a free name");
    }
    let made: Vec<usize> = (0..COUNT).step_by(7).collect();
    let mut entries: Vec<String> = made
        .iter()
        .map(|&number| format!("d/{}/", name(number)))
        .collect();
    entries.push("d/.wh..wh..opq".to_owned());
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    apply_roots(&layer(&entries), directory.path()).expect("a good layer");
    let names = open(&path).sorted_names().expect("it can be read");
    let expected: Vec<OsString> = made.iter().map(|&number| name(number).into()).collect();
    assert_eq!(names, expected);
}
