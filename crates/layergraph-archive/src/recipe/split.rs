//! Recipes of layers that are not unpacked.

use std::collections::HashSet;
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::io::{Read, Write};

use layergraph_tar::recipe::RecipeWriter;
use layergraph_tar::{Limits as TarLimits, Member, Reader, TarError};

use super::makes_no_file;
use crate::Limits;
use crate::unpack::{EntryName, is_directory, is_note, shown};

/// What came of splitting a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Split {
    /// How many entries the layer has, whiteouts included.
    pub entries: u64,
    /// The length of the layer in bytes.
    pub size: u64,
    /// The first entry, made printable, for which it takes an unpacking to tell whether the tree
    /// has all contents under their names in the end: its name was that of an object before, or on
    /// the way to it is one that is no directory, or it is deeper or later than is remembered. The
    /// recipe may then not be enough.
    pub doubtful: Option<String>,
}

/// Writes the recipe of the layer in `tar`, an uncompressed stream, without unpacking it.
///
/// Of it [`assemble`](super::assemble) makes the same layer with any tree that the layer alone was
/// unpacked to, unless [`Split::doubtful`] names an entry. Each entry takes 20 bytes of memory.
///
/// # Errors
///
/// Those of reading the archive; one of `out` is [`TarError::Tap`]. An entry that
/// [`unpack`](crate::unpack()) would refuse is no error.
pub fn split(tar: &mut dyn Read, out: &mut dyn Write) -> Result<Split, TarError> {
    let mut archive = Reader::with(tar, RecipeWriter::new(out), TarLimits::default());
    let mut names = Names::new();
    let mut entries = 0;
    let mut doubtful = None;
    while let Some(member) = archive.next_member()? {
        entries += 1;
        if member.stored_size > 0 && makes_no_file(&member) {
            archive.tap_mut().keep_content();
        }
        if doubtful.is_none() && !is_note(&member) && !names.add(&member) {
            doubtful = Some(shown(&member.path));
        }
    }
    let end = archive.position();
    let finished = archive.finish()?;
    let size = end + finished.trailing;
    let recipe = finished.tap.finish();
    recipe.map_err(|source| TarError::Tap {
        position: size,
        source,
    })?;
    Ok(Split {
        entries,
        size,
        doubtful,
    })
}

/// How many names are remembered, of 8 bytes each; of a layer with more nothing is certain.
const MOST_NAMES: usize = 4 << 20;

/// The names that a layer has given objects so far, each as a hash.
struct Names {
    directories: HashSet<u64>,
    others: HashSet<u64>,
    /// The keys of the hashes are random, so that no layer can be made to collide.
    keys: RandomState,
    /// The directory of the last entry: those above it are known.
    here: Option<Vec<u8>>,
    /// What has hashed its path, each name with a slash behind it.
    hasher: DefaultHasher,
}

impl Names {
    fn new() -> Names {
        let keys = RandomState::new();
        Names {
            directories: HashSet::new(),
            others: HashSet::new(),
            hasher: keys.build_hasher(),
            keys,
            here: None,
        }
    }

    /// Adds the name of an entry. Returns whether it is certain that each content will be under its
    /// name, as far as this entry goes.
    fn add(&mut self, member: &Member) -> bool {
        // Whatever makes no object of its name has its content in the recipe.
        let Ok(EntryName::Object { directory, name }) =
            EntryName::read(&member.path, &Limits::none())
        else {
            return true;
        };
        let depth = directory.split(|&byte| byte == b'/').count();
        let count = self.directories.len() + self.others.len();
        if depth > Limits::default().depth || count > MOST_NAMES {
            return false;
        }
        if self.here.as_ref() != Some(&directory) {
            self.hasher = self.keys.build_hasher();
            let components = directory.split(|&byte| byte == b'/');
            for component in components.filter(|component| !component.is_empty()) {
                let above = self.enter(component);
                if self.others.contains(&above) {
                    return false;
                }
                self.directories.insert(above);
            }
            self.here = Some(directory);
        }
        let here = self.hasher.clone();
        let name = self.enter(&name);
        self.hasher = here;
        if is_directory(member) {
            self.directories.insert(name);
            !self.others.contains(&name)
        } else {
            self.others.insert(name) && !self.directories.contains(&name)
        }
    }

    /// Goes on with the hash of a path, and returns it.
    fn enter(&mut self, name: &[u8]) -> u64 {
        self.hasher.write(name);
        self.hasher.write_u8(b'/');
        self.hasher.finish()
    }
}
