//! A model of unpacking: what the image-spec says of a layer, in memory and without haste.
//!
//! It first removes from the layers below whatever a whiteout or opaque marker names, then makes
//! the entries in their order. Unpacking meets signs and entries mixed. Only what a stream cannot
//! know is so in the model, too: that a later sign makes room for an entry, or removes what a hard
//! link names.
//!
//! The fuzzed properties compare with the same model: the file is theirs as well, and so it needs
//! nothing but the standard library.

use std::collections::{BTreeMap, BTreeSet};

/// An entry of a layer.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
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

/// What is there, by its path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    objects: BTreeMap<String, Object>,
    /// Content and mode.
    inodes: Vec<(&'static str, u32)>,
    /// What the layer has made.
    made: BTreeSet<String>,
    /// What is below and was copied for a hard link of the layer's: the inode of the copy.
    parted: BTreeMap<String, usize>,
}

/// Why an entry cannot be made.
pub(crate) struct Refused;

/// The entry that no stream can make, as the layer has it.
pub(crate) struct NoRoom(pub(crate) String);

impl Tree {
    /// Makes a tree, as far as it can be made; returns also the entries that made it.
    pub(crate) fn built(entries: &[Entry]) -> (Tree, Vec<Entry>) {
        let (mut tree, mut good) = (Tree::default(), Vec::new());
        for entry in entries {
            let before = tree.clone();
            match tree.make(entry) {
                Ok(()) => good.push(entry.clone()),
                Err(Refused) => tree = before,
            }
        }
        (tree, good)
    }

    /// Unpacks a layer upon the tree.
    pub(crate) fn apply(&mut self, entries: &[Entry]) -> Result<(), Refused> {
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
    pub(crate) fn stream(mut self, entries: &[Entry]) -> Result<(), NoRoom> {
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
    pub(crate) fn lines(&self) -> Vec<String> {
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

/// Describes what a canonical listing shows in the words of the model.
pub(crate) fn described(listing: &str) -> Vec<String> {
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
    // The first line is the tree's own.
    listing.lines().skip(1).map(line).collect()
}
