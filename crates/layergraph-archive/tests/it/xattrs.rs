//! Extended attributes: which of them a layer gives to what it makes.

use std::ffi::OsStr;
use std::process::Command;

use layergraph_archive::{Ownership, UnpackOptions, unpack};
use layergraph_tar::{Kind, NewMember};

use crate::support::{Layer, apply, apply_roots, layer, lines, listing_of, open, tree};

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
fn what_a_mode_says_counts_where_an_access_control_list_says_otherwise() {
    layergraph_tests::require!(root);
    // `u::rw,u:7:r,g::r,m::r,o::r` in the kernel's form.
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, bits, id) in [
        (1_u16, 6_u16, u32::MAX),
        (2, 4, 7),
        (4, 4, u32::MAX),
        (16, 4, u32::MAX),
        (32, 4, u32::MAX),
    ] {
        list.extend(tag.to_le_bytes());
        list.extend(bits.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let xattrs = [(b"system.posix_acl_access".to_vec(), list)];
    for mode in [0o600, 0o400, 0o640] {
        let directory = tree(&[]);
        let mut entries = Layer::new();
        for (path, kind) in [("d", Kind::Directory), ("f", Kind::File)] {
            let member = entries.member(path.as_bytes(), kind);
            let xattrs = &xattrs;
            entries.add(
                &NewMember {
                    mode,
                    xattrs,
                    ..member
                },
                b"",
            );
        }
        apply(&entries.finish(), directory.path()).expect("a good layer");
        for name in ["d", "f"] {
            let found = open(directory.path()).metadata(OsStr::new(name));
            assert_eq!(found.expect("it is there").mode, mode, "{name} {mode:o}");
        }
    }
}
