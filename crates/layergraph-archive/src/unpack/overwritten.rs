//! What a layer overwrites of itself, which its recipe needs.
//!
//! A recipe stands for the content of a file by the file's name. That is enough unless something
//! happens to the name later in the layer: another entry takes it, or takes the place of a
//! directory on the way, or a link on the way leads elsewhere in the end. So it is known of each
//! file that the layer makes where in the archive its content is; content whose file goes is kept
//! aside; and directories that were reached by links are looked for again at the end. What was
//! affected gets into the recipe itself; see [`recipe`](crate::recipe).

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use layergraph_fs::{Dir, FsError, Metadata, RenameMode, Root, Staging};
use layergraph_tar::Member;
use layergraph_tar::recipe::{RecipeError, RecipeLimits};

use super::UnpackError;
use super::directories::ObjectId;
use super::object::not_made;
use crate::recipe::makes_no_file;

/// The contents of a layer that its tree alone does not give back by their names.
pub(crate) struct Overwritten {
    /// Where `kept` is made.
    home: Dir,
    /// The contents of files that are gone, each called by where in the archive it begins.
    kept: Option<Staging>,
    kept_offsets: BTreeSet<u64>,
    /// Where in the archive the content begins of each file that the layer has made.
    offsets: HashMap<ObjectId, u64>,
    /// The directories that were reached by links, and where each is in the list.
    ways: Vec<Arc<Way>>,
    known: HashMap<Arc<Way>, usize>,
    /// Which files went which way, in the order of the archive.
    detours: Vec<Detour>,
    /// Whether the last file was the last one of the last detour.
    is_in_detour: bool,
    /// How many bytes of memory the ways and detours take.
    detour_bytes: usize,
    /// How many bytes were kept aside.
    kept_bytes: u64,
    /// Whether files that their owner may not read are closed to us.
    is_closed_out: bool,
    /// Whether the content of the current member is in the recipe itself.
    is_in_recipe: bool,
}

/// A directory that was reached by links.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Way {
    /// Its path as entries have it.
    pub(super) path: Vec<u8>,
    /// Where it is.
    pub(super) real: Vec<u8>,
}

/// A run of files that were made one after the other in a directory that was reached by links.
struct Detour {
    way: usize,
    /// Where in the archive the contents of the first and the last file begin.
    first: u64,
    last: u64,
}

/// How many bytes of memory detours may take; what would need more is put into the recipe at once.
const DETOURS: usize = 8 << 20;

impl Overwritten {
    /// Keeps contents in a private directory that is made in `home` when it is needed.
    ///
    /// Where files are closed to us that their owner may not read, the recipe has what is in them.
    pub(crate) fn new(home: &Dir, is_closed_out: bool) -> Result<Overwritten, FsError> {
        Ok(Overwritten {
            home: home.try_clone()?,
            kept: None,
            kept_offsets: BTreeSet::new(),
            offsets: HashMap::new(),
            ways: Vec::new(),
            known: HashMap::new(),
            detours: Vec::new(),
            is_in_detour: false,
            detour_bytes: 0,
            kept_bytes: 0,
            is_closed_out,
            is_in_recipe: false,
        })
    }

    /// Begins a member. Returns whether its content is to be in the recipe itself, whatever becomes
    /// of the tree.
    pub(super) fn begin(&mut self, member: &Member) -> bool {
        let is_closed = self.is_closed_out && member.mode & 0o400 == 0;
        let has_content = member.stored_size > 0;
        self.is_in_recipe = has_content && (is_closed || makes_no_file(member));
        self.is_in_recipe
    }

    /// Returns whether the content of the file that is about to be made in a directory reached by
    /// links is to be in the recipe itself: it is where there are too many of them to be noted.
    pub(super) fn begin_detour(&mut self, member: &Member) -> bool {
        let is_full = self.detour_bytes > DETOURS;
        let is_kept = is_full && !self.is_in_recipe && member.stored_size > 0;
        self.is_in_recipe |= is_kept;
        is_kept
    }

    /// Notes the file that the current member made, perhaps in a directory reached by links.
    pub(super) fn made(&mut self, file: ObjectId, member: &Member, way: Option<&Arc<Way>>) {
        // Of a sparse member the recipe always has the content.
        if self.is_in_recipe || member.stored_size == 0 || member.sparse.is_some() {
            return;
        }
        let offset = member.data_position;
        self.offsets.insert(file, offset);
        let Some(way) = way else {
            self.is_in_detour = false;
            return;
        };
        let way = self.number(way);
        match self.detours.last_mut() {
            Some(last) if self.is_in_detour && last.way == way => last.last = offset,
            _ => {
                // A vector grows to twice what it needs.
                self.detour_bytes += 2 * size_of::<Detour>();
                self.detours.push(Detour {
                    way,
                    first: offset,
                    last: offset,
                });
            }
        }
        self.is_in_detour = true;
    }

    /// Returns where a way is in the list, to which it is added if it is new.
    fn number(&mut self, way: &Arc<Way>) -> usize {
        if let Some(&number) = self.known.get(way) {
            return number;
        }
        let number = self.ways.len();
        self.detour_bytes += way.path.len() + way.real.len() + 2 * size_of::<Way>();
        self.ways.push(Arc::clone(way));
        self.known.insert(Arc::clone(way), number);
        number
    }

    /// Returns whether the layer has made no file with content so far.
    pub(super) fn is_idle(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Returns whether a file has content of the layer that would be lost with it.
    pub(super) fn knows(&self, file: &Metadata) -> bool {
        self.offsets.contains_key(&ObjectId::from(file))
    }

    /// Keeps the content of a file that is about to be removed, if it is the layer's. Returns
    /// whether that has taken the file away.
    pub(super) fn keep(
        &mut self,
        dir: &Dir,
        name: &OsStr,
        file: &Metadata,
    ) -> Result<bool, UnpackError> {
        let Some(offset) = self.offsets.remove(&ObjectId::from(file)) else {
            return Ok(false);
        };
        self.charge(file.size)?;
        let kept = match &self.kept {
            Some(kept) => kept,
            None => self.kept.insert(Staging::new(&self.home)?),
        };
        let (kept, to) = (kept.dir(), called(offset));
        let is_moved = file.links == 1 && moved(dir, name, kept, &to)?;
        if is_moved {
            if !kept.metadata(&to)?.is_same_object(file) {
                return Err(not_made(dir, name).into());
            }
            // Whatever the layer let others do with it, and its owner not.
            kept.set_mode(&to, 0o600)?;
        } else {
            copy_content(dir, name, file, kept, &to)?;
        }
        self.kept_offsets.insert(offset);
        Ok(is_moved)
    }

    /// Counts what is kept aside, all of which has to go into the recipe in Base64.
    fn charge(&mut self, bytes: u64) -> Result<(), UnpackError> {
        let limit = RecipeLimits::default().bytes;
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.kept_bytes / 3 <= limit / 4 {
            return Ok(());
        }
        let error = RecipeError::Limit {
            what: "bytes",
            limit,
        };
        Err(UnpackError::Recipe(io::Error::other(error)))
    }

    /// Looks once more for the directories that were reached by links, and forgets those that the
    /// same paths still lead to. After so many steps of the root it is not looked any more: what
    /// was made in the others is put into the recipe.
    pub(super) fn settle(&mut self, root: &mut Root, steps: u64) -> Result<(), FsError> {
        self.known = HashMap::new();
        self.offsets = HashMap::new();
        let mut still_lead = Vec::with_capacity(self.ways.len());
        for way in &self.ways {
            still_lead.push(root.steps() <= steps && leads(way, root)?);
        }
        self.detours.retain(|detour| !still_lead[detour.way]);
        Ok(())
    }

    /// Returns whether the tree gives all contents back by their names.
    pub(crate) fn is_nothing(&self) -> bool {
        self.kept_offsets.is_empty() && self.detours.is_empty()
    }

    /// Returns whether the tree does not give the content at `offset` back by its name.
    pub(crate) fn has(&self, offset: u64) -> bool {
        self.kept_offsets.contains(&offset) || self.detour(offset).is_some()
    }

    /// Opens the content at `offset`, if it was kept.
    pub(crate) fn open(&self, offset: u64) -> Result<Option<File>, FsError> {
        match &self.kept {
            Some(kept) if self.kept_offsets.contains(&offset) => {
                kept.dir().open_file(&called(offset)).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Returns where the directory is in which the content at `offset` was put, if its path does
    /// not say so.
    pub(crate) fn real_directory(&self, offset: u64) -> Option<&[u8]> {
        self.detour(offset)
            .map(|detour| &self.ways[detour.way].real[..])
    }

    fn detour(&self, offset: u64) -> Option<&Detour> {
        let after = self.detours.partition_point(|detour| detour.last < offset);
        let detour = self.detours.get(after);
        detour.filter(|detour| detour.first <= offset)
    }

    /// Removes what was kept.
    pub(crate) fn discard(self) -> Result<(), FsError> {
        self.kept.map_or(Ok(()), Staging::discard)
    }
}

/// Returns whether a path still leads where it led.
fn leads(way: &Way, root: &mut Root) -> Result<bool, FsError> {
    use io::ErrorKind::{InvalidFilename, PermissionDenied};
    match root.directory(&way.path) {
        Ok(dir) => {
            let found = dir.path().strip_prefix(root.dir().path());
            Ok(found.is_ok_and(|found| found.as_os_str().as_bytes() == way.real))
        }
        Err(error) if error.leads_nowhere() => Ok(false),
        // A link that a later entry made leads to a name that cannot be, or that is closed to us.
        Err(error) if matches!(error.kind(), InvalidFilename | PermissionDenied) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Copies what is in a file, and nothing else of it: where it is kept may be another file system.
fn copy_content(
    dir: &Dir,
    name: &OsStr,
    file: &Metadata,
    to: &Dir,
    to_name: &OsStr,
) -> Result<(), UnpackError> {
    let mut from = dir.open_file(name)?;
    let read = |error| FsError::new("read", dir.path().join(name), error);
    let found = from.metadata().map_err(read)?;
    let mut copy = to.create_file(to_name, 0o600)?;
    let count = io::copy(&mut from, &mut copy).map_err(read)?;
    if (found.dev(), found.ino()) == file.id() && count == file.size {
        Ok(())
    } else {
        Err(not_made(dir, name).into())
    }
}

/// Moves a file, unless it would have to leave its file system.
fn moved(dir: &Dir, name: &OsStr, to: &Dir, to_name: &OsStr) -> Result<bool, FsError> {
    match dir.rename(name, to, to_name, RenameMode::NoReplace) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns what a content is called that is kept.
fn called(offset: u64) -> OsString {
    offset.to_string().into()
}

#[cfg(test)]
mod tests {
    use layergraph_tar::{NewMember, Reader, Writer};

    use super::*;

    #[test]
    fn detours_take_memory_no_more_than_they_may() -> Result<(), Box<dyn std::error::Error>> {
        let home = tempfile::tempdir()?;
        let home = Dir::open(home.path())?;
        let file = ObjectId::from(&home.metadata_here()?);
        let mut overwritten = Overwritten::new(&home, false)?;
        let ways = [b"l", b"m"].map(|path| {
            Arc::new(Way {
                path: path.to_vec(),
                real: vec![b'n'; 4000],
            })
        });
        let mut tar = Writer::new(Vec::new());
        let new = NewMember {
            size: 1,
            ..NewMember::new(b"l/f", layergraph_tar::Kind::File)
        };
        tar.append(&new, &b"x"[..])?;
        let tar = tar.finish()?;
        let member = Reader::new(&tar[..]).next_member()?;
        let mut member = member.ok_or("there is one")?;
        let mut count = 0;
        while !overwritten.begin_detour(&member) {
            overwritten.made(file, &member, Some(&ways[count % 2]));
            assert!(!overwritten.begin(&member));
            member.data_position += 1024;
            count += 1;
        }
        assert_eq!(overwritten.ways.len(), 2);
        assert!((100_000..200_000).contains(&count), "{count}");
        assert_eq!(overwritten.real_directory(512), Some(&ways[0].real[..]));
        // What is in the recipe is not looked for.
        overwritten.made(file, &member, Some(&ways[0]));
        assert!(!overwritten.has(member.data_position));
        Ok(())
    }
}
