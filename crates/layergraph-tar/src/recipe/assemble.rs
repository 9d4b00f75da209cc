//! The way back: a recipe and contents make the archive.

use std::io::{self, Read, Write};

use super::crc::Crc64;
use super::{AssembleError, Entry, FileEntry, Recipe};

/// How much of a content is read at a time.
const BUFFER: usize = 128 << 10;

/// What was put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    source: S,
    mut out: W,
) -> Result<Assembled, AssembleError>
where
    R: Read,
    S: FnMut(&FileEntry) -> io::Result<C>,
    C: Read,
    W: Write,
{
    let mut assembly = Assembly::new(recipe, source);
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = assembly.fill(&mut buffer)?;
        if count == 0 {
            break;
        }
        out.write_all(&buffer[..count])
            .map_err(AssembleError::Write)?;
    }
    out.flush().map_err(AssembleError::Write)?;
    Ok(assembly.assembled)
}

/// The archive that a recipe was made of, to be read.
///
/// [`assemble`] writes it. This is for whoever needs a reader, to look at the archive or to send it
/// on; what is said of errors there holds here, and each is inside an [`io::Error`]. After an error
/// there is nothing more to read but errors.
#[derive(Debug)]
pub struct Assembly<R, S, C> {
    recipe: Recipe<R>,
    source: S,
    part: Part<C>,
    assembled: Assembled,
    has_failed: bool,
}

/// What is given out at the moment.
#[derive(Debug)]
enum Part<C> {
    Nothing,
    /// A segment, and how much of it is out.
    Segment(Vec<u8>, usize),
    Content(Box<Content<C>>),
}

/// A content, as far as it has been read.
#[derive(Debug)]
struct Content<C> {
    file: FileEntry,
    reader: C,
    crc: Crc64,
    length: u64,
}

impl<R, S, C> Assembly<R, S, C>
where
    R: Read,
    S: FnMut(&FileEntry) -> io::Result<C>,
    C: Read,
{
    /// Begins to put the archive together; `source` is asked as by [`assemble`].
    pub fn new(recipe: Recipe<R>, source: S) -> Assembly<R, S, C> {
        Assembly {
            recipe,
            source,
            part: Part::Nothing,
            assembled: Assembled::default(),
            has_failed: false,
        }
    }

    /// Puts the next bytes into the buffer, and returns how many; 0 at the end.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, AssembleError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let count = match &mut self.part {
                Part::Nothing => match self.recipe.next().transpose()? {
                    Some(entry) => {
                        self.part = self.begin(entry)?;
                        continue;
                    }
                    None => return Ok(0),
                },
                Part::Segment(bytes, out) => {
                    let left = &bytes[*out..];
                    let count = left.len().min(buffer.len());
                    buffer[..count].copy_from_slice(&left[..count]);
                    *out += count;
                    count
                }
                Part::Content(content) => content.read(buffer)?,
            };
            if count > 0 {
                self.assembled.size += count as u64;
                return Ok(count);
            }
            self.part = Part::Nothing;
        }
    }

    fn begin(&mut self, entry: Entry) -> Result<Part<C>, AssembleError> {
        Ok(match entry {
            Entry::Segment(bytes) => Part::Segment(bytes, 0),
            Entry::File(file) if file.size == 0 => Part::Nothing,
            Entry::File(file) => {
                let reader = (self.source)(&file).map_err(|source| AssembleError::Open {
                    name: shown(&file),
                    source,
                })?;
                self.assembled.contents += 1;
                Part::Content(Box::new(Content {
                    file,
                    reader,
                    crc: Crc64::new(),
                    length: 0,
                }))
            }
        })
    }
}

impl<C: Read> Content<C> {
    /// Reads on; at the end, checks that it was the content that the recipe means.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, AssembleError> {
        let count = loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let name = shown(&self.file);
                    return Err(AssembleError::Read { name, source });
                }
                Ok(count) => break count,
            }
        };
        if count == 0 {
            return self.check().map(|()| 0);
        }
        if count as u64 > self.file.size - self.length {
            return Err(changed_size(&self.file));
        }
        self.crc.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn check(&self) -> Result<(), AssembleError> {
        let Content { file, length, .. } = self;
        let actual = self.crc.finish();
        // What Go's tar-split writes for a directory or a link whose header states a size.
        let is_empty_for_go = *length == 0 && file.checksum == actual;
        if *length != file.size && !is_empty_for_go {
            return Err(changed_size(file));
        }
        if actual != file.checksum {
            return Err(AssembleError::Checksum {
                name: shown(file),
                expected: file.checksum,
                actual,
            });
        }
        Ok(())
    }
}

impl<R, S, C> Read for Assembly<R, S, C>
where
    R: Read,
    S: FnMut(&FileEntry) -> io::Result<C>,
    C: Read,
{
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.has_failed {
            return Err(io::Error::other(
                "the archive could not be assembled before",
            ));
        }
        self.fill(buffer).map_err(|error| {
            self.has_failed = true;
            io::Error::other(error)
        })
    }
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
