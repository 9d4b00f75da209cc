//! What is left to be done when the layers below become known.
//!
//! A layer that is unpacked before says less than it seems: a directory that only its entries
//! imply may be one of the layers below, and has their metadata then; a sign hides what may be
//! there or not. Both are written down and settled later. Where a link of the layers below would
//! have led an entry elsewhere there is nothing to settle: the layer has to be unpacked again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::SystemTime;

use layergraph_fs::{Dir, FileKind, FsError, Root, copy_metadata};

use super::lower::{Lower, hide_root, is_no_sign, join, make_whiteout, split};
use super::{Limits, UnpackError, shown};
use crate::view::View;

/// What a layer left open that was unpacked before the layers below were known
/// ([`Place::detached`](crate::Place::detached)).
///
/// All paths in it are below the root of the tree and lead through no links.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsettled {
    /// The directories that were made because entries are in them.
    implied: Vec<Vec<u8>>,
    /// Of these, and the root, those that no entry has stated in the end.
    bare: BTreeSet<Vec<u8>>,
    /// The directories that took the place of something else of the layer.
    cuts: Vec<Vec<u8>>,
    signs: BTreeSet<Sign>,
    bytes: usize,
    limit: usize,
    /// How many steps it may take to settle it.
    steps: u64,
}

/// A sign of a layer; the directory it is in comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Sign {
    directory: Vec<u8>,
    /// What it hides there; nothing for all that there is.
    name: Option<Vec<u8>>,
}

impl Unsettled {
    /// Begins, with what it may cost.
    pub(super) fn new(limits: &Limits) -> Unsettled {
        Unsettled {
            limit: limits.directory_bytes,
            steps: limits.steps,
            ..Unsettled::default()
        }
    }

    pub(super) fn imply(&mut self, path: Vec<u8>) -> Result<(), UnpackError> {
        self.reserve(&path, path.len())?;
        self.implied.push(path);
        Ok(())
    }

    pub(super) fn cut(&mut self, path: Vec<u8>) -> Result<(), UnpackError> {
        self.reserve(&path, path.len())?;
        self.cuts.push(path);
        Ok(())
    }

    pub(super) fn hide(
        &mut self,
        directory: &[u8],
        name: Option<&[u8]>,
    ) -> Result<(), UnpackError> {
        self.reserve(directory, name.map_or(0, <[u8]>::len))?;
        self.signs.insert(Sign {
            directory: directory.to_vec(),
            name: name.map(<[u8]>::to_vec),
        });
        Ok(())
    }

    /// Records a directory that nothing is stated of.
    pub(super) fn bare(&mut self, path: &[u8]) {
        self.bare.insert(path.to_vec());
    }

    /// Counts what a path takes, with so many bytes more beside it. Over layers that are known
    /// nothing of it would have to be held: so a layer that has too much is not refused for good.
    fn reserve(&mut self, path: &[u8], more: usize) -> Result<(), UnpackError> {
        /// What the lists and the allocator take for it.
        const PLACE: usize = 96;
        self.bytes += path.len() + more + PLACE;
        if self.bytes <= self.limit {
            return Ok(());
        }
        Err(below(path))
    }

    /// Settles it in `dir`, the directory the layer was unpacked to, now that the layers below are
    /// known. Then it is as if it had been unpacked over them.
    ///
    /// # Errors
    ///
    /// [`UnpackError::Below`] if it would be another layer over these: it has to be unpacked again,
    /// [over](crate::Place::over) them. [`UnpackError::Limit`] if it takes more
    /// [steps](crate::Limits::steps) than the unpacking was allowed. After any error the directory
    /// is of no use.
    pub fn settle(&self, dir: &Dir, below: &View) -> Result<(), UnpackError> {
        let mut settler = Settler {
            unsettled: self,
            root: Root::new(dir.try_clone()?),
            lower: Lower::new(below),
            times: BTreeMap::new(),
            renewed: BTreeSet::new(),
            hides_all: false,
            shown: None,
            without_links: None,
            brought: None,
            steps: 0,
        };
        for path in &self.cuts {
            settler.cut(path)?;
            settler.check_steps(path)?;
        }
        for sign in &self.signs {
            settler.sign(sign)?;
            settler.check_steps(&sign.directory)?;
        }
        for path in &self.implied {
            settler.implied(path)?;
            settler.check_steps(path)?;
        }
        settler.finish()
    }
}

struct Settler<'a> {
    unsettled: &'a Unsettled,
    /// The layer.
    root: Root,
    lower: Lower<'a>,
    /// When the directories of the layer that change were last modified before.
    times: BTreeMap<Vec<u8>, SystemTime>,
    /// The directories of the layer that are not those below any more.
    renewed: BTreeSet<Vec<u8>>,
    /// Whether nothing of the layers below shows.
    hides_all: bool,
    /// The path that was last asked about, and whether a directory of the layers below shows there.
    shown: Option<(Vec<u8>, bool)>,
    /// The last path that was found to lead through no link of the layers below.
    without_links: Option<Vec<u8>>,
    /// The directory that was last brought, and its path.
    brought: Option<(Vec<u8>, Arc<Dir>)>,
    /// How many names were looked up in the layer.
    steps: u64,
}

impl Settler<'_> {
    /// Checks what it has taken so far.
    fn check_steps(&self, path: &[u8]) -> Result<(), UnpackError> {
        let steps = self.steps + self.root.steps();
        if steps.saturating_add(self.lower.steps()) <= self.unsettled.steps {
            return Ok(());
        }
        Err(UnpackError::Limit {
            path: shown(path),
            what: "steps through layers",
            limit: self.unsettled.steps,
        })
    }

    /// Returns whether a directory of the layers below shows at a path.
    fn shows(&mut self, path: &[u8]) -> Result<bool, UnpackError> {
        if self.hides_all {
            return Ok(false);
        }
        if let Some((known, shows)) = &self.shown
            && known == path
        {
            return Ok(*shows);
        }
        let shows = self.find_out_if_shown(path)?;
        self.shown = Some((path.to_vec(), shows));
        Ok(shows)
    }

    fn find_out_if_shown(&mut self, path: &[u8]) -> Result<bool, UnpackError> {
        let mut upper = Some(Arc::clone(self.root.dir()));
        let mut here = Vec::new();
        for name in path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
        {
            let file_name = OsStr::from_bytes(name);
            self.steps += 1;
            let found = match &upper {
                Some(dir) => dir.find(file_name)?,
                None => None,
            };
            upper = match (found.map(|found| found.kind), upper) {
                (Some(FileKind::Directory), Some(dir)) => {
                    let dir = dir.open_dir(file_name)?;
                    if self.lower.dialect().is_opaque(&dir)? {
                        return Ok(false);
                    }
                    Some(Arc::new(dir))
                }
                (Some(FileKind::Symlink), _) => return Err(below(path)),
                (Some(_), _) => return Ok(false),
                (None, _) => None,
            };
            if !self.lower.has_dir(&here, file_name)? {
                return Ok(false);
            }
            here = join(&here, name);
        }
        Ok(true)
    }

    /// Refuses a path that a link of the layers below is on, even if the layer has something in its
    /// place: that can be later.
    fn check_links(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        if self.without_links.as_deref() == Some(path) {
            return Ok(());
        }
        let mut here = Vec::new();
        for name in path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
        {
            match self.lower.entry(&here, OsStr::from_bytes(name))? {
                Some((_, found)) if found.metadata().kind == FileKind::Symlink => {
                    return Err(below(path));
                }
                Some(_) => here = join(&here, name),
                None => break,
            }
        }
        self.without_links = Some(path.to_vec());
        Ok(())
    }

    /// Sees to it that nothing shows through a directory that took the place of something else.
    fn cut(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let Some((above, name)) = split(path) else {
            return Ok(());
        };
        self.renewed.insert(path.to_vec());
        if self.shows(above)? && self.lower.has_dir(above, OsStr::from_bytes(name))? {
            self.make_opaque(path)?;
        }
        Ok(())
    }

    fn make_opaque(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        self.shown.take_if(|(known, _)| known.starts_with(path));
        match self.root.directory(path) {
            Ok(dir) => Ok(self.lower.dialect().make_opaque(&dir)?),
            // What took the place of it hides what is below as well.
            Err(error) if error.leads_nowhere() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sign(&mut self, Sign { directory, name }: &Sign) -> Result<(), UnpackError> {
        self.check_links(directory)?;
        if !self.shows(directory)? {
            return Ok(());
        }
        let Some(name) = name else {
            return self.hide_all(directory);
        };
        let file_name = OsStr::from_bytes(name);
        let Some((_, below)) = self.lower.entry(directory, file_name)? else {
            return Ok(());
        };
        let is_dir = below.metadata().kind == FileKind::Directory;
        let dir = self.bring(directory)?;
        match dir.find(file_name)? {
            None => make_whiteout(&dir, file_name)?,
            Some(found) if is_dir && found.kind == FileKind::Directory => {
                let path = join(directory, name);
                self.make_opaque(&path)?;
                self.renewed.insert(path);
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn hide_all(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let dir = self.bring(path)?;
        self.shown = None;
        if path.is_empty() {
            self.hides_all = true;
            return Ok(hide_root(&mut self.lower, &dir)?);
        }
        Ok(self.lower.dialect().make_opaque(&dir)?)
    }

    /// Opens a directory of the layer, which is one of those below if the layer has none.
    fn bring(&mut self, path: &[u8]) -> Result<Arc<Dir>, UnpackError> {
        if let Some((known, dir)) = &self.brought
            && known == path
        {
            return Ok(Arc::clone(dir));
        }
        let mut dir = Arc::clone(self.root.dir());
        let mut here = Vec::new();
        self.note(&here, &dir)?;
        for name in path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
        {
            let file_name = OsStr::from_bytes(name);
            here = join(&here, name);
            self.steps += 1;
            if dir.find(file_name)?.is_none() {
                self.lower.bring_dir(&dir, file_name, &here)?;
                self.root.forget();
            }
            dir = Arc::new(dir.open_dir(file_name)?);
            self.note(&here, &dir)?;
        }
        self.brought = Some((here, Arc::clone(&dir)));
        Ok(dir)
    }

    fn note(&mut self, path: &[u8], dir: &Dir) -> Result<(), FsError> {
        if !self.times.contains_key(path) {
            let modified = dir.metadata_here()?.modified;
            self.times.insert(path.to_vec(), modified);
        }
        Ok(())
    }

    /// Gives a directory that the layer implies what is known of it below.
    fn implied(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let (above, name) = split(path).unwrap_or_default();
        let Some((_, entry)) = self.lower.entry(above, OsStr::from_bytes(name))? else {
            return Ok(());
        };
        if entry.metadata().kind != FileKind::Directory {
            // The layer may have removed it before, or only later.
            return Err(below(path));
        }
        let dir = match self.root.directory(path) {
            Ok(dir) => dir,
            Err(error) if error.leads_nowhere() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // A link may have taken the place of a directory on the way.
        let found = dir.path().strip_prefix(self.root.dir().path());
        let is_same = found.is_ok_and(|found| found.as_os_str().as_bytes() == path);
        if !is_same || !self.shows(above)? {
            return Ok(());
        }
        if self.unsettled.bare.contains(path) && !self.renewed.contains(path) {
            self.take(path, &dir)?;
        }
        Ok(())
    }

    /// Gives a directory the metadata of the one below.
    fn take(&mut self, path: &[u8], dir: &Dir) -> Result<(), UnpackError> {
        if let Some(below) = self.lower.dir(path)? {
            copy_metadata(below.on_disk(), dir, &is_no_sign)?;
            let modified = below.metadata().modified;
            self.times.insert(path.to_vec(), modified);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), UnpackError> {
        if self.unsettled.bare.contains(&b""[..]) {
            let root = Arc::clone(self.root.dir());
            self.take(b"", &root)?;
        }
        // The deepest first: a directory may be closed to us.
        let times = std::mem::take(&mut self.times);
        for (path, modified) in times.iter().rev() {
            let dir = self.root.directory(path)?;
            dir.set_times(OsStr::new("."), None, Some(*modified))?;
        }
        Ok(())
    }
}

fn below(path: &[u8]) -> UnpackError {
    UnpackError::Below { path: shown(path) }
}
