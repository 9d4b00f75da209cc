//! Verification of bytes while they pass, against the digest and the size that were announced.
//!
//! A size is a limit from the first byte on. Without it, whoever sends the bytes decides how much
//! is read before the digest is found to be wrong.

use std::fmt;
use std::io::{self, Read, Write};

use crate::Digest;
use crate::stream::{self, Failure, HashReader, HashWriter, Hashed};

/// Why bytes are not the ones that were expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes have another digest.
    #[error("expected {expected}, got {actual}")]
    Digest {
        /// The digest that was announced.
        expected: Box<Digest>,
        /// The digest of the bytes.
        actual: Box<Digest>,
    },
    /// All bytes were counted, and there are more or fewer.
    #[error("expected {expected} bytes, got {actual}")]
    Size {
        /// The size that was announced.
        expected: u64,
        /// How many bytes there are.
        actual: u64,
    },
    /// There are more bytes. How many more is not known, since nobody read on.
    #[error("expected {expected} bytes, got more")]
    TooLong {
        /// The size that was announced.
        expected: u64,
    },
    /// The bytes could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure for VerifyError {
    fn is_interrupted(&self) -> bool {
        matches!(self, Self::Io(error) if error.is_interrupted())
    }
}

impl From<VerifyError> for io::Error {
    /// Keeps an I/O error as it is; the others become [`io::ErrorKind::InvalidData`] and are found
    /// again with [`io::Error::get_ref`].
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Io(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}

impl Hashed {
    /// Compares with what was expected: the size first, for it says more about what is wrong.
    pub fn verify(&self, expected: Digest, size: Option<u64>) -> Result<(), VerifyError> {
        if let Some(expected) = size
            && expected != self.size
        {
            let actual = self.size;
            return Err(VerifyError::Size { expected, actual });
        }
        if expected != self.digest {
            return Err(VerifyError::Digest {
                expected: Box::new(expected),
                actual: Box::new(self.digest),
            });
        }
        Ok(())
    }
}

/// Passes on what it reads, and verifies it.
///
/// Reads ask the inner reader once each. Bytes beyond the announced size are not passed on: the
/// read that would give the first of them fails, with one byte read too many. Bytes that were
/// passed on are **not verified until [`finish`](Self::finish) has returned `Ok`**; what is made
/// from them must not be used before.
///
/// To keep the inner reader, give a `&mut` of it.
///
/// ```
/// use std::io;
/// use layergraph_digest::{Algorithm, Digest, Verifier};
///
/// let digest = Digest::of(Algorithm::Sha256, b"layer");
/// let mut verifier = Verifier::new(digest, Some(5), &b"layer"[..]);
/// io::copy(&mut verifier, &mut io::sink())?;
/// verifier.finish()?;
///
/// // Endless, and yet only six bytes of it are read.
/// let verifier = Verifier::new(digest, Some(5), io::repeat(b'l'));
/// let error = verifier.finish().unwrap_err();
/// assert_eq!(error.to_string(), "expected 5 bytes, got more");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is verified until `finish`"]
pub struct Verifier<R> {
    inner: HashReader<R>,
    expected: Digest,
    size: Option<u64>,
}

impl<R: Read> Verifier<R> {
    /// Returns a reader that expects this digest, and this size where it is known.
    pub fn new(expected: Digest, size: Option<u64>, inner: R) -> Self {
        Self {
            inner: HashReader::new(expected.algorithm(), inner),
            expected,
            size,
        }
    }

    /// Reads to the end, and compares size and digest of all bytes, passed on or not.
    ///
    /// An interrupted read is tried again.
    ///
    /// # Errors
    ///
    /// Fails if the inner reader does, or if the bytes are not the expected ones. That they are too
    /// many is told even if a read has failed for this reason already.
    pub fn finish(mut self) -> Result<Hashed, VerifyError> {
        let end = stream::drain(|buffer| self.read(buffer));
        if let Some(expected) = self.size
            && self.inner.passed() > expected
        {
            return Err(VerifyError::TooLong { expected });
        }
        end?;
        let hashed = self.inner.finish_here();
        hashed.verify(self.expected, self.size)?;
        Ok(hashed)
    }
}

impl<R: Read> Read for Verifier<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(expected) = self.size else {
            return self.inner.read(buffer);
        };
        match expected.checked_sub(self.inner.passed()) {
            None => Err(VerifyError::TooLong { expected }.into()),
            Some(0) if buffer.is_empty() => Ok(0),
            // Whether this is the end, only one more byte can tell. It counts as passed, and so the
            // reader remembers what it has seen.
            Some(0) => match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(VerifyError::TooLong { expected }.into()),
            },
            Some(left) => {
                let len = within(buffer.len(), left);
                self.inner.read(&mut buffer[..len])
            }
        }
    }
}

impl<R> fmt::Debug for Verifier<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("expected", &self.expected)
            .field("size", &self.size)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// Passes on what is written to it, and verifies it.
///
/// Only what the inner writer has taken counts, and it never gets more bytes than were announced.
/// What it got is **not verified until [`finish`](Self::finish) has returned `Ok`**.
///
/// ```
/// use std::io::Write;
/// use layergraph_digest::{Algorithm, Digest, VerifyWriter};
///
/// let digest = Digest::of(Algorithm::Sha256, b"layer");
/// let mut writer = VerifyWriter::new(digest, Some(5), Vec::new());
/// writer.write_all(b"layer")?;
///
/// let (bytes, hashed) = writer.finish()?;
/// assert_eq!(bytes, b"layer");
/// assert_eq!(hashed.size, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is verified until `finish`"]
pub struct VerifyWriter<W> {
    inner: HashWriter<W>,
    expected: Digest,
    size: Option<u64>,
    too_long: bool,
}

impl<W: Write> VerifyWriter<W> {
    /// Returns a writer that expects this digest, and this size where it is known.
    pub fn new(expected: Digest, size: Option<u64>, inner: W) -> Self {
        Self {
            inner: HashWriter::new(expected.algorithm(), inner),
            expected,
            size,
            too_long: false,
        }
    }

    /// Compares size and digest, and returns the inner writer, not flushed.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are not the expected ones, also if a write has failed because they were
    /// too many. The inner writer is then dropped; to keep it, give a `&mut` of it.
    pub fn finish(self) -> Result<(W, Hashed), VerifyError> {
        if let Some(expected) = self.size
            && self.too_long
        {
            return Err(VerifyError::TooLong { expected });
        }
        let (inner, hashed) = self.inner.finish();
        hashed.verify(self.expected, self.size)?;
        Ok((inner, hashed))
    }
}

impl<W: Write> Write for VerifyWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(expected) = self.size else {
            return self.inner.write(bytes);
        };
        let left = expected.saturating_sub(self.inner.passed());
        if left == 0 && !bytes.is_empty() {
            self.too_long = true;
            return Err(VerifyError::TooLong { expected }.into());
        }
        self.inner.write(&bytes[..within(bytes.len(), left)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W> fmt::Debug for VerifyWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyWriter")
            .field("expected", &self.expected)
            .field("size", &self.size)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// Returns how many of `len` bytes may pass where `left` are still expected.
fn within(len: usize, left: u64) -> usize {
    usize::try_from(left).map_or(len, |left| len.min(left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    fn layer() -> Digest {
        Digest::of(Algorithm::Sha256, b"layer")
    }

    #[test]
    fn bytes_beyond_the_size_are_not_passed_on_and_the_end_remembers_them() {
        let mut verifier = Verifier::new(layer(), Some(5), &b"layers"[..]);
        let mut passed = Vec::new();
        let error = verifier.read_to_end(&mut passed).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(passed, b"layer");
        let error = verifier.finish().unwrap_err();
        assert!(
            matches!(error, VerifyError::TooLong { expected: 5 }),
            "{error}"
        );
    }

    #[test]
    fn too_few_bytes_are_told_by_their_number() {
        let error = Verifier::new(layer(), Some(5), &b"lay"[..]).finish();
        assert_eq!(error.unwrap_err().to_string(), "expected 5 bytes, got 3");
    }

    #[test]
    fn other_bytes_are_told_by_their_digest() {
        let other = Digest::of(Algorithm::Sha256, b"later");
        for size in [None, Some(5)] {
            let error = Verifier::new(layer(), size, &b"later"[..]).finish();
            let expected = format!("expected {}, got {other}", layer());
            assert_eq!(error.unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn an_empty_read_at_the_end_asks_for_nothing() {
        let mut verifier = Verifier::new(layer(), Some(5), &b"layers"[..]);
        verifier.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(verifier.read(&mut []).unwrap(), 0);
        assert_eq!(verifier.inner.passed(), 5);
    }

    #[test]
    fn a_writer_never_passes_more_than_was_announced() {
        let mut bytes = Vec::new();
        let mut writer = VerifyWriter::new(layer(), Some(5), &mut bytes);
        let error = writer.write_all(b"layers").unwrap_err();
        assert_eq!(error.to_string(), "expected 5 bytes, got more");
        let error = writer.finish().unwrap_err();
        assert!(
            matches!(error, VerifyError::TooLong { expected: 5 }),
            "{error}"
        );
        assert_eq!(bytes, b"layer");
    }

    #[test]
    fn the_error_of_the_reader_stays_what_it_is() {
        struct Broken;

        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }

        let mut verifier = Verifier::new(layer(), Some(5), Broken);
        let error = verifier.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = io::Error::from(verifier.finish().unwrap_err());
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
