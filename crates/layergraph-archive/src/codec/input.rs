//! The packed side of a decoder: bytes read ahead in large pieces, looked at and taken up.

use std::io::{self, Read};

use crate::uninterrupted::read_uninterrupted;

/// Size of the pieces in which the input is read.
pub(super) const PIECE: usize = 128 << 10;

/// An input with the bytes read ahead of the decoder.
///
/// Like [`io::BufReader`], but able to look at several bytes where the piece in hand holds only
/// the first of them, which is what signatures at any place need.
pub(super) struct Input<R> {
    inner: R,
    buffer: Box<[u8]>,
    /// The bytes in hand are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// `inner` has said so once; it is not asked again.
    at_end: bool,
    /// Bytes taken up so far.
    position: u64,
}

impl<R> Input<R> {
    pub(super) fn new(inner: R) -> Self {
        let buffer = vec![0; PIECE].into_boxed_slice();
        Self {
            inner,
            buffer,
            start: 0,
            end: 0,
            at_end: false,
            position: 0,
        }
    }

    /// The bytes in hand.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Takes up bytes in hand.
    pub(super) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
        self.position += count as u64;
    }

    /// How many bytes were taken up so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: Read> Input<R> {
    /// Returns the bytes in hand, at least `count` of them if the input has as many.
    ///
    /// An error of the input loses nothing.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        debug_assert!(count <= PIECE);
        while self.end - self.start < count && !self.at_end {
            // Few bytes, and rarely: a header that lies across two pieces.
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let more = read_uninterrupted(&mut self.inner, &mut self.buffer[self.end..])?;
            self.end += more;
            self.at_end = more == 0;
        }
        Ok(self.buffered())
    }

    /// Reads bytes as they are: first those in hand, then straight into a buffer that is large.
    pub(super) fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() && output.len() >= PIECE && !self.at_end {
            let count = read_uninterrupted(&mut self.inner, output)?;
            self.at_end = count == 0;
            self.position += count as u64;
            return Ok(count);
        }
        let count = self.peek(1)?.read(output)?;
        self.consume(count);
        Ok(count)
    }
}
