//! Atomic unpacks beside others: no layer is lost, and no tree that was not copied.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use layergraph_archive::{Replaced, UnpackError, unpack_atomic};
use layergraph_fs::Durability;

use crate::support::{Interrupted, layer, lines, open, options, tree};

fn unpack(tar: &mut dyn io::Read, place: &Path) -> Result<Replaced, UnpackError> {
    let name = OsStr::new("root");
    unpack_atomic(tar, &open(place), name, &options(), Durability::None)
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
