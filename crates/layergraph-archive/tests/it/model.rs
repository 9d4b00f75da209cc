//! Unpacking against a [model](tree).

mod tree;

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, SystemTime};

use layergraph_archive::UnpackError;
use layergraph_fs::FileKind;
use layergraph_tar::{Kind, NewMember};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use self::tree::{Entry, NoRoom, Refused, Tree};
use crate::support::{Layer, apply_roots, listing_of, moment, open};

/// Returns when each directory was last modified, those of one directory sorted by name.
fn times(path: &Path) -> Vec<(OsString, SystemTime)> {
    let dir = open(path);
    let mut times = Vec::new();
    for name in dir.sorted_names().expect("a readable directory") {
        let metadata = dir.metadata(&name).expect("it was listed");
        if metadata.kind == FileKind::Directory {
            times.extend(self::times(&path.join(&name)));
            times.push((name, metadata.modified));
        }
    }
    times
}

/// Writes a layer whose entries, signs aside, have one time after the other.
fn written(entries: &[Entry]) -> Vec<u8> {
    let mut layer = Layer::new();
    let mut seconds = 0;
    let sign = |path: &str| match path.rsplit_once('/') {
        Some((parent, name)) => format!("{parent}/.wh.{name}"),
        None => format!(".wh.{path}"),
    };
    for entry in entries {
        if !matches!(entry, Entry::Whiteout(_) | Entry::Opaque(_)) {
            seconds += 1;
        }
        let mtime = moment() + Duration::from_secs(seconds);
        match entry {
            Entry::Directory(path, mode) => {
                let member = layer.member(path.as_bytes(), Kind::Directory);
                layer.add(
                    &NewMember {
                        mode: *mode,
                        mtime,
                        ..member
                    },
                    b"",
                );
            }
            Entry::File(path, text, mode) => {
                let member = layer.member(path.as_bytes(), Kind::File);
                layer.add(
                    &NewMember {
                        mode: *mode,
                        mtime,
                        ..member
                    },
                    text.as_bytes(),
                );
            }
            Entry::Symlink(path, target) => layer.line(&format!("{path} -> {target}")),
            Entry::Link(path, target) => layer.line(&format!("{path} => {target}")),
            Entry::Whiteout(path) => layer.line(&sign(path)),
            Entry::Opaque(path) => layer.line(&format!("{path}/.wh..wh..opq")),
        }
    }
    layer.finish()
}

fn path() -> impl Strategy<Value = String> {
    vec(proptest::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|parts| parts.join("/"))
}

fn made_entry() -> impl Strategy<Value = Entry> {
    let mode = || proptest::sample::select(vec![0o755, 0o750, 0o711]);
    let text = proptest::sample::select(vec!["", "x", "yy"]);
    prop_oneof![
        3 => (path(), mode()).prop_map(|(path, mode)| Entry::Directory(path, mode)),
        3 => (path(), text, mode()).prop_map(|(path, text, mode)| Entry::File(path, text, mode)),
        1 => path().prop_map(|path| Entry::Symlink(format!("{path}-link"), "nowhere")),
    ]
}

fn signed_entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        3 => made_entry(),
        2 => path().prop_map(Entry::Whiteout),
        1 => path().prop_map(Entry::Opaque),
    ]
}

fn linked_entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        2 => made_entry(),
        1 => (path(), path()).prop_map(|(path, target)| Entry::Link(path, target)),
    ]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        3 => signed_entry(),
        1 => (path(), path()).prop_map(|(path, target)| Entry::Link(path, target)),
    ]
}

fn described(path: &Path) -> Vec<String> {
    tree::described(&listing_of(path))
}

/// Makes a tree, as far as it can be made; returns its model, too.
fn built(entries: &[Entry]) -> (TempDir, Tree) {
    let (model, good) = Tree::built(entries);
    let directory = crate::support::tree(&[]);
    apply_roots(&written(&good), directory.path()).expect("each entry can be made");
    (directory, model)
}

fn check(lower: &[Entry], layer: &[Entry]) -> Result<(), TestCaseError> {
    let (directory, mut model) = built(lower);
    prop_assert_eq!(described(directory.path()), model.lines());

    let result = apply_roots(&written(layer), directory.path());
    if let Err(NoRoom(needed)) = model.clone().stream(layer) {
        let is_refused = matches!(
            &result,
            Err(UnpackError::Entry { path, source })
                if source.leads_nowhere() && path.trim_end_matches('/') == needed
        );
        prop_assert!(is_refused, "{}: {:?}", needed, result);
        return Ok(());
    }
    match model.apply(layer) {
        Ok(()) => {
            prop_assert!(result.is_ok(), "{:?}", result);
            prop_assert_eq!(described(directory.path()), model.lines());
        }
        Err(Refused) => prop_assert!(result.is_err(), "accepted"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn r44_signs_remove_what_is_below_and_nothing_of_their_layer_in_any_order(
        lower in vec(made_entry(), 0..12),
        layer in vec(signed_entry(), 0..12),
    ) {
        check(&lower, &layer)?;
    }

    #[test]
    fn a_hard_link_shares_with_its_layer_and_parts_from_what_is_below(
        lower in vec(linked_entry(), 0..12),
        layer in vec(linked_entry(), 0..12),
    ) {
        check(&lower, &layer)?;
    }

    #[test]
    fn r44_a_sign_removes_what_a_hard_link_of_its_layer_has_copied(
        lower in vec(linked_entry(), 0..8),
        layer in vec(any_entry(), 0..8),
        (target, name) in (path(), path()),
        (at, later, is_opaque) in (0..8_usize, 0..8_usize, any::<bool>()),
    ) {
        let (mut lower, mut layer) = (lower, layer);
        lower.push(Entry::File(target.clone(), "x", 0o750));
        let at = at.min(layer.len());
        layer.insert(at, Entry::Link(name, target.clone()));
        let sign = match target.rsplit_once('/') {
            Some((above, _)) if is_opaque => Entry::Opaque(above.to_owned()),
            _ => Entry::Whiteout(target),
        };
        layer.insert((at + 1 + later).min(layer.len()), sign);
        check(&lower, &layer)?;
    }

    #[test]
    fn r44_signs_may_stand_anywhere_and_no_time_tells_where(
        lower in vec(linked_entry(), 0..12),
        layer in vec(any_entry(), 0..12),
        seed in any::<u64>(),
    ) {
        let is_sign = |entry: &Entry| matches!(entry, Entry::Whiteout(_) | Entry::Opaque(_));
        let (signs, mut moved): (Vec<Entry>, Vec<Entry>) =
            layer.iter().cloned().partition(is_sign);
        // What makes something stays in its order.
        for (sign, number) in signs.iter().zip(1..) {
            let at = seed.rotate_left(number * 11) % (moved.len() as u64 + 1);
            moved.insert(usize::try_from(at).expect("it is small"), sign.clone());
        }
        let (first, second) = (built(&lower).0, built(&lower).0);
        let first_result = apply_roots(&written(&layer), first.path());
        let second_result = apply_roots(&written(&moved), second.path());
        if first_result.is_ok() && second_result.is_ok() {
            prop_assert_eq!(described(first.path()), described(second.path()));
            prop_assert_eq!(times(first.path()), times(second.path()));
        }
    }
}
