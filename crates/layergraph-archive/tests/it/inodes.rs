//! Directories that get the inodes of others: what a layer made and lost says nothing of what is
//! copied up later.

use std::ffi::OsStr;
use std::path::Path;

use layergraph_archive::{Place, unpack};

use crate::support::{apply_roots, layer, listing_of_view, open, options, tree, union};

/// How many directories are lost, and how many are copied up after that.
const COUNT: usize = 3;

/// Unpacks a layer over another in a directory made in `home`, and compares what both show with
/// what unpacking one after the other makes. The lines are written once for each number, in the
/// place of `#`.
#[track_caller]
fn check(home: &Path, before: &[&str], steps: &[&[&str]]) {
    let numbered = |lines: &[&str]| -> Vec<String> {
        let numbers = (0..COUNT).map(|number| number.to_string());
        let of_one = |number: String| lines.iter().map(move |line| line.replace('#', &number));
        numbers.flat_map(of_one).collect()
    };
    let before = numbered(before);
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let entries: Vec<String> = steps.iter().flat_map(|lines| numbered(lines)).collect();
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let tar = layer(&entries);

    let plain = tree(&before);
    apply_roots(&tar, plain.path()).expect("a good layer");
    let lower = tree(&before);
    let below = union(&[lower.path()]);
    let upper = tempfile::tempdir_in(home).expect("a temporary directory");
    let dir = open(upper.path());
    dir.set_mode(OsStr::new("."), 0o755).expect("it is ours");
    unpack(&mut &*tar, Place::over(&dir, &below), &options()).expect("a good layer");
    let shown = listing_of_view(&union(&[upper.path(), lower.path()]));
    assert_eq!(
        shown,
        listing_of_view(&union(&[plain.path()])),
        "in {}: {steps:?}",
        home.display()
    );
}

#[test]
fn r45_a_directory_that_is_copied_up_has_nothing_of_one_that_the_layer_lost() {
    let before = ["d#/", "d#/f = 1", "d#/g = 1", "d#/in/", "d#/in/f = 1"];
    let old = ["y#/", "y#/f = 1"];
    let before: Vec<&str> = before.iter().chain(&old).copied().collect();
    let homes = [std::env::temp_dir(), "/dev/shm".into()];
    for home in homes.iter().filter(|home| home.is_dir()) {
        // A hard link takes the place without taking the inode.
        for lost in [
            &["x#/f = 1"][..],
            &["x#/y/z/f = 1"],
            &["y#/f = 2", "y#/in = 2"],
            &["y#/.wh..wh..opq", "y#/f = 2"],
        ] {
            let lose = ["x# => file#", "y# => file#"];
            for then in [
                &["d#/.wh.f", "d#/in/.wh.f"][..],
                &["d#/in/new = 1", "d#/in/.wh.f", "d#/.wh.g"],
                &["h# => d#/f", "d#/.wh.f"],
                &["h# => d#/in/f", "d#/.wh.in"],
                &["d#/in/new = 1", "d#/.wh..wh..opq"],
                &["d#/", "d#/.wh.in", "d#/in/f = 2"],
            ] {
                check(home, &before, &[&["file# = 1"], lost, &lose, then]);
            }
        }
    }
}
