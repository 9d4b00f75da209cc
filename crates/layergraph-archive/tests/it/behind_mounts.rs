//! What lies behind a mount point in the tree: a layer may add to it and removes nothing of it.

use std::fs;
use std::io;
use std::process::Command;

use layergraph_tests::{require, this_test};

use crate::support::{apply_roots, has_own_mounts, layer, lines, refused_for_mount, tree};

/// Mounts something on `mnt` of a tree, applies one entry at a time, and checks that each is
/// refused and changes nothing.
fn check_nothing_is_removed(mount: &[&str]) {
    for entry in [
        "mnt/.wh.f",
        "mnt/.wh.d",
        "mnt/d/.wh.g",
        "mnt/d/.wh..wh..opq",
        "mnt/d/.wh.e",
        "mnt/f -> d",
        "mnt/d -> f",
        "mnt/f = 2",
        "mnt/f/",
        "mnt/d = 2",
        "l/.wh.f",
        "h => mnt/f",
    ] {
        let directory = tree(&["mnt/", "l -> mnt"]);
        let mounted = directory.path().join("mnt");
        let other = tree(&[]);
        let mut command = Command::new("mount");
        command.args(mount);
        if mount == ["--bind"] {
            command.arg(other.path());
        }
        let done = command.arg(&mounted).status().expect("mount runs");
        assert!(done.success());
        apply_roots(&layer(&["d/e/", "d/g = 1", "f = 1"]), &mounted).expect("a good layer");
        let before = lines(directory.path());
        refused_for_mount(directory.path(), entry);
        assert_eq!(lines(directory.path()), before, "{entry}");
        let done = Command::new("umount").arg(&mounted).status();
        assert!(done.expect("umount runs").success());
    }
}

#[test]
fn r10_nothing_is_removed_from_another_file_system() {
    require!(root);
    require!(program "unshare", "mount", "umount");
    if has_own_mounts(&this_test!()) {
        check_nothing_is_removed(&["-t", "tmpfs", "none"]);
    }
}

#[test]
fn r10_nothing_is_removed_from_the_same_file_system_mounted_once_more() {
    require!(root);
    require!(program "unshare", "mount", "umount");
    if has_own_mounts(&this_test!()) {
        check_nothing_is_removed(&["--bind"]);
    }
}

#[test]
fn what_is_new_is_made_behind_a_mount_point() -> io::Result<()> {
    require!(root);
    require!(program "unshare", "mount");
    if has_own_mounts(&this_test!()) {
        let directory = tree(&["mnt/"]);
        let mounted = directory.path().join("mnt");
        let mount = ["-t", "tmpfs", "none"];
        let done = Command::new("mount").args(mount).arg(&mounted).status()?;
        assert!(done.success());
        fs::write(mounted.join("old"), "1")?;
        let good = layer(&["mnt/d/f = 1", "mnt/g = 1", "mnt/.wh.none"]);
        apply_roots(&good, directory.path()).expect("it removes nothing");
        assert_eq!(
            lines(directory.path()),
            ["mnt/", "mnt/d/", "mnt/d/f = 1", "mnt/g = 1", "mnt/old = 1"]
        );
    }
    Ok(())
}
