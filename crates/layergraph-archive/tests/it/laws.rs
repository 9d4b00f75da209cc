//! Laws of comparing and packing, on random trees.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use layergraph_archive::{Ownership, unpack};
use layergraph_fs::{Device, Dir, FileKind};
use layergraph_tar::{Kind, NewMember};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{
    Layer, apply, changes_between, listing_of, me, moment, open, options, pack_of, tree,
};

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

/// An entry for one name, of one of few kinds.
fn entry() -> impl Strategy<Value = Entry> {
    let data = proptest::sample::select(vec!["", "one", "three", "content for more than a block"]);
    let mode = proptest::sample::select(vec![0o644, 0o600, 0o4755, 0o2711, 0o400]);
    let kind = prop_oneof![
        8 => Just(Kind::File),
        1 => Just(Kind::Symlink),
        1 => Just(Kind::Fifo),
    ];
    (kind, data, mode, 0..2u32, any::<[bool; 4]>()).prop_map(
        |(kind, data, mode, owner, [has_atime, has_xattr, has_acl, is_late])| Entry {
            kind,
            data,
            mode,
            owner,
            atime: has_atime.then(moment),
            mtime: moment() + Duration::from_nanos(is_late.into()),
            xattrs: [(has_xattr, COMMENT), (has_acl, ACL)]
                .into_iter()
                .filter_map(|(has, xattr)| has.then_some(xattr))
                .collect(),
        },
    )
}

#[derive(Debug, Clone)]
struct Entry {
    kind: Kind,
    data: &'static str,
    mode: u32,
    owner: u32,
    atime: Option<SystemTime>,
    mtime: SystemTime,
    /// For a file.
    xattrs: Vec<(&'static str, &'static [u8])>,
}

impl Entry {
    fn add(&self, layer: &mut Layer) {
        let member = layer.member(b"d/f", self.kind);
        let is_file = self.kind == Kind::File;
        let xattrs = self.xattrs.iter().filter(|_| is_file);
        let xattrs: Vec<_> = xattrs
            .map(|(key, value)| (key.as_bytes().to_vec(), value.to_vec()))
            .collect();
        let is_root = me().0 == 0;
        let member = NewMember {
            mode: self.mode,
            uid: if is_root { self.owner } else { member.uid },
            link: if self.kind == Kind::Symlink {
                b"nowhere"
            } else {
                b""
            },
            mtime: self.mtime,
            atime: self.atime,
            xattrs: &xattrs,
            ..member
        };
        let data = if is_file { self.data } else { "" };
        layer.add(&member, data.as_bytes());
    }
}

const COMMENT: (&str, &[u8]) = ("user.comment", b"1");

/// An access control list for one more user: `u::rw-,u:12345:r--,g::r--,m::r--,o::---`
/// (`posix_acl_xattr.h`).
const ACL: (&str, &[u8]) = (
    "system.posix_acl_access",
    b"\x02\0\0\0\
    \x01\0\x06\0\xff\xff\xff\xff\
    \x02\0\x04\0\x39\x30\0\0\
    \x04\0\x04\0\xff\xff\xff\xff\
    \x10\0\x04\0\xff\xff\xff\xff\
    \x20\0\0\0\xff\xff\xff\xff",
);

/// Applies entries for one name; returns the listing and when the object was last read, if the last
/// entry states that.
fn made_of(entries: &[Entry], squash: bool) -> (String, Option<SystemTime>) {
    let directory = tree(&["d/"]);
    let mut layer = Layer::new();
    for entry in entries {
        entry.add(&mut layer);
    }
    let mut options = options();
    if squash {
        options.ownership = Ownership::Squash;
    }
    let done = unpack(
        &mut layer.finish().as_slice(),
        &open(directory.path()),
        &options,
    );
    done.expect("a good layer");
    let path = directory.path().join("d/f");
    let accessed = fs::symlink_metadata(path).expect("it was made").accessed();
    let stated = entries.last().is_some_and(|entry| entry.atime.is_some());
    let accessed = accessed.expect("a time");
    assert!(stated || accessed > moment() + Duration::from_secs(1));
    (listing_of(directory.path()), stated.then_some(accessed))
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
    fn of_several_entries_for_one_name_only_the_last_one_leaves_a_trace(
        entries in vec((entry(), any::<bool>()), 1..6),
        squash in any::<bool>(),
    ) {
        let mut entries = entries;
        for at in 1..entries.len() {
            // Often only what is not said of a new file differs.
            if entries[at].1 {
                let Entry { data, atime, mtime, .. } = entries[at].0;
                entries[at].0 = Entry { data, atime, mtime, ..entries[at - 1].0.clone() };
            }
        }
        let entries: Vec<Entry> = entries.into_iter().map(|(entry, _)| entry).collect();
        let last = &entries[entries.len() - 1..];
        prop_assert_eq!(made_of(&entries, squash), made_of(last, squash));
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
