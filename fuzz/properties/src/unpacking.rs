//! Unpacking, on layers made of choices.
//!
//! [`unpack_model`] compares with the [model](crate::model), [`unpack_hostile`] looks at what is
//! outside of the directory while names and links try to lead there.

use std::path::Path;

use arbitrary::{Result, Unstructured};
use layergraph_archive::{UnpackError, unpack, unpack_atomic};
use layergraph_fs::Durability;
use layergraph_tar::{Kind, NewMember, Writer};

use crate::layers::{Choice, entries, plainly, written};
use crate::model::{self, Entry, NoRoom, Refused, Tree};
use crate::scratch::{empty, listing_of, open, options, view};

/// Unpacks a layer upon a tree, and compares with the model.
///
/// # Panics
///
/// Panics if they differ.
pub fn unpack_model(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    if let Ok((lower, layer)) = lower_and_layer(&mut choices) {
        check(&lower, &layer, &mut choices);
    }
}

fn lower_and_layer(choices: &mut Unstructured<'_>) -> Result<(Vec<Entry>, Vec<Entry>)> {
    let links = choices.arbitrary()?;
    let signs = choices.arbitrary()?;
    let below = Choice {
        links,
        signs: false,
    };
    let above = Choice { links, signs };
    Ok((entries(choices, below, 10)?, entries(choices, above, 12)?))
}

fn check(lower: &[Entry], layer: &[Entry], choices: &mut Unstructured<'_>) {
    let directory = empty("tree");
    let mut model = build(lower, &directory);
    assert_eq!(described(&directory), model.lines(), "{lower:?}");

    let tar = written(layer, &mut |path| spelt(path, choices));
    let result = unpack(&mut &tar[..], &open(&directory), &options());
    if let Err(NoRoom(needed)) = model.clone().stream(layer) {
        let is_refused = matches!(
            &result,
            Err(UnpackError::Entry { source, .. }) if source.leads_nowhere()
        );
        assert!(
            is_refused,
            "{needed}: {result:?} of {lower:?} and {layer:?}"
        );
        return;
    }
    match model.apply(layer) {
        Ok(()) => {
            assert!(result.is_ok(), "{result:?} of {lower:?} and {layer:?}");
            let there = described(&directory);
            assert_eq!(there, model.lines(), "{lower:?} and {layer:?}");
        }
        Err(Refused) => assert!(result.is_err(), "accepted {lower:?} and {layer:?}"),
    }
}

/// Makes a tree, as far as it can be made; returns its model.
pub(crate) fn build(entries: &[Entry], directory: &Path) -> Tree {
    let (model, good) = Tree::built(entries);
    let tar = written(&good, &mut plainly);
    unpack(&mut &tar[..], &open(directory), &options()).expect("each entry can be made");
    model
}

/// Spells a path in one of the ways that mean the same.
fn spelt(path: &str, choices: &mut Unstructured<'_>) -> String {
    match choices.int_in_range(0..=15) {
        Ok(1) => format!("./{path}"),
        Ok(2) => format!("/{path}"),
        Ok(3) => format!("../../{path}"),
        Ok(4) => format!("a/b-link/.././../{path}"),
        Ok(5) => path.replace('/', "//"),
        Ok(6) => path.replace('/', "/./"),
        _ => path.to_owned(),
    }
}

fn described(path: &Path) -> Vec<String> {
    model::described(&listing_of(&view(path)))
}

/// Unpacks layers whose names and links lead anywhere, and looks at what is outside.
///
/// # Panics
///
/// Panics if anything outside has changed, or if what was unpacked cannot be listed.
pub fn unpack_hostile(bytes: &[u8]) {
    let place = empty("hostile");
    let [outside, inside] = ["outside", "outside/in"].map(|name| place.join(name));
    for directory in [&outside, &inside, &outside.join("a"), &place.join("b")] {
        std::fs::create_dir(directory).expect("a free name");
    }
    for canary in ["outside/b", "outside/a/b", "b/a", "a"] {
        std::fs::write(place.join(canary), "canary").expect("a free name");
    }
    let before = outside_of(&place);

    let mut choices = Unstructured::new(bytes);
    let target = inside.join("tree");
    std::fs::create_dir(&target).expect("a free name");
    while let Ok(tar) = hostile_layer(&mut choices, &outside) {
        let tree = open(&target);
        // Whether it is refused or not: it must not leave the tree.
        let is_atomic = choices.ratio(1, 8).unwrap_or(false);
        if is_atomic {
            let _ = unpack_atomic(
                &mut &tar[..],
                &open(&inside),
                "tree".as_ref(),
                &options(),
                Durability::None,
            );
        } else {
            let _ = unpack(&mut &tar[..], &tree, &options());
        }
        let _ = listing_of(&view(&target));
        if choices.is_empty() {
            break;
        }
    }
    assert_eq!(outside_of(&place), before, "something outside has changed");
    let names = open(&inside).sorted_names().expect("a readable directory");
    assert_eq!(names, ["tree"], "something is beside the tree");
}

/// Lists what is in the place, the tree left out.
fn outside_of(place: &Path) -> String {
    let all = listing_of(&view(place));
    let lines = all.lines().filter(|line| !line.starts_with("outside/in/"));
    lines.collect::<Vec<_>>().join("\n")
}

fn hostile_layer(choices: &mut Unstructured<'_>, outside: &Path) -> Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new());
    for _ in 0..choices.int_in_range(1..=8)? {
        let path = hostile_path(choices, outside)?;
        let link = hostile_path(choices, outside)?;
        let kinds = [
            Kind::Symlink,
            Kind::File,
            Kind::Symlink,
            Kind::HardLink,
            Kind::Directory,
            Kind::File,
            Kind::Symlink,
            Kind::Fifo,
        ];
        let kind = *choices.choose(&kinds)?;
        let xattrs = if choices.ratio(1, 8)? {
            vec![(b"user.a".to_vec(), b"1".to_vec())]
        } else {
            Vec::new()
        };
        let data = if kind == Kind::File {
            &b"attack"[..]
        } else {
            b""
        };
        let member = NewMember {
            mode: *choices.choose(&[0o755, 0o777, 0o4700, 0])?,
            link: &link,
            size: data.len() as u64,
            xattrs: &xattrs,
            ..NewMember::new(&path, kind)
        };
        // What cannot be written is left out.
        let _ = writer.append(&member, data);
    }
    Ok(writer.finish().unwrap_or_default())
}

fn hostile_path(choices: &mut Unstructured<'_>, outside: &Path) -> Result<Vec<u8>> {
    let mut path = match choices.int_in_range(0..=11)? {
        0 => b"/".to_vec(),
        1 => [outside.as_os_str().as_encoded_bytes(), b"/"].concat(),
        _ => Vec::new(),
    };
    let parts: [&[u8]; 12] = [
        b"a",
        b"b",
        b"..",
        b"c",
        b".",
        b"a",
        b"..",
        b".wh.a",
        b".wh..wh..opq",
        b"",
        b"b",
        b".wh..wh.plnk",
    ];
    for number in 0..choices.int_in_range(1..=4)? {
        if number > 0 {
            path.push(b'/');
        }
        path.extend(*choices.choose(&parts)?);
    }
    Ok(path)
}
