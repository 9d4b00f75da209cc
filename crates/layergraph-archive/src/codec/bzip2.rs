//! bzip2 streams.
//!
//! The level in a stream's header says how large its blocks are, 900 kB at most.

use bzip2::{Decompress, Status};

use super::member::{Fault, MemberDecoder, Step};

/// What a decoder takes: four bytes for each byte of the largest block, and 64 kB of tables.
const MEMORY: u64 = 3_700_000;

/// What follows the level in a stream without content: the sign of the end, and the checksum of
/// nothing.
const EMPTY: [u8; 10] = [0x17, 0x72, 0x45, 0x38, 0x50, 0x90, 0, 0, 0, 0];

pub(super) struct Bzip2 {
    decoder: Decompress,
    /// How many bytes are left of a stream without content, which is passed over: a decoder that is
    /// made anew for 14 bytes would make a layer of such streams a burden.
    empty: usize,
}

impl Bzip2 {
    pub(super) fn new() -> Self {
        Self {
            // Not the `small` way, which halves the memory and the speed.
            decoder: Decompress::new(false),
            empty: 0,
        }
    }

    fn totals(&self) -> (u64, u64) {
        (self.decoder.total_in(), self.decoder.total_out())
    }
}

/// Returns the length of the stream that `head` begins with if it has no content.
fn empty_stream(head: &[u8]) -> Option<usize> {
    match head {
        [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] if rest.starts_with(&EMPTY) => {
            Some(4 + EMPTY.len())
        }
        _ => None,
    }
}

impl MemberDecoder for Bzip2 {
    fn begin(&mut self, head: &[u8]) -> Result<(), Fault> {
        if let Some(length) = empty_stream(head) {
            self.empty = length;
        } else if self.decoder.total_in() > 0 {
            *self = Self::new();
        }
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Fault> {
        if self.empty > 0 {
            let consumed = self.empty.min(input.len());
            self.empty -= consumed;
            return Ok(Step {
                consumed,
                produced: 0,
                ended: self.empty == 0,
            });
        }
        let before = self.totals();
        let ended = match self.decoder.decompress(input, output) {
            Ok(Status::StreamEnd) => true,
            Ok(Status::MemNeeded) => return Err(Fault::Damaged("out of memory".to_owned())),
            Ok(_) => false,
            Err(e) => return Err(Fault::Damaged(reason(e).to_owned())),
        };
        Ok(Step::between(before, self.totals(), ended))
    }

    fn memory(&mut self) -> Option<u64> {
        // One without content says nothing of the others.
        (self.empty == 0).then_some(MEMORY)
    }
}

fn reason(error: bzip2::Error) -> &'static str {
    match error {
        bzip2::Error::DataMagic => "not a bzip2 header",
        bzip2::Error::Data => "invalid data or checksum",
        bzip2::Error::Param | bzip2::Error::Sequence => "the decoder refuses to go on",
    }
}
