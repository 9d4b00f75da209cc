//! Unions against the kernel: a view of layers shows what an overlayfs mount of them shows.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use layergraph_archive::{Dialect, View};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use crate::support::{listing_of, listing_of_view, open};

/// An overlayfs mount, until it is dropped.
struct Mount(PathBuf);

impl Mount {
    /// Mounts layers, the uppermost first; that one can be written to.
    fn new(layers: &[PathBuf], place: &Path) -> Mount {
        let [work, merged] = ["work", "merged"].map(|name| place.join(name));
        for directory in [&work, &merged] {
            fs::create_dir_all(directory).expect("a place for the mount");
        }
        let lower: Vec<_> = layers[1..]
            .iter()
            .map(|layer| layer.display().to_string())
            .collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={},index=off,metacopy=off,redirect_dir=on",
            lower.join(":"),
            layers[0].display(),
            work.display()
        );
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(&merged);
        assert!(mount.status().expect("mount runs").success(), "{options}");
        Mount(merged)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(&self.0).status();
        assert!(status.expect("umount runs").success());
    }
}

#[derive(Debug, Clone)]
enum Act {
    Make(PathBuf),
    Write(PathBuf),
    Link(PathBuf),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Act {
    /// Does it, where it can be done.
    fn perform(&self, root: &Path) {
        let at = |path: &Path| root.join(path);
        let _ = match self {
            Act::Make(path) => fs::create_dir(at(path)),
            Act::Write(path) => fs::write(at(path), path.as_os_str().as_encoded_bytes()),
            Act::Link(path) => symlink("target", at(path)),
            Act::Remove(path) => match fs::symlink_metadata(at(path)) {
                Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(at(path)),
                _ => fs::remove_file(at(path)),
            },
            Act::Rename(from, to) => fs::rename(at(from), at(to)),
        };
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let path = || {
        let name = proptest::sample::select(vec!["a", "b", "c"]);
        vec(name, 1..4).prop_map(|names| names.iter().collect::<PathBuf>())
    };
    let act = prop_oneof![
        3 => path().prop_map(Act::Make),
        3 => path().prop_map(Act::Write),
        1 => path().prop_map(Act::Link),
        2 => path().prop_map(Act::Remove),
        2 => (path(), path()).prop_map(|(from, to)| Act::Rename(from, to)),
    ];
    vec(act, 4..16)
}

/// Each layer is what the acts leave in the upper directory of a mount on those below.
fn stack(place: &Path, all_acts: &[Vec<Act>]) -> Vec<PathBuf> {
    let mut layers: Vec<PathBuf> = Vec::new();
    for (acts, number) in all_acts.iter().zip(0..) {
        let layer = place.join(format!("layer{number}"));
        fs::create_dir(&layer).expect("a new layer");
        layers.insert(0, layer.clone());
        if number == 0 {
            for act in acts {
                act.perform(&layer);
            }
        } else {
            let mount = Mount::new(&layers, &place.join(format!("mount{number}")));
            for act in acts {
                act.perform(&mount.0);
            }
        }
    }
    layers
}

#[test]
fn a_view_of_layers_shows_what_overlayfs_shows() {
    layergraph_tests::require!(overlay_mount);
    layergraph_tests::require!(program "mount", "umount");
    let config = ProptestConfig {
        cases: 24,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&vec(acts(), 2..4), |acts| {
        let place = TempDir::new().expect("a temporary directory");
        let layers = stack(place.path(), &acts);
        let dirs = layers.iter().map(|layer| open(layer)).collect();
        let view = listing_of_view(&View::union(dirs, Dialect::Overlay));
        let mount = Mount::new(&layers, &place.path().join("again"));
        prop_assert_eq!(view, listing_of(&mount.0));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Whether and as what a name is there, by a lookup.
type Found = Option<layergraph_fs::FileKind>;

/// Looks names up in a view of the layers and in a mount of them.
fn look_up(layers: &[PathBuf], place: &Path, names: &[&str]) -> [Vec<Found>; 2] {
    let dirs = layers.iter().map(|layer| open(layer)).collect();
    let view = View::union(dirs, Dialect::Overlay);
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
    let mount = Mount::new(layers, place);
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
