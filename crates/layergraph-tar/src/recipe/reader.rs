//! The reader: from a recipe, perhaps a hostile one, to its entries.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::{Entry, RecipeError, RecipeLimits, Usage, line};

/// The entries of a recipe in their order, each checked.
///
/// A recipe that is not compressed is read as well, as containers/storage has them in images of
/// the kind `zstd:chunked`. After an error there are no more entries.
///
/// It holds one line at a time, as text and decoded. Positions must count from 0 without a gap, so
/// that a recipe which lacks an entry makes no archive that lacks a part.
#[derive(Debug)]
pub struct Recipe<R> {
    input: Input<R>,
    limits: RecipeLimits,
    usage: Usage,
    line: Vec<u8>,
    line_number: u64,
    /// Where in the archive the next entry's bytes are.
    offset: u64,
    is_over: bool,
}

#[derive(Debug)]
enum Input<R> {
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<R>>>>),
    Plain(BufReader<R>),
}

impl<R: Read> Recipe<R> {
    /// Begins to read a recipe with the default limits.
    pub fn new(input: R) -> Result<Recipe<R>, RecipeError> {
        Recipe::with_limits(input, RecipeLimits::default())
    }

    /// Begins to read a recipe that must be within `limits`.
    pub fn with_limits(input: R, limits: RecipeLimits) -> Result<Recipe<R>, RecipeError> {
        let mut input = BufReader::new(input);
        let first = loop {
            match input.fill_buf() {
                Ok(bytes) => break bytes.first().copied(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(RecipeError::Read(error)),
            }
        };
        let input = match first {
            // Also the recipe of an empty archive is a gzip stream: this one was never written.
            None => {
                let nothing =
                    io::Error::new(io::ErrorKind::UnexpectedEof, "there is nothing in it");
                return Err(RecipeError::Read(nothing));
            }
            // No JSON begins so, and every gzip stream does (RFC 1952).
            Some(0x1f) => Input::Gzip(Box::new(BufReader::new(MultiGzDecoder::new(input)))),
            Some(_) => Input::Plain(input),
        };
        Ok(Recipe {
            input,
            limits,
            usage: Usage::default(),
            line: Vec::new(),
            line_number: 0,
            offset: 0,
            is_over: false,
        })
    }

    fn read_entry(&mut self) -> Result<Option<Entry>, RecipeError> {
        loop {
            self.line.clear();
            let most = self.limits.line_bytes.saturating_add(1);
            let read = match &mut self.input {
                Input::Gzip(input) => input.take(most).read_until(b'\n', &mut self.line),
                Input::Plain(input) => input.take(most).read_until(b'\n', &mut self.line),
            };
            if read.map_err(RecipeError::Read)? == 0 {
                return Ok(None);
            }
            self.line_number += 1;
            self.usage.line(self.line.len(), &self.limits)?;
            if !self.line.trim_ascii().is_empty() {
                return self.entry().map(Some);
            }
        }
    }

    /// Reads the entry in the line and puts it in its place.
    fn entry(&mut self) -> Result<Entry, RecipeError> {
        let line = self.line_number;
        let invalid = |reason| RecipeError::Entry { line, reason };
        let expected = self.usage.entries;
        self.usage.entry(&self.limits)?;
        let (position, mut entry) = line::parse(&self.line, line)?;
        if position != expected {
            return Err(invalid("its position is not the next one"));
        }
        let length = match &mut entry {
            Entry::Segment(bytes) => bytes.len() as u64,
            Entry::File(file) => {
                file.offset = self.offset;
                file.size
            }
        };
        let end = self.offset.checked_add(length);
        self.offset = end.ok_or(invalid("an archive cannot be so large"))?;
        Ok(entry)
    }
}

impl<R: Read> Iterator for Recipe<R> {
    type Item = Result<Entry, RecipeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let entry = self.read_entry().transpose();
        self.is_over = !matches!(entry, Some(Ok(_)));
        entry
    }
}

impl<R: Read> std::iter::FusedIterator for Recipe<R> {}
