//! Exact export: a layer and its tree, and from the tree the same layer again.
//!
//! [`unpack_with_recipe`] keeps, in the pass that unpacks, all of a layer but the contents of its
//! files: a [recipe](layergraph_tar::recipe). [`assemble`] makes the same layer again, to the byte,
//! of the recipe and the tree.
//!
//! ```
//! use layergraph_archive::recipe::{NewRecipe, assemble, unpack_with_recipe};
//! use layergraph_archive::{CompareOptions, UnpackOptions, View, changes, pack};
//! use layergraph_fs::Dir;
//! use std::ffi::OsStr;
//! use std::fs;
//!
//! # let work = tempfile::tempdir()?;
//! # let base = tempfile::tempdir()?;
//! # let home = tempfile::tempdir()?;
//! # fs::write(work.path().join("greeting"), "hello")?;
//! # let work = View::new(Dir::open(work.path())?);
//! # let mut layer = Vec::new();
//! # pack(&work, &changes(&work, None, &CompareOptions::default())?, &mut layer)?;
//! # let mut options = UnpackOptions::default();
//! # options.ownership = layergraph_archive::Ownership::Squash;
//! let (tree, home) = (Dir::open(base.path())?, Dir::open(home.path())?);
//! let name = OsStr::new("tar-data.json.gz");
//! let recipe = NewRecipe { home: &home, name };
//! unpack_with_recipe(&mut layer.as_slice(), &tree, &options, recipe)?;
//!
//! let mut again = Vec::new();
//! assemble(home.open_file(name)?, &View::new(tree), &mut again)?;
//! assert_eq!(again, layer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`split`] makes a recipe without unpacking, where names alone say that it will do.
//!
//! # What is in the recipe itself
//!
//! A recipe stands for the content of a file by its name. What the tree does not have under that
//! name is in the recipe itself: sparse files, whose holes a tree does not tell from zeros;
//! contents of entries that are no files; files that AUFS kept for hard links; and files that the
//! layer itself overwrites, removes or makes unreachable later. Real layers have next to nothing of
//! it.
//!
//! # Limitations
//!
//! - What is in the recipe itself is compressed but not shared: a layer that states one large file
//!   many times has a large recipe. One that would need more than 4 GiB of it, uncompressed and in
//!   Base64, is refused.
//! - The names are those of the layer; a tree that has been changed, or to which another layer has
//!   been applied, does not have the contents any more, and the first one that is missing or
//!   another is an error.

mod split;

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

use layergraph_fs::{Dir, FileKind, FsError, NewFile, RenameMode, Staging, effective_user};
pub use layergraph_tar::recipe::{AssembleError, Assembled, RecipeError};
use layergraph_tar::recipe::{Assembly, Entry, FileEntry, Recipe, RecipeWriter};
use layergraph_tar::{Kind, Limits as TarLimits, Member, Reader, TarError};

pub use self::split::{Split, split};
use crate::Ownership;
use crate::unpack::{
    EntryName, Limits, Overwritten, Place, UnpackError, UnpackOptions, Unpacked, Unpacker,
};
use crate::view::{Finder, View};

/// For the owner alone, as Docker has it.
const MODE: u32 = 0o600;

/// Where a recipe is written.
#[derive(Debug, Clone, Copy)]
pub struct NewRecipe<'a> {
    /// The directory, best on the file system of the tree: contents that the layer itself
    /// overwrites are kept in a private directory there until the recipe has them.
    pub home: &'a Dir,
    /// The name in it, which nothing must have yet.
    pub name: &'a OsStr,
}

/// Applies the layer in `tar` to the directory `into`, as [`unpack`](crate::unpack()) does, and
/// writes its recipe as a new file. The stream is read once.
///
/// # Errors
///
/// After an error the directory holds what was unpacked until then, as with
/// [`unpack`](crate::unpack()), and the recipe may be there, incomplete.
pub fn unpack_with_recipe<'a>(
    tar: &mut dyn Read,
    place: impl Into<Place<'a>>,
    options: &UnpackOptions,
    recipe: NewRecipe<'_>,
) -> Result<Unpacked, UnpackError> {
    let NewRecipe { home, name } = recipe;
    let place = place.into();
    let mut unpacker = Unpacker::new(place, options)?;
    let is_closed_out = options.ownership != Ownership::Squash && effective_user() != 0;
    unpacker.overwritten = Some(Overwritten::new(home, is_closed_out)?);
    let writer = RecipeWriter::new(home.create_file(name, MODE)?);
    if let Some(writer) = unpacker.run(tar, Some(writer))? {
        finish(writer)?;
    }
    if let Some(overwritten) = unpacker.overwritten.take() {
        if !overwritten.is_nothing() {
            // Before the directories get the modes that may close them to us.
            complete(&overwritten, place, recipe)?;
        }
        overwritten.discard()?;
    }
    unpacker.finish()
}

fn finish(recipe: RecipeWriter<NewFile>) -> Result<NewFile, UnpackError> {
    recipe.finish().map_err(UnpackError::Recipe)
}

/// Writes the recipe anew, with the contents in it that the tree does not have.
fn complete(
    overwritten: &Overwritten,
    place: Place<'_>,
    recipe: NewRecipe<'_>,
) -> Result<(), UnpackError> {
    let NewRecipe { home, name } = recipe;
    let unreadable = |error: RecipeError| UnpackError::Recipe(io::Error::other(error));
    let tree = View::new(place.dir().try_clone()?);
    let mut contents = Contents::new(&tree);
    let read = || Recipe::new(home.open_file(name)?).map_err(unreadable);
    let mut files = Files {
        recipe: read()?,
        last: None,
    };
    let recipe = read()?;
    let archive = Assembly::new(recipe, |file: &FileEntry| {
        if let Some(kept) = overwritten.open(file.offset).map_err(other)? {
            return Ok(Box::new(kept) as Box<dyn Read>);
        }
        contents.open(file, overwritten.real_directory(file.offset))
    });
    let staging = Staging::new(home)?;
    let whole = RecipeWriter::new(staging.dir().create_file(name, MODE)?);
    // What the reader says of the archive it has said before; new is only what reading it says.
    let failed = |error: TarError| match error {
        TarError::Read { source, .. } | TarError::Tap { source, .. } => UnpackError::Recipe(source),
        other => UnpackError::Tar(other),
    };
    let mut archive = Reader::with(archive, whole, TarLimits::default());
    while let Some(member) = archive.next_member().map_err(failed)? {
        // What is in the recipe already stays there.
        let offset = member.data_position;
        let is_kept = overwritten.has(offset) || !files.has(offset).map_err(unreadable)?;
        if member.stored_size > 0 && is_kept {
            archive.tap_mut().keep_content();
        }
    }
    finish(archive.finish().map_err(failed)?.tap)?;
    staging
        .dir()
        .rename(name, home, name, RenameMode::Replace)?;
    Ok(staging.discard()?)
}

/// The contents that are not in a recipe itself, in their order.
struct Files<R> {
    recipe: Recipe<R>,
    /// Where the last one that was read begins in the archive.
    last: Option<u64>,
}

impl<R: Read> Files<R> {
    /// Returns whether the content at `offset` is one of them. The offsets that are asked for grow.
    fn has(&mut self, offset: u64) -> Result<bool, RecipeError> {
        while self.last.is_none_or(|last| last < offset) {
            match self.recipe.next().transpose()? {
                Some(Entry::File(file)) => self.last = Some(file.offset),
                Some(_) => {}
                None => return Ok(false),
            }
        }
        Ok(self.last == Some(offset))
    }
}

/// Returns whether a member makes no file of its name. What is in it is in the recipe then,
/// whatever becomes of the tree.
pub(crate) fn makes_no_file(member: &Member) -> bool {
    member.kind != Kind::File
        || !matches!(
            EntryName::read(&member.path, &Limits::none()),
            Ok(EntryName::Object { .. })
        )
}

/// Writes the layer that `recipe` was made of, with the contents of the files in `tree`.
///
/// Reads recipes of [`unpack_with_recipe`], and those that Docker and containers/storage keep,
/// compressed or not. Names are resolved within the tree, whatever links are in it; of its objects
/// only regular files are opened.
///
/// # Errors
///
/// The first file whose content is missing or has changed, by size or CRC-64, is an error that
/// names it. What was written until then is incomplete. Where a digest of the layer is known,
/// compare that too: a CRC-64 does not withstand an adversary.
pub fn assemble(
    recipe: impl Read,
    tree: &View,
    out: &mut dyn Write,
) -> Result<Assembled, AssembleError> {
    let mut contents = Contents::new(tree);
    let recipe = Recipe::new(recipe)?;
    let open = |file: &FileEntry| contents.open(file, None);
    layergraph_tar::recipe::assemble(recipe, open, out)
}

/// Finds the contents of files in a tree by the names that a layer has for them.
struct Contents<'a> {
    finder: Finder<'a>,
    limits: Limits,
}

impl<'a> Contents<'a> {
    fn new(tree: &'a View) -> Contents<'a> {
        Contents {
            finder: Finder::new(tree),
            limits: Limits::none(),
        }
    }

    /// Opens the file of this name, or in another directory than the name says.
    fn open(
        &mut self,
        file: &FileEntry,
        real_directory: Option<&[u8]>,
    ) -> io::Result<Box<dyn Read>> {
        let path = EntryName::read(&file.name, &self.limits).map_err(io::Error::other)?;
        let EntryName::Object { directory, name } = path else {
            return Err(io::Error::other("no file has such a name"));
        };
        let directory = real_directory.unwrap_or(&directory);
        let name = OsStr::from_bytes(&name);
        let found = self.finder.find(directory, name).map_err(other)?;
        let Some((dir, entry)) = found else {
            let none = "there is no such file in the tree";
            return Err(io::Error::new(io::ErrorKind::NotFound, none));
        };
        match entry.metadata().kind {
            FileKind::File if entry.metadata().size == 0 => Err(io::Error::other("it is empty")),
            FileKind::File => Ok(Box::new(dir.open_file(&entry).map_err(other)?)),
            // Go's tar-split has entries for what is no file and states a size all the same.
            _ if file.checksum == 0 => Ok(Box::new(io::empty())),
            _ => Err(io::Error::other("it is not a regular file")),
        }
    }
}

fn other(error: FsError) -> io::Error {
    io::Error::other(error)
}
