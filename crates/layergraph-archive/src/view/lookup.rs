//! Looking one name up in layer after layer, from the top, as overlayfs does.
//!
//! Source: the kernel's documentation, *Overlay Filesystem*, sections *whiteouts and opaque
//! directories*, *`redirect_dir`* and *Metadata only copy up*; where these are silent, `ovl_lookup`
//! in `fs/overlayfs/namei.c`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use layergraph_fs::{Dir, FileKind, FsError};

use super::{Part, View};

/// Returns the directories that are merged under `name` in the merged directory of `parts`.
pub(super) fn directories(view: &View, parts: &[Part], name: &OsStr) -> Result<Vec<Part>, FsError> {
    let mut lookup = Lookup::new(view, parts, name);
    let mut found = Vec::new();
    while let Some(Place { layer, dir, name }) = lookup.next_place()? {
        let dir = lookup.directory(&dir, &name, b"")?;
        found.extend(dir.map(|dir| Part { layer, dir }));
    }
    Ok(found)
}

/// Returns where the content of the regular file is that is called `name` in the merged directory
/// of `parts`: in which directory, under which name. It is nowhere if all that is found are
/// files of which only the metadata was copied up.
pub(super) fn content(
    view: &View,
    parts: &[Part],
    name: &OsStr,
) -> Result<Option<(Arc<Dir>, OsString)>, FsError> {
    let mut lookup = Lookup::new(view, parts, name);
    while let Some(Place { dir, name, .. }) = lookup.next_place()? {
        if lookup.has_content(&dir, &name)? {
            return Ok(Some((dir, name)));
        }
    }
    Ok(None)
}

/// How far a lookup has come.
struct Lookup<'v> {
    view: &'v View,
    /// The directories merged in the one in which the lookup began.
    parts: &'v [Part],
    /// The next layer.
    layer: usize,
    /// What to look for in it: a name in the merged directory, or, with a slash at the front, a
    /// path from the layer's root.
    path: Vec<u8>,
    /// Whether the layers further down are hidden.
    is_over: bool,
}

/// Where to look in one layer.
struct Place {
    layer: usize,
    dir: Arc<Dir>,
    name: OsString,
}

impl<'v> Lookup<'v> {
    fn new(view: &'v View, parts: &'v [Part], name: &OsStr) -> Lookup<'v> {
        Lookup {
            view,
            parts,
            layer: parts.first().map_or(0, |part| part.layer),
            path: name.as_bytes().to_vec(),
            is_over: false,
        }
    }

    /// Goes down to the next layer that has the directory in which to look.
    fn next_place(&mut self) -> Result<Option<Place>, FsError> {
        while !self.is_over
            && let Some(root) = self.view.layers.get(self.layer)
        {
            let layer = self.layer;
            self.layer += 1;
            while self.parts.first().is_some_and(|part| part.layer < layer) {
                self.parts = &self.parts[1..];
            }
            let part = self.parts.first().filter(|part| part.layer == layer);
            let is_from_root = self.path.starts_with(b"/");
            let start = match part {
                _ if is_from_root => root,
                Some(part) => &part.dir,
                None => continue,
            };
            if let Some((dir, name)) = self.parent(start)? {
                return Ok(Some(Place { layer, dir, name }));
            }
        }
        Ok(None)
    }

    /// Goes along the path, up to its last name.
    ///
    /// The directories on the way have signs of their own: they hide the layers below, or say by
    /// what path to go on there.
    fn parent(&mut self, start: &Arc<Dir>) -> Result<Option<(Arc<Dir>, OsString)>, FsError> {
        let path = self.path.clone();
        let mut rest = path.strip_prefix(b"/").unwrap_or(&path);
        let mut dir = Arc::clone(start);
        while let Some(length) = rest.iter().position(|&byte| byte == b'/') {
            let (name, post) = rest.split_at(length);
            match self.directory(&dir, OsStr::from_bytes(name), post)? {
                Some(inside) => dir = inside,
                None => return Ok(None),
            }
            rest = &post[1..];
        }
        Ok(Some((dir, OsStr::from_bytes(rest).to_owned())))
    }

    /// Opens a directory on the path, after which there is `post`, and heeds its signs.
    fn directory(
        &mut self,
        dir: &Dir,
        name: &OsStr,
        post: &[u8],
    ) -> Result<Option<Arc<Dir>>, FsError> {
        let inside = match dir.open_dir(name) {
            Ok(inside) => inside,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A whiteout, or anything else that is no directory, ends the stack of those that are
            // merged. A link is refused with ENOTDIR, too: O_DIRECTORY comes before O_NOFOLLOW.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                self.is_over = true;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if self.layer == self.view.layers.len() {
            // Nothing is below.
        } else if self.view.dialect.is_opaque(&inside)? {
            self.is_over = true;
        } else {
            self.redirect(&inside, OsStr::new("."), name.len() + post.len(), post)?;
        }
        Ok(Some(Arc::new(inside)))
    }

    /// Returns whether a file has its content in this layer, if there is one, and heeds its signs.
    fn has_content(&mut self, dir: &Dir, name: &OsStr) -> Result<bool, FsError> {
        let dialect = self.view.dialect;
        let Some(metadata) = dir.find(name)? else {
            return Ok(false);
        };
        let is_file =
            metadata.kind == FileKind::File && !dialect.is_whiteout(dir, name, &metadata)?;
        if is_file && dialect.is_metacopy(dir, name)? {
            self.redirect(dir, name, name.len(), b"")?;
            return Ok(false);
        }
        self.is_over = true;
        Ok(is_file)
    }

    /// Changes the path for the layers below, if the object says so: a redirect is the former name
    /// in the same directory, or a path from the root. It stands for the object, that is, for the
    /// last `length` bytes of the path up to `post`.
    fn redirect(
        &mut self,
        dir: &Dir,
        name: &OsStr,
        length: usize,
        post: &[u8],
    ) -> Result<(), FsError> {
        let Some(redirect) = self.view.dialect.redirect(dir, name)? else {
            return Ok(());
        };
        let is_path = redirect.starts_with(b"/");
        if !is_path && redirect.contains(&b'/') {
            // The kernel takes it for neither, too.
            let reason = "its redirect is neither a name nor a path from the root";
            let source = io::Error::new(io::ErrorKind::InvalidData, reason);
            return Err(FsError::new("getxattr", dir.path().join(name), source));
        }
        if is_path {
            self.path.clear();
            // An opaque directory on the way hides only what is below itself.
            self.is_over = false;
        } else {
            self.path.truncate(self.path.len() - length);
        }
        self.path.extend_from_slice(&redirect);
        self.path.extend_from_slice(post);
        Ok(())
    }
}
