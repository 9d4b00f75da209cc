//! R40 to R45: attributes, modes, devices and pipes.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use layergraph_archive::{Ownership, UnpackError, View};
use layergraph_tar::{Kind, NewMember, Reader};
use layergraph_tests::need;

use super::{LINKS, on_all_sides, within_a_minute};
use crate::support::{listing_of_view, open, pack_of, tree};

#[test]
fn r40_attributes_of_overlayfs_do_not_get_out_of_a_tree_into_a_layer() {
    let directory = tree(&["d/", "f = 1"]);
    let dir = open(directory.path());
    let mut keys = vec!["user.overlay.opaque", "user.overlay.redirect", "user.kept"];
    if need::root().is_ok() {
        keys.extend(["trusted.overlay.origin", "trusted.overlay.metacopy"]);
    }
    for name in ["d", "f"] {
        for key in &keys {
            let set = dir.set_xattr(OsStr::new(name), OsStr::new(key), b"x");
            set.expect("it is ours");
        }
    }
    let tar = pack_of(directory.path(), None);
    let mut reader = Reader::new(tar.as_slice());
    let mut kept = 0;
    while let Some(member) = reader.next_member().expect("a layer of ours") {
        for (key, _) in &member.xattrs {
            let key = String::from_utf8_lossy(key);
            assert!(!key.contains("overlay"), "{key}");
            kept += usize::from(key == "user.kept");
        }
    }
    assert_eq!(kept, 2);
}

#[test]
fn r40_a_copy_of_a_file_below_has_none_of_its_attributes_of_overlayfs() {
    for side in on_all_sides(&["f = 1"], "a hard link", |layer| {
        let xattrs = [
            (b"user.overlay.opaque".to_vec(), b"y".to_vec()),
            (b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec()),
        ];
        let member = NewMember {
            link: b"f",
            xattrs: &xattrs,
            ..layer.member(b"up/h", Kind::HardLink)
        };
        layer.add(&member, b"");
        let member = layer.member(b"parent/d", Kind::Directory);
        layer.add(
            &NewMember {
                xattrs: &xattrs,
                ..member
            },
            b"",
        );
    }) {
        let name = side.name();
        assert_eq!(
            side.result.expect("a good layer").dropped_xattrs,
            4,
            "{name}"
        );
        let view = View::new(open(&side.sandbox.root()));
        let listing = listing_of_view(&view);
        assert_eq!(listing.matches(".overlay.").count(), 0, "{name}: {listing}");
    }
}

#[test]
fn r41_a_device_0_0_is_refused_wherever_it_stands() {
    for path in ["gone", "up/gone", "deep/down", "abs", "abs/gone"] {
        for side in on_all_sides(&["gone = 1"], path, |layer| {
            let member = layer.member(path.as_bytes(), Kind::CharDevice);
            layer.add(&member, b"");
        }) {
            let refused = matches!(side.result, Err(UnpackError::WhiteoutDevice { .. }));
            assert!(refused, "{path}: {}", side.name());
        }
    }
}

#[test]
fn r42_setuid_is_kept_inside_and_never_set_outside() {
    for link in LINKS {
        let path = format!("{link}/secret");
        on_all_sides(&[], &path, |layer| {
            let mode = 0o6755;
            let member = layer.member(path.as_bytes(), Kind::File);
            layer.add(&NewMember { mode, ..member }, b"pwn");
        });
    }
    for side in on_all_sides(&["tool = old"], "a tool", |layer| {
        let mode = 0o6755;
        let member = layer.member(b"up/tool", Kind::File);
        layer.add(&NewMember { mode, ..member }, b"new");
    }) {
        let view = View::new(open(&side.sandbox.root())).with_ownership(side.ownership.clone());
        let listing = listing_of_view(&view);
        assert!(
            listing.contains("tool\tf\t6755\t"),
            "{}: {listing}",
            side.name()
        );
        if side.ownership == Ownership::Squash {
            let on_disk = fs::metadata(side.sandbox.root().join("tool"));
            assert_eq!(on_disk.expect("it was made").mode() & 0o6000, 0);
        }
    }
}

#[test]
fn r43_a_device_is_made_by_root_recorded_or_refused() {
    for path in ["null", "up/null", "parent/null"] {
        for side in on_all_sides(&["null = 1"], path, |layer| {
            let member = layer.member(path.as_bytes(), Kind::CharDevice);
            let device = (1, 3);
            layer.add(&NewMember { device, ..member }, b"");
        }) {
            let name = side.name();
            let on_disk = fs::symlink_metadata(side.sandbox.root().join("null"));
            let kind = on_disk.map(|metadata| metadata.file_type());
            match (&side.ownership, need::root().is_ok()) {
                (Ownership::Preserve, true) => {
                    assert!(kind.expect("it was made").is_char_device(), "{name}");
                    assert_eq!(side.result.expect("root may").recorded_nodes, 0);
                }
                (Ownership::Preserve, false) => {
                    let Err(UnpackError::Entry { source, .. }) = &side.result else {
                        panic!("{name}")
                    };
                    assert_eq!(source.kind(), io::ErrorKind::PermissionDenied);
                    assert!(kind.is_err(), "{name}");
                }
                _ => {
                    assert!(kind.expect("it was made").is_file(), "{name}");
                    assert_eq!(side.result.expect("a user may").recorded_nodes, 1);
                }
            }
        }
    }
}

/// What an object is, in the words of a listing.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::File | Kind::HardLink => "f",
        Kind::Directory => "d",
        Kind::Symlink => "l",
        Kind::Fifo => "p",
        _ => "c",
    }
}

#[test]
fn r45_whatever_stands_there_is_replaced_and_never_opened() {
    within_a_minute(|| {
        let mut kinds = vec![Kind::File, Kind::Directory, Kind::Symlink, Kind::Fifo];
        if need::root().is_ok() {
            kinds.push(Kind::CharDevice);
        }
        for &old in &kinds {
            for &new in kinds.iter().chain([&Kind::HardLink]) {
                check_replaced(old, new);
            }
        }
    });
}

#[track_caller]
fn check_replaced(old: Kind, new: Kind) {
    let what = format!("{new:?} in the place of {old:?}");
    for side in on_all_sides(&["other = x"], &what, |layer| {
        for (path, kind) in [(&b"up/it"[..], old), (b"parent/it", new)] {
            let link: &[u8] = match kind {
                Kind::Symlink => b"file",
                Kind::HardLink => b"other",
                _ => b"",
            };
            let device = if kind == Kind::CharDevice {
                (1, 3)
            } else {
                (0, 0)
            };
            let member = layer.member(path, kind);
            let member = NewMember {
                link,
                device,
                ..member
            };
            layer.add(&member, if kind == Kind::File { b"data" } else { b"" });
        }
    }) {
        let view = View::new(open(&side.sandbox.root())).with_ownership(side.ownership.clone());
        let listing = listing_of_view(&view);
        let expected = format!("\nit\t{}\t", word(new));
        assert!(
            listing.contains(&expected),
            "{what}: {}: {listing}",
            side.name()
        );
    }
}
