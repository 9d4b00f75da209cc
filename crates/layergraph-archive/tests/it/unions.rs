//! Unions against the kernel: a view of layers shows what an overlayfs mount of them shows.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use crate::overlay::{Act, FEATURES, Mount, history, stack, union};
use crate::support::{listing_of, listing_of_view, open};

#[test]
fn a_view_of_layers_shows_what_overlayfs_shows() {
    layergraph_tests::require!(overlay_mount);
    layergraph_tests::require!(program "mount", "umount");
    let config = ProptestConfig {
        cases: 24,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    let cases = (history(), proptest::sample::select(&FEATURES[..]));
    let result = runner.run(&cases, |(history, options)| {
        let place = TempDir::new().expect("a temporary directory");
        let layers = stack(place.path(), &history, options);
        let view = listing_of_view(&union(&layers));
        let mount = Mount::new(&layers, &place.path().join("again"), options);
        prop_assert_eq!(view, listing_of(&mount.0));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn a_directory_that_moved_again_and_again_is_found_by_all_its_former_paths() {
    layergraph_tests::require!(overlay_mount);
    layergraph_tests::require!(program "mount", "umount");
    let make = || {
        vec![
            Act::MakeDir("a".into()),
            Act::MakeDir("a/b".into()),
            Act::Write("a/b/f".into(), 0),
            Act::MakeDir("c".into()),
            Act::Write("c/g".into(), 0),
        ]
    };
    for moves in [
        // The directory that it was in has another path further down.
        vec![
            vec![Act::Rename("a".into(), "d".into())],
            vec![Act::Rename("d/b".into(), "e".into())],
        ],
        // That one hides what is below it, but not what was moved into it.
        vec![
            vec![
                Act::Renew("c".into()),
                Act::Rename("a/b".into(), "c/b".into()),
            ],
            vec![Act::Rename("c/b".into(), "e".into())],
        ],
    ] {
        let place = TempDir::new().expect("a temporary directory");
        let history = [vec![make()], moves].concat();
        let layers = stack(place.path(), &history, FEATURES[0]);
        let view = listing_of_view(&union(&layers));
        assert!(view.contains("\ne/f\t"), "{view}");
        let mount = Mount::new(&layers, &place.path().join("again"), FEATURES[0]);
        assert_eq!(view, listing_of(&mount.0));
    }
}

#[test]
fn a_redirect_that_is_no_name_and_no_whole_path_is_refused_as_by_the_kernel() {
    layergraph_tests::require!(overlay_mount);
    layergraph_tests::require!(program "mount", "umount");
    for redirect in ["a/b", "/a//b", "/a/", "", "..", "/a/../a/b"] {
        let place = TempDir::new().expect("a temporary directory");
        let layers = ["top", "low"].map(|name| place.path().join(name));
        fs::create_dir_all(layers[0].join("d")).expect("a new layer");
        fs::create_dir_all(layers[1].join("a/b")).expect("a new layer");
        let key = "trusted.overlay.redirect";
        mark(&layers[0].join("d"), key, redirect.as_bytes());
        let view = union(&layers);
        let root = view.root().expect("a readable tree");
        let found = root.entry(OsStr::new("d")).expect("a readable tree");
        let opened = root.open_dir(&found.expect("it is there"));
        assert!(opened.is_err(), "{redirect}: {opened:?}");
        let mount = Mount::new(&layers, &place.path().join("mount"), FEATURES[0]);
        let opened = open(&mount.0).open_dir(OsStr::new("d"));
        assert!(opened.is_err(), "{redirect}: {opened:?}");
    }
}

/// Whether and as what a name is there, by a lookup.
type Found = Option<layergraph_fs::FileKind>;

/// Looks names up in a view of the layers and in a mount of them.
fn look_up(layers: &[PathBuf], place: &Path, names: &[&str]) -> [Vec<Found>; 2] {
    let view = union(layers);
    let in_view = |name: &&str| {
        let (dir, name) = name.split_once('/').map_or(("", *name), |split| split);
        let mut inside = view.root().expect("a readable tree");
        if !dir.is_empty() {
            let found = inside.entry(OsStr::new(dir)).expect("a readable tree");
            inside = inside
                .open_dir(&found.expect("a directory"))
                .expect("a readable tree");
        }
        let found = inside.entry(OsStr::new(name)).expect("a readable tree");
        // What is listed is what can be looked up.
        let listed = inside.entries().expect("a readable tree");
        assert_eq!(
            listed.iter().any(|entry| entry.name() == name),
            found.is_some()
        );
        found.map(|entry| entry.metadata().kind)
    };
    let mount = Mount::new(layers, place, FEATURES[0]);
    let in_mount = |name: &&str| {
        let root = open(&mount.0);
        let (dir, name) = name.split_once('/').unwrap_or((".", name));
        let dir = root.open_dir(OsStr::new(dir)).expect("a directory");
        let found = dir.find(OsStr::new(name)).expect("a readable tree");
        found.map(|metadata| metadata.kind)
    };
    let in_view = names.iter().map(in_view).collect();
    [in_view, names.iter().map(in_mount).collect()]
}

/// Makes three layers, the uppermost first; the lowest has `a` and `d/a`.
fn three_layers(place: &Path) -> Vec<PathBuf> {
    let layers: Vec<PathBuf> = ["top", "middle", "low"]
        .iter()
        .map(|name| place.join(name))
        .collect();
    for layer in &layers {
        fs::create_dir_all(layer.join("d")).expect("a new layer");
    }
    for name in ["a", "d/a"] {
        fs::write(layers[2].join(name), "low").expect("a new file");
    }
    layers
}

fn mark(path: &Path, key: &str, value: &[u8]) {
    let dir = open(path.parent().expect("it is in a directory"));
    let name = path.file_name().expect("it has a name");
    dir.set_xattr(name, OsStr::new(key), value)
        .expect("root may set it");
}

/// The kernel needs the mark on the directory only to leave the names out where it lists them.
#[test]
fn an_empty_file_with_the_attribute_is_a_whiteout_in_a_marked_directory_and_elsewhere() {
    layergraph_tests::require!(overlay_mount);
    layergraph_tests::require!(program "mount", "umount");
    for layer in 0..3 {
        for marked in [None, Some(""), Some("d")] {
            let place = TempDir::new().expect("a temporary directory");
            let layers = three_layers(place.path());
            for name in ["a", "only", "d/a", "d/only"] {
                let path = layers[layer].join(name);
                fs::write(&path, "").expect("a new file");
                mark(&path, "trusted.overlay.whiteout", b"");
            }
            // One that is not empty, and so no whiteout.
            let path = layers[layer].join("full");
            fs::write(&path, "1").expect("a new file");
            mark(&path, "trusted.overlay.whiteout", b"");
            if let Some(directory) = marked {
                let path = layers[layer].join(directory);
                mark(&path, "trusted.overlay.opaque", b"x");
            }
            let names = ["a", "only", "d", "d/a", "d/only", "full"];
            let [view, mount] = look_up(&layers, place.path(), &names);
            assert_eq!(view, mount, "layer {layer}, marked {marked:?}");
            assert_eq!(view.iter().flatten().count(), 2);
        }
    }
}

#[test]
fn a_root_marked_as_opaque_hides_nothing_and_any_other_directory_does() {
    layergraph_tests::require!(overlay_mount);
    layergraph_tests::require!(program "mount", "umount");
    for layer in 0..2 {
        for (directory, hidden) in [("", 0), ("d", 1)] {
            let place = TempDir::new().expect("a temporary directory");
            let layers = three_layers(place.path());
            let path = layers[layer].join(directory);
            mark(&path, "trusted.overlay.opaque", b"y");
            let names = ["a", "d", "d/a"];
            let [view, mount] = look_up(&layers, place.path(), &names);
            assert_eq!(view, mount, "layer {layer}, {directory:?}");
            assert_eq!(view.iter().flatten().count(), 3 - hidden);
        }
    }
}
