//! Random trees of directories, files and links, with a model of how paths are resolved in them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::io::Errno;

/// How many links the kernel follows (`path_resolution(7)`).
pub(crate) const MAX_LINKS: usize = 40;

#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// With its mode.
    Directory(u32),
    File,
    Link(String),
}

/// The objects of a tree by the names that lead to them; the root has none.
#[derive(Debug, Clone)]
pub(crate) struct Model(BTreeMap<Vec<String>, Node>);

/// A path whose components may be anything: there, missing, `.`, `..`, with slashes at both ends.
pub(crate) fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        8 => "[abc]".prop_map(|name| name),
        3 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just("missing".to_owned()),
        1 => Just(String::new()),
    ];
    (
        prop_oneof![Just(""), Just("/")],
        prop::collection::vec(name, 0..6),
    )
        .prop_map(|(start, names)| format!("{start}{}", names.join("/")))
}

/// Modes of directories, some of which keep their owner out.
pub(crate) const MODES: &[u32] = &[0o700, 0o700, 0o500, 0o300, 0o400, 0];

/// A tree of names that [`path`] may meet, of directories with these modes.
pub(crate) fn model(allowed: &'static [u32]) -> impl Strategy<Value = Model> {
    let node = prop_oneof![
        3 => prop::sample::select(allowed).prop_map(Node::Directory),
        1 => Just(Node::File),
        3 => path().prop_map(|target| Node::Link(if target.is_empty() { "/".into() } else { target })),
    ];
    let place = prop::collection::vec("[abc]", 1..4);
    prop::collection::vec((place, node), 0..16).prop_map(|objects| {
        let mut model = BTreeMap::from([(Vec::new(), Node::Directory(0o700))]);
        for (place, node) in objects {
            let is_directory =
                |path: &[String]| matches!(model.get(path), None | Some(Node::Directory(_)));
            let parents = || (0..place.len()).map(|length| &place[..length]);
            if parents().all(is_directory) && !model.contains_key(&place) {
                for parent in parents() {
                    let missing = Node::Directory(0o700);
                    model.entry(parent.to_vec()).or_insert(missing);
                }
                model.insert(place, node);
            }
        }
        Model(model)
    })
}

impl Model {
    /// Makes the tree in `top`.
    pub(crate) fn make(&self, top: &Path) -> io::Result<()> {
        for (names, node) in &self.0 {
            let path = names
                .iter()
                .fold(top.to_owned(), |path, name| path.join(name));
            match node {
                Node::Directory(_) if names.is_empty() => {}
                Node::Directory(_) => fs::create_dir(path)?,
                Node::File => fs::write(path, "")?,
                Node::Link(target) => std::os::unix::fs::symlink(target, path)?,
            }
        }
        // From below, because a directory's mode may close what is in it.
        for (names, node) in self.0.iter().rev() {
            if let Node::Directory(mode) = node {
                let path = names
                    .iter()
                    .fold(top.to_owned(), |path, name| path.join(name));
                fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
            }
        }
        Ok(())
    }

    /// Returns where `path` leads to, as a process with this root would find a directory there.
    pub(crate) fn resolve(&self, path: &str, searches_all: bool) -> Result<PathBuf, Errno> {
        let mut here: Vec<String> = Vec::new();
        let mut left: Vec<String> = reversed(path);
        let mut links = 0;
        while let Some(name) = left.pop() {
            let Some(Node::Directory(mode)) = self.0.get(&here) else {
                unreachable!("only directories are entered");
            };
            if mode & 0o100 == 0 && !searches_all {
                return Err(Errno::ACCESS);
            }
            if name == "." {
                continue;
            }
            if name == ".." {
                here.pop();
                continue;
            }
            here.push(name);
            match self.0.get(&here) {
                None => return Err(Errno::NOENT),
                Some(Node::File) => return Err(Errno::NOTDIR),
                Some(Node::Directory(_)) => {}
                Some(Node::Link(target)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    here.pop();
                    if target.starts_with('/') {
                        here.clear();
                    }
                    left.extend(reversed(target));
                }
            }
        }
        Ok(here.iter().collect())
    }
}

/// The components of a path, the last one first.
fn reversed(path: &str) -> Vec<String> {
    let components = path.rsplit('/').filter(|name| !name.is_empty());
    components.map(str::to_owned).collect()
}
