//! Recipes of layers that are not unpacked.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};

use layergraph_tar::recipe::RecipeWriter;
use layergraph_tar::{Limits as TarLimits, Member, Reader, TarError};

use super::is_in_recipe;
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
    /// the way to it is one that is no directory. The recipe may then not be enough.
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
    let mut names = Names::default();
    let mut entries = 0;
    let mut doubtful = None;
    while let Some(member) = archive.next_member()? {
        entries += 1;
        if is_in_recipe(&member) {
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

/// The names that a layer has given objects so far, each as a hash.
#[derive(Default)]
struct Names {
    directories: HashSet<u64>,
    others: HashSet<u64>,
    /// The keys of the hashes are random, so that no layer can be made to collide.
    keys: RandomState,
    /// The directory of the last entry: those above it are known.
    here: Option<Vec<u8>>,
}

impl Names {
    /// Adds the name of an entry. Returns whether it is certain that each content will be under its
    /// name, as far as this entry goes.
    fn add(&mut self, member: &Member) -> bool {
        // Whatever makes no object of its name has its content in the recipe.
        let Ok(EntryName::Object { directory, name }) =
            EntryName::read(&member.path, &Limits::none())
        else {
            return true;
        };
        let mut path = directory;
        if self.here.as_ref() != Some(&path) {
            let slashes = path.iter().enumerate();
            let ends = slashes.filter_map(|(at, &byte)| (byte == b'/').then_some(at));
            for end in ends.chain([path.len()]).filter(|end| *end > 0) {
                let above = self.keys.hash_one(&path[..end]);
                if self.others.contains(&above) {
                    return false;
                }
                self.directories.insert(above);
            }
            self.here = Some(path.clone());
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend(name);
        let name = self.keys.hash_one(&path[..]);
        if is_directory(member) {
            self.directories.insert(name);
            !self.others.contains(&name)
        } else {
            self.others.insert(name) && !self.directories.contains(&name)
        }
    }
}
