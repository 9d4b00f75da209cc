//! A tar as a directory of files: where each begins, and what its links lead to.
//!
//! The headers are read once, what lies between them not at all. No name and no link leads out of
//! the archive, and a name that two readers could take for different members is of no use.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use layergraph_tar::{Kind, Limits, Member, Reader};

use crate::error::{MemberError, OciError, shown};

/// How many members an archive may have: a hundred times as many as a large one has.
pub(crate) const MAX_MEMBERS: usize = 1 << 16;
/// How many bytes their names and links may have, together.
const MAX_NAMES: usize = 16 << 20;
/// How long a name may be, and what it leads to: as long as paths are (`PATH_MAX`).
const MAX_NAME: usize = 4096;
/// How many links may stand between a name and a file, as for the kernel (`path_resolution(7)`).
const MAX_LINKS: usize = 40;
/// How many bytes are read ahead of a header.
const AHEAD: usize = 4096;

/// An archive in a plain file.
#[derive(Debug)]
pub(crate) struct Archive {
    file: File,
    path: PathBuf,
    /// By names without `.`, `..` and slashes at their ends.
    members: BTreeMap<Vec<u8>, Entry>,
}

/// What a name of an archive stands for.
#[derive(Debug)]
enum Entry {
    File(Extent),
    Directory,
    /// A symbolic link, to be followed from where it is.
    Symlink(Vec<u8>),
    /// A hard link, which names a member from the top.
    HardLink(Vec<u8>),
    /// Something that is no file, by what it is.
    Other(&'static str),
    /// Several members.
    Several,
}

/// Where the content of a file is in the archive, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl Archive {
    /// Reads the headers of the tar in `file`, which is called `path` in messages.
    pub(crate) fn scan(file: File, path: &Path) -> Result<Archive, OciError> {
        let known = file.metadata();
        let length = known.map_err(|error| OciError::read(path, error))?.len();
        let skip = Rc::new(Cell::new(0));
        let headers = Headers {
            file: &file,
            at: 0,
            length,
            skip: Rc::clone(&skip),
        };
        let mut reader = Reader::with(headers, (), Limits::default());
        let mut members = BTreeMap::new();
        let (mut count, mut bytes) = (0, 0);
        let tar = |source| OciError::Tar {
            path: path.to_owned(),
            source,
        };
        while let Some(member) = reader.next_member().map_err(tar)? {
            skip.set(member.data_position + member.stored_size);
            count += 1;
            bytes += member.path.len() + member.link.len();
            if count > MAX_MEMBERS {
                return Err(OciError::limit(path, "members", MAX_MEMBERS as u64));
            }
            if bytes > MAX_NAMES {
                let what = "bytes of names";
                return Err(OciError::limit(path, what, MAX_NAMES as u64));
            }
            add(&mut members, member)
                .map_err(|(name, reason)| OciError::member(path, &lossy(&name), reason))?;
        }
        drop(reader);
        let path = path.to_owned();
        Ok(Archive {
            file,
            path,
            members,
        })
    }

    /// Returns the path of the archive, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether there is something of that name at the top.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name.as_bytes())
    }

    /// Returns the names of all members, sorted by their bytes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.members.keys().map(Vec::as_slice)
    }

    /// Finds the file that a name leads to.
    pub(crate) fn find(&self, name: &str) -> Result<Extent, OciError> {
        self.resolve(name.as_bytes())
            .map_err(|reason| OciError::member(&self.path, name, reason))
    }

    /// Finds the file that a name leads to, if there is something of that name.
    pub(crate) fn find_if_any(&self, name: &str) -> Result<Option<Extent>, OciError> {
        match self.resolve(name.as_bytes()) {
            Err(MemberError::Missing) => Ok(None),
            Err(reason) => Err(OciError::member(&self.path, name, reason)),
            Ok(extent) => Ok(Some(extent)),
        }
    }

    fn resolve(&self, name: &[u8]) -> Result<Extent, MemberError> {
        let mut here: Vec<u8> = Vec::new();
        let mut left: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        go_on(&mut left, name)?;
        while let Some(part) = left.pop() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." if here.is_empty() => return Err(MemberError::Outside),
                b".." => {
                    leave(&mut here);
                    continue;
                }
                part => enter(&mut here, part),
            }
            if here.len() > MAX_NAME {
                return Err(MemberError::NameLength);
            }
            let target = match self.members.get(&here) {
                Some(Entry::Symlink(target)) => {
                    leave(&mut here);
                    target
                }
                Some(Entry::HardLink(target)) => {
                    here.clear();
                    target
                }
                Some(Entry::Several) => return Err(MemberError::Several),
                _ => continue,
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(MemberError::Links);
            }
            go_on(&mut left, target)?;
        }
        match self.members.get(&here) {
            Some(Entry::File(extent)) => Ok(*extent),
            Some(Entry::Directory) => Err(MemberError::Kind("a directory")),
            Some(Entry::Other(what)) => Err(MemberError::Kind(what)),
            _ => Err(MemberError::Missing),
        }
    }

    /// Opens a part of the archive; several may be read at once.
    pub(crate) fn open(&self, extent: Extent) -> Section<'_> {
        Section::new(&self.file, extent.offset, extent.offset + extent.size)
    }

    /// Reads a part of the archive, of which the caller has bounded the size.
    pub(crate) fn read(&self, extent: Extent) -> Result<Vec<u8>, OciError> {
        let mut bytes = Vec::with_capacity(usize::try_from(extent.size).unwrap_or(0));
        let read = self.open(extent).read_to_end(&mut bytes);
        read.map_err(|error| OciError::read(&self.path, error))?;
        Ok(bytes)
    }
}

/// Puts the parts of a path before what is left of the way.
fn go_on(left: &mut Vec<Vec<u8>>, path: &[u8]) -> Result<(), MemberError> {
    if path.len() > MAX_NAME {
        return Err(MemberError::NameLength);
    }
    if path.starts_with(b"/") {
        return Err(MemberError::Outside);
    }
    let parts = path.split(|&byte| byte == b'/').rev();
    left.extend(parts.map(<[u8]>::to_vec));
    Ok(())
}

fn enter(here: &mut Vec<u8>, part: &[u8]) {
    if !here.is_empty() {
        here.push(b'/');
    }
    here.extend_from_slice(part);
}

fn leave(here: &mut Vec<u8>) {
    let slash = here.iter().rposition(|&byte| byte == b'/');
    here.truncate(slash.unwrap_or(0));
}

/// Takes a member into the list; an error says of which name.
fn add(
    members: &mut BTreeMap<Vec<u8>, Entry>,
    member: Member,
) -> Result<(), (Vec<u8>, MemberError)> {
    if member.kind == Kind::Global {
        return Ok(());
    }
    let name = match plain(&member.path) {
        Ok(name) => name,
        Err(reason) => return Err((member.path, reason)),
    };
    if name.is_empty() {
        return Ok(());
    }
    let entry = match member.kind {
        Kind::File if member.sparse.is_some() => Entry::Other("a sparse file"),
        Kind::File => Entry::File(Extent {
            offset: member.data_position,
            size: member.size,
        }),
        Kind::Directory => Entry::Directory,
        Kind::Symlink => Entry::Symlink(member.link),
        Kind::HardLink => match plain(&member.link) {
            Ok(target) => Entry::HardLink(target),
            Err(reason) => return Err((member.link, reason)),
        },
        Kind::Fifo => Entry::Other("a named pipe"),
        Kind::CharDevice | Kind::BlockDevice => Entry::Other("a device"),
        _ => Entry::Other("of an unknown kind"),
    };
    match members.entry(name) {
        Place::Vacant(place) => drop(place.insert(entry)),
        Place::Occupied(mut place) => {
            if !matches!((place.get(), &entry), (Entry::Directory, Entry::Directory)) {
                place.insert(Entry::Several);
            }
        }
    }
    Ok(())
}

/// Returns the name of a member without what says nothing. A slash before it says nothing either:
/// archivers leave it out.
fn plain(path: &[u8]) -> Result<Vec<u8>, MemberError> {
    if path.len() > MAX_NAME {
        return Err(MemberError::NameLength);
    }
    let mut name = Vec::with_capacity(path.len());
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(MemberError::Outside),
            part => enter(&mut name, part),
        }
    }
    Ok(name)
}

fn lossy(name: &[u8]) -> String {
    shown(&String::from_utf8_lossy(name))
}

/// The bytes of a tar, of which only those before `skip` are not needed: they are counted and not
/// read.
struct Headers<'a> {
    file: &'a File,
    at: u64,
    length: u64,
    skip: Rc<Cell<u64>>,
}

impl Read for Headers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let needless = self.skip.get().min(self.length).saturating_sub(self.at);
        let count = if needless > 0 {
            usize::try_from(needless).map_or(buffer.len(), |count| count.min(buffer.len()))
        } else {
            let most = buffer.len().min(AHEAD);
            self.file.read_at(&mut buffer[..most], self.at)?
        };
        self.at += count as u64;
        Ok(count)
    }
}

/// A part of an archive, read from its own position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Section<'_> {
    pub(crate) fn new(file: &File, at: u64, end: u64) -> Section<'_> {
        Section { file, at, end }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 {
            // It had more when its headers were read.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        Ok(count)
    }
}
