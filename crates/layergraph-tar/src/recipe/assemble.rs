//! The way back: a recipe and contents make the archive.

use std::io::{self, Read, Write};

use super::crc::Crc64;
use super::{AssembleError, Entry, FileEntry, Recipe};

/// How much of a content is read at a time.
const BUFFER: usize = 128 << 10;

/// What was put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Assembled {
    /// The length of the archive in bytes.
    pub size: u64,
    /// How many contents the source was asked for.
    pub contents: u64,
}

/// Writes the archive that `recipe` was made of, with the contents that `source` gives.
///
/// The source is asked in the archive's order for each file entry that has content, and gives a
/// reader of exactly that content. Of members with one name it knows by [`FileEntry::offset`] which
/// is meant. The names are the archive's, and as trustworthy: resolve them where they can reach
/// nothing else.
///
/// # Errors
///
/// The first content with another size or CRC-64 than the recipe has is an error that names the
/// file, and nothing is written after it; what was written then ends with that content. A CRC-64
/// finds what has changed by accident. Against an adversary only a digest of the whole helps.
pub fn assemble<R, S, C, W>(
    recipe: Recipe<R>,
    mut source: S,
    mut out: W,
) -> Result<Assembled, AssembleError>
where
    R: Read,
    S: FnMut(&FileEntry) -> io::Result<C>,
    C: Read,
    W: Write,
{
    let mut assembled = Assembled {
        size: 0,
        contents: 0,
    };
    let mut buffer = vec![0; BUFFER];
    for entry in recipe {
        assembled.size += match entry? {
            Entry::Segment(bytes) => {
                out.write_all(&bytes).map_err(AssembleError::Write)?;
                bytes.len() as u64
            }
            Entry::File(file) if file.size == 0 => 0,
            Entry::File(file) => {
                let content = source(&file).map_err(|source| AssembleError::Open {
                    name: shown(&file),
                    source,
                })?;
                assembled.contents += 1;
                copy(&file, content, &mut out, &mut buffer)?
            }
        };
    }
    out.flush().map_err(AssembleError::Write)?;
    Ok(assembled)
}

/// Copies a content, if it is the one that the recipe means. Returns its length.
fn copy(
    file: &FileEntry,
    mut content: impl Read,
    out: &mut impl Write,
    buffer: &mut [u8],
) -> Result<u64, AssembleError> {
    let name = || shown(file);
    let mut crc = Crc64::new();
    let mut length = 0;
    loop {
        let count = match content.read(buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                let name = name();
                return Err(AssembleError::Read { name, source });
            }
        };
        if count as u64 > file.size - length {
            return Err(changed_size(file));
        }
        let bytes = &buffer[..count];
        crc.update(bytes);
        out.write_all(bytes).map_err(AssembleError::Write)?;
        length += count as u64;
    }
    let actual = crc.finish();
    // What Go's tar-split writes for a directory or a link whose header states a size.
    let is_empty_for_go = length == 0 && file.checksum == actual;
    if length != file.size && !is_empty_for_go {
        return Err(changed_size(file));
    }
    if actual != file.checksum {
        return Err(AssembleError::Checksum {
            name: name(),
            expected: file.checksum,
            actual,
        });
    }
    Ok(length)
}

fn changed_size(file: &FileEntry) -> AssembleError {
    AssembleError::Size {
        name: shown(file),
        expected: file.size,
    }
}

fn shown(file: &FileEntry) -> String {
    file.name.escape_ascii().to_string()
}
