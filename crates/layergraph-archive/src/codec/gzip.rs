//! gzip members (RFC 1952), by zlib-rs.
//!
//! zlib reads the member's header and trailer itself: it checks the header's CRC where there is
//! one, refuses flags that the RFC reserves, passes over name, comment and extra field without
//! keeping them, and compares CRC and length at the end.

use flate2::{Decompress, FlushDecompress, Status};

use super::member::{Fault, MemberDecoder, Step};

/// What a decoder takes: the window, and tables about as large.
const MEMORY: u64 = 64 << 10;

/// The largest window of deflate, 32 KiB, as a power of two: right for every member.
const WINDOW_BITS: u8 = 15;

pub(super) struct Gzip(Decompress);

impl Gzip {
    pub(super) fn new() -> Self {
        Self(Decompress::new_gzip(WINDOW_BITS))
    }

    fn totals(&self) -> (u64, u64) {
        (self.0.total_in(), self.0.total_out())
    }
}

impl MemberDecoder for Gzip {
    fn begin(&mut self, _head: &[u8]) -> Result<(), Fault> {
        if self.0.total_in() > 0 {
            *self = Self::new();
        }
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Fault> {
        let before = self.totals();
        let status = self
            .0
            .decompress(input, output, FlushDecompress::None)
            .map_err(|e| Fault::Damaged(e.message().unwrap_or("not deflate data").to_owned()))?;
        Ok(Step::between(
            before,
            self.totals(),
            status == Status::StreamEnd,
        ))
    }

    fn memory(&mut self) -> Option<u64> {
        Some(MEMORY)
    }
}
