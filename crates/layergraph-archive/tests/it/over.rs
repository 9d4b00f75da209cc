//! Layers that are unpacked over others, each to a directory of its own: what overlayfs shows of
//! them is what unpacking them one after the other makes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use layergraph_archive::recipe::{NewRecipe, assemble, unpack_with_recipe};
use layergraph_archive::{Place, UnpackError, unpack};
use layergraph_fs::Dir;
use layergraph_tests::{require, this_test};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use crate::support::{
    Layer, apply_roots, dialect, has_own_mounts, layer, listing_of, listing_of_view, open, options,
    tree, union, unpack_over,
};

/// A read-only overlayfs mount, until it is dropped.
struct Mount(TempDir);

impl Mount {
    /// Mounts layers, the uppermost first.
    fn new(layers: &[&Path]) -> Mount {
        let place = TempDir::new().expect("a temporary directory");
        let layers: Vec<_> = layers
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let options = format!("lowerdir={}", layers.join(":"));
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(place.path());
        assert!(mount.status().expect("mount runs").success(), "{options}");
        Mount(place)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.0.path()).status();
        assert!(status.expect("umount runs").success());
    }
}

fn line() -> impl Strategy<Value = String> {
    let path = || {
        vec(proptest::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"))
    };
    prop_oneof![
        3 => path().prop_map(|path| format!("{path}/")),
        4 => path().prop_map(|path| format!("{path} = {path}")),
        2 => (path(), proptest::sample::select(vec!["a", "/b", "../c", "b/c"]))
            .prop_map(|(path, target)| format!("{path} -> {target}")),
        2 => (path(), path()).prop_map(|(path, target)| format!("{path} => {target}")),
        3 => path().prop_map(|path| match path.rsplit_once('/') {
            Some((above, name)) => format!("{above}/.wh.{name}"),
            None => format!(".wh.{path}"),
        }),
        2 => path().prop_map(|path| format!("{path}/.wh..wh..opq")),
        1 => Just(".wh..wh..opq".to_owned()),
    ]
}

fn check_stack(stack: &[Vec<String>]) {
    let plain = tree(&[]);
    let mut uppers: Vec<TempDir> = Vec::new();
    for (number, lines) in stack.iter().enumerate() {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let tar = layer(&lines);
        if apply_roots(&tar, plain.path()).is_err() {
            // The one before it was the last.
            return;
        }
        let below: Vec<&Path> = uppers.iter().map(TempDir::path).collect();
        let upper = if below.is_empty() {
            tree(&lines)
        } else {
            unpack_over(&below, &tar, number % 2 == 0)
        };
        uppers.insert(0, upper);
        let expected = listing_of(plain.path());
        let layers: Vec<&Path> = uppers.iter().map(TempDir::path).collect();
        assert_eq!(listing_of_view(&union(&layers)), expected, "{stack:?}");
        if let [_, _, ..] = layers[..] {
            let mount = Mount::new(&layers);
            assert_eq!(listing_of(mount.0.path()), expected, "mounted: {stack:?}");
        }
    }
}

#[test]
fn a_mount_of_layers_is_the_tree_that_they_make_one_after_the_other() {
    require!(overlay_mount);
    require!(program "mount", "umount", "unshare");
    if !has_own_mounts(&this_test!()) {
        return;
    }
    let config = ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    let stacks = vec(vec(line(), 1..10), 2..5);
    if let Err(error) = runner.run(&stacks, |stack| {
        check_stack(&stack);
        Ok(())
    }) {
        panic!("{error}");
    }
}

/// The names in a directory, as they are on disk.
fn names(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).expect("it is there");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("it can be read").file_name().into())
        .collect();
    names.sort();
    names
}

#[test]
fn a_directory_holds_only_what_its_layer_changes() {
    let lower = tree(&[
        "d/",
        "d/f = 1",
        "d/g = 2",
        "l -> d",
        "other/",
        "other/f = 3",
    ]);
    for is_known in [true, false] {
        let tar = layer(&["d/f = new", "d/.wh.none", ".wh.none"]);
        let upper = unpack_over(&[lower.path()], &tar, is_known);
        assert_eq!(names(upper.path()), [Path::new("d")]);
        assert_eq!(names(&upper.path().join("d")), [Path::new("f")]);
    }
    // What was copied up to be followed is not kept.
    let upper = unpack_over(&[lower.path()], &layer(&["l/f = new"]), true);
    assert_eq!(names(upper.path()), [Path::new("d")]);
}

#[test]
fn r45_a_directory_that_entries_imply_is_the_one_below_in_all_that_is_known_of_it() {
    let lower = tree(&["d/", "d/e/", "d/e/f = 1"]);
    let (top, inner) = (lower.path().join("d"), lower.path().join("d/e"));
    open(&inner)
        .set_mode(OsStr::new("."), 0o2711)
        .expect("it is ours");
    let key = OsStr::new("user.comment");
    open(&top)
        .set_xattr(OsStr::new("."), key, b"text")
        .expect("it is ours");
    let before = [&top, &inner].map(|path| fs::metadata(path).expect("it is there"));
    for is_known in [true, false] {
        for sign in ["d/e/new = 1", "d/e/.wh.f", "d/e/.wh..wh..opq"] {
            let upper = unpack_over(&[lower.path()], &layer(&[sign]), is_known);
            let after = ["d", "d/e"]
                .map(|path| fs::metadata(upper.path().join(path)).expect("it was copied up"));
            for (before, after) in before.iter().zip(&after) {
                let known = |metadata: &fs::Metadata| {
                    let modified = metadata.modified().expect("a time");
                    (metadata.mode(), metadata.uid(), metadata.gid(), modified)
                };
                assert_eq!(known(after), known(before), "{sign}");
            }
            let dir = open(&upper.path().join("d"));
            let comment = dir.xattr(OsStr::new("."), key).expect("it can be read");
            assert_eq!(comment.as_deref(), Some(&b"text"[..]));
        }
    }
}

#[test]
fn what_depends_on_the_layers_below_is_refused_while_they_are_unknown() {
    let refused = |dir: &Dir, lines: &[&str]| {
        let done = unpack(&mut &*layer(lines), Place::detached(dir), &options());
        done.expect_err("it depends on them")
    };
    let upper = tree(&[]);
    let dir = open(upper.path());
    for lines in [
        &["h => below"][..],
        &["d/e/h => d/below"],
        &["l -> d", "l/.wh.f"],
    ] {
        let error = refused(&dir, lines);
        assert!(matches!(error, UnpackError::Below { .. }), "{error:?}");
    }
}

#[test]
fn a_link_of_the_layers_below_that_an_entry_follows_is_found_when_they_are_known() {
    let lower = tree(&["lib -> usr/lib", "usr/", "usr/lib/"]);
    let below = union(&[lower.path()]);
    for line in ["lib/foo = 1", "lib/.wh.foo", "lib/.wh..wh..opq"] {
        let upper = tree(&[]);
        let dir = open(upper.path());
        let done = unpack(&mut &*layer(&[line]), Place::detached(&dir), &options());
        let unsettled = done
            .expect("a good layer")
            .unsettled
            .expect("it is detached");
        let error = unsettled.settle(&dir, &below).expect_err("a link leads on");
        assert!(matches!(error, UnpackError::Below { .. }), "{error:?}");
    }
}

#[test]
fn a_layer_over_others_comes_out_again_as_it_came_in() {
    let lower = tree(&[
        "lib -> usr/lib",
        "usr/",
        "usr/lib/",
        "usr/lib/old = 1",
        "d/",
        "d/f = 2",
    ]);
    let below = union(&[lower.path()]);
    for lines in [
        &["lib/foo = text", "lib/.wh.old", "d/f = new", "d/f = newer"][..],
        &["lib/foo = text", "lib = file"],
        &["d/x = text", ".wh.d", "d/y = other", "d = file"],
        &["h => lib/old", "lib/old = new", "h = last"],
        &[".wh..wh..opq", "lib/foo = text", "lib/", "lib/bar = more"],
    ] {
        let tar = layer(lines);
        let (upper, recipes) = (tree(&[]), tree(&[]));
        let recipe = NewRecipe {
            home: &open(recipes.path()),
            name: OsStr::new("recipe"),
        };
        let dir = open(upper.path());
        let place = Place::over(&dir, &below);
        unpack_with_recipe(&mut &*tar, place, &options(), recipe).expect("a good layer");
        let recipe = fs::File::open(recipes.path().join("recipe")).expect("it was made");
        let mut again = Vec::new();
        let tree = union(&[upper.path(), lower.path()]);
        assemble(recipe, &tree, &mut again).expect("nothing was changed");
        assert!(again == tar, "{lines:?}");
    }
}

#[test]
fn a_hard_link_to_a_file_of_which_only_metadata_was_copied_up_has_its_content() {
    require!(root);
    let (base, middle) = (tree(&["f = text"]), tree(&["f = ...."]));
    let key = OsStr::new("trusted.overlay.metacopy");
    let dir = open(middle.path());
    dir.set_xattr(OsStr::new("f"), key, b"").expect("root may");
    dir.set_mode(OsStr::new("f"), 0o4711).expect("it is ours");
    let below = [middle.path(), base.path()];
    let upper = unpack_over(&below, &layer(&["h => f"]), true);
    for name in ["f", "h"] {
        let path = upper.path().join(name);
        assert_eq!(fs::read_to_string(&path).expect("it was copied up"), "text");
        assert_eq!(
            open(upper.path())
                .xattr(OsStr::new(name), key)
                .expect("it can be read"),
            None
        );
    }
}

#[test]
fn r40_no_layer_writes_a_sign_of_overlayfs_by_itself() {
    let lower = tree(&["d/", "d/f = 1"]);
    let mut entries = Layer::new();
    let member = entries.member(b"d", layergraph_tar::Kind::Directory);
    let xattrs = ["trusted.overlay.opaque", "user.overlay.opaque"]
        .map(|key| (key.as_bytes().to_vec(), b"y".to_vec()));
    entries.add(
        &layergraph_tar::NewMember {
            xattrs: &xattrs,
            ..member
        },
        b"",
    );
    let tar = entries.finish();
    for is_known in [true, false] {
        let upper = unpack_over(&[lower.path()], &tar, is_known);
        let union = union(&[upper.path(), lower.path()]);
        assert!(listing_of_view(&union).contains("d/f"), "{:?}", dialect());
    }
}
