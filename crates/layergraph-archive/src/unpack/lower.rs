//! The layers below a directory that holds only what a layer changes of them.
//!
//! They are asked for by paths without links: whoever asks has followed those. What the layers
//! below have never changes, so all answers stay true.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::iter::successors;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use layergraph_fs::{
    Device, Dir, FileKind, FsError, Metadata, copy_file, copy_metadata, copy_tree,
};

use crate::attributes::is_overlay;
use crate::view::{Dialect, Entry, View, ViewDir};

/// How many handles on directories stay open; one of a union has a handle for each layer it is in.
const HANDLES: usize = 256;

/// The mode of a whiteout, as overlayfs makes it.
const WHITEOUT_MODE: u32 = 0;

/// The layers below.
#[derive(Debug)]
pub(super) struct Lower<'a> {
    view: &'a View,
    /// What was found at paths last.
    dirs: HashMap<Vec<u8>, Option<Arc<ViewDir<'a>>>>,
    /// How many handles that keeps open.
    handles: usize,
}

impl<'a> Lower<'a> {
    pub(super) fn new(view: &'a View) -> Lower<'a> {
        Lower {
            view,
            dirs: HashMap::new(),
            handles: 0,
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.view.dialect()
    }

    /// Opens the directory at a path, if there is one.
    pub(super) fn dir(&mut self, path: &[u8]) -> Result<Option<Arc<ViewDir<'a>>>, FsError> {
        let mut prefixes = successors(Some(path), |path| split(path).map(|(above, _)| above));
        let known =
            prefixes.find_map(|prefix| Some((prefix.len(), self.dirs.get(prefix)?.clone())));
        let (mut end, mut here) = if let Some(known) = known {
            known
        } else {
            let root = Some(Arc::new(self.view.root()?));
            self.remember(b"", root.clone());
            (0, root)
        };
        while end < path.len()
            && let Some(dir) = here
        {
            let begin = end + usize::from(end > 0);
            let name = path[begin..].split(|&byte| byte == b'/').next();
            let name = name.unwrap_or_default();
            end = begin + name.len();
            here = match dir.entry(OsStr::from_bytes(name))? {
                Some(entry) if entry.metadata().kind == FileKind::Directory => {
                    Some(Arc::new(dir.open_dir(&entry)?))
                }
                _ => None,
            };
            self.remember(&path[..end], here.clone());
        }
        Ok(here)
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
        Ok(dir.entry(name)?.map(|entry| (dir, entry)))
    }

    /// Tells whether there is a directory `name` in that at a path.
    pub(super) fn has_dir(&mut self, path: &[u8], name: &OsStr) -> Result<bool, FsError> {
        let found = self.entry(path, name)?;
        Ok(found.is_some_and(|(_, entry)| entry.metadata().kind == FileKind::Directory))
    }

    fn remember(&mut self, path: &[u8], dir: Option<Arc<ViewDir<'a>>>) {
        // A missing one takes memory.
        self.handles += dir.as_ref().map_or(1, |dir| dir.handles());
        if self.handles > HANDLES {
            self.dirs.clear();
            self.handles = dir.as_ref().map_or(1, |dir| dir.handles());
        }
        self.dirs.insert(path.to_vec(), dir);
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
