//! The signs by which overlayfs tells that something is hidden, cut off or was renamed.
//!
//! Source: the kernel's documentation, *Overlay Filesystem*, sections *whiteouts and opaque
//! directories* and *`redirect_dir`*.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use layergraph_fs::{Device, Dir, FileKind, FsError, Metadata};

use super::Part;

/// How a tree on disk says what it hides of the layers below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// Not at all: every object is what it is.
    #[default]
    Plain,
    /// As overlayfs does: character devices 0:0, and attributes `trusted.overlay.*`.
    Overlay,
    /// As overlayfs does under its option `userxattr`: attributes `user.overlay.*`.
    OverlayUser,
}

/// What a layer has by some name.
pub(super) enum Found {
    Nothing,
    /// A whiteout, or anything that is no directory.
    Other,
    Directory {
        dir: Dir,
        /// Whether it hides what is below.
        opaque: bool,
        /// The name it goes by in the layers below, where that differs.
        redirect: Option<Vec<u8>>,
    },
}

impl Dialect {
    /// Marks a directory as one that hides what is below it.
    pub(crate) fn make_opaque(self, dir: &Dir) -> Result<(), FsError> {
        match self.key("opaque") {
            Some(key) => dir.set_xattr(OsStr::new("."), &key, b"y"),
            None => Ok(()),
        }
    }

    fn key(self, sign: &str) -> Option<OsString> {
        match self {
            Dialect::Plain => None,
            Dialect::Overlay => Some(format!("trusted.overlay.{sign}").into()),
            Dialect::OverlayUser => Some(format!("user.overlay.{sign}").into()),
        }
    }

    fn sign(self, dir: &Dir, name: &OsStr, sign: &str) -> Result<Option<Vec<u8>>, FsError> {
        match self.key(sign) {
            Some(key) => dir.xattr(name, &key),
            None => Ok(None),
        }
    }

    /// Returns whether a directory hides what is below it.
    pub(crate) fn is_opaque(self, dir: &Dir) -> Result<bool, FsError> {
        Ok(self.sign(dir, OsStr::new("."), "opaque")?.as_deref() == Some(b"y"))
    }

    /// Returns whether an object is the sign that its name is deleted.
    pub(super) fn is_whiteout(
        self,
        dir: &Dir,
        name: &OsStr,
        metadata: &Metadata,
    ) -> Result<bool, FsError> {
        match metadata.kind {
            _ if self == Dialect::Plain => Ok(false),
            FileKind::CharDevice => Ok(metadata.device == Device::default()),
            // The form for file systems without devices, since Linux 6.7. A directory with such
            // whiteouts is to be marked by an attribute `opaque` of `x`, so that listing it omits
            // them. But each lookup tests the file itself (`ovl_path_is_whiteout`), marked or not,
            // in every layer: there is no object of that name, and what is below is hidden.
            FileKind::File if metadata.size == 0 => Ok(self.sign(dir, name, "whiteout")?.is_some()),
            _ => Ok(false),
        }
    }

    /// Looks a directory up in one layer.
    pub(super) fn look_up(self, dir: &Dir, name: &OsStr) -> Result<Found, FsError> {
        let dir = match dir.open_dir(name) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            // A link is refused with ENOTDIR, too: O_DIRECTORY comes before O_NOFOLLOW.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Found::Other),
            Err(error) => return Err(error),
        };
        let opaque = self.is_opaque(&dir)?;
        let redirect = self.sign(&dir, OsStr::new("."), "redirect")?;
        Ok(Found::Directory {
            dir,
            opaque,
            redirect,
        })
    }
}

/// Returns where a redirected directory goes on: which directories below `layer` to look in, and
/// for which name.
///
/// A redirect is the former name in the same parent, or a path from the root of the layers.
pub(super) fn redirected(
    layers: &[Arc<Dir>],
    layer: usize,
    below: Vec<Part>,
    redirect: &[u8],
) -> Result<(Vec<Part>, OsString), FsError> {
    let Some(path) = redirect.strip_prefix(b"/") else {
        return Ok((below, OsStr::from_bytes(redirect).to_owned()));
    };
    let mut components: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
    let name = OsStr::from_bytes(components.pop().unwrap_or_default()).to_owned();
    let mut parents = Vec::new();
    for (number, root) in layers.iter().enumerate().skip(layer + 1) {
        if let Some(dir) = walk(root, &components)? {
            parents.push(Part { layer: number, dir });
        }
    }
    Ok((parents, name))
}

fn walk(root: &Arc<Dir>, components: &[&[u8]]) -> Result<Option<Arc<Dir>>, FsError> {
    let mut dir = Arc::clone(root);
    for component in components {
        dir = match dir.open_dir(OsStr::from_bytes(component)) {
            Ok(below) => Arc::new(below),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
    }
    Ok(Some(dir))
}
