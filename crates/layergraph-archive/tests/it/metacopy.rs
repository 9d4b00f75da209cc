//! Files of which only the metadata was copied up: content and all else are what overlayfs shows.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use layergraph_archive::{CompareOptions, Dialect, View, changes, pack};
use layergraph_tests::require;
use tempfile::TempDir;

use crate::overlay::{FEATURES, Mount, union};
use crate::support::{apply_roots, lines, listing_of, listing_of_view, open, tree};

/// What is done in one layer.
type Acts = fn(&Path) -> io::Result<()>;

/// Makes a layer of each of the acts, and returns all layers, the uppermost first.
fn stack(place: &Path, low: &Path, acts: &[Acts]) -> Vec<PathBuf> {
    let mut layers = vec![low.to_owned()];
    for (number, act) in acts.iter().enumerate() {
        let layer = place.join(format!("layer{number}"));
        fs::create_dir(&layer).expect("a new layer");
        layers.insert(0, layer);
        let mount = Mount::new(&layers, &place.join(format!("mount{number}")), FEATURES[1]);
        act(&mount.0).expect("root may do it");
    }
    layers
}

fn is_metacopy(path: &Path) -> bool {
    let dir = open(path.parent().expect("it is in a directory"));
    let name = path.file_name().expect("it has a name");
    let value = dir.xattr(name, OsStr::new("trusted.overlay.metacopy"));
    value.expect("it can be read").is_some()
}

fn set_mode(path: PathBuf) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o751))
}

fn read(view: &View, path: &str) -> io::Result<String> {
    let mut dir = view.root()?;
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    for parent in parents.split('/').filter(|parent| !parent.is_empty()) {
        let entry = dir.entry(OsStr::new(parent))?.expect("it is there");
        dir = dir.open_dir(&entry)?;
    }
    let entry = dir.entry(OsStr::new(name))?.expect("it is there");
    let mut text = String::new();
    dir.open_file(&entry)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Checks that a file in the uppermost layer, which holds its metadata alone, has `text`, and that
/// the layers show and pack as the mount of them does.
#[track_caller]
fn check(acts: &[Acts], path: &str, text: &str) {
    let lines_below = ["d/", "d/e/", "d/e/f = content", "g = more content"];
    let (low, place) = (tree(&lines_below), TempDir::new().expect("a directory"));
    let layers = stack(place.path(), low.path(), acts);
    assert!(is_metacopy(&layers[0].join(path)), "{path}");
    let view = union(&layers);
    assert_eq!(read(&view, path).expect("it is there"), text);
    let again = place.path().join("again");
    let mount = Mount::read_only(&layers, &again, FEATURES[1]);
    assert_eq!(listing_of_view(&view), listing_of(&mount.0));
    let shown = lines(&mount.0);
    drop(mount);
    // What is packed makes the same tree of the lowest layer.
    let below = union(&layers[layers.len() - 1..]);
    let differences = changes(&view, Some(&below), &CompareOptions::default());
    let mut layer = Vec::new();
    pack(&view, &differences.expect("readable trees"), &mut layer).expect("a tree that packs");
    apply_roots(&layer, low.path()).expect("a layer of ours");
    assert_eq!(lines(low.path()), shown);
}

#[test]
fn a_metacopy_has_the_content_that_is_below_however_it_came_to_its_name() {
    require!(overlay_mount);
    require!(program "mount", "umount");
    let change: Acts = |root| set_mode(root.join("d/e/f"));
    check(&[change], "d/e/f", "content");
    check(
        &[|root| chown(root.join("g"), Some(7), Some(8))],
        "g",
        "more content",
    );
    // In another layer, and with nothing in the one between.
    let once_more: Acts = |root| chown(root.join("d/e/f"), Some(7), None);
    check(&[change, |_| Ok(()), once_more], "d/e/f", "content");
    // Renamed in its directory, and to another one.
    let renamed: Acts = |root| fs::rename(root.join("d/e/f"), root.join("d/e/h"));
    check(&[change, renamed], "d/e/h", "content");
    let moved: Acts = |root| {
        set_mode(root.join("g"))?;
        fs::rename(root.join("g"), root.join("d/e/g"))
    };
    check(&[moved], "d/e/g", "more content");
    // A directory on the way was renamed: before, after, and in the layer between.
    let dir_moved: Acts = |root| fs::rename(root.join("d/e"), root.join("e"));
    check(
        &[change, dir_moved, |root| set_mode(root.join("e/f"))],
        "e/f",
        "content",
    );
    let file_moved: Acts = |root| {
        set_mode(root.join("e/f"))?;
        fs::rename(root.join("e/f"), root.join("d/f"))
    };
    check(&[dir_moved, file_moved], "d/f", "content");
    let parent_moved: Acts = |root| fs::rename(root.join("d"), root.join("c"));
    let file_moved: Acts = |root| {
        set_mode(root.join("c/e/f"))?;
        fs::rename(root.join("c/e/f"), root.join("f"))
    };
    check(&[change, parent_moved, file_moved], "f", "content");
    let linked: Acts = |root| fs::hard_link(root.join("g"), root.join("d/h"));
    check(&[linked], "d/h", "more content");
}

#[test]
fn a_metacopy_differs_from_itself_over_other_content() -> io::Result<()> {
    require!(root);
    let top = tree(&["f = 12345"]);
    let key = OsStr::new("trusted.overlay.metacopy");
    open(top.path()).set_xattr(OsStr::new("f"), key, b"")?;
    for (text, expected) in [("one", None), ("two", Some("C /f"))] {
        let (one, other) = (tree(&["f = one"]), tree(&[&format!("f = {text}")]));
        let [upper, lower] = [other, one].map(|low| {
            let view = union(&[top.path().to_owned(), low.path().to_owned()]);
            (view, low)
        });
        let found = changes(&upper.0, Some(&lower.0), &CompareOptions::default())?;
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, Vec::from_iter(expected));
    }
    Ok(())
}

#[test]
fn a_metacopy_without_content_below_is_an_error_that_names_the_file() -> io::Result<()> {
    require!(root);
    for below in [&["d/"][..], &["d/", "d/f/"], &["d/", "d/f -> g", "d/g = 1"]] {
        let (low, top) = (tree(below), tree(&["d/", "d/f"]));
        let dir = open(&top.path().join("d"));
        let (name, key) = (OsStr::new("f"), OsStr::new("trusted.overlay.metacopy"));
        dir.set_xattr(name, key, b"")?;
        let layers = [top.path().to_owned(), low.path().to_owned()];
        let root = union(&layers);
        let root = root.root()?;
        let inside = root.open_dir(&root.entry(OsStr::new("d"))?.expect("it is there"))?;
        let entry = inside.entry(name)?.expect("it is listed");
        let error = inside.open_file(&entry).expect_err("it has no content");
        assert_eq!(error.path(), top.path().join("d/f"), "{below:?}");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    Ok(())
}

/// The kernel turns `metacopy` off under `userxattr`.
#[test]
fn an_attribute_that_only_looks_like_that_of_a_metacopy_says_nothing() -> io::Result<()> {
    require!(root);
    for (key, dialect) in [
        ("user.overlay.metacopy", Dialect::OverlayUser),
        ("user.overlay.metacopy", Dialect::Overlay),
        ("trusted.overlay.metacopy", Dialect::OverlayUser),
        ("trusted.overlay.metacopy", Dialect::Plain),
    ] {
        let (low, top) = (tree(&["f = low"]), tree(&["f = top"]));
        open(top.path()).set_xattr(OsStr::new("f"), OsStr::new(key), b"")?;
        let view = View::union(vec![open(top.path()), open(low.path())], dialect);
        assert_eq!(read(&view, "f")?, "top", "{key} {dialect:?}");
    }
    Ok(())
}
