//! Recipes: all of an archive but the contents of its files, to make the same archive again.
//!
//! What is unpacked from an archive does not say what its bytes were: the format of its headers,
//! their order, the padding, what follows the end. Whoever must give out the identical archive
//! later, because a digest names it, keeps a recipe next to the files. The form is that of Go's
//! [tar-split], which Docker keeps as `tar-data.json.gz` and containers/storage as `.tar-split.gz`;
//! recipes of both are read, and those made here are readable for them.
//!
//! [`RecipeWriter`] is a [`Tap`](crate::Tap): it makes the recipe in the pass that unpacks.
//! [`assemble`] goes the other way, with the contents from wherever the caller has them.
//!
//! ```
//! use std::io;
//!
//! use layergraph_tar::recipe::{Recipe, RecipeWriter, assemble};
//! use layergraph_tar::{Kind, Limits, NewMember, Reader, Writer};
//!
//! let mut writer = Writer::new(Vec::new());
//! let member = NewMember { size: 5, ..NewMember::new(b"greeting", Kind::File) };
//! writer.append(&member, &b"hello"[..])?;
//! let archive = writer.finish()?;
//!
//! // Split: whatever else is done with the members, the tap sees all that passes.
//! let reader = Reader::with(&archive[..], RecipeWriter::new(Vec::new()), Limits::default());
//! let recipe = reader.finish()?.tap.finish()?;
//!
//! // Assemble, with contents by name.
//! let mut again = Vec::new();
//! let contents = |file: &layergraph_tar::recipe::FileEntry| match &file.name[..] {
//!     b"greeting" => Ok(&b"hello"[..]),
//!     _ => Err(io::ErrorKind::NotFound.into()),
//! };
//! assemble(Recipe::new(&recipe[..])?, contents, &mut again)?;
//! assert_eq!(again, archive);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Format
//!
//! A recipe is a gzip stream of lines, each the JSON of an entry. Together the entries are the
//! archive, in order:
//!
//! - `{"type":2,"payload":"…","position":0}` is a **segment**: bytes that are no content, as base64
//!   in `payload`.
//! - `{"type":1,"name":"…","size":5,"payload":"…","position":1}` stands for the content of a
//!   **file**, of that size and with that CRC-64 (ISO polynomial, eight bytes, big-endian). Without
//!   content there are no `size` and a `payload` of `null`. A name that is not UTF-8 is base64 in
//!   `name_raw` instead.
//!
//! Each member has a file entry, with content or without. A segment goes from the end of one
//! content to the beginning of the next: padding, then headers, extension headers included. Those
//! of more than 1 MiB come in pieces.
//!
//! Some members have their content in segments and no file entry: sparse ones, because no program
//! can find the stored runs of a file that only knows its holes as zeros, and those of which the
//! caller says so ([`RecipeWriter::keep_content`]).
//!
//! # Limitations
//!
//! - Go's tar-split refuses a recipe with two file entries of one name. An archive with two members
//!   of one name gets such a recipe all the same; here entries are told apart by where they stand
//!   ([`FileEntry::offset`]).
//! - Of a sparse file, Go's tar-split records the content with its holes: its recipe assembles to
//!   another archive than it was made of. A caller that knows a digest of the archive checks it.
//! - For a link, a device or a directory whose header states a size, Go's tar-split writes a file
//!   entry with that size and the checksum of no bytes, 0. A source that is asked for the content
//!   of such a name gives an empty reader.
//!
//! [tar-split]: https://github.com/vbatts/tar-split

mod assemble;
mod crc;
mod error;
mod line;
mod reader;
mod writer;

pub use assemble::{Assembled, Assembly, assemble};
pub use error::{AssembleError, RecipeError};
pub use reader::Recipe;
pub use writer::RecipeWriter;

/// A part of an archive, as its recipe has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// Bytes that are no content; may be none.
    Segment(Vec<u8>),
    /// The place of a content.
    File(FileEntry),
}

/// What a recipe says of a member's content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileEntry {
    /// The name as the archive has it: bytes, not cleaned, with `..` if it has one.
    pub name: Vec<u8>,
    /// How many bytes of content there are.
    pub size: u64,
    /// Their CRC-64; 0 where there are none.
    pub checksum: u64,
    /// The number of the entry in the recipe, segments counted as well.
    pub position: u64,
    /// Where the content begins in the archive: [`Member::data_position`] of the member. It tells
    /// members of one name apart, whoever wrote the recipe.
    ///
    /// [`Member::data_position`]: crate::Member::data_position
    pub offset: u64,
}

/// How large a recipe may be. What was written within limits can be read within the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecipeLimits {
    /// The longest line in bytes, which is held in memory with what it decodes to. Default: 8 MiB;
    /// lines that are written stay below 1.5 MiB, but for the longest of names.
    pub line_bytes: u64,
    /// How many entries there may be. Default: 16,777,216, of eight million members.
    pub entries: u64,
    /// How long all lines may be together, uncompressed. A content that is kept in the recipe
    /// counts with four thirds of its size. Default: 4 GiB.
    pub bytes: u64,
}

impl Default for RecipeLimits {
    fn default() -> RecipeLimits {
        RecipeLimits {
            line_bytes: 8 << 20,
            entries: 1 << 24,
            bytes: 4 << 30,
        }
    }
}

/// Counts against the limits, the same way in writing and in reading.
#[derive(Debug, Default)]
struct Usage {
    entries: u64,
    bytes: u64,
}

impl Usage {
    /// Counts a line, its end included.
    fn line(&mut self, length: usize, limits: &RecipeLimits) -> Result<(), RecipeError> {
        let exceeded = |what, limit| Err(RecipeError::Limit { what, limit });
        let length = length as u64;
        if length > limits.line_bytes {
            return exceeded("bytes in one line", limits.line_bytes);
        }
        self.bytes = self.bytes.saturating_add(length);
        if self.bytes > limits.bytes {
            return exceeded("bytes", limits.bytes);
        }
        Ok(())
    }

    /// Counts an entry.
    fn entry(&mut self, limits: &RecipeLimits) -> Result<(), RecipeError> {
        if self.entries == limits.entries {
            let limit = limits.entries;
            return Err(RecipeError::Limit {
                what: "entries",
                limit,
            });
        }
        self.entries += 1;
        Ok(())
    }
}
