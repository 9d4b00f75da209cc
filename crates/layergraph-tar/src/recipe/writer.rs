//! The writer: from what a tap sees to the lines of a recipe.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::crc::Crc64;
use super::line::Lines;
use super::{RecipeLimits, Usage};
use crate::{Member, Tap};

/// The longest segment in bytes. Longer runs of bytes that are no content come in pieces, as Go's
/// tar-split has them where they follow the end marker.
const PIECE: usize = 1 << 20;

/// How hard gzip tries. On headers this makes four fifths of what level 1 does in hardly more time;
/// level 6 makes nine tenths of that in twice the time.
const LEVEL: u32 = 2;

/// Writes the recipe of an archive while a [`Reader`](crate::Reader) goes through it.
///
/// It holds at most 1 MiB of the archive, and 3 MiB of the text made of that. Until
/// [`finish`](RecipeWriter::finish) the recipe is cut off for whoever reads it, and stays so if the
/// writer is dropped.
///
/// An error, which the reader passes on as [`TarError::Tap`](crate::TarError::Tap), has a
/// [`RecipeError`](super::RecipeError) inside where a limit was the cause.
#[derive(Debug)]
pub struct RecipeWriter<W: Write> {
    out: GzEncoder<Door<W>>,
    limits: RecipeLimits,
    usage: Usage,
    lines: Lines,
    /// What was seen and not written, shorter than a piece.
    raw: Vec<u8>,
    current: Option<Current>,
    has_failed: bool,
}

/// The member whose content passes.
#[derive(Debug)]
struct Current {
    name: Vec<u8>,
    size: u64,
    seen: u64,
    crc: Crc64,
    /// Whether the content is kept in segments.
    is_kept: bool,
}

impl<W: Write> RecipeWriter<W> {
    /// Makes a writer with the default limits.
    pub fn new(out: W) -> RecipeWriter<W> {
        RecipeWriter::with_limits(out, RecipeLimits::default())
    }

    /// Makes a writer that fails where the recipe would become larger than `limits`.
    pub fn with_limits(out: W, limits: RecipeLimits) -> RecipeWriter<W> {
        let door = Door {
            inner: out,
            is_open: false,
        };
        RecipeWriter {
            out: GzEncoder::new(door, Compression::new(LEVEL)),
            limits,
            usage: Usage::default(),
            lines: Lines::default(),
            raw: Vec::new(),
            current: None,
            has_failed: false,
        }
    }

    /// Keeps the content of the current member in the recipe, because the caller does not keep it
    /// elsewhere.
    ///
    /// Call it through [`Reader::tap_mut`](crate::Reader::tap_mut), between
    /// [`Reader::next_member`](crate::Reader::next_member) and the first
    /// [`Reader::chunk`](crate::Reader::chunk). Of a sparse member the content is always kept.
    ///
    /// # Panics
    ///
    /// Panics if content of the member has passed already.
    pub fn keep_content(&mut self) {
        if let Some(current) = &mut self.current {
            assert!(
                current.is_kept || current.seen == 0,
                "it was decided too late that a content is kept"
            );
            current.is_kept = true;
        }
    }

    /// Writes what is left and returns the output, with the recipe complete.
    ///
    /// Call it after [`Reader::finish`](crate::Reader::finish).
    pub fn finish(mut self) -> io::Result<W> {
        self.unless_failed(|writer| {
            writer.end_member()?;
            writer.end_segment()
        })?;
        self.out.get_mut().is_open = true;
        Ok(self.out.finish()?.inner)
    }

    /// Does a step, and no more after one that failed: the recipe would lack a part.
    fn unless_failed(&mut self, step: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if self.has_failed {
            return Err(io::Error::other("the recipe could not be written before"));
        }
        let done = step(self);
        self.has_failed = done.is_err();
        done
    }

    /// Takes bytes for a segment.
    fn keep(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.raw.len()));
            self.raw.extend_from_slice(now);
            if self.raw.len() == PIECE {
                self.end_segment()?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let position = self.usage.entries;
        let line = self.lines.segment(&self.raw, position);
        write_line(&mut self.out, line, &mut self.usage, &self.limits)?;
        self.raw.clear();
        Ok(())
    }

    fn end_member(&mut self) -> io::Result<()> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        if current.seen != current.size {
            return Err(unexpected("a member's content was not seen whole"));
        }
        // Also after a content that is kept: programs that look for headers in a recipe expect
        // padding and the next header at the beginning of a segment.
        self.end_segment()?;
        if current.is_kept {
            return Ok(());
        }
        let Current { name, size, .. } = current;
        let position = self.usage.entries;
        let line = self
            .lines
            .file(&name, size, current.crc.finish(), position)?;
        write_line(&mut self.out, line, &mut self.usage, &self.limits)
    }
}

impl<W: Write> Tap for RecipeWriter<W> {
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unless_failed(|writer| {
            writer.end_member()?;
            writer.keep(bytes)
        })
    }

    fn member(&mut self, member: &Member) -> io::Result<()> {
        self.unless_failed(|writer| {
            writer.end_member()?;
            writer.current = Some(Current {
                name: member.path.clone(),
                size: member.stored_size,
                seen: 0,
                crc: Crc64::new(),
                is_kept: member.sparse.is_some(),
            });
            Ok(())
        })
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unless_failed(|writer| {
            let Some(current) = &mut writer.current else {
                return Err(unexpected("content was seen before a member"));
            };
            let is_first = current.seen == 0;
            current.seen = current.seen.saturating_add(bytes.len() as u64);
            if current.is_kept {
                return writer.keep(bytes);
            }
            current.crc.update(bytes);
            if is_first {
                writer.end_segment()?;
            }
            Ok(())
        })
    }
}

fn write_line(
    out: &mut GzEncoder<Door<impl Write>>,
    line: &[u8],
    usage: &mut Usage,
    limits: &RecipeLimits,
) -> io::Result<()> {
    let counted = usage.entry(limits);
    counted
        .and_then(|()| usage.line(line.len(), limits))
        .map_err(io::Error::other)?;
    out.get_mut().is_open = true;
    let written = out.write_all(line);
    out.get_mut().is_open = false;
    written
}

/// What a reader never does.
fn unexpected(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Lets bytes through while it is open. An encoder that is dropped ends its stream as if it were
/// whole; behind a closed door it cannot.
#[derive(Debug)]
struct Door<W> {
    inner: W,
    is_open: bool,
}

impl<W: Write> Write for Door<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_open {
            self.inner.write(bytes)
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
