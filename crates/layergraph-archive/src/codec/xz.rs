//! xz streams, by liblzma.
//!
//! Each block of a stream names filters and the size of its dictionary, up to 4 GiB. liblzma adds
//! up what they take before it allocates any of it.

use liblzma::stream::{Action, Error, Status, Stream, TELL_UNSUPPORTED_CHECK};

use super::member::{Fault, MemberDecoder, Step};

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
            Err(Error::MemLimit) => {
                let needed = memory_needed(stream, self.memory);
                Err(Fault::Memory { needed })
            }
            Err(e) => Err(Fault::Damaged(reason(e).to_owned())),
        }
    }
}

fn totals(stream: &Stream) -> (u64, u64) {
    (stream.total_in(), stream.total_out())
}

/// Finds how much memory a stream wants that has just been refused at `limit`.
///
/// liblzma knows the number, the binding has no call that asks for it. But liblzma refuses a new
/// limit that is lower than the need, so bisection finds it. Nothing is allocated by that.
fn memory_needed(stream: &mut Stream, limit: u64) -> u64 {
    let (mut too_low, mut enough) = (limit, u64::MAX);
    while enough - too_low > 1 {
        let middle = too_low + (enough - too_low) / 2;
        match stream.set_memlimit(middle) {
            Ok(()) => enough = middle,
            Err(_) => too_low = middle,
        }
    }
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
