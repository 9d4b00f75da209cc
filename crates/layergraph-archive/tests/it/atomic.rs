//! Atomic unpacks: all or nothing, and beside others no layer is lost, nor a tree that was not
//! copied.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use layergraph_archive::{Replaced, UnpackError, UnpackOptions, Unpacked, unpack_atomic};
use layergraph_fs::Durability;
use layergraph_tests::{is_prepared, this_test};

use crate::support::{Interrupted, layer, lines, open, options, tree};

fn unpack(tar: &mut dyn io::Read, place: &Path) -> Result<Replaced<Unpacked>, UnpackError> {
    let name = OsStr::new("root");
    unpack_atomic(tar, &open(place), name, &options(), Durability::None)
}

#[test]
fn a_directory_that_an_atomic_unpack_makes_has_mode_0755_whatever_the_umask() {
    // The umask is the whole process's.
    if !is_prepared("umask 077", &this_test!()).expect("it holds there") {
        return;
    }
    let place = tree(&[]);
    let name = OsStr::new("new");
    let tar = layer(&["d/f = 1"]);
    let (parent, options) = (open(place.path()), options());
    unpack_atomic(&mut &*tar, &parent, name, &options, Durability::None).expect("a good layer");
    for (path, mode) in [("new", 0o755), ("new/d", 0o755), ("new/d/f", 0o644)] {
        let metadata = fs::metadata(place.path().join(path)).expect("it was made");
        assert_eq!(metadata.mode() & 0o7777, mode, "{path}");
    }
}

#[test]
fn r8_an_atomic_unpack_changes_all_or_nothing() {
    let place = tree(&["root/", "root/old = 1"]);
    let parent = open(place.path());
    let (name, options) = (OsStr::new("root"), UnpackOptions::default());
    let good = layer(&["new = 2", ".wh.old"]);
    // The last member lacks data.
    let bad = &layer(&["new = 3", "more = 4"])[..3584];
    let refused =
        unpack_atomic(&mut &*bad, &parent, name, &options, Durability::None).expect_err("cut off");
    assert!(matches!(refused, UnpackError::Tar(_)), "{refused}");
    assert_eq!(lines(place.path()), ["root/", "root/old = 1"]);

    unpack_atomic(&mut &*good, &parent, name, &options, Durability::Full).expect("a good layer");
    assert_eq!(lines(place.path()), ["root/", "root/new = 2"]);
    let other = OsStr::new("other");
    unpack_atomic(&mut &*good, &parent, other, &options, Durability::None).expect("a good layer");
    assert_eq!(
        lines(place.path()),
        ["other/", "other/new = 2", "root/", "root/new = 2"]
    );
}

#[test]
fn two_atomic_unpacks_of_one_directory_at_once_apply_both_layers() {
    let place = tree(&["root/", "root/old = 1"]);
    let (first, second) = (layer(&["one = 1"]), layer(&["two = 2"]));
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        let at_once = || {
            let place = place.path();
            let second = &second;
            scope.spawn(move || {
                unpack(&mut &second[..], place).expect("it waits for the other");
                // The other may have stopped to listen.
                let _ = done.send(());
            });
            // Time to get ahead, for whoever does not wait.
            let _ = is_done.recv_timeout(Duration::from_millis(300));
        };
        let mut tar = Interrupted::new(&first, 512, at_once);
        unpack(&mut tar, place.path()).expect("it was first");
    });
    assert_eq!(
        lines(place.path()),
        ["root/", "root/old = 1", "root/one = 1", "root/two = 2"]
    );
}

#[test]
fn what_takes_the_place_of_the_directory_meanwhile_is_kept() {
    let place = tree(&["root/", "root/old = 1"]);
    let tar = layer(&["new = 2"]);
    let at = |name: &str| place.path().join(name);
    let replace = || {
        fs::rename(at("root"), at("aside")).expect("it is there");
        fs::create_dir(at("root")).expect("the name is free");
        fs::write(at("root/other"), "3").expect("it was just made");
    };
    let mut tar = Interrupted::new(&tar, 512, replace);
    let error = unpack(&mut tar, place.path()).expect_err("it is another directory");
    let UnpackError::Fs(error) = &error else {
        panic!("{error}")
    };
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert_eq!(error.path(), at("root"));
    assert_eq!(
        lines(place.path()),
        ["aside/", "aside/old = 1", "root/", "root/other = 3"]
    );
}

#[test]
fn what_takes_a_free_name_meanwhile_is_kept() {
    let place = tree(&[]);
    let tar = layer(&["new = 2"]);
    let make = || fs::create_dir(place.path().join("root")).expect("the name is free");
    let mut tar = Interrupted::new(&tar, 512, make);
    let error = unpack(&mut tar, place.path()).expect_err("the name is taken");
    assert!(
        matches!(error, UnpackError::Fs(error) if error.kind() == io::ErrorKind::AlreadyExists)
    );
    assert_eq!(lines(place.path()), ["root/"]);
}
