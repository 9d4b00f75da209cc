//! Hard links as AUFS wrote them: the content under `.wh..wh.plnk/`, the names as links to it.
//!
//! The files are kept in a directory of that name until the end of the layer, and the links to one
//! are further names of it. The directory's name cannot meet anything of the layer's, since a layer
//! has no object whose name begins so.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::SystemTime;

use layergraph_fs::FileKind;
use layergraph_tar::{Kind, Member};

use super::{Archive, Parent, UnpackError, Unpacker, shown};

const LINKS: &str = ".wh..wh.plnk";

impl Unpacker<'_> {
    /// Keeps a file that links may name later.
    pub(super) fn keep_aufs_link(
        &mut self,
        member: &Member,
        name: &[u8],
        archive: &mut Archive<'_>,
    ) -> Result<(), UnpackError> {
        if member.kind != Kind::File {
            return Ok(());
        }
        let kept = self.aufs_directory().map_err(|error| error.about(member))?;
        self.file(member, &kept, OsStr::from_bytes(name), archive)
            .map_err(|error| error.about(member))
    }

    /// Gives a kept file the name of a link to it.
    pub(super) fn aufs_link(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
        kept: &[u8],
    ) -> Result<(), UnpackError> {
        let missing = || UnpackError::HardLink {
            path: shown(&member.path),
            target: shown(&member.link),
            reason: "AUFS kept no such file in this layer",
        };
        if !self.aufs_links {
            return Err(missing());
        }
        let from = self.aufs_directory()?;
        let kept = OsStr::from_bytes(kept);
        if from.dir.find(kept)?.is_none() {
            return Err(missing());
        }
        self.clear(parent, name)?;
        Ok(parent.dir.make_hard_link(name, &from.dir, kept)?)
    }

    fn aufs_directory(&mut self) -> Result<Parent, UnpackError> {
        let name = OsStr::new(LINKS);
        let top = Arc::clone(self.root.dir());
        if !self.aufs_links {
            let root = self.enter(Arc::clone(&top))?;
            // The original left an empty directory of this name behind.
            self.clear(&root, name)?;
            let id = Self::new_directory(&root, name)?;
            self.aufs_links = true;
            let modified = SystemTime::UNIX_EPOCH;
            self.directories
                .insert_fresh(id, LINKS.as_bytes(), modified, None)?;
        }
        self.enter(Arc::new(top.open_dir(name)?))
    }

    /// Removes what was kept, also after an error.
    pub(super) fn remove_aufs_links(&mut self) -> Result<(), UnpackError> {
        if self.aufs_links {
            let top = Arc::clone(self.root.dir());
            let name = OsStr::new(LINKS);
            if top
                .find(name)?
                .is_some_and(|found| found.kind == FileKind::Directory)
            {
                // A link may have led an entry there.
                self.remove_tree(&top, name)?;
            }
            self.forget();
        }
        Ok(())
    }
}
