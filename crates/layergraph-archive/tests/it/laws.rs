//! Laws of comparing and packing, on random trees.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use layergraph_fs::{Device, Dir, FileKind};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{apply, changes_between, listing_of, me, open, pack_of};

/// Few names, so that trees have much in common; `a-b` sorts between `a` and `a/b`.
const NAMES: [&str; 5] = ["a", "b", "a-b", "\u{fc}", "x y"];

#[derive(Debug, Clone)]
struct Object {
    path: PathBuf,
    what: What,
    /// Choices among a few owners, modes, times and attributes.
    owner: u32,
    mode: usize,
    time: u64,
    attributes: usize,
}

#[derive(Debug, Clone)]
enum What {
    Directory,
    /// A few contents, some of the same length.
    File(&'static str),
    Symlink(&'static str),
    Fifo,
    /// A further name of the file made last.
    Link,
}

fn object() -> impl Strategy<Value = Object> {
    let path = vec(proptest::sample::select(&NAMES[..]), 1..4);
    let what = prop_oneof![
        4 => Just(What::Directory),
        4 => proptest::sample::select(vec!["", "one", "two", "three"]).prop_map(What::File),
        2 => proptest::sample::select(vec!["a", "/b", "../b"]).prop_map(What::Symlink),
        1 => Just(What::Fifo),
        2 => Just(What::Link),
    ];
    (path, what, 0..2u32, 0..3usize, 0..2u64, 0..3usize).prop_map(
        |(path, what, owner, mode, time, attributes)| Object {
            path: path.iter().collect(),
            what,
            owner,
            mode,
            time,
            attributes,
        },
    )
}

/// A tree, and another that keeps some of it.
fn two_trees() -> impl Strategy<Value = (Vec<Object>, Vec<Object>)> {
    (vec(object(), 0..16), vec(object(), 0..6), any::<u32>()).prop_map(|(old, more, kept)| {
        let kept = old.iter().zip(0..).filter(|(_, bit)| kept >> bit & 1 == 1);
        let new = more
            .into_iter()
            .chain(kept.map(|(object, _)| object.clone()))
            .collect();
        (old, new)
    })
}

/// Makes the objects whose place is free.
fn build(objects: &[Object]) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    let root = open(directory.path());
    root.set_mode(OsStr::new("."), 0o755).expect("it is ours");
    let mut last_file: Option<PathBuf> = None;
    let mut made = Vec::new();
    for object in objects {
        let path = directory.path().join(&object.path);
        let parent = path.parent().expect("a path below the root");
        if !parent.is_dir() || parent.is_symlink() || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        let parent = open(parent);
        let name = path.file_name().expect("a name");
        match &object.what {
            What::Directory => fs::create_dir(&path).expect("a free name"),
            What::File(text) => {
                fs::write(&path, text).expect("a free name");
                last_file = Some(path.clone());
            }
            What::Symlink(target) => symlink(target, &path).expect("a free name"),
            What::Fifo => {
                let none = Device::default();
                parent
                    .make_node(name, FileKind::Fifo, 0o600, none)
                    .expect("a free name");
            }
            What::Link => {
                if let Some(file) = &last_file {
                    fs::hard_link(file, &path).expect("a free name");
                }
                continue;
            }
        }
        made.push(object);
    }
    for object in made.iter().rev() {
        state(object, directory.path());
    }
    directory
}

fn state(object: &Object, root: &Path) {
    let path = root.join(&object.path);
    let dir = open(path.parent().expect("a path below the root"));
    let name = path.file_name().expect("a name");
    let (uid, gid) = me();
    if uid == 0 {
        dir.set_owner(name, uid + object.owner, gid)
            .expect("root may");
    }
    let is_symlink = matches!(object.what, What::Symlink(_));
    if !is_symlink {
        dir.set_mode(name, [0o755, 0o4711, 0o1700][object.mode])
            .expect("it is ours");
    }
    if matches!(object.what, What::Directory | What::File(_)) {
        let values: [&[&[u8]]; 3] = [&[], &[b""], &[b"\0\xff"]];
        let values = values[object.attributes];
        for value in values {
            dir.set_xattr(name, OsStr::new("user.comment"), value)
                .expect("it is ours");
        }
    }
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000 + object.time, 7);
    dir.set_times(name, None, Some(time)).expect("it is ours");
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 96,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_packed_changes_make_the_new_tree_of_the_old_one((old, new) in two_trees()) {
        let (old, new) = (build(&old), build(&new));
        let layer = pack_of(new.path(), Some(old.path()));
        apply(&layer, old.path()).expect("a layer of ours");
        prop_assert_eq!(listing_of(old.path()), listing_of(new.path()));
        prop_assert_eq!(changes_between(new.path(), Some(old.path())), Vec::<String>::new());
    }

    #[test]
    fn the_packed_whole_makes_the_tree_of_nothing(objects in vec(object(), 0..16)) {
        let (tree, empty) = (build(&objects), build(&[]));
        apply(&pack_of(tree.path(), None), empty.path()).expect("a layer of ours");
        prop_assert_eq!(listing_of(empty.path()), listing_of(tree.path()));
    }

    #[test]
    fn equal_trees_have_no_changes_and_pack_to_equal_bytes((old, new) in two_trees()) {
        let (old_again, new_again) = (build(&old), build(&new));
        let (old, new) = (build(&old), build(&new));
        prop_assert_eq!(changes_between(new.path(), Some(new_again.path())), Vec::<String>::new());
        let (layer, layer_again) = (
            pack_of(new.path(), Some(old.path())),
            pack_of(new_again.path(), Some(old_again.path())),
        );
        prop_assert!(layer == layer_again);
    }

    #[test]
    fn a_copy_of_a_tree_has_its_listing(objects in vec(object(), 0..16)) {
        let tree = build(&objects);
        let place = TempDir::new().expect("a temporary directory");
        let parent = Dir::open(tree.path().parent().expect("a parent")).expect("it is there");
        let name = tree.path().file_name().expect("a name");
        let copy = OsStr::new("copy");
        layergraph_fs::copy_tree(&parent, name, &open(place.path()), copy).expect("a copy");
        prop_assert_eq!(listing_of(&place.path().join(copy)), listing_of(tree.path()));
    }
}
