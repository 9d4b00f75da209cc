//! The algebra of layers: one after the other, as a union, and from what differs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use arbitrary::{Result, Unstructured};
use layergraph_archive::{CompareOptions, Dialect, View, changes, pack, unpack};
use layergraph_fs::{Device, FileKind};

use crate::layers::{Choice, entries, plainly, written};
use crate::model::Entry;
use crate::scratch::{empty, is_root, listing_of, open, options, view};

/// Applies layers of choices in three ways that must give one tree: to a directory, one after the
/// other; as the union of trees in the dialect of overlayfs; and, of the last one, by packing what
/// differs.
///
/// # Panics
///
/// Panics if two of the trees differ.
pub fn whiteouts(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let _ = check(&mut choices);
}

fn check(choices: &mut Unstructured<'_>) -> Result<()> {
    let choice = Choice {
        links: false,
        signs: true,
    };
    let tree = empty("tree");
    let mut before = empty("before");
    let mut layers: Vec<PathBuf> = Vec::new();
    let mut applied = Vec::new();
    for number in 0..choices.int_in_range(2..=4)? {
        let layer = entries(choices, choice, 8)?;
        let tar = written(&layer, &mut plainly);
        if number > 0 {
            before = copy_of(&tree);
        }
        if unpack(&mut &tar[..], &open(&tree), &options()).is_err() {
            // A stream cannot know that a later sign makes room: it ends here.
            return Ok(());
        }
        applied.push(layer);
        let upper = upper_of(number, applied.last().expect("just pushed"), &tar, &tree);
        layers.insert(0, upper);

        let dirs = layers.iter().map(|layer| open(layer)).collect();
        let union = View::union(dirs, dialect());
        let listing = listing_of(&view(&tree));
        assert_eq!(listing_of(&union), listing, "union of {applied:?}");
        check_difference(&union, &tree, &before, &listing, &applied);
    }
    Ok(())
}

/// What differs between the tree and the one before, packed, makes the one of the other.
fn check_difference(
    union: &View,
    tree: &Path,
    before: &Path,
    listing: &str,
    applied: &[Vec<Entry>],
) {
    let lower = view(before);
    let options = CompareOptions::default();
    let difference = changes(&view(tree), Some(&lower), &options).expect("readable trees");
    let of_union = changes(union, Some(&lower), &options).expect("readable trees");
    assert_eq!(of_union, difference, "{applied:?}");
    // From the one or the other: they differ in the times of directories, which no listing has.
    let from = if applied.len().is_multiple_of(2) {
        &view(tree)
    } else {
        union
    };
    let mut packed = Vec::new();
    pack(from, &difference, &mut packed).expect("a layer can hold it");

    let applied_again = unpack(&mut &packed[..], &open(before), &crate::scratch::options());
    applied_again.expect("a layer of ours");
    assert_eq!(listing_of(&lower), listing, "packed: {applied:?}");
    let nothing = changes(&view(tree), Some(&lower), &options).expect("readable trees");
    assert_eq!(nothing, [], "{applied:?}");
}

/// Copies the tree as it is to the one before.
fn copy_of(tree: &Path) -> PathBuf {
    let place = empty("copies");
    let parent = open(tree.parent().expect("it is in the place"));
    let name = tree.file_name().expect("it has one");
    let copy = OsStr::new("before");
    layergraph_fs::copy_tree(&parent, name, &open(&place), copy).expect("a copy");
    place.join(copy)
}

fn dialect() -> Dialect {
    if is_root() {
        Dialect::Overlay
    } else {
        Dialect::OverlayUser
    }
}

/// Makes the upper directory that an overlayfs would have after the layer: what the layer makes,
/// and signs for what it removes. `tree` is what came of it, and says the mode of directories that
/// the layer does not state.
fn upper_of(number: usize, layer: &[Entry], tar: &[u8], tree: &Path) -> PathBuf {
    let upper = empty(&format!("upper{number}"));
    unpack(&mut &tar[..], &open(&upper), &options()).expect("it was applied before");
    let mut made = BTreeSet::new();
    for entry in layer {
        match entry {
            Entry::Whiteout(path) => hide(path, &upper, tree, &mut made),
            Entry::Opaque(path) => {
                let is_there = is_directory(&tree.join(path));
                if is_there && (is_directory(&upper.join(path)) || is_free(&upper.join(path))) {
                    make_directories(path, &upper, &mut made);
                    mark_opaque(&upper.join(path));
                }
            }
            // What it replaced of the layers below stays hidden when it is replaced in turn.
            Entry::File(path, ..) | Entry::Symlink(path, _) if is_directory(&upper.join(path)) => {
                mark_opaque(&upper.join(path));
            }
            _ => {}
        }
        // The directories that only imply it, or were made for a sign in it.
        let path = match entry {
            Entry::Directory(path, _)
            | Entry::File(path, ..)
            | Entry::Symlink(path, _)
            | Entry::Link(path, _) => path,
            Entry::Whiteout(_) | Entry::Opaque(_) => continue,
        };
        made.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
    }
    for path in made.iter().filter(|path| is_directory(&upper.join(path))) {
        let metadata = fs::metadata(tree.join(path)).expect("the tree has it, too");
        fs::set_permissions(upper.join(path), metadata.permissions()).expect("it is ours");
    }
    upper
}

/// Says that what the layers below have by this name is gone.
fn hide(path: &str, upper: &Path, tree: &Path, made: &mut BTreeSet<String>) {
    let at = upper.join(path);
    if is_directory(&at) {
        return mark_opaque(&at);
    }
    if let Some((above, _)) = path.rsplit_once('/') {
        if !is_directory(&tree.join(above)) {
            return;
        }
        make_directories(above, upper, made);
    }
    if is_free(&at) {
        let parent = open(at.parent().expect("it is in the upper directory"));
        let name = at.file_name().expect("it has one");
        let none = Device::default();
        let made = parent.make_node(name, FileKind::CharDevice, 0, none);
        made.expect("anybody may make a whiteout");
    }
}

fn make_directories(path: &str, upper: &Path, made: &mut BTreeSet<String>) {
    let ends = path.match_indices('/').map(|(at, _)| at);
    for end in ends.chain([path.len()]) {
        let directory = upper.join(&path[..end]);
        if is_free(&directory) {
            fs::create_dir(&directory).expect("its parent is there");
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("it is ours");
            made.insert(path[..end].to_owned());
        }
    }
}

fn mark_opaque(path: &Path) {
    let key = match dialect() {
        Dialect::Overlay => "trusted.overlay.opaque",
        _ => "user.overlay.opaque",
    };
    let marked = open(path).set_xattr(OsStr::new("."), OsStr::new(key), b"y");
    marked.expect("it is ours");
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn is_free(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err()
}
