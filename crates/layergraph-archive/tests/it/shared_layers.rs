//! Comparing views that have layers in common: the answer is that of comparing all there is, and
//! it takes only what the layers on top hold.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use layergraph_archive::{CompareOptions, Dialect, View, changes};
use layergraph_tests::{is_user, require, this_test};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use crate::overlay::{FEATURES, Mount, history, stack, union};
use crate::support::{moment, open, tree, view};

fn listed(upper: &View, lower: &View) -> Vec<String> {
    let changes = changes(upper, Some(lower), &CompareOptions::default());
    let changes = changes.expect("trees that can be read");
    changes.iter().map(ToString::to_string).collect()
}

/// Compares every name, as of views that have no layer in common: there is one more at the bottom
/// of one of them, which is empty.
fn listed_whole(place: &Path, upper: &[PathBuf], lower: &[PathBuf]) -> Vec<String> {
    let empty = place.join("empty");
    fs::create_dir_all(&empty).expect("a place for a directory");
    let lower = [lower, &[empty]].concat();
    listed(&union(upper), &union(&lower))
}

/// Compares what the kernel shows of the layers.
fn listed_mounted(
    place: &Path,
    upper: &[PathBuf],
    lower: &[PathBuf],
    options: &str,
) -> Vec<String> {
    let above = Mount::read_only(upper, &place.join("above"), options);
    if let [lowest] = lower {
        // It has no signs.
        return listed(&view(&above.0), &view(lowest));
    }
    let below = Mount::read_only(lower, &place.join("below"), options);
    listed(&view(&above.0), &view(&below.0))
}

#[test]
fn the_changes_of_some_layers_are_those_between_the_trees_that_overlayfs_shows() {
    require!(overlay_mount);
    require!(program "mount", "umount");
    let config = ProptestConfig {
        cases: 16,
        ..ProptestConfig::default()
    };
    let cases = (history(), proptest::sample::select(&FEATURES[..]));
    let result = TestRunner::new(config).run(&cases, |(history, options)| {
        let place = TempDir::new().expect("a temporary directory");
        let layers = stack(place.path(), &history, options);
        for on_top in 1..layers.len() {
            let lower = &layers[on_top..];
            let found = listed(&union(&layers), &union(lower));
            let whole = listed_whole(place.path(), &layers, lower);
            prop_assert_eq!(&found, &whole, "{} on top", on_top);
            let mounted = listed_mounted(place.path(), &layers, lower, options);
            prop_assert_eq!(found, mounted, "{} on top", on_top);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Does something to a tree in a mount, and lists the changes of the layer that comes of it.
#[track_caller]
fn check_layer(lines: &[&str], act: impl Fn(&Path) -> io::Result<()>, expected: &[&str]) {
    for options in FEATURES {
        let (low, place) = (tree(lines), TempDir::new().expect("a temporary directory"));
        let layers = [place.path().join("top"), low.path().to_owned()];
        fs::create_dir(&layers[0]).expect("a new layer");
        let mount = Mount::new(&layers, &place.path().join("mount"), options);
        act(&mount.0).expect("root may do it");
        drop(mount);
        let found = listed(&union(&layers), &union(&layers[1..]));
        assert_eq!(found, expected, "{options}");
        let whole = listed_whole(place.path(), &layers, &layers[1..]);
        assert_eq!(found, whole, "{options}");
        let mounted = listed_mounted(place.path(), &layers, &layers[1..], options);
        assert_eq!(found, mounted, "{options}");
    }
}

/// Writes a file and gives it the time that those of a described tree have.
fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::File::open(path)?.set_modified(moment())
}

fn open_to_write(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().append(true).open(path).map(drop)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

const LINES: [&str; 6] = [
    "d/",
    "d/e/",
    "d/e/g = 2",
    "d/f = 1",
    "other/",
    "other/h = 3",
];

#[test]
fn what_is_copied_up_is_a_change_only_if_it_differs() {
    require!(overlay_mount);
    require!(program "mount", "umount");
    check_layer(&LINES, |_| Ok(()), &[]);
    check_layer(&LINES, |root| open_to_write(&root.join("d/f")), &[]);
    check_layer(&LINES, |root| set_mode(&root.join("d/f"), 0o644), &[]);
    check_layer(&LINES, |root| chown(root.join("d/e"), Some(0), None), &[]);
    let edited = ["C /d", "C /d/f"];
    check_layer(&LINES, |root| write(&root.join("d/f"), "2"), &edited);
    check_layer(&LINES, |root| set_mode(&root.join("d/f"), 0o600), &edited);
    check_layer(
        &LINES,
        |root| chown(root.join("d/f"), Some(7), None),
        &edited,
    );
    let kept = |root: &Path| {
        fs::remove_file(root.join("d/f"))?;
        write(&root.join("d/f"), "1")
    };
    check_layer(&LINES, kept, &[]);
}

#[test]
fn the_signs_of_a_layer_are_the_changes_they_stand_for() {
    require!(overlay_mount);
    require!(program "mount", "umount");
    let removed = |root: &Path| fs::remove_dir_all(root.join("d"));
    check_layer(&LINES, removed, &["D /d"]);
    let removed = |root: &Path| fs::remove_file(root.join("d/e/g"));
    check_layer(&LINES, removed, &["C /d", "C /d/e", "D /d/e/g"]);
    let made_anew = |root: &Path| {
        fs::remove_dir_all(root.join("d"))?;
        fs::create_dir(root.join("d"))?;
        write(&root.join("d/f"), "1")
    };
    check_layer(&LINES, made_anew, &["C /d", "D /d/e"]);
    let renamed = |root: &Path| fs::rename(root.join("d"), root.join("c"));
    let expected = ["A /c", "A /c/e", "A /c/e/g", "A /c/f", "D /d"];
    check_layer(&LINES, renamed, &expected);
    let renamed_inside = |root: &Path| {
        fs::rename(root.join("d"), root.join("c"))?;
        fs::rename(root.join("c/e"), root.join("other/e"))?;
        fs::rename(root.join("c"), root.join("d"))
    };
    let expected = ["C /d", "D /d/e", "C /other", "A /other/e", "A /other/e/g"];
    check_layer(&LINES, renamed_inside, &expected);
    let renamed_onto = |root: &Path| {
        fs::remove_dir_all(root.join("d"))?;
        fs::rename(root.join("other"), root.join("d"))
    };
    let expected = ["C /d", "D /d/e", "D /d/f", "A /d/h", "D /other"];
    check_layer(&LINES, renamed_onto, &expected);
    let of_another_kind = |root: &Path| {
        fs::remove_dir_all(root.join("d"))?;
        symlink("other", root.join("d"))?;
        fs::remove_file(root.join("other/h"))?;
        fs::create_dir(root.join("other/h"))
    };
    check_layer(&LINES, of_another_kind, &["C /d", "C /other", "C /other/h"]);
}

const LINKS: [&str; 5] = ["d/", "d/f = 1", "d/g => d/f", "other/", "other/h => d/f"];

#[test]
fn names_that_only_the_layers_below_have_are_drawn_along_by_those_of_the_same_file() {
    require!(overlay_mount);
    require!(program "mount", "umount");
    // What is copied up is parted from its other names.
    let parted = |root: &Path| write(&root.join("d/f"), "2");
    check_layer(&LINKS, parted, &["C /d", "C /d/f"]);
    let parted = |root: &Path| open_to_write(&root.join("d/f"));
    check_layer(
        &LINKS,
        parted,
        &["C /d", "C /d/g", "C /other", "C /other/h"],
    );
    let linked = |root: &Path| fs::hard_link(root.join("d/f"), root.join("new"));
    check_layer(&LINKS, linked, &["C /d", "C /d/f", "A /new"]);
    let unlinked = |root: &Path| fs::remove_file(root.join("d/f"));
    check_layer(&LINKS, unlinked, &["C /d", "D /d/f"]);
    let renamed = |root: &Path| fs::rename(root.join("d"), root.join("c"));
    let expected = ["A /c", "A /c/f", "A /c/g", "D /d", "C /other", "C /other/h"];
    check_layer(&LINKS, renamed, &expected);
    let new = |root: &Path| {
        write(&root.join("new"), "1")?;
        fs::hard_link(root.join("new"), root.join("d/new"))
    };
    check_layer(&LINKS, new, &["C /d", "A /d/new", "A /new"]);
}

/// Makes two layers on top of one, where nothing says what is hidden.
fn plain_layers(root: &Path) -> io::Result<Vec<PathBuf>> {
    let layers = ["upper", "middle", "low"].map(|name| root.join(name));
    for (layer, name, text) in [
        (0, "d/new", "1"),
        (0, "d/same", "2"),
        (0, "other/again", "3"),
        (1, "d/changed", "4"),
        (1, "other/again", "5"),
        (2, "d/same", "2"),
        (2, "d/changed", "0"),
        (2, "d/low", "6"),
        (2, "other/again", "3"),
        (2, "below/f", "7"),
    ] {
        let path = layers[layer].join(name);
        fs::create_dir_all(path.parent().expect("it is in a directory"))?;
        write(&path, text)?;
    }
    Ok(layers.to_vec())
}

fn plain_union(layers: &[PathBuf]) -> View {
    let dirs = layers.iter().map(|layer| open(layer)).collect();
    View::union(dirs, Dialect::Plain)
}

#[test]
fn directories_of_layers_that_both_views_have_are_not_listed() -> io::Result<()> {
    require!(user);
    if !is_user(&this_test!())? {
        return Ok(());
    }
    let place = TempDir::new()?;
    let layers = plain_layers(place.path())?;
    let upper = plain_union(&layers);
    let (below, low) = (plain_union(&layers[1..]), view(&layers[2]));
    let close = |names: &[&str], mode| {
        let mut names = names.iter();
        names.try_for_each(|name| set_mode(&place.path().join(name), mode))
    };
    // The modes themselves are changes.
    close(&["low/d", "low/other", "low/below", "low"], 0o311)?;
    let found = listed(&upper, &low);
    assert_eq!(
        found,
        ["C /", "C /d", "C /d/changed", "A /d/new", "C /other"]
    );
    close(&["middle/d", "middle/other", "middle"], 0o311)?;
    let found = listed(&upper, &below);
    assert_eq!(
        found,
        ["C /", "C /d", "A /d/new", "C /other", "C /other/again"]
    );
    assert_eq!(listed(&below, &below), [""; 0]);
    let all = changes(&upper, None, &CompareOptions::default());
    assert_eq!(
        all.expect_err("they cannot be listed").kind(),
        io::ErrorKind::PermissionDenied
    );
    close(&["low", "middle", "low/d", "low/other", "low/below"], 0o755)
}

#[test]
fn a_name_in_a_layer_below_is_drawn_along_by_a_hard_link_between_layers() -> io::Result<()> {
    let place = TempDir::new()?;
    let layers = plain_layers(place.path())?;
    let [upper, low] = [0, 2].map(|layer| layers[layer].clone());
    fs::hard_link(low.join("below/f"), upper.join("link"))?;
    let found = listed(&plain_union(&layers), &plain_union(&[low]));
    let drawn_along = ["C /below", "C /below/f"];
    assert_eq!(found[..2], drawn_along);
    assert_eq!(found[2..], ["C /d", "C /d/changed", "A /d/new", "A /link"]);
    Ok(())
}
