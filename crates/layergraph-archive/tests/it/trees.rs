//! A tree, a layer, and the tree after: what each kind of entry does.

use std::fs;
use std::os::unix::fs::MetadataExt;

use layergraph_tar::{Kind, NewMember};
use tempfile::TempDir;

use crate::support::{Layer, apply, check_unpack, copy, layer, listing_of, tree};

#[test]
fn an_entry_replaces_what_has_its_name_and_directories_merge() {
    check_unpack(&["f = old"], &["f = new"], &["f = new"]);
    check_unpack(
        &["d/", "d/x = 1"],
        &["d/", "d/y = 2"],
        &["d/", "d/x = 1", "d/y = 2"],
    );
    check_unpack(&["d/", "d/x = 1"], &["d = file"], &["d = file"]);
    check_unpack(&["f = 1"], &["f/", "f/x = 2"], &["f/", "f/x = 2"]);
    check_unpack(
        &["l -> d", "d/"],
        &["l/", "l/x = 1"],
        &["d/", "l/", "l/x = 1"],
    );
    check_unpack(&["f = 1"], &["f -> g"], &["f -> g"]);
}

#[test]
fn the_last_of_several_entries_of_one_name_counts() {
    check_unpack(&[], &["f = 1", "f = 2"], &["f = 2"]);
    check_unpack(
        &[],
        &["n = 1", "n/", "n/x = 1", "n -> x", "n = end"],
        &["n = end"],
    );
}

#[test]
fn a_whiteout_removes_what_is_below_and_makes_nothing() {
    check_unpack(&["f = 1", "g = 2"], &[".wh.f"], &["g = 2"]);
    check_unpack(&["d/", "d/e/", "d/e/f = 1"], &["d/.wh.e"], &["d/"]);
    check_unpack(&["l -> d", "d/"], &[".wh.l"], &["d/"]);
    check_unpack(&[], &[".wh.f", "no/such/.wh.f"], &[]);
}

#[test]
fn r44_a_whiteout_and_a_new_object_of_one_name_give_the_new_one_in_any_order() {
    let new = ["d/", "d/new = 1"];
    check_unpack(&["d/", "d/old = 1"], &[".wh.d", "d/", "d/new = 1"], &new);
    check_unpack(&["d/", "d/old = 1"], &["d/", "d/new = 1", ".wh.d"], &new);
    check_unpack(&["d/", "d/old = 1"], &["d/", ".wh.d", "d/new = 1"], &new);
    check_unpack(&["f = old"], &["f = new", ".wh.f"], &["f = new"]);
}

#[test]
fn r44_an_opaque_marker_hides_what_is_below_wherever_it_stands() {
    let new = ["d/", "d/e/", "d/e/new = 1", "d/new = 2"];
    let old = ["d/", "d/e/", "d/e/old = 1", "d/f/", "d/old = 1"];
    check_unpack(&old, &["d/.wh..wh..opq", "d/e/new = 1", "d/new = 2"], &new);
    check_unpack(&old, &["d/e/new = 1", "d/new = 2", "d/.wh..wh..opq"], &new);
    check_unpack(&["f = 1", "d/"], &[".wh..wh..opq", "g = 2"], &["g = 2"]);
}

#[test]
fn r1_a_path_goes_on_through_links_inside_the_root() {
    check_unpack(
        &["lib -> usr/lib", "usr/", "usr/lib/"],
        &["lib/foo = 1"],
        &["lib -> usr/lib", "usr/", "usr/lib/", "usr/lib/foo = 1"],
    );
    check_unpack(
        &["l -> /d", "d/"],
        &["l/x = 1"],
        &["d/", "d/x = 1", "l -> /d"],
    );
    check_unpack(
        &["l -> ../../d", "d/"],
        &["l/x = 1"],
        &["d/", "d/x = 1", "l -> ../../d"],
    );
    check_unpack(
        &["l -> d", "d/", "d/f = 1"],
        &["l/.wh.f"],
        &["d/", "l -> d"],
    );
}

#[test]
fn a_hard_link_to_a_file_below_parts_it_from_its_other_names() {
    check_unpack(
        &["a = text", "b => a"],
        &["c => a"],
        &["a = text", "b = text", "c => a"],
    );
    check_unpack(&[], &["a = 1", "b => a", "a = 2"], &["a = 2", "b = 1"]);
}

#[test]
fn r44_a_whiteout_removes_a_name_below_to_which_its_layer_has_a_hard_link() {
    let links = ["h => a", "i => a", ".wh.a"];
    check_unpack(&["a = text"], &links, &["h = text", "i => h"]);
    let links = ["h => d/a", "i => d/a", ".wh.d"];
    check_unpack(&["d/", "d/a = text"], &links, &["h = text", "i => h"]);
    let links = ["d/h => d/a", "d/.wh..wh..opq"];
    check_unpack(&["d/", "d/a = text"], &links, &["d/", "d/h = text"]);
    let links = ["h => a", "a = new", ".wh.a"];
    check_unpack(&["a = text"], &links, &["a = new", "h = text"]);
}

#[test]
fn r7_a_name_outside_of_the_tree_of_a_file_below_keeps_content_and_metadata() {
    let directory = tree(&["d/", "d/f = text"]);
    let outside = TempDir::new().expect("a temporary directory");
    let other = outside.path().join("other");
    if fs::hard_link(directory.path().join("d/f"), &other).is_err() {
        return; // Another file system: no such name is possible.
    }
    let before = fs::metadata(&other).expect("it was made");
    let mut entries = Layer::new();
    let member = entries.member(b"h", Kind::HardLink);
    entries.add(
        &NewMember {
            link: b"d/f",
            mode: 0o4711,
            ..member
        },
        b"",
    );
    entries.line("d/f = new");
    apply(&entries.finish(), directory.path()).expect("a good layer");
    let after = fs::metadata(&other).expect("it is still there");
    assert_eq!((before.mode(), before.ino()), (after.mode(), after.ino()));
    assert_eq!(fs::read_to_string(&other).expect("it can be read"), "text");
}

#[test]
fn a_size_counts_what_the_entries_state_as_in_2015() {
    let directory = tree(&[]);
    let done = apply(&layer(&["f = 12345", "g = 123", ".wh.h"]), directory.path());
    let done = done.expect("a good layer");
    assert_eq!((done.size, done.entries), (8, 3));
}

#[test]
fn a_copy_of_a_tree_equals_it() {
    let directory = tree(&["d/", "d/f = 1", "g => d/f", "l -> d"]);
    let copied = copy(directory.path());
    assert_eq!(
        listing_of(&copied.path().join("copy")),
        listing_of(directory.path())
    );
}
