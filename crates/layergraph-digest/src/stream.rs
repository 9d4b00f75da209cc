//! Hashing of bytes while they pass: one pass over a layer is half the work of two.

use std::fmt;
use std::io::{self, Read, Write};

use crate::{Algorithm, Digest, Hasher};

/// Bytes asked for at a time when the rest of a reader is hashed.
const DRAIN_BYTES: usize = 64 * 1024;

/// The digest and the size of bytes that have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// The digest of all bytes.
    pub digest: Digest,
    /// How many bytes there were.
    pub size: u64,
}

/// Passes on what it reads, and hashes it.
///
/// Reads ask the inner reader once each and give its answer as it is, errors included; no bytes
/// are held back. Where the digest is known beforehand, [`Verifier`](crate::Verifier) is meant.
///
/// ```
/// use std::io::Read;
/// use layergraph_digest::{Algorithm, Digest, HashReader};
///
/// let mut reader = HashReader::new(Algorithm::Sha256, &b"layer and more"[..]);
/// let mut first = [0; 5];
/// reader.read_exact(&mut first)?;
///
/// let hashed = reader.finish()?;
/// assert_eq!(hashed.digest, Digest::of(Algorithm::Sha256, b"layer and more"));
/// assert_eq!(hashed.size, 14);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "the digest comes from `finish`"]
pub struct HashReader<R> {
    inner: R,
    tally: Tally,
}

impl<R: Read> HashReader<R> {
    /// Returns a reader through which nothing has passed yet.
    pub fn new(algorithm: Algorithm, inner: R) -> Self {
        let tally = Tally::new(algorithm);
        Self { inner, tally }
    }

    /// Returns how many bytes have passed.
    pub fn passed(&self) -> u64 {
        self.tally.size
    }

    /// Reads to the end, and returns digest and size of all bytes, passed on or not.
    ///
    /// An interrupted read is tried again.
    pub fn finish(mut self) -> io::Result<Hashed> {
        drain(|buffer| self.read(buffer))?;
        Ok(self.tally.finish())
    }

    /// Returns digest and size of the bytes that have passed, without a look at what follows.
    pub(crate) fn finish_here(self) -> Hashed {
        self.tally.finish()
    }
}

impl<R: Read> Read for HashReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.tally.add(&buffer[..count]);
        Ok(count)
    }
}

impl<R> fmt::Debug for HashReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashReader")
            .field("passed", &self.tally.size)
            .finish_non_exhaustive()
    }
}

/// Passes on what is written to it, and hashes it.
///
/// Only what the inner writer has taken counts.
///
/// ```
/// use std::io::Write;
/// use layergraph_digest::{Algorithm, Digest, HashWriter};
///
/// let mut writer = HashWriter::new(Algorithm::Sha256, Vec::new());
/// writer.write_all(b"layer")?;
///
/// let (bytes, hashed) = writer.finish();
/// assert_eq!(bytes, b"layer");
/// assert_eq!(hashed.digest, Digest::of(Algorithm::Sha256, b"layer"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "the digest comes from `finish`"]
pub struct HashWriter<W> {
    inner: W,
    tally: Tally,
}

impl<W: Write> HashWriter<W> {
    /// Returns a writer through which nothing has passed yet.
    pub fn new(algorithm: Algorithm, inner: W) -> Self {
        let tally = Tally::new(algorithm);
        Self { inner, tally }
    }

    /// Returns how many bytes have passed.
    pub fn passed(&self) -> u64 {
        self.tally.size
    }

    /// Returns the inner writer, not flushed, with digest and size of what it has taken.
    #[must_use = "the digest is the reason to hash"]
    pub fn finish(self) -> (W, Hashed) {
        (self.inner, self.tally.finish())
    }
}

impl<W: Write> Write for HashWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.tally.add(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W> fmt::Debug for HashWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashWriter")
            .field("passed", &self.tally.size)
            .finish_non_exhaustive()
    }
}

/// The running digest and size.
struct Tally {
    hasher: Hasher,
    size: u64,
}

impl Tally {
    fn new(algorithm: Algorithm) -> Self {
        let hasher = Hasher::new(algorithm);
        Self { hasher, size: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
    }

    fn finish(self) -> Hashed {
        let digest = self.hasher.finish();
        let size = self.size;
        Hashed { digest, size }
    }
}

/// Reads to the end and forgets the bytes; an interrupted read is tried again.
///
/// The error is of the caller's kind, who may have reasons of its own to stop.
pub(crate) fn drain<E: Failure>(
    mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), E> {
    let mut buffer = vec![0; DRAIN_BYTES];
    loop {
        match read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.is_interrupted() => {}
            Err(error) => return Err(error),
        }
    }
}

/// An error of a read that [`drain`] repeats.
pub(crate) trait Failure {
    /// Returns whether the read was only interrupted, and nothing has been lost.
    fn is_interrupted(&self) -> bool;
}

impl Failure for io::Error {
    fn is_interrupted(&self) -> bool {
        self.kind() == io::ErrorKind::Interrupted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, and is interrupted before each.
    struct Halting<'a>(&'a [u8], bool);

    impl Read for Halting<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = buffer.len().min(1);
            self.0.read(&mut buffer[..count])
        }
    }

    #[test]
    fn an_interrupted_read_is_repeated_and_no_byte_counts_twice() {
        let hashed = HashReader::new(Algorithm::Sha256, Halting(b"layer", false))
            .finish()
            .unwrap();
        assert_eq!(hashed.digest, Digest::of(Algorithm::Sha256, b"layer"));
        assert_eq!(hashed.size, 5);
    }

    #[test]
    fn a_writer_hashes_only_what_was_taken() {
        let mut room = [0; 3];
        let mut writer = HashWriter::new(Algorithm::Sha256, &mut room[..]);
        assert!(writer.write_all(b"layer").is_err());
        assert_eq!(writer.passed(), 3);
        let (_, hashed) = writer.finish();
        assert_eq!(hashed.digest, Digest::of(Algorithm::Sha256, b"lay"));
    }
}
