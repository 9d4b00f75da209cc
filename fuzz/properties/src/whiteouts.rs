//! The algebra of layers: one after the other, as a union, and from what differs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use arbitrary::Unstructured;
use layergraph_archive::{
    CompareOptions, Dialect, Place, UnpackError, View, changes, pack, unpack,
};

use crate::layers::{Choice, entries, plainly, written};
use crate::model::Entry;
use crate::scratch::{empty, is_root, listing_of, open, options, view};

/// Applies layers of choices in three ways that must give one tree: to a directory, one after the
/// other; each to a directory of its own, over the ones below or before they are known, which
/// unite to it in the dialect of overlayfs; and, of the last one, by packing what differs.
///
/// # Panics
///
/// Panics if two of the trees differ.
pub fn whiteouts(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let _ = check(&mut choices);
}

fn check(choices: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let choice = Choice {
        links: true,
        signs: true,
    };
    let tree = empty("tree");
    let mut before = empty("before");
    let mut layers: Vec<PathBuf> = Vec::new();
    let mut applied = Vec::new();
    for number in 0..choices.int_in_range(2..=4)? {
        let layer = with_links_that_lead(entries(choices, choice, 8)?, choices)?;
        let is_known = choices.arbitrary()?;
        let tar = written(&layer, &mut plainly);
        applied.push(layer);
        let below = (number > 0).then(|| union_of(&layers));
        if below.is_some() {
            before = copy_of(&tree, "before");
        }
        let done = unpack(&mut &tar[..], &open(&tree), &options());
        let upper = match &below {
            Some(below) => upper_of(number, &tar, below, is_known),
            None if done.is_ok() => Ok(copy_of(&tree, "upper0")),
            None => return Ok(()),
        };
        assert_eq!(
            upper.is_ok(),
            done.is_ok(),
            "{upper:?} {done:?} of {applied:?}"
        );
        let (Ok(upper), Ok(_)) = (upper, done) else {
            // Such as that a stream cannot know that a later sign makes room: it ends here.
            return Ok(());
        };
        layers.insert(0, upper);
        let union = union_of(&layers);
        let listing = listing_of(&view(&tree));
        assert_eq!(listing_of(&union), listing, "union of {applied:?}");
        check_difference(&union, &tree, &before, &listing, &applied);
    }
    Ok(())
}

/// Gives some links the name of a directory that entries are in, and a target that may be one.
fn with_links_that_lead(
    entries: Vec<Entry>,
    choices: &mut Unstructured<'_>,
) -> arbitrary::Result<Vec<Entry>> {
    let lead = |entry| match entry {
        Entry::Symlink(path, _) => {
            let path = path.strip_suffix("-link").unwrap_or(&path).to_owned();
            let target = choices.choose(&["a", "/b", "../c", "/c/a", "nowhere"])?;
            Ok(Entry::Symlink(path, target))
        }
        other => Ok(other),
    };
    entries.into_iter().map(lead).collect()
}

fn union_of(layers: &[PathBuf]) -> View {
    let layers = layers.iter().map(|layer| open(layer)).collect();
    View::union(layers, dialect()).with_ownership(options().ownership)
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

/// Copies the tree as it is.
fn copy_of(tree: &Path, to: &str) -> PathBuf {
    let copy = empty(to);
    layergraph_fs::copy_into(&open(tree), &open(&copy)).expect("a copy");
    copy
}

fn dialect() -> Dialect {
    if is_root() {
        Dialect::Overlay
    } else {
        Dialect::OverlayUser
    }
}

/// Unpacks a layer to a directory of its own: over the layers below, or before they are known,
/// and then once more if it depends on them.
fn upper_of(
    number: usize,
    tar: &[u8],
    below: &View,
    is_known: bool,
) -> Result<PathBuf, UnpackError> {
    let new = || {
        let path = empty(&format!("upper{number}"));
        let upper = open(&path);
        (path, upper)
    };
    if !is_known {
        let (path, upper) = new();
        let done = unpack(&mut &*tar, Place::detached(&upper), &options());
        let settled = done.and_then(|done| {
            let unsettled = done.unsettled.expect("it is detached");
            unsettled.settle(&upper, below)
        });
        match settled {
            Err(UnpackError::Below { .. }) => {}
            result => return result.map(|()| path),
        }
    }
    let (path, upper) = new();
    let root = below.root().expect("it is there");
    let mode = root.metadata().mode;
    upper.set_mode(OsStr::new("."), mode).expect("it is ours");
    unpack(&mut &*tar, Place::over(&upper, below), &options())?;
    Ok(path)
}
