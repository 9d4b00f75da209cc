//! Unpacking against a model: what the image-spec says of a layer, in memory and without haste.
//!
//! The model first removes from the layers below whatever a whiteout or opaque marker names, then
//! makes the entries in their order. Unpacking meets signs and entries mixed. Only what a stream
//! cannot know is so in the model, too: that a later sign makes room for an entry, or removes what
//! a hard link names.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, SystemTime};

use layergraph_archive::UnpackError;
use layergraph_fs::FileKind;
use layergraph_tar::{Kind, NewMember};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{Layer, apply_roots, listing_of, moment, open, tree};

#[derive(Debug, Clone)]
enum Entry {
    Directory(String, u32),
    File(String, &'static str, u32),
    /// Its name is no directory's, so that no path leads through it.
    Symlink(String, &'static str),
    Link(String, String),
    Whiteout(String),
    Opaque(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Object {
    Directory(u32),
    /// An inode.
    File(usize),
    Symlink(&'static str),
}

#[derive(Debug, Clone, Default)]
struct Tree {
    objects: BTreeMap<String, Object>,
    /// Content and mode.
    inodes: Vec<(&'static str, u32)>,
    /// What the layer has made.
    made: BTreeSet<String>,
    /// What is below and was copied for a hard link of the layer's: the inode of the copy.
    parted: BTreeMap<String, usize>,
}

/// Why an entry cannot be made.
struct Refused;

/// The entry that no stream can make, as the layer has it.
struct NoRoom(String);

impl Tree {
    fn apply(&mut self, entries: &[Entry]) -> Result<(), Refused> {
        let mut stream = self.clone();
        stream.begin();
        self.begin();
        for entry in entries {
            match entry {
                Entry::Whiteout(path) => self.remove(path),
                Entry::Opaque(path) => self.empty(path),
                _ => {}
            }
        }
        for entry in entries {
            // What a link names may be there only until a sign is met.
            if let Entry::Link(_, target) = entry
                && !self.objects.contains_key(target)
                && !self.parted.contains_key(target)
                && let Some(Object::File(inode)) = stream.objects.get(target)
            {
                self.inodes.push(stream.inodes[*inode]);
                self.parted.insert(target.clone(), self.inodes.len() - 1);
            }
            stream.step(entry)?;
            self.make(entry)?;
        }
        Ok(())
    }

    /// Begins a layer.
    fn begin(&mut self) {
        self.made.clear();
        self.parted.clear();
    }

    fn remove(&mut self, path: &str) {
        self.objects.remove(path);
        self.empty(path);
    }

    fn empty(&mut self, path: &str) {
        let inside = format!("{path}/");
        self.objects.retain(|other, _| !other.starts_with(&inside));
    }

    fn make(&mut self, entry: &Entry) -> Result<(), Refused> {
        match entry {
            Entry::Directory(path, mode) => {
                self.parents(path)?;
                if !matches!(self.objects.get(path), Some(Object::Directory(_))) {
                    self.remove(path);
                }
                self.put(path, Object::Directory(*mode));
            }
            Entry::File(path, text, mode) => {
                self.parents(path)?;
                self.remove(path);
                self.inodes.push((text, *mode));
                self.put(path, Object::File(self.inodes.len() - 1));
            }
            Entry::Symlink(path, target) => {
                self.parents(path)?;
                self.remove(path);
                self.put(path, Object::Symlink(target));
            }
            Entry::Link(path, target) => self.link(path, target)?,
            Entry::Whiteout(_) | Entry::Opaque(_) => {}
        }
        Ok(())
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), Refused> {
        self.parents(path)?;
        if path == target {
            return Err(Refused);
        }
        let is_there = self.objects.contains_key(target);
        let inode = match self.objects.get(target) {
            Some(Object::File(inode)) if self.made.contains(target) => *inode,
            Some(Object::File(inode)) => {
                if let Some(inode) = self.parted.get(target) {
                    *inode
                } else {
                    self.inodes.push(self.inodes[*inode]);
                    let inode = self.inodes.len() - 1;
                    self.parted.insert(target.to_owned(), inode);
                    self.objects.insert(target.to_owned(), Object::File(inode));
                    inode
                }
            }
            Some(_) => return Err(Refused),
            None => *self.parted.get(target).ok_or(Refused)?,
        };
        self.remove(path);
        if is_there && !self.objects.contains_key(target) {
            return Err(Refused);
        }
        self.inodes[inode].1 = 0o644;
        self.put(path, Object::File(inode));
        Ok(())
    }

    /// Does what an entry says when a stream meets it.
    fn step(&mut self, entry: &Entry) -> Result<(), Refused> {
        match entry {
            Entry::Whiteout(path) => self.hide(path, true),
            Entry::Opaque(path) => self.hide(path, false),
            _ => self.make(entry)?,
        }
        Ok(())
    }

    /// Goes through a layer as a stream: finds the first entry that needs a directory where
    /// something else stands at its turn.
    ///
    /// A stream cannot know that a later sign makes room for what an entry needs now. Whatever
    /// else a sign removes, it does not matter when.
    fn stream(mut self, entries: &[Entry]) -> Result<(), NoRoom> {
        self.begin();
        for entry in entries {
            match entry {
                Entry::Whiteout(_) | Entry::Opaque(_) => {}
                Entry::Directory(path, _)
                | Entry::File(path, ..)
                | Entry::Symlink(path, _)
                | Entry::Link(path, _) => {
                    let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
                    let is_in_the_way = |object: &Object| !matches!(object, Object::Directory(_));
                    let mut there = parents.filter_map(|parent| self.objects.get(parent));
                    if there.any(is_in_the_way) {
                        return Err(NoRoom(path.clone()));
                    }
                }
            }
            // What else is refused is refused in the model, too, and nothing is made after it.
            if self.step(entry).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Removes what is below and holds nothing of the layer.
    fn hide(&mut self, path: &str, itself: bool) {
        let inside = format!("{path}/");
        let made = self.made.clone();
        self.objects.retain(|other, _| {
            let within = format!("{other}/");
            let is_hidden = other.starts_with(&inside) || itself && other == path;
            !is_hidden
                || made
                    .iter()
                    .any(|made| made == other || made.starts_with(&within))
        });
        let objects = &self.objects;
        self.parted.retain(|path, _| objects.contains_key(path));
    }

    fn put(&mut self, path: &str, object: Object) {
        self.objects.insert(path.to_owned(), object);
        self.made.insert(path.to_owned());
    }

    fn parents(&mut self, path: &str) -> Result<(), Refused> {
        for (at, _) in path.match_indices('/') {
            let parent = &path[..at];
            match self.objects.get(parent) {
                Some(Object::Directory(_)) => {}
                Some(_) => return Err(Refused),
                None => self.put(parent, Object::Directory(0o755)),
            }
        }
        Ok(())
    }

    /// Says what there is in the words of [`described`].
    fn lines(&self) -> Vec<String> {
        let mut first: BTreeMap<usize, &str> = BTreeMap::new();
        let mut lines = Vec::new();
        // In the order of a listing, which goes through directories and not through texts.
        let mut paths: Vec<&String> = self.objects.keys().collect();
        paths.sort_by_key(|path| path.split('/').collect::<Vec<_>>());
        for path in paths {
            lines.push(match &self.objects[path] {
                Object::Directory(mode) => format!("{path} d {mode:04o}"),
                Object::Symlink(target) => format!("{path} l {target}"),
                Object::File(inode) => {
                    let (text, mode) = self.inodes[*inode];
                    let first = *first.entry(*inode).or_insert(path);
                    let first = if first == path { "-" } else { first };
                    format!("{path} f {mode:04o} {} {first}", text.len())
                }
            });
        }
        lines
    }
}

fn described(path: &Path) -> Vec<String> {
    let listing = listing_of(path);
    let line = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let (path, kind, mode) = (fields[0], fields[1], fields[2]);
        match kind {
            "d" => format!("{path} d {mode}"),
            "l" => format!("{path} l {}", fields[4]),
            _ => {
                let size = fields[4].split(':').next().unwrap_or_default();
                format!("{path} {kind} {mode} {size} {}", fields[6])
            }
        }
    };
    listing.lines().skip(1).map(line).collect()
}

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

/// Makes a tree, as far as it can be made; returns its model, too.
fn built(entries: &[Entry]) -> (TempDir, Tree) {
    let mut model = Tree::default();
    let mut good = Vec::new();
    for entry in entries {
        let before = model.clone();
        match model.make(entry) {
            Ok(()) => good.push(entry.clone()),
            Err(Refused) => model = before,
        }
    }
    let directory = tree(&[]);
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
