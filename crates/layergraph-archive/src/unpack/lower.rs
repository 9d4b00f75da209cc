//! The layers below a directory that holds only what a layer changes of them.
//!
//! They are asked for by paths without links: whoever asks has followed those. What the layers
//! below have never changes, so all answers stay true.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::iter::successors;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use layergraph_fs::{
    Device, Dir, FileKind, FsError, Metadata, copy_file, copy_metadata, copy_tree,
};

use crate::attributes::is_overlay;
use crate::view::{Dialect, Entry, View, ViewDir};

/// How many handles on directories stay open, beside those on the layers themselves; one of a union
/// has a handle for each layer it is in.
const HANDLES: usize = 256;
/// How many directories stay open that are in all layers, however many layers there are.
const DIRECTORIES: usize = 4;

/// The mode of a whiteout, as overlayfs makes it.
const WHITEOUT_MODE: u32 = 0;

/// The layers below.
#[derive(Debug)]
pub(super) struct Lower<'a> {
    view: &'a View,
    /// Has no handles but those of the layers.
    root: Option<Arc<ViewDir<'a>>>,
    /// What was found at other paths last.
    dirs: HashMap<Arc<[u8]>, Option<Arc<ViewDir<'a>>>>,
    /// These paths, the oldest first.
    order: VecDeque<Arc<[u8]>>,
    /// How many handles that keeps open.
    handles: usize,
    steps: u64,
}

impl<'a> Lower<'a> {
    pub(super) fn new(view: &'a View) -> Lower<'a> {
        Lower {
            view,
            root: None,
            dirs: HashMap::new(),
            order: VecDeque::new(),
            handles: 0,
            steps: 0,
        }
    }

    /// Returns how many times a layer was looked into, at most: each time for one name.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.view.dialect()
    }

    /// Opens the directory at a path, if there is one.
    pub(super) fn dir(&mut self, path: &[u8]) -> Result<Option<Arc<ViewDir<'a>>>, FsError> {
        let mut prefixes = successors(Some(path), |path| split(path).map(|(above, _)| above));
        let known =
            prefixes.find_map(|prefix| Some((prefix.len(), self.dirs.get(prefix)?.clone())));
        let (mut end, mut here) = match known {
            Some(known) => known,
            None => (0, Some(self.root()?)),
        };
        while end < path.len()
            && let Some(dir) = here
        {
            let begin = end + usize::from(end > 0);
            let name = path[begin..].split(|&byte| byte == b'/').next();
            let name = name.unwrap_or_default();
            end = begin + name.len();
            here = match self.look(&dir, OsStr::from_bytes(name))? {
                Some(entry) if entry.metadata().kind == FileKind::Directory => {
                    self.count(&dir);
                    Some(Arc::new(dir.open_dir(&entry)?))
                }
                _ => None,
            };
            self.remember(&path[..end], here.clone());
        }
        Ok(here)
    }

    fn root(&mut self) -> Result<Arc<ViewDir<'a>>, FsError> {
        if let Some(root) = &self.root {
            return Ok(Arc::clone(root));
        }
        let root = Arc::new(self.view.root()?);
        Ok(Arc::clone(self.root.insert(root)))
    }

    fn look(&mut self, dir: &ViewDir<'a>, name: &OsStr) -> Result<Option<Entry>, FsError> {
        self.count(dir);
        dir.entry(name)
    }

    fn count(&mut self, dir: &ViewDir<'a>) {
        self.steps = self.steps.saturating_add(dir.handles() as u64);
    }

    /// Looks for `name` in the directory at a path.
    pub(super) fn entry(
        &mut self,
        path: &[u8],
        name: &OsStr,
    ) -> Result<Option<(Arc<ViewDir<'a>>, Entry)>, FsError> {
        let Some(dir) = self.dir(path)? else {
            return Ok(None);
        };
        Ok(self.look(&dir, name)?.map(|entry| (dir, entry)))
    }

    /// Tells whether there is a directory `name` in that at a path.
    pub(super) fn has_dir(&mut self, path: &[u8], name: &OsStr) -> Result<bool, FsError> {
        let found = self.entry(path, name)?;
        Ok(found.is_some_and(|(_, entry)| entry.metadata().kind == FileKind::Directory))
    }

    /// Remembers what is at a path that was not known, and forgets the oldest ones for it.
    fn remember(&mut self, path: &[u8], dir: Option<Arc<ViewDir<'a>>>) {
        let layers = self.root.as_ref().map_or(0, |root| root.handles());
        let limit = HANDLES.max(DIRECTORIES * layers);
        self.handles += handles(dir.as_deref());
        while self.handles > limit
            && let Some(oldest) = self.order.pop_front()
        {
            let forgotten = self.dirs.remove(&oldest).flatten();
            self.handles -= handles(forgotten.as_deref());
        }
        let path: Arc<[u8]> = path.into();
        self.order.push_back(Arc::clone(&path));
        self.dirs.insert(path, dir);
    }

    /// Makes in `to` the directory `name` that is at a path below, without anything in it.
    pub(super) fn bring_dir(
        &mut self,
        to: &Dir,
        name: &OsStr,
        path: &[u8],
    ) -> Result<Metadata, FsError> {
        let Some(below) = self.dir(path)? else {
            // It was there when it was looked for: let the kernel say what is wrong with it now.
            return to.metadata(name);
        };
        to.make_dir(name, 0o700)?;
        let made = to.open_dir(name)?;
        copy_metadata(below.on_disk(), &made, &is_no_sign)?;
        made.metadata_here()
    }
}

/// Returns how many handles a remembered directory counts for; a missing one takes memory.
fn handles(dir: Option<&ViewDir<'_>>) -> usize {
    dir.map_or(1, ViewDir::handles)
}

/// Copies what is no directory from the layers below.
pub(super) fn bring_object(
    below: &ViewDir<'_>,
    entry: &Entry,
    to: &Dir,
) -> Result<Metadata, FsError> {
    let name = entry.name();
    if entry.metadata().kind == FileKind::File && below.is_metacopy(entry)? {
        return copy_up_content(below, entry, to);
    }
    copy_tree(below.holder(entry), name, to, name)?;
    if entry.metadata().kind != FileKind::Symlink {
        for (key, _) in to.xattrs(name)? {
            if !is_no_sign(&key) {
                to.remove_xattr(name, &key)?;
            }
        }
    }
    to.metadata(name)
}

/// Copies a file whose content is not where its metadata is.
fn copy_up_content(below: &ViewDir<'_>, entry: &Entry, to: &Dir) -> Result<Metadata, FsError> {
    let (holder, name) = (below.holder(entry), entry.name());
    let mut copy = to.create_file(name, 0o600)?;
    copy.remove_inherited_acls()?;
    copy_file(&below.open_file(entry)?, &mut copy)?;
    let known = holder.metadata(name)?;
    copy.set_owner(known.uid, known.gid)?;
    for (key, value) in holder.xattrs(name)? {
        if is_no_sign(&key) {
            copy.set_xattr(&key, &value)?;
        }
    }
    copy.set_mode(known.mode)?;
    copy.set_times(Some(known.accessed), Some(known.modified))?;
    copy.metadata()
}

/// Hides `name` of the layers below.
pub(super) fn make_whiteout(dir: &Dir, name: &OsStr) -> Result<(), FsError> {
    dir.make_node(name, FileKind::CharDevice, WHITEOUT_MODE, Device::default())
}

/// Returns whether an object is the sign that hides a name.
pub(super) fn is_whiteout(found: &Metadata) -> bool {
    found.kind == FileKind::CharDevice && found.device == Device::default()
}

/// Hides everything in the root of the layers below, where a marker would not count (see
/// [`View::union`]).
pub(super) fn hide_root(lower: &mut Lower<'_>, root: &Dir) -> Result<(), FsError> {
    let Some(below) = lower.dir(b"")? else {
        return Ok(());
    };
    for entry in below.entries()? {
        let is_dir = entry.metadata().kind == FileKind::Directory;
        match root.find(entry.name())? {
            None => make_whiteout(root, entry.name())?,
            Some(found) if is_dir && found.kind == FileKind::Directory => {
                lower.dialect().make_opaque(&root.open_dir(entry.name())?)?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

pub(super) fn is_no_sign(key: &OsStr) -> bool {
    !is_overlay(key.as_bytes())
}

/// Splits a path into that of the directory and the name in it; nothing for the root.
pub(super) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    Some(match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    })
}

/// Returns the path of a name in the directory at a path.
pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        name.to_vec()
    } else {
        [path, b"/", name].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;

    use super::*;

    /// Makes layers that all have the directories `d0`, `d1` and so on.
    fn layers(home: &tempfile::TempDir, count: usize) -> Result<View, Box<dyn Error>> {
        let mut layers = Vec::new();
        for layer in 0..count {
            let layer = home.path().join(layer.to_string());
            for number in 0..6 {
                fs::create_dir_all(layer.join(format!("d{number}/in")))?;
            }
            layers.push(Dir::open(&layer)?);
        }
        Ok(View::union(layers, Dialect::Plain))
    }

    #[test]
    fn the_last_directories_stay_open_in_few_handles_however_many_layers_they_are_in()
    -> Result<(), Box<dyn Error>> {
        for (count, limit) in [(50, 256), (70, 280)] {
            let home = tempfile::tempdir()?;
            let view = layers(&home, count)?;
            let mut lower = Lower::new(&view);
            for number in (0..6).cycle().take(20) {
                let path = format!("d{number}/in");
                let found = lower.dir(path.as_bytes())?.ok_or("it is there")?;
                assert_eq!(found.handles(), count);
                let before = lower.steps();
                // These, the one above and those before them.
                for known in [&path[..], &path[..2]] {
                    assert!(lower.dir(known.as_bytes())?.is_some());
                }
                assert!(lower.dir(b"")?.is_some());
                assert_eq!(lower.steps(), before);
                assert!(lower.dir(format!("none{number}").as_bytes())?.is_none());

                let remembered = lower.dirs.values();
                let open: usize = remembered.map(|dir| handles(dir.as_deref())).sum();
                assert_eq!((lower.handles, lower.order.len()), (open, lower.dirs.len()));
                assert!((3 * count..=limit).contains(&open) || number < 2, "{open}");
            }
        }
        Ok(())
    }
}
