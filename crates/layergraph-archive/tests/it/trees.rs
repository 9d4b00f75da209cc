//! A tree, a layer, and the tree after: what each kind of entry does.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use layergraph_archive::{
    CompareOptions, Ownership, UnpackError, UnpackOptions, View, changes, pack, unpack,
    unpack_atomic,
};
use layergraph_fs::{Device, Durability, FileKind};
use layergraph_tar::{Kind, NewMember};
use tempfile::TempDir;

use crate::support::{
    Interrupted, Layer, apply, apply_roots, changes_between, check_unpack, copy, layer, lines,
    listing_of, listing_of_view, moment, open, options, pack_of, tree, view,
};

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
fn a_path_goes_on_through_links_inside_the_root() {
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
fn a_name_outside_of_the_tree_of_a_file_below_keeps_content_and_metadata() {
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
fn an_acl_of_the_directory_does_not_rub_off_on_what_a_layer_makes_in_it() {
    layergraph_tests::require!(program "setfacl");
    let directory = tree(&["d/"]);
    let status = Command::new("setfacl")
        .args(["-d", "-m", "u:12345:rwx"])
        .arg(directory.path().join("d"))
        .status();
    assert!(status.expect("setfacl runs").success());
    let entries = [
        "d/f = 0",
        "d/f = 1",
        "d/e/",
        "d/e/g = 2",
        "d/i/h = 3",
        "d/l -> f",
        "d/k => d/f",
    ];
    apply_roots(&layer(&entries), directory.path()).expect("a good layer");
    let listing = listing_of(directory.path());
    let with: Vec<_> = listing
        .lines()
        .filter(|line| line.contains("posix_acl"))
        .collect();
    assert_eq!(with.len(), 1, "{listing}");
    assert!(with[0].starts_with("d\t") && with[0].contains("system.posix_acl_default="));
}

#[test]
fn r42_owners_setuid_capabilities_and_devices_are_kept_exactly() {
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
fn r40_attributes_of_overlayfs_are_dropped_and_counted() {
    let directory = tree(&[]);
    let mut entries = Layer::new();
    let xattrs = [
        (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"user.kept".to_vec(), b"1".to_vec()),
        (b"user.overlay.opaque".to_vec(), b"y".to_vec()),
    ];
    let member = entries.member(b"d", Kind::Directory);
    entries.add(
        &NewMember {
            xattrs: &xattrs,
            ..member
        },
        b"",
    );
    let member = entries.member(b"f", Kind::File);
    entries.add(
        &NewMember {
            xattrs: &xattrs,
            ..member
        },
        b"",
    );
    let done = apply(&entries.finish(), directory.path()).expect("a good layer");
    assert_eq!(done.dropped_xattrs, 4);
    let listing = listing_of(directory.path());
    assert_eq!(listing.matches("overlay").count(), 0, "{listing}");
    assert_eq!(listing.matches("user.kept=31").count(), 2, "{listing}");
}

#[test]
fn r40_attributes_that_no_layer_can_have_are_dropped_and_counted_whoever_owns_the_files() {
    let dropped: [&[u8]; 6] = [
        b"com.apple.provenance",
        b"btrfs.compression",
        b"security.evm",
        b"security.ima",
        b"security.selinux",
        b"user.containers.override_stat",
    ];
    let mut xattrs: Vec<_> = dropped
        .iter()
        .map(|key| (key.to_vec(), b"0:0:4777:file".to_vec()))
        .collect();
    xattrs.push((b"user.kept".to_vec(), b"1".to_vec()));
    for ownership in [Ownership::Preserve, Ownership::Squash] {
        let mut entries = Layer::new();
        for (path, kind) in [(&b"d"[..], Kind::Directory), (b"f", Kind::File)] {
            let member = entries.member(path, kind);
            let xattrs = &xattrs;
            entries.add(&NewMember { xattrs, ..member }, b"");
        }
        let directory = tree(&[]);
        let mut options = UnpackOptions::default();
        options.ownership = ownership;
        let tar = entries.finish();
        let done = unpack(&mut tar.as_slice(), &open(directory.path()), &options);
        assert_eq!(done.expect("a good layer").dropped_xattrs, 12);
        for name in ["d", "f"] {
            let xattrs = open(directory.path()).xattrs(OsStr::new(name));
            let mut xattrs = xattrs.expect("they can be read");
            // What the host gives each file, and our own record.
            xattrs.retain(|(key, value)| {
                !dropped.contains(&key.as_encoded_bytes()) || value.starts_with(b"0:0:4777")
            });
            assert_eq!(xattrs, [("user.kept".into(), b"1".to_vec())], "{name}");
        }
    }
}

#[test]
fn attributes_of_users_are_for_files_and_directories_and_else_dropped_and_counted() {
    for ownership in [Ownership::Preserve, Ownership::Squash] {
        let mut entries = Layer::new();
        let xattrs = &[(b"user.comment".to_vec(), b"1".to_vec())];
        entries.line("a -> nowhere");
        for (path, kind, link) in [
            (&b"l"[..], Kind::Symlink, &b"nowhere"[..]),
            (b"h", Kind::HardLink, b"a"),
        ] {
            let member = entries.member(path, kind);
            let member = NewMember {
                link,
                xattrs,
                ..member
            };
            entries.add(&member, b"");
        }
        let directory = tree(&[]);
        let mut options = UnpackOptions::default();
        options.ownership = ownership;
        let tar = entries.finish();
        let done = unpack(&mut tar.as_slice(), &open(directory.path()), &options);
        assert_eq!(done.expect("a good layer").dropped_xattrs, 2);
        assert_eq!(
            lines(directory.path()),
            ["a -> nowhere", "h -> nowhere", "l -> nowhere"]
        );
    }
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

#[test]
fn a_size_counts_what_the_entries_state_as_in_2015() {
    let directory = tree(&[]);
    let done = apply(&layer(&["f = 12345", "g = 123", ".wh.h"]), directory.path());
    let done = done.expect("a good layer");
    assert_eq!((done.size, done.entries), (8, 3));
}

#[test]
fn a_directory_that_an_atomic_unpack_makes_has_mode_0755_whatever_the_umask() {
    const UMASK: &str = "LAYERGRAPH_TEST_UMASK_IS_SET";
    if std::env::var_os(UMASK).is_none() {
        // The umask is the whole process's: once more in one of its own.
        let this = std::env::current_exe().expect("a test binary");
        let name = "a_directory_that_an_atomic_unpack_makes_has_mode_0755_whatever_the_umask";
        let script = r#"umask 077 && exec "$0" --exact "trees::$1""#;
        let output = Command::new("sh")
            .args(["-c", script])
            .arg(this)
            .arg(name)
            .env(UMASK, "077")
            .output()
            .expect("a shell runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
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
fn an_atomic_unpack_changes_all_or_nothing() {
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
fn a_copy_of_a_tree_equals_it() {
    let directory = tree(&["d/", "d/f = 1", "g => d/f", "l -> d"]);
    let copied = copy(directory.path());
    assert_eq!(
        listing_of(&copied.path().join("copy")),
        listing_of(directory.path())
    );
}
