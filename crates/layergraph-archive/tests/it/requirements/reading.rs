//! R11, R21, R23 and R27: what is read, and what of it never gets into a tree.

use std::ffi::OsStr;
use std::fs;

use layergraph_archive::UnpackError;
use layergraph_archive::recipe::{AssembleError, NewRecipe, assemble, unpack_with_recipe};
use layergraph_fs::{Device, FileKind};
use layergraph_tar::{Kind, NewMember};
use tempfile::TempDir;

use super::{on_all_sides, within_a_minute};
use crate::support::{Layer, apply, layer, lines, open, options, tree, view};

#[test]
fn r11_a_pipe_in_the_place_of_a_content_is_not_opened() {
    within_a_minute(|| {
        let (tree, home) = (tree(&[]), TempDir::new().expect("a temporary directory"));
        let (home, name) = (open(home.path()), OsStr::new("recipe"));
        let recipe = NewRecipe { home: &home, name };
        let tar = layer(&["f = 1"]);
        let unpacked = unpack_with_recipe(&mut &*tar, &open(tree.path()), &options(), recipe);
        unpacked.expect("a good layer");
        fs::remove_file(tree.path().join("f")).expect("it was made");
        let pipe = (FileKind::Fifo, 0o600, Device::default());
        let made = open(tree.path()).make_node(OsStr::new("f"), pipe.0, pipe.1, pipe.2);
        made.expect("the name is free");
        let recipe = home.open_file(name).expect("it was written");
        let refused = assemble(recipe, &view(tree.path()), &mut Vec::new());
        assert!(
            matches!(refused, Err(AssembleError::Open { .. })),
            "{refused:?}"
        );
    });
}

/// Replaces a header's field by a number in base 256.
fn with_number(path: &str, at: usize, number: u64) -> Vec<u8> {
    let mut field = number.to_be_bytes();
    field[0] |= 0x80;
    Layer::with_header(&layer(&[path]), at, &field)
}

#[test]
fn r21_r23_an_entry_with_a_number_that_is_none_gets_into_no_tree() {
    let (mode, uid, gid) = (100, 108, 116);
    let cases = [
        (uid, u64::from(u32::MAX)),
        (gid, u64::from(u32::MAX)),
        (uid, 1 << 32),
        (gid, 1 << 32),
        // Negative.
        (uid, u64::MAX),
        (mode, u64::MAX),
    ];
    for (at, number) in cases {
        for before in [&[][..], &["f = old"], &["f -> missing"]] {
            let directory = tree(before);
            let refused = apply(&with_number("f = new", at, number), directory.path());
            assert!(matches!(refused, Err(UnpackError::Tar(_))), "{refused:?}");
            assert_eq!(lines(directory.path()), before);
        }
    }
}

#[test]
fn r21_r27_what_no_file_system_can_hold_is_an_error_over_any_layer() {
    let long = |length: usize| vec![b'x'; length];
    let file = |path: Vec<u8>| (path, Kind::File, Vec::new(), Vec::new());
    let through = |link: &str, length| [link.as_bytes(), b"/", &long(length)].concat();
    let link = |kind, target| (b"l".to_vec(), kind, target, Vec::new());
    let attribute = |key: Vec<u8>| (b"f".to_vec(), Kind::File, Vec::new(), key);
    let cases = [
        file(long(256)),
        file(through("up", 256)),
        file(through("abs", 256)),
        file([[&long(200)[..], b"/"].concat().repeat(25), long(1)].concat()),
        link(Kind::Symlink, long(4096)),
        link(Kind::HardLink, long(256)),
        link(Kind::HardLink, long(5000)),
        attribute([b"user.", &long(251)[..]].concat()),
        attribute([b"user.", &long(5000)[..]].concat()),
    ];
    for (number, (path, kind, target, key)) in cases.into_iter().enumerate() {
        let xattrs = if key.is_empty() {
            vec![]
        } else {
            vec![(key, b"1".to_vec())]
        };
        for side in on_all_sides(&["kept = 1"], "a long name", |layer| {
            let member = layer.member(&path, kind);
            let member = NewMember {
                link: &target,
                xattrs: &xattrs,
                ..member
            };
            layer.add(&member, b"");
        }) {
            assert!(side.result.is_err(), "{number}: {}", side.name());
            assert!(side.lines().contains(&"kept = 1".to_owned()));
        }
    }
}
