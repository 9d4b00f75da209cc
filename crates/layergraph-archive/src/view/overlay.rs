//! The signs by which overlayfs tells that something is hidden, cut off, renamed or half there.
//!
//! Source: the kernel's documentation, *Overlay Filesystem*, sections *whiteouts and opaque
//! directories*, *`redirect_dir`* and *Metadata only copy up*.

use std::ffi::{OsStr, OsString};

use layergraph_fs::{Device, Dir, FileKind, FsError, Metadata};

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

    /// Returns whether an object, which is a regular file, has its content in a layer below.
    ///
    /// The kernel knows no such files under `userxattr`.
    pub(super) fn is_metacopy(self, dir: &Dir, name: &OsStr) -> Result<bool, FsError> {
        Ok(self == Dialect::Overlay && self.sign(dir, name, "metacopy")?.is_some())
    }

    /// Returns what an object goes by in the layers below, where that differs.
    pub(super) fn redirect(self, dir: &Dir, name: &OsStr) -> Result<Option<Vec<u8>>, FsError> {
        self.sign(dir, name, "redirect")
    }
}
