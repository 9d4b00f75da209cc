//! Archives that are no plain file: they become one that has no name.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use layergraph_archive::codec::{Codec, DecodeOptions, MAGIC_LEN, decode};
use layergraph_fs::{Dir, NewFile, Staging};

use crate::error::OciError;
use crate::read::SourceOptions;

/// Size of the pieces in which an archive is written.
const PIECE: usize = 128 << 10;
/// What the file is called until it has no name.
const NAME: &str = "archive";

/// Writes what comes out of `input`, decoded, to a file that vanishes when it is closed, however
/// the process ends.
pub(crate) fn spool(
    input: impl Read,
    path: &Path,
    options: &SourceOptions<'_>,
) -> Result<File, OciError> {
    let Some(directory) = options.spool else {
        return Err(OciError::NeedsSpool {
            path: path.to_owned(),
        });
    };
    let input = Bounded {
        input,
        left: options.limit,
    };
    let read = |error: io::Error| refusal(path, error, options.limit);
    let mut decoder = decode(input, &decoding(options)).map_err(read)?;
    let (mut spooled, file) = nameless(directory)?;
    let mut buffer = vec![0; PIECE];
    loop {
        match decoder.read(&mut buffer).map_err(read)? {
            0 => return Ok(file),
            count => spooled.write_all(&buffer[..count])?,
        }
    }
}

/// Returns how an archive or a layer is decoded.
pub(crate) fn decoding(options: &SourceOptions<'_>) -> DecodeOptions {
    let mut decoding = options.decode.clone();
    decoding.output = Some(
        decoding
            .output
            .map_or(options.limit, |most| most.min(options.limit)),
    );
    decoding
}

/// Makes a file without a name, open for writing and for reading.
fn nameless(directory: &Dir) -> Result<(NewFile, File), OciError> {
    let staging = Staging::new(directory)?;
    let name = OsStr::new(NAME);
    let written = staging.dir().create_file(name, 0o600)?;
    let file = staging.dir().open_file(name)?;
    staging.discard()?;
    Ok((written, file))
}

/// Returns how the content of `input` is packed.
pub(crate) fn codec(input: impl Read) -> io::Result<Codec> {
    let mut first = Vec::new();
    input.take(MAGIC_LEN as u64).read_to_end(&mut first)?;
    Ok(Codec::detect(&first))
}

fn refusal(path: &Path, error: io::Error, limit: u64) -> OciError {
    if error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<TooLong>)
    {
        return OciError::limit(path, "bytes", limit);
    }
    OciError::read(path, error)
}

/// An input that need not end: it fails where the limit is.
struct Bounded<R> {
    input: R,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the input is longer than is read")]
struct TooLong;

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::new(io::ErrorKind::QuotaExceeded, TooLong)),
        }
        Ok(count)
    }
}
