//! Owners, modes, times and devices: those of entries, and of directories that only entries imply.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use layergraph_archive::{CompareOptions, Ownership, UnpackOptions, View, changes, pack, unpack};
use layergraph_fs::{Device, FileKind};
use layergraph_tar::{Kind, NewMember};

use crate::support::{
    Layer, apply, apply_roots, changes_between, layer, lines, listing_of, listing_of_view, moment,
    open, pack_of, tree, view,
};

#[test]
fn what_a_link_pointed_to_keeps_its_metadata_when_the_link_is_replaced() {
    let directory = tree(&["l -> d", "d/"]);
    let mut entries = Layer::new();
    let member = entries.member(b"l/sub", Kind::Directory);
    entries.add(
        &NewMember {
            mode: 0o751,
            ..member
        },
        b"",
    );
    entries.line("l/sub/f = 1");
    entries.line("l = 2");
    apply(&entries.finish(), directory.path()).expect("a good layer");
    assert_eq!(
        lines(directory.path()),
        ["d/", "d/sub/", "d/sub/f = 1", "l = 2"]
    );
    let metadata = fs::metadata(directory.path().join("d/sub")).expect("it was made");
    assert_eq!(metadata.mode() & 0o7777, 0o751);
    assert_eq!(metadata.modified().expect("a time"), moment());
}

#[test]
fn a_directory_that_only_entries_imply_has_mode_0755() {
    let directory = tree(&[]);
    apply_roots(&layer(&["a/b/c = 1"]), directory.path()).expect("a good layer");
    for path in ["a", "a/b"] {
        let metadata = fs::metadata(directory.path().join(path)).expect("it was made");
        assert_eq!(metadata.mode() & 0o7777, 0o755, "{path}");
    }
}

#[test]
fn a_directory_that_is_not_named_keeps_its_mode_and_time() {
    let directory = tree(&["d/", "d/f = 1"]);
    let path = directory.path().join("d");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o2751)).expect("it is ours");
    let old = SystemTime::UNIX_EPOCH + Duration::new(77, 777);
    open(directory.path())
        .set_times(OsStr::new("d"), None, Some(old))
        .expect("it is ours");
    apply(&layer(&["d/g = 1", "d/.wh.f"]), directory.path()).expect("a good layer");
    let metadata = fs::metadata(&path).expect("it is there");
    assert_eq!(metadata.mode() & 0o7777, 0o2751);
    assert_eq!(metadata.modified().expect("a time"), old);
}

#[test]
fn a_named_directory_has_what_its_entry_states_and_nothing_from_below() {
    let directory = tree(&["d/", "d/f = 1"]);
    let key = OsStr::new("user.old");
    open(directory.path())
        .set_xattr(OsStr::new("d"), key, b"1")
        .expect("it is ours");
    let mut entries = Layer::new();
    let member = entries.member(b"d", Kind::Directory);
    let xattrs = [(b"user.new".to_vec(), b"2".to_vec())];
    entries.add(
        &NewMember {
            mode: 0o1770,
            xattrs: &xattrs,
            ..member
        },
        b"",
    );
    entries.line("d/.wh..wh..opq");
    apply(&entries.finish(), directory.path()).expect("a good layer");
    let listing = listing_of(directory.path());
    let line = listing
        .lines()
        .find(|line| line.starts_with("d\t"))
        .expect("it is listed");
    assert!(
        line.contains("\t1770\t") && line.ends_with("\tuser.new=32"),
        "{line}"
    );
}

#[test]
fn a_directory_that_only_entries_imply_has_the_time_of_the_newest_wherever_a_sign_stands() {
    let old = moment() + Duration::from_secs(60);
    let new = moment() + Duration::from_secs(120);
    let entry = |entries: &mut Layer, path: &str, mtime| {
        let member = entries.member(path.as_bytes(), Kind::File);
        entries.add(&NewMember { mtime, ..member }, b"");
    };
    for place in 0..4 {
        let directory = tree(&["d/", "d/e/", "d/e/old = 1"]);
        let mut entries = Layer::new();
        for number in 0..4 {
            match number {
                number if number == place => entries.line(".wh.d"),
                0 | 3 => entry(&mut entries, "d/e/f", old),
                _ => entry(&mut entries, &format!("d/e/{}", number / 2), new),
            }
        }
        entry(&mut entries, "d/e/last", old);
        entry(&mut entries, "d/e/0", new);
        apply_roots(&entries.finish(), directory.path()).expect("a good layer");
        for path in ["d", "d/e"] {
            let metadata = fs::metadata(directory.path().join(path)).expect("it was made");
            assert_eq!(metadata.modified().expect("a time"), new, "{path} {place}");
        }
    }
}

#[test]
fn r42_r43_owners_setuid_capabilities_and_devices_are_kept_exactly() {
    layergraph_tests::require!(root);
    let directory = tree(&[]);
    let mut entries = Layer::new();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let xattrs = [
        (b"security.capability".to_vec(), capability.to_vec()),
        (b"user.comment".to_vec(), b"\0".to_vec()),
    ];
    let mut add = |path: &[u8], kind, mode, device| {
        let xattrs: &[_] = if kind == Kind::File { &xattrs } else { &[] };
        let member = entries.member(path, kind);
        let member = NewMember {
            mode,
            uid: 12,
            gid: 345_678,
            device,
            xattrs,
            ..member
        };
        entries.add(&member, b"");
    };
    add(b"setuid", Kind::File, 0o6755, (0, 0));
    add(b"dir", Kind::Directory, 0o3777, (0, 0));
    add(b"char", Kind::CharDevice, 0o620, (1, 3));
    add(b"block", Kind::BlockDevice, 0o060, (8, 1));
    add(b"pipe", Kind::Fifo, 0o600, (0, 0));
    let tar = entries.finish();
    apply(&tar, directory.path()).expect("root may");
    let listing = listing_of(directory.path());
    let hex = "0100000200200000000000000000000000000000";
    for expected in [
        "block\tb\t0060\t12:345678\t8,1\t",
        "char\tc\t0620\t12:345678\t1,3\t",
        "pipe\tp\t0600\t12:345678\t-\t",
        "setuid\tf\t6755\t12:345678\t",
        &format!("security.capability={hex};user.comment=00\n"),
    ] {
        assert!(listing.contains(expected), "{expected} in {listing}");
    }
}

#[test]
fn whole_trees_with_devices_and_owners_pass_through_a_layer() {
    layergraph_tests::require!(root);
    let directory = tree(&["d/", "d/f = 1", "d/g => d/f"]);
    let dir = open(directory.path());
    let null = Device { major: 1, minor: 3 };
    dir.make_node(OsStr::new("null"), FileKind::CharDevice, 0o666, null)
        .expect("root may");
    dir.make_node(OsStr::new("pipe"), FileKind::Fifo, 0o600, Device::default())
        .expect("it may");
    dir.set_owner(OsStr::new("d"), 1, 2).expect("root may");
    dir.set_mode(OsStr::new("d"), 0o2710).expect("root may");
    let other = tree(&[]);
    apply(&pack_of(directory.path(), None), other.path()).expect("a layer of ours");
    assert_eq!(listing_of(other.path()), listing_of(directory.path()));
    assert_eq!(
        changes_between(other.path(), Some(directory.path())),
        Vec::<String>::new()
    );
}

#[test]
fn r43_squash_records_owners_modes_and_devices_and_a_view_shows_them() {
    let directory = tree(&[]);
    let mut entries = Layer::new();
    let mut add = |path: &[u8], kind, mode, device| {
        let member = entries.member(path, kind);
        entries.add(
            &NewMember {
                mode,
                uid: 12,
                gid: 34,
                device,
                ..member
            },
            b"",
        );
    };
    add(b"dir", Kind::Directory, 0o555, (0, 0));
    add(b"dir/secret", Kind::File, 0o4000, (0, 0));
    add(b"null", Kind::CharDevice, 0o666, (1, 3));
    add(b"pipe", Kind::Fifo, 0o640, (0, 0));
    entries.line("dir/again => dir/secret");
    let mut options = UnpackOptions::default();
    options.ownership = Ownership::Squash;
    let done = unpack(
        &mut entries.finish().as_slice(),
        &open(directory.path()),
        &options,
    );
    assert_eq!(done.expect("a user may").recorded_nodes, 2);

    let on_disk = fs::metadata(directory.path().join("dir")).expect("it was made");
    assert_eq!(on_disk.mode() & 0o7777, 0o755);
    let on_disk = fs::metadata(directory.path().join("null")).expect("it was made");
    assert!(on_disk.is_file());
    let squashed = || view(directory.path()).with_ownership(Ownership::Squash);
    let shown = listing_of_view(&squashed());
    for expected in [
        "dir\td\t0555\t12:34\t",
        "null\tc\t0666\t12:34\t1,3\t",
        "pipe\tp\t0640\t12:34\t",
    ] {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }
    assert_eq!(shown.matches("override_stat").count(), 0, "{shown}");

    // A layer of such a tree states the truth: unpacked again, it gives the same records.
    let list = changes(&squashed(), None, &CompareOptions::default()).expect("a readable tree");
    let mut again = Vec::new();
    pack(&squashed(), &list, &mut again).expect("a tree that a layer can hold");
    let other = tree(&[]);
    unpack(&mut again.as_slice(), &open(other.path()), &options).expect("a layer of ours");
    let other = View::new(open(other.path())).with_ownership(Ownership::Squash);
    assert_eq!(listing_of_view(&other), shown);
}
