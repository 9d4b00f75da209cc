//! Layers as lists of entries, chosen by the bytes of an input.

use std::time::{Duration, SystemTime};

use arbitrary::{Result, Unstructured};
use layergraph_tar::{Kind, NewMember, Writer};

use crate::model::Entry;

/// What a layer may have beside directories, files and symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) links: bool,
    pub(crate) signs: bool,
}

/// Returns up to `most` entries.
pub(crate) fn entries(
    choices: &mut Unstructured<'_>,
    choice: Choice,
    most: usize,
) -> Result<Vec<Entry>> {
    let count = choices.int_in_range(0..=most)?;
    (0..count).map(|_| entry(choices, choice)).collect()
}

fn entry(choices: &mut Unstructured<'_>, choice: Choice) -> Result<Entry> {
    let kind = choices.int_in_range(0..=15)?;
    let path = path(choices)?;
    Ok(match kind {
        0..=2 if choice.signs => Entry::Whiteout(path),
        3 | 4 if choice.signs => Entry::Opaque(path),
        5..=7 if choice.links => Entry::Link(path, self::path(choices)?),
        0..=8 => Entry::Directory(path, mode(choices)?),
        9..=13 => Entry::File(path, choices.choose(&["", "x", "yy"])?, mode(choices)?),
        _ => Entry::Symlink(format!("{path}-link"), "nowhere"),
    })
}

fn path(choices: &mut Unstructured<'_>) -> Result<String> {
    let depth = choices.int_in_range(1..=3)?;
    let names = (0..depth).map(|_| choices.choose(&["a", "b", "c"]).copied());
    Ok(names.collect::<Result<Vec<_>>>()?.join("/"))
}

fn mode(choices: &mut Unstructured<'_>) -> Result<u32> {
    choices.choose(&[0o755, 0o750, 0o711]).copied()
}

/// Writes a layer whose entries, signs aside, have one time after the other. `spell` may write a
/// path in another way that means the same.
pub(crate) fn written(entries: &[Entry], spell: &mut dyn FnMut(&str) -> String) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let mut time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    for entry in entries {
        if !matches!(entry, Entry::Whiteout(_) | Entry::Opaque(_)) {
            time += Duration::from_secs(1);
        }
        let sign;
        let (path, kind, mode, link, data) = match entry {
            Entry::Directory(path, mode) => (path, Kind::Directory, *mode, "", ""),
            Entry::File(path, text, mode) => (path, Kind::File, *mode, "", *text),
            Entry::Symlink(path, target) => (path, Kind::Symlink, 0o644, *target, ""),
            Entry::Link(path, target) => (path, Kind::HardLink, 0o644, &target[..], ""),
            Entry::Whiteout(path) => {
                let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
                let slash = if above.is_empty() { "" } else { "/" };
                sign = format!("{above}{slash}.wh.{name}");
                (&sign, Kind::File, 0o644, "", "")
            }
            Entry::Opaque(path) => {
                sign = format!("{path}/.wh..wh..opq");
                (&sign, Kind::File, 0o644, "", "")
            }
        };
        let link = match kind {
            Kind::HardLink => spell(link),
            _ => link.to_owned(),
        };
        let path = spell(path);
        let member = NewMember {
            mode,
            mtime: time,
            link: link.as_bytes(),
            size: data.len() as u64,
            ..NewMember::new(path.as_bytes(), kind)
        };
        let written = writer.append(&member, data.as_bytes());
        written.expect("a member that can be written");
    }
    writer.finish().expect("a vector takes it")
}

/// Writes paths as they are.
pub(crate) fn plainly(path: &str) -> String {
    path.to_owned()
}
