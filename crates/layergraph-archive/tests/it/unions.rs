//! Unions against the kernel: a view of layers shows what an overlayfs mount of them shows.

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
