//! The stream with the bytes read ahead, each shown to the tap once and in order.

use std::io::{self, Read};

use crate::field::{BLOCK, Block};
use crate::{Tap, TarError};

/// How much is read at a time.
const BUFFER: usize = 128 << 10;

/// A stream and its tap.
#[derive(Debug)]
pub(crate) struct Input<R, T> {
    pub(crate) inner: R,
    pub(crate) tap: T,
    buffer: Box<[u8]>,
    /// The bytes in hand are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// How many of them the tap has seen.
    seen: usize,
    at_end: bool,
    position: u64,
}

impl<R: Read, T: Tap> Input<R, T> {
    pub(crate) fn new(inner: R, tap: T) -> Self {
        Input {
            inner,
            tap,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            seen: 0,
            at_end: false,
            position: 0,
        }
    }

    /// Returns the offset of the next byte.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Has at least `count` bytes in hand, if there are as many; returns how many there are.
    fn ahead(&mut self, count: usize) -> Result<usize, TarError> {
        while self.end - self.start < count && !self.at_end {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(more) => self.end += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let position = self.position + (self.end - self.start) as u64;
                    return Err(TarError::Read { position, source });
                }
            }
        }
        Ok(self.end - self.start)
    }

    /// Returns data, at most `limit` bytes of it and shown to the tap; none at the end of the
    /// stream.
    pub(crate) fn data(&mut self, limit: u64) -> Result<&[u8], TarError> {
        let count = within(self.ahead(1)?, limit);
        if count > self.seen {
            let new = &self.buffer[self.start + self.seen..self.start + count];
            let position = self.position;
            self.tap
                .data(new)
                .map_err(|source| TarError::Tap { position, source })?;
            self.seen = count;
        }
        Ok(&self.buffer[self.start..self.start + count])
    }

    /// Takes bytes that the tap has seen.
    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.seen, "more was taken than the last chunk had");
        self.start += count;
        self.seen -= count;
        self.position += count as u64;
    }

    /// Takes up to `limit` bytes that are no data, hands them to `keep` and to the tap. Returns how
    /// many there were before the stream ended.
    pub(crate) fn raw(&mut self, limit: u64, mut keep: impl FnMut(&[u8])) -> Result<u64, TarError> {
        let mut taken = 0;
        while taken < limit {
            let count = within(self.ahead(1)?, limit - taken);
            if count == 0 {
                break;
            }
            let bytes = &self.buffer[self.start..self.start + count];
            let position = self.position;
            self.tap
                .raw(bytes)
                .map_err(|source| TarError::Tap { position, source })?;
            keep(bytes);
            self.seen = count;
            self.consume(count);
            taken += count as u64;
        }
        Ok(taken)
    }

    /// Takes a block that is no data, which must be there.
    pub(crate) fn block(&mut self, what: &'static str) -> Result<Block, TarError> {
        let count = self.ahead(BLOCK)?;
        if count < BLOCK {
            // What there is of it belongs to the stream.
            self.raw(BLOCK as u64, |_| {})?;
            let position = self.position;
            return Err(TarError::Truncated { position, what });
        }
        let mut block = [0; BLOCK];
        block.copy_from_slice(&self.buffer[self.start..self.start + BLOCK]);
        self.raw(BLOCK as u64, |_| {})?;
        Ok(block)
    }

    /// Takes a block if it is one of zeros, or what the stream still has of it. Returns whether it
    /// was; nothing at all counts as such.
    pub(crate) fn zeros(&mut self) -> Result<bool, TarError> {
        let count = self.ahead(BLOCK)?.min(BLOCK);
        let zeros = self.buffer[self.start..self.start + count] == [0; BLOCK][..count];
        if zeros {
            self.raw(BLOCK as u64, |_| {})?;
        }
        Ok(zeros)
    }
}

fn within(count: usize, limit: u64) -> usize {
    count.min(usize::try_from(limit).unwrap_or(usize::MAX))
}
