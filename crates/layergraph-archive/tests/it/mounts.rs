//! What is mounted in a tree: no sign of a layer removes anything behind a mount point.

use std::fs;
use std::path::Path;
use std::process::Command;

use layergraph_archive::UnpackError;

use crate::support::{apply_roots, layer, lines, tree};

/// Says to a child of the tests where its tree is.
const TREE: &str = "LAYERGRAPH_TEST_MOUNTED_TREE";

/// Makes a tree with something mounted on `d/e/mnt`, and runs the test of this name once more in a
/// child that sees it; nobody else does.
fn in_child(test: &str, mount: &str) {
    let directory = tree(&["d/", "d/e/", "d/e/mnt/", "d/old = 1"]);
    let other = tree(&["f = 1"]);
    let this = std::env::current_exe().expect("a test binary");
    let script = format!(r#"cd "$2" && {mount} && cd / && exec "$0" --exact "mounts::$1""#);
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(this)
        .arg(test)
        .arg(directory.path())
        .arg(other.path())
        .env(TREE, directory.path())
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    assert!(other.path().join("f").exists(), "{said}");
}

#[track_caller]
fn check_refused(tree: &Path, sign: &str) {
    match apply_roots(&layer(&[sign]), tree) {
        Err(UnpackError::Entry { path, source }) => {
            assert_eq!(path, sign);
            assert_eq!(
                source.kind(),
                std::io::ErrorKind::CrossesDevices,
                "{source:?}"
            );
        }
        other => panic!("{sign}: {other:?}"),
    }
}

fn check_all(tree: &Path) {
    let mounted = tree.join("d/e/mnt");
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
        check_refused(tree, sign);
        assert_eq!(lines(&mounted), before, "{sign}");
    }
}

#[test]
fn r10_a_sign_removes_nothing_of_a_file_system_that_is_mounted_below_it() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "unshare", "mount");
    match std::env::var_os(TREE) {
        None => in_child(
            "r10_a_sign_removes_nothing_of_a_file_system_that_is_mounted_below_it",
            "mount -t tmpfs none d/e/mnt",
        ),
        Some(tree) => check_all(Path::new(&tree)),
    }
}

#[test]
fn r10_a_sign_removes_nothing_of_a_directory_that_is_mounted_once_more_below_it() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "unshare", "mount");
    match std::env::var_os(TREE) {
        None => in_child(
            "r10_a_sign_removes_nothing_of_a_directory_that_is_mounted_once_more_below_it",
            r#"mount --bind "$3" d/e/mnt"#,
        ),
        Some(tree) => check_all(Path::new(&tree)),
    }
}

#[test]
fn a_root_on_which_something_is_mounted_can_be_opaque() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "unshare", "mount");
    match std::env::var_os(TREE) {
        None => in_child(
            "a_root_on_which_something_is_mounted_can_be_opaque",
            "mount -t tmpfs none d/e/mnt",
        ),
        Some(tree) => {
            let root = Path::new(&tree).join("d/e/mnt");
            apply_roots(&layer(&["old/f = 1"]), &root).expect("a good layer");
            apply_roots(&layer(&[".wh..wh..opq", "new = 2"]), &root).expect("a good layer");
            assert_eq!(lines(&root), ["new = 2"]);
        }
    }
}
