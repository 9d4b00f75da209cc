//! Somebody swaps what is being unpacked for something outside, again and again.
//!
//! Here it is for another name of a file outside; `cargo xtask race` does it with links to a whole
//! directory, against every operation.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use layergraph_fs::RenameMode;
use layergraph_tar::{Kind, NewMember};

use crate::support::{Layer, apply, open, tree};

/// A layer with one object in many states, and a file to which it may be a link.
fn entries(kind: Kind) -> Vec<u8> {
    let mut entries = Layer::new();
    entries.line("f = 1");
    for number in 0..200 {
        let member = entries.member(b"swapped", kind);
        let member = NewMember {
            mode: 0o4711,
            uid: 12,
            gid: 34 + number,
            link: match kind {
                Kind::HardLink => b"f",
                Kind::Symlink => b"nowhere",
                _ => b"",
            },
            ..member
        };
        entries.add(&member, b"");
    }
    entries.finish()
}

/// Unpacks objects of one kind while somebody exchanges them for a file outside of the tree.
#[track_caller]
fn check(kind: Kind) {
    layergraph_tests::require!(root);
    let place = tree(&["outside/", "outside/file = 1", "root/"]);
    let victim = File::open(place.path().join("outside/file")).expect("it is there");
    let state = || {
        let now = victim.metadata().expect("it is open");
        (now.mode(), now.uid(), now.gid(), now.modified().ok())
    };
    let before = state();
    let tar = entries(kind);
    let is_over = AtomicBool::new(false);
    let mut swaps = 0;
    thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            let inside = open(&place.path().join("root"));
            let outside = open(&place.path().join("outside"));
            let (name, file) = (OsStr::new("swapped"), OsStr::new("again"));
            let mut swaps = 0;
            while !is_over.load(Ordering::Relaxed) {
                if outside.metadata(file).is_err() {
                    let linked = outside.make_hard_link(file, &outside, OsStr::new("file"));
                    linked.expect("nobody else works there");
                }
                let swapped = inside.rename(name, &outside, file, RenameMode::Exchange);
                if swapped.is_ok() {
                    outside.remove_file(file).expect("nobody else works there");
                    swaps += 1;
                }
            }
            swaps
        });
        for _ in 0..40 {
            // It may be refused, because somebody else works in the tree.
            let _ = apply(&tar, &place.path().join("root"));
        }
        is_over.store(true, Ordering::Relaxed);
        swaps = attacker.join().expect("the thread ends");
    });
    assert_eq!(state(), before, "after {swaps} swaps");
}

#[test]
fn r6_metadata_of_a_symbolic_link_reaches_nothing_that_takes_its_name() {
    check(Kind::Symlink);
}

#[test]
fn r6_metadata_of_a_named_pipe_reaches_nothing_that_takes_its_name() {
    check(Kind::Fifo);
}

#[test]
fn r6_metadata_of_a_hard_link_reaches_nothing_that_takes_its_name() {
    check(Kind::HardLink);
}
