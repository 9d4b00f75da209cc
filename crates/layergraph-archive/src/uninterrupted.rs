//! Reading that a signal does not end (`EINTR` in `read(2)`).

use std::io::{self, Read};

/// Reads once, as often as it takes.
pub(crate) fn read_uninterrupted(input: &mut impl Read, output: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(output) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads until the buffer is full or the input ends.
pub(crate) fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match read_uninterrupted(input, &mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}
