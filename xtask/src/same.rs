//! Whether a layer came out as it went in.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use layergraph_archive::codec::{DecodeOptions, decode};

use crate::Result;

/// Returns whether a file is what an archive, perhaps packed, is when it is plain.
pub(crate) fn is_same(archive: &Path, plain: &Path) -> Result<bool> {
    let options = DecodeOptions {
        memory: 1 << 30,
        ..DecodeOptions::default()
    };
    let mut archive = decode(File::open(archive)?, &options)?;
    let mut plain = BufReader::new(File::open(plain)?);
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = archive.read(&mut buffer)?;
        if count == 0 {
            return Ok(plain.fill_buf()?.is_empty());
        }
        let mut other = vec![0; count];
        match plain.read_exact(&mut other) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            result => result?,
        }
        if other != buffer[..count] {
            return Ok(false);
        }
    }
}
