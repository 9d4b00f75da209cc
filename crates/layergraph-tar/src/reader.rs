//! The reader: from a stream to members and their data.

use std::io::Read;
use std::marker::PhantomData;

use crate::{Limits, Member, Tap, TarError};

/// Reads the members of an archive from a stream, one after the other.
#[derive(Debug)]
pub struct Reader<R, T = ()> {
    wip: PhantomData<(R, T)>,
}

/// What is left when an archive has been read to the end of its stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished<R, T> {
    /// The input, at its end.
    pub input: R,
    /// The tap, which has seen every byte.
    pub tap: T,
    /// How many bytes followed the end marker.
    pub trailing: u64,
}

impl<R: Read> Reader<R> {
    /// Makes a reader of `input` with the default limits and no tap.
    pub fn new(input: R) -> Self {
        Reader::with(input, (), Limits::default())
    }
}

impl<R: Read, T: Tap> Reader<R, T> {
    /// Makes a reader of `input` that shows every byte to `tap`.
    pub fn with(input: R, tap: T, limits: Limits) -> Self {
        let _ = (input, tap, limits);
        todo!()
    }

    /// Goes on to the next member, past what is left of the current one's data; `None` at the end.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        todo!()
    }

    /// Returns stored data of the current member, an empty slice when there are no more.
    ///
    /// Like [`BufRead::fill_buf`](std::io::BufRead::fill_buf), it returns the same bytes until
    /// [`consume`](Reader::consume) takes them.
    pub fn chunk(&mut self) -> Result<&[u8], TarError> {
        todo!()
    }

    /// Takes `n` bytes of the last [`chunk`](Reader::chunk).
    ///
    /// # Panics
    ///
    /// Panics if the last chunk was shorter than `n`.
    pub fn consume(&mut self, n: usize) {
        let _ = n;
        todo!()
    }

    /// Reads on to the end of the stream and gives back its parts.
    ///
    /// Members that were not asked for are passed over as [`next_member`](Reader::next_member)
    /// does. What follows the end marker is shown to the tap and never taken for members.
    pub fn finish(self) -> Result<Finished<R, T>, TarError> {
        todo!()
    }

    /// Returns the offset in the (uncompressed) stream of the next byte to take.
    pub fn position(&self) -> u64 {
        todo!()
    }

    /// Returns the tap.
    pub fn tap_mut(&mut self) -> &mut T {
        todo!()
    }
}
