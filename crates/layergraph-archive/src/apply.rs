//! The pass: from the bytes of a blob to files, with everything that is to be known of the layer.

mod ahead;

use std::io::{self, Read};

use layergraph_digest::{Algorithm, DiffId, Digest, HashReader, Hashed, Verifier, VerifyError};
use layergraph_fs::FsError;

use self::ahead::reading_ahead;
use crate::codec::{Codec, DecodeOptions, decode};
use crate::recipe::{NewRecipe, unpack_with_recipe};
use crate::{Place, UnpackError, UnpackOptions, Unpacked, unpack};

/// How a blob is applied.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ApplyOptions {
    /// What decoding may cost. What the blob does not need of its memory is added to that for the
    /// records of directories ([`Limits::directory_bytes`](crate::Limits::directory_bytes)).
    pub decode: DecodeOptions,
    /// How the layer is unpacked.
    pub unpack: UnpackOptions,
    /// What the blob must be, as a manifest's descriptor says it. A size is a limit from the first
    /// byte on.
    pub blob: Option<ExpectedBlob>,
    /// What the uncompressed tar must be, as an image's config says it.
    pub diff_id: Option<DiffId>,
    /// Whether the digests are found out although nothing is expected.
    pub digests: bool,
    /// Whether decoding and hashing keep to the thread that makes the files. They have one of
    /// their own by default, which halves the time of a large layer; whoever applies several layers
    /// at once has better work for it. Where there is no other thread to be had, it is so anyway.
    pub single_thread: bool,
}

/// What a blob must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes, if it is known.
    pub size: Option<u64>,
}

/// What there is to be known of a layer that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// How the blob was packed.
    pub codec: Codec,
    /// What was unpacked.
    pub unpacked: Unpacked,
    /// The digests, if they were asked for or something was expected.
    pub digests: Option<Digests>,
}

/// Names of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Digests {
    /// The digest and the size in bytes of the blob as it came.
    pub blob: Hashed,
    /// The digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// The size in bytes of the uncompressed tar.
    pub size: u64,
}

/// Why a blob was not applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The blob could not be read, or not be decoded.
    #[error("cannot read the layer")]
    Read(#[source] io::Error),
    /// The layer could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The blob is not the one that was expected.
    #[error("it is not the blob that was expected")]
    Blob(#[source] VerifyError),
    /// The tar in it is not the one that was expected.
    #[error("it is not the layer that was expected: its diff id is {actual}, not {expected}")]
    DiffId {
        /// What was expected.
        expected: Box<DiffId>,
        /// What it is.
        actual: Box<DiffId>,
    },
}

impl From<FsError> for ApplyError {
    fn from(error: FsError) -> ApplyError {
        ApplyError::Unpack(error.into())
    }
}

/// Applies the layer in `blob`, packed by any [codec](crate::codec), to the directory `into`, and
/// writes its recipe, if one is wanted.
///
/// The blob is read once and to its end: decoded, hashed before and after, split into recipe and
/// contents, and [unpacked](crate::unpack()).
///
/// ```
/// use layergraph_archive::{ApplyOptions, apply};
/// use layergraph_fs::Dir;
///
/// # let directory = tempfile::tempdir()?;
/// # let layer = [0; 1024];
/// let mut options = ApplyOptions::default();
/// options.digests = true;
/// let applied = apply(&mut &layer[..], &Dir::open(directory.path())?, None, &options)?;
/// let digests = applied.digests.expect("they were asked for");
/// // What is not packed has one digest.
/// assert_eq!(digests.diff_id.digest(), digests.blob.digest);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// After an error of the layer's, what is being read of the blob is waited for. What was expected
/// is known for sure only at the end. So after any error the directory holds what
/// was unpacked until then: apply into a directory nobody can see yet, or by
/// [`change_atomic`](crate::change_atomic).
pub fn apply<'a>(
    blob: &mut (dyn Read + Send),
    place: impl Into<Place<'a>>,
    recipe: Option<NewRecipe<'_>>,
    options: &ApplyOptions,
) -> Result<Applied, ApplyError> {
    let place = place.into();
    let is_hashed = options.digests || options.blob.is_some() || options.diff_id.is_some();
    let mut blob = match options.blob {
        Some(ExpectedBlob { digest, size }) => Passing::Verified(Verifier::new(digest, size, blob)),
        None if is_hashed => Passing::Hashed(HashReader::new(Algorithm::Sha256, blob)),
        None => Passing::Plain(blob),
    };
    let mut plain = decode(&mut blob, &options.decode).map_err(ApplyError::Read)?;
    let codec = plain.codec();
    let mut unpacking = options.unpack.clone();
    let records = unpacking.limits.directory_bytes as u64;
    let budget = options.decode.memory.saturating_add(records);
    let rest = plain.divide_memory(budget).map_err(ApplyError::Read)?;
    unpacking.limits.directory_bytes = usize::try_from(rest).unwrap_or(usize::MAX);

    let mut tar = if is_hashed {
        Passing::Hashed(HashReader::new(diff_algorithm(options), &mut plain))
    } else {
        Passing::Plain(&mut plain)
    };
    let unpack = |tar: &mut dyn Read| match recipe {
        Some(recipe) => unpack_with_recipe(tar, place, &unpacking, recipe),
        None => unpack(tar, place, &unpacking),
    };
    let unpacked = if options.single_thread {
        unpack(&mut tar)?
    } else {
        reading_ahead(&mut tar, unpack)?
    };
    let diff = tar.finish().map_err(read)?;
    plain.finish().map_err(ApplyError::Read)?;
    let blob = blob.finish().map_err(|error| match error {
        VerifyError::Io(error) => ApplyError::Read(error),
        other => ApplyError::Blob(other),
    })?;
    let digests = match (blob, diff) {
        (Some(blob), Some(Hashed { digest, size })) => Some(Digests {
            blob,
            diff_id: DiffId::new(digest),
            size,
        }),
        _ => None,
    };
    if let (Some(expected), Some(Digests { diff_id, .. })) = (options.diff_id, digests)
        && expected != diff_id
    {
        return Err(ApplyError::DiffId {
            expected: expected.into(),
            actual: diff_id.into(),
        });
    }
    Ok(Applied {
        codec,
        unpacked,
        digests,
    })
}

/// Returns by which algorithm the tar is hashed: the one of what is expected.
fn diff_algorithm(options: &ApplyOptions) -> Algorithm {
    let expected = options
        .diff_id
        .map(|expected| expected.digest().algorithm());
    expected.unwrap_or(Algorithm::Sha256)
}

fn read(error: VerifyError) -> ApplyError {
    ApplyError::Read(error.into())
}

/// Bytes on their way.
enum Passing<R> {
    Plain(R),
    Hashed(HashReader<R>),
    Verified(Verifier<R>),
}

impl<R: Read> Passing<R> {
    /// Returns what has passed, all of it, if it was hashed.
    fn finish(self) -> Result<Option<Hashed>, VerifyError> {
        Ok(match self {
            Passing::Plain(_) => None,
            Passing::Hashed(reader) => Some(reader.finish()?),
            Passing::Verified(reader) => Some(reader.finish()?),
        })
    }
}

impl<R: Read> Read for Passing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Passing::Plain(reader) => reader.read(buffer),
            Passing::Hashed(reader) => reader.read(buffer),
            Passing::Verified(reader) => reader.read(buffer),
        }
    }
}
