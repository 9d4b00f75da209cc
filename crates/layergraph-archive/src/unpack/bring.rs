//! What a layer needs of the layers below, where its directory holds only what it changes of them.
//!
//! Directories that entries go into, links that lead to them, and files that get hard links are
//! copied up before they are needed, so that everything else can work as if they had been there.
//! What the layer hides is marked at once, because it is not to be copied up any more.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use layergraph_fs::{Dir, FileKind, FsError, Metadata};
use layergraph_tar::Member;

use super::directories::ObjectId;
use super::lower::{self, bring_object, is_whiteout, join, make_whiteout};
use super::parent::{Implying, Parent};
use super::{UnpackError, Unpacker};

/// As many links and components as [`Root`](layergraph_fs::Root) follows on one path.
const MAX_LINKS: usize = 40;
const MAX_COMPONENTS: usize = 4096;

/// How many paths are remembered for which everything has been copied up.
const KNOWN: usize = 1024;

/// How many links are remembered that were copied up, to be removed again. Those beyond that stay,
/// which changes nothing about what a mount shows.
const BROUGHT_LINKS: usize = 4096;

/// What a directory of the layer has by some name, with what is below.
pub(super) enum Standing {
    Nothing,
    /// Something that the layer has removed.
    Hidden,
    Object(Metadata),
}

/// A link that was copied up only to be followed.
pub(super) struct BroughtLink {
    directory: Vec<u8>,
    name: OsString,
    id: ObjectId,
}

impl Unpacker<'_> {
    /// Copies up what the layers below have on the way along a path, as far as it leads. With
    /// `member`, which is going to be made there, a directory that the layer has removed on the way
    /// is made anew.
    pub(super) fn bring_path(
        &mut self,
        path: &[u8],
        member: Option<&Member>,
    ) -> Result<(), UnpackError> {
        if self.lower.is_none() || self.ways.contains_key(path) {
            return Ok(());
        }
        let above = lower::split(path).and_then(|(above, _)| Some((above, self.ways.get(above)?)));
        let (mut real, rest) = match above {
            Some((above, real)) => (real.clone(), &path[above.len()..]),
            None => (Vec::new(), path),
        };
        let mut dir = self.root.directory(&real)?;
        let mut left = components(rest);
        let (mut links, mut count) = (0, left.len());
        while let Some(component) = left.pop() {
            self.lower_steps += 1;
            if component == b".." {
                real.truncate(lower::split(&real).map_or(0, |(above, _)| above.len()));
                dir = self.root.directory(&real)?;
                continue;
            }
            let name = OsStr::from_bytes(&component);
            match self.bring_step(&dir, &real, name, member)? {
                Some(FileKind::Directory) => {
                    dir = Arc::new(dir.open_dir(name)?);
                    real = join(&real, &component);
                }
                Some(FileKind::Symlink) => {
                    let target = dir.read_link(name)?;
                    let more = components(target.as_bytes());
                    links += 1;
                    count += more.len();
                    if links > MAX_LINKS || count > MAX_COMPONENTS {
                        // It is said when the path is followed.
                        return Ok(());
                    }
                    if target.as_bytes().starts_with(b"/") {
                        real.clear();
                        dir = Arc::clone(self.root.dir());
                    }
                    left.extend(more);
                }
                _ => return Ok(()),
            }
        }
        if self.ways.len() >= KNOWN {
            self.ways.clear();
        }
        self.ways.insert(path.to_vec(), real);
        Ok(())
    }

    /// Copies up what the layers below have by one name on the way along a path, and returns what
    /// stands there then.
    fn bring_step(
        &mut self,
        dir: &Arc<Dir>,
        path: &[u8],
        name: &OsStr,
        member: Option<&Member>,
    ) -> Result<Option<FileKind>, UnpackError> {
        match dir.find(name)? {
            Some(found) if is_whiteout(&found) => {
                let Some(member) = member else {
                    return Ok(None);
                };
                let parent = self.enter(Arc::clone(dir))?;
                dir.remove_file(name)?;
                let top = self.root.dir().path().to_owned();
                let mut implying = Implying {
                    directories: &mut self.directories,
                    implied: &mut self.implied,
                    unsettled: None,
                    top: &top,
                    member,
                };
                implying.make(dir, name)?;
                self.cut_off(&parent, name)?;
                Ok(Some(FileKind::Directory))
            }
            Some(found) => Ok(Some(found.kind)),
            None => self.bring_name(dir, path, name, member.is_some()),
        }
    }

    /// Copies up a directory or a link of the layers below.
    fn bring_name(
        &mut self,
        dir: &Arc<Dir>,
        path: &[u8],
        name: &OsStr,
        is_needed: bool,
    ) -> Result<Option<FileKind>, UnpackError> {
        let id = ObjectId::from(&dir.metadata_here()?);
        let Some(lower) = self
            .lower
            .as_mut()
            .filter(|_| !self.directories.is_fresh(id))
        else {
            return Ok(None);
        };
        let Some((below, entry)) = lower.entry(path, name)? else {
            return Ok(None);
        };
        match entry.metadata().kind {
            FileKind::Directory => {
                self.bring_directory(dir, path, name)?;
                Ok(Some(FileKind::Directory))
            }
            FileKind::Symlink => {
                self.enter(Arc::clone(dir))?;
                let made = bring_object(&below, &entry, dir)?;
                if self.brought_links.len() < BROUGHT_LINKS {
                    self.brought_links.push(BroughtLink {
                        directory: path.to_vec(),
                        name: name.to_owned(),
                        id: ObjectId::from(&made),
                    });
                }
                Ok(Some(FileKind::Symlink))
            }
            kind => {
                if is_needed {
                    // The kernel says what is wrong with it.
                    below.holder(&entry).open_dir(name)?;
                }
                Ok(Some(kind))
            }
        }
    }

    /// Copies up a directory, without anything in it.
    fn bring_directory(
        &mut self,
        dir: &Arc<Dir>,
        path: &[u8],
        name: &OsStr,
    ) -> Result<Option<Metadata>, UnpackError> {
        self.enter(Arc::clone(dir))?;
        let path = join(path, name.as_bytes());
        let Some(lower) = &mut self.lower else {
            return Ok(None);
        };
        let made = lower.bring_dir(dir, name, &path)?;
        self.implied += 1;
        self.directories.insert_brought(&path, &made)?;
        Ok(Some(made))
    }

    /// Copies up an object that is to get a hard link, if the layers below have one.
    pub(super) fn bring_for_link(
        &mut self,
        member: &Member,
        dir: &Arc<Dir>,
        name: &OsStr,
    ) -> Result<Option<Metadata>, UnpackError> {
        let from = self.enter(Arc::clone(dir))?;
        let path = self.path_of(dir, OsStr::new(""));
        let Some(lower) = self
            .lower
            .as_mut()
            .filter(|_| !self.directories.is_fresh(from.id))
        else {
            return Ok(None);
        };
        let Some((below, entry)) = lower.entry(&path, name)? else {
            return Ok(None);
        };
        if entry.metadata().kind == FileKind::Directory {
            // It can have no second name, which is said of it.
            return Ok(Some(entry.metadata().clone()));
        }
        self.charge(member, entry.metadata().size)?;
        let made = bring_object(&below, &entry, dir)?;
        self.directories.insert_parted(from.id, name.as_bytes())?;
        Ok(Some(made))
    }

    /// Looks for what has a name that an entry for a directory is about. A directory of the layers
    /// below is copied up.
    pub(super) fn standing(
        &mut self,
        parent: &Parent,
        name: &OsStr,
    ) -> Result<Standing, UnpackError> {
        match parent.dir.find(name)? {
            Some(found) if self.lower.is_some() && is_whiteout(&found) => {
                return Ok(Standing::Hidden);
            }
            Some(found) => return Ok(Standing::Object(found)),
            None => {}
        }
        let path = self.path_of(&parent.dir, OsStr::new(""));
        let Some(lower) = &mut self.lower else {
            return Ok(Standing::Nothing);
        };
        if self.directories.is_fresh(parent.id) || !lower.has_dir(&path, name)? {
            return Ok(Standing::Nothing);
        }
        let made = self.bring_directory(&parent.dir, &path, name)?;
        Ok(made.map_or(Standing::Nothing, Standing::Object))
    }

    /// Sees to it that nothing below shows through the directory `name`, which the layer has made
    /// in the place of something else.
    pub(super) fn cut_off(&mut self, parent: &Parent, name: &OsStr) -> Result<(), UnpackError> {
        let path = self.path_of(&parent.dir, OsStr::new(""));
        if let Some(cuts) = &mut self.unsettled {
            return cuts.cut(join(&path, name.as_bytes()));
        }
        let Some(lower) = &mut self.lower else {
            return Ok(());
        };
        // A root that hides everything below does it name by name.
        let shows = path.is_empty() || !self.directories.is_fresh(parent.id);
        if shows && lower.has_dir(&path, name)? {
            let dir = parent.dir.open_dir(name)?;
            lower.dialect().make_opaque(&dir)?;
        }
        Ok(())
    }

    /// Hides `name`, which the layer itself does not have, if the layers below have it.
    pub(super) fn hide(&mut self, parent: &Parent, name: &OsStr) -> Result<(), UnpackError> {
        let path = self.path_of(&parent.dir, OsStr::new(""));
        if let Some(lower) = &mut self.lower
            && lower.entry(&path, name)?.is_some()
        {
            make_whiteout(&parent.dir, name)?;
        }
        Ok(())
    }

    /// Hides everything below the directory that the layer has emptied.
    pub(super) fn hide_all(&mut self, dir: &Dir, path: &[u8]) -> Result<(), FsError> {
        match &mut self.lower {
            Some(lower) if path.is_empty() => lower::hide_root(lower, dir),
            Some(lower) => match lower.dir(path)? {
                Some(_) => lower.dialect().make_opaque(dir),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Removes the links that were copied up only to be followed.
    pub(super) fn remove_brought_links(&mut self) -> Result<(), UnpackError> {
        for BroughtLink {
            directory,
            name,
            id,
        } in std::mem::take(&mut self.brought_links)
        {
            let Some(dir) = self.existing(&directory)? else {
                continue;
            };
            let found = dir.find(&name)?;
            let is_same = found.is_some_and(|found| ObjectId::from(&found) == id);
            let parent = ObjectId::from(&dir.metadata_here()?);
            let name_bytes = name.as_bytes();
            if is_same
                && !self.directories.has_object(parent, name_bytes)
                && !self.directories.has_parted(parent, name_bytes)
            {
                dir.remove_file(&name)?;
            }
        }
        Ok(())
    }
}

/// Returns the components of a path that lead on, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let components = path.rsplit(|&byte| byte == b'/');
    let leading_on = components.filter(|component| !component.is_empty() && *component != b".");
    leading_on.map(<[u8]>::to_vec).collect()
}
