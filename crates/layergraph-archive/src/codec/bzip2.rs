//! bzip2 streams.
//!
//! The level in a stream's header says how large its blocks are, 900 kB at most.

use bzip2::{Decompress, Status};

use super::member::{Fault, MemberDecoder, Step};

/// What a decoder takes: four bytes for each byte of the largest block, and 64 kB of tables.
const MEMORY: u64 = 3_700_000;

pub(super) struct Bzip2(Decompress);

impl Bzip2 {
    pub(super) fn new() -> Self {
        // Not the `small` way, which halves the memory and the speed.
        Self(Decompress::new(false))
    }

    fn totals(&self) -> (u64, u64) {
        (self.0.total_in(), self.0.total_out())
    }
}

impl MemberDecoder for Bzip2 {
    fn begin(&mut self, _head: &[u8]) -> Result<(), Fault> {
        if self.0.total_in() > 0 {
            *self = Self::new();
        }
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Fault> {
        let before = self.totals();
        let ended = match self.0.decompress(input, output) {
            Ok(Status::StreamEnd) => true,
            Ok(Status::MemNeeded) => return Err(Fault::Damaged("out of memory".to_owned())),
            Ok(_) => false,
            Err(e) => return Err(Fault::Damaged(reason(e).to_owned())),
        };
        Ok(Step::between(before, self.totals(), ended))
    }

    fn memory(&mut self) -> Option<u64> {
        Some(MEMORY)
    }
}

fn reason(error: bzip2::Error) -> &'static str {
    match error {
        bzip2::Error::DataMagic => "not a bzip2 header",
        bzip2::Error::Data => "invalid data or checksum",
        bzip2::Error::Param | bzip2::Error::Sequence => "the decoder refuses to go on",
    }
}
