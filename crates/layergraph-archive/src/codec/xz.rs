//! xz streams, by liblzma.
//!
//! Each block of a stream names filters and the size of its dictionary, up to 4 GiB. liblzma adds
//! up what they take before it allocates any of it.

use liblzma::stream::{Action, Error, Status, Stream, TELL_UNSUPPORTED_CHECK};

use super::member::{Fault, MemberDecoder, Step};

/// What liblzma counts before it has read a block's header (`LZMA_MEMUSAGE_BASE`). With one it is
/// more.
const WITHOUT_A_BLOCK: u64 = 32 << 10;

pub(super) struct Xz {
    /// Made anew for each stream; none before the first.
    stream: Option<Stream>,
    memory: u64,
}

impl Xz {
    pub(super) fn new(memory: u64) -> Self {
        Self {
            stream: None,
            memory,
        }
    }
}

impl MemberDecoder for Xz {
    fn begin(&mut self, _head: &[u8]) -> Result<(), Fault> {
        // A check that this build cannot compute is an error, so that the end stays a promise.
        // Streams are decoded one at a time, without `CONCATENATED`: what may stand between
        // members is decided in one place for all codecs.
        let stream = Stream::new_stream_decoder(self.memory, TELL_UNSUPPORTED_CHECK)
            .map_err(|e| Fault::Damaged(reason(e).to_owned()))?;
        self.stream = Some(stream);
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Fault> {
        let stream = self
            .stream
            .as_mut()
            .expect("a stream is begun before it is decoded");
        let before = totals(stream);
        match stream.process(input, output, Action::Run) {
            Ok(status) => Ok(Step::between(
                before,
                totals(stream),
                status == Status::StreamEnd,
            )),
            Err(Error::MemLimit) => Err(Fault::Memory {
                needed: memory_usage(stream),
            }),
            Err(e) => Err(Fault::Damaged(reason(e).to_owned())),
        }
    }

    fn memory(&mut self) -> Option<u64> {
        let stream = self.stream.as_mut()?;
        let needed = memory_usage(stream);
        self.limit_memory(self.memory);
        (needed > WITHOUT_A_BLOCK).then_some(needed)
    }

    fn limit_memory(&mut self, limit: u64) {
        self.memory = limit;
        if let Some(stream) = &mut self.stream {
            // It refuses a limit below what it has: then that is the limit.
            if stream.set_memlimit(limit).is_err() {
                memory_usage(stream);
            }
        }
    }
}

fn totals(stream: &Stream) -> (u64, u64) {
    (stream.total_in(), stream.total_out())
}

/// Finds how much memory the block at hand takes, or would take had it not been refused, and makes
/// that the limit.
///
/// liblzma knows the number, the binding has no call that asks for it. But liblzma refuses a new
/// limit that is lower than the need, so bisection finds it. Nothing is allocated by that.
fn memory_usage(stream: &mut Stream) -> u64 {
    let (mut too_low, mut enough) = (0, u64::MAX);
    while enough - too_low > 1 {
        let middle = too_low + (enough - too_low) / 2;
        match stream.set_memlimit(middle) {
            Ok(()) => enough = middle,
            Err(_) => too_low = middle,
        }
    }
    // The last limit that was taken is this one, unless all were refused.
    enough
}

fn reason(error: Error) -> &'static str {
    match error {
        Error::Data => "invalid data or checksum",
        Error::Format => "not an xz header",
        Error::Options => "unsupported filters or flags",
        Error::UnsupportedCheck => "unsupported kind of checksum",
        Error::Mem => "out of memory",
        Error::MemLimit | Error::NoCheck | Error::Program => "the decoder refuses to go on",
    }
}
