//! What is mounted in a tree: no sign of a layer removes anything behind a mount point.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use layergraph_tests::{require, this_test};
use tempfile::TempDir;

use crate::support::{apply_roots, has_own_mounts, layer, lines, refused_for_mount, tree};

/// A tree with something mounted on `d/e/mnt`, until it is dropped.
struct Mounted(TempDir);

impl Mounted {
    /// Mounts `what`, which is what mount(8) takes before the place.
    fn new(what: &[&str]) -> Mounted {
        let mounted = Mounted(tree(&["d/", "d/e/", "d/e/mnt/", "d/old = 1"]));
        let mut mount = Command::new("mount");
        let status = mount.args(what).arg(mounted.point()).status();
        assert!(status.expect("mount runs").success(), "{what:?}");
        mounted
    }

    fn point(&self) -> PathBuf {
        self.0.path().join("d/e/mnt")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // So that the tree can be removed.
        let _ = Command::new("umount").arg(self.point()).status();
    }
}

fn check_all(mounted: &Mounted) {
    let (tree, mounted) = (mounted.0.path(), mounted.point());
    for sign in [
        "d/e/.wh.mnt",
        "d/e/mnt/.wh..wh..opq",
        "d/e/.wh..wh..opq",
        "d/.wh.e",
        ".wh.d",
        ".wh..wh..opq",
    ] {
        fs::create_dir_all(mounted.join("inner")).expect("it can be written");
        fs::write(mounted.join("inner/g"), "2").expect("it can be written");
        let before = lines(&mounted);
        assert_eq!(refused_for_mount(tree, sign), sign);
        assert_eq!(lines(&mounted), before, "{sign}");
    }
}

#[test]
fn r10_a_sign_removes_nothing_of_a_file_system_that_is_mounted_below_it() {
    require!(root);
    require!(program "unshare", "mount", "umount");
    if has_own_mounts(&this_test!()) {
        check_all(&Mounted::new(&["-t", "tmpfs", "none"]));
    }
}

#[test]
fn r10_a_sign_removes_nothing_of_a_directory_that_is_mounted_once_more_below_it() {
    require!(root);
    require!(program "unshare", "mount", "umount");
    if has_own_mounts(&this_test!()) {
        let other = tree(&["f = 1"]);
        let path = other.path().to_str().expect("a plain path");
        check_all(&Mounted::new(&["--bind", path]));
        assert!(other.path().join("f").exists());
    }
}

#[test]
fn a_root_on_which_something_is_mounted_can_be_opaque() {
    require!(root);
    require!(program "unshare", "mount", "umount");
    if has_own_mounts(&this_test!()) {
        let mounted = Mounted::new(&["-t", "tmpfs", "none"]);
        let root = mounted.point();
        apply_roots(&layer(&["old/f = 1"]), &root).expect("a good layer");
        apply_roots(&layer(&[".wh..wh..opq", "new = 2"]), &root).expect("a good layer");
        assert_eq!(lines(&root), ["new = 2"]);
    }
}
