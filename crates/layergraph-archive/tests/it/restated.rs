//! A file that a layer states again: it is written in its place only while it is nobody else's.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use layergraph_archive::{UnpackOptions, unpack};
use layergraph_tar::{Kind, NewMember};
use tempfile::TempDir;

use crate::support::{Interrupted, Layer, layer, moment, open, tree};

/// Applies `f = 1` and `f = second`, and between them `then`, which gets the path of `f`.
fn apply_twice(directory: &Path, second: &str, then: impl FnOnce(&Path)) {
    let tar = layer(&["f = 1", &format!("f = {second}")]);
    let path = directory.join("f");
    // A header for the nanoseconds of its time, its own, and each has a block of data.
    let mut tar = Interrupted::new(&tar, 2048, || {
        assert_eq!(fs::read_to_string(&path).expect("it was made"), "1");
        then(&path);
    });
    let done = unpack(&mut tar, &open(directory), &UnpackOptions::default());
    done.expect("a good layer");
    assert_eq!(fs::read_to_string(&path).expect("it was made"), second);
    let now = fs::symlink_metadata(&path).expect("it was made");
    assert!(now.is_file());
    let state = (now.mode() & 0o7777, now.nlink(), now.modified().ok());
    assert_eq!(state, (0o644, 1, Some(moment())));
}

#[test]
fn a_file_that_the_next_entry_states_again_takes_no_new_inode() {
    let directory = tree(&[]);
    let first = Cell::new(None);
    // As long as it is open, no other file has its inode.
    apply_twice(directory.path(), "", |f| first.set(fs::File::open(f).ok()));
    let first = first.take().expect("it was made").metadata();
    let now = fs::metadata(directory.path().join("f")).expect("it was made");
    assert_eq!(first.expect("it is open").ino(), now.ino());
}

#[test]
fn r7_a_file_that_is_stated_again_is_a_new_one_if_others_have_touched_it() {
    let directory = tree(&[]);
    let outside = TempDir::new_in(directory.path().parent().expect("a parent"));
    let outside = outside.expect("a temporary directory");
    let other = outside.path().join("other");
    let kept = || fs::read_to_string(&other).expect("it is there");

    // It got a second name.
    apply_twice(directory.path(), "two", |f| {
        fs::hard_link(f, &other).expect("a free name");
    });
    assert_eq!(kept(), "1");
    // Its name leads elsewhere.
    apply_twice(directory.path(), "two", |f| {
        fs::remove_file(f).expect("it is ours");
        symlink(&other, f).expect("a free name");
    });
    assert_eq!(kept(), "1");
    // It has another name.
    let moved = outside.path().join("moved");
    apply_twice(directory.path(), "two", |f| {
        fs::rename(f, &moved).expect("it is ours");
        fs::write(f, "theirs").expect("a free name");
    });
    assert_eq!(fs::read_to_string(&moved).expect("it is there"), "1");
    // Another file has its name.
    let mut held = fs::File::open(&other).expect("it is there");
    apply_twice(directory.path(), "two", |f| {
        fs::rename(&other, f).expect("it is ours");
    });
    let mut text = String::new();
    held.read_to_string(&mut text).expect("it is open");
    assert_eq!(text, "1");
    // Its name is gone, or a directory's.
    apply_twice(directory.path(), "two", |f| {
        fs::remove_file(f).expect("it is ours");
    });
    apply_twice(directory.path(), "two", |f| {
        fs::remove_file(f).expect("it is ours");
        fs::create_dir(f).expect("a free name");
    });
    // It got an attribute.
    let comment = OsStr::new("user.theirs");
    apply_twice(directory.path(), "two", |_| {
        let directory = open(directory.path());
        directory
            .set_xattr(OsStr::new("f"), comment, b"1")
            .expect("it is ours");
    });
    let xattr = open(directory.path()).xattr(OsStr::new("f"), comment);
    assert_eq!(xattr.expect("it is ours"), None);
    // Others could write to it, and still can.
    let file = Cell::new(None);
    apply_twice(directory.path(), "two", |f| {
        fs::set_permissions(f, fs::Permissions::from_mode(0o666)).expect("it is ours");
        file.set(Some(fs::File::options().write(true).open(f)));
    });
    let mut file = file.take().expect("it was opened").expect("it can be");
    file.write_all(b"more").expect("it was opened");
    let now = fs::read_to_string(directory.path().join("f"));
    assert_eq!(now.expect("it was made"), "two");
}

#[test]
fn r42_a_setuid_file_or_one_with_attributes_is_never_written_in_its_place() {
    let comment = [(b"user.comment".to_vec(), b"1".to_vec())];
    for (mode, xattrs) in [(0o4755, &[][..]), (0o2755, &[]), (0o755, &comment)] {
        let mut entries = Layer::new();
        for data in [b"1", b"2"] {
            let member = entries.member(b"f", Kind::File);
            entries.add(
                &NewMember {
                    mode,
                    xattrs,
                    ..member
                },
                data,
            );
        }
        let tar = entries.finish();
        // All but the data of the second entry, and the end marker.
        let at = tar.len() - 1024 - 512;
        let directory = tree(&[]);
        let path = directory.path().join("f");
        let mut tar = Interrupted::new(&tar, at, || {
            let metadata = fs::metadata(&path).expect("it is being made");
            assert_eq!((metadata.len(), metadata.mode() & 0o6000), (0, 0));
            let xattrs = open(directory.path()).xattrs(OsStr::new("f"));
            let is_theirs = |(key, _): &(OsString, _)| key.as_encoded_bytes().starts_with(b"user.");
            assert!(!xattrs.expect("it is ours").iter().any(is_theirs));
        });
        unpack(&mut tar, &open(directory.path()), &UnpackOptions::default()).expect("a good layer");
        let metadata = fs::metadata(&path).expect("it was made");
        assert_eq!((metadata.len(), metadata.mode() & 0o7777), (1, mode));
    }
}
