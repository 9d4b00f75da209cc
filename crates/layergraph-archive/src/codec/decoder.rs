//! The reader of packed data: member after member, from any input, to a verified end.

use std::fmt;
use std::io::{self, Read};

use super::input::{Input, PIECE};
use super::member::{Fault, HEAD_LEN, MemberDecoder, member_decoder};
use super::{Codec, CodecError, MAGIC_LEN};

/// Limits of decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeOptions {
    /// The most memory that the data may ask for, in bytes; 34 MiB by default.
    ///
    /// Only xz and zstd let the data ask, for a dictionary or window of up to 4 GiB and some tables
    /// beside it:
    ///
    /// | packed by | window | by default |
    /// |---|---|---|
    /// | `xz -6` (the default) and below; `zstd -19` and below | at most 8 MiB | decoded |
    /// | `xz -8`; `zstd --ultra -20`; Go's zstd at its best level | 32 MiB | decoded |
    /// | `xz -9`; `zstd --ultra -21` | 64 MiB | refused |
    /// | `zstd --ultra -22`; `zstd --long` | 128 MiB | refused |
    /// | `zstd --ultra --long=31` | 2 GiB | refused |
    ///
    /// A zstd window is no larger than the content where the writer knew how long that is. A higher
    /// limit lets more be decoded; libzstd itself takes windows of up to 2 GiB. Whoever unpacks
    /// has directories to record as well, and [`Decoder::divide_memory`] divides a budget.
    ///
    /// gzip and bzip2 need 4 MiB at most, whatever the limit. Each decoder holds 128 KiB of input
    /// beside.
    pub memory: u64,

    /// The most bytes that the data may decode to; no limit by default.
    ///
    /// There is no limit on the ratio of output to input: honest layers hold files of zeros,
    /// which gzip packs 1,000 to 1 and zstd 30,000 to 1. What a bomb fills is the disk, and how
    /// much of that a layer may take is for the caller to say.
    pub output: Option<u64>,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            memory: 34 << 20,
            output: None,
        }
    }
}

/// Opens `input` for reading as plain bytes, whatever it is packed with.
///
/// Reads the first bytes to recognise the codec; what is not packed passes through. Input shorter
/// than any signature, even empty, is plain and no error.
///
/// # Errors
///
/// Errors of `input`, and [`CodecError::NotBuilt`] for a codec whose feature is off.
pub fn decode<R: Read>(input: R, options: &DecodeOptions) -> io::Result<Decoder<R>> {
    let mut input = Input::new(input);
    let codec = Codec::detect(input.peek(MAGIC_LEN)?);
    Ok(Decoder {
        codec,
        input,
        member: member_decoder(codec, options.memory)?,
        state: State::Between { padding: 0 },
        options: options.clone(),
        produced: 0,
    })
}

/// A reader of packed data as plain bytes, made by [`decode`].
///
/// A read decodes straight into the caller's buffer; buffers of 64 KiB and more are fastest. It
/// may return less than asked for, and returns `Ok(0)` only at the true end. It is never
/// interrupted: [`io::ErrorKind::Interrupted`] of the input is tried again. Other errors of the
/// input lose nothing, reading may go on after them; a [`CodecError`] is final.
///
/// A read takes as much input as the next byte of output needs. Padding and members without content
/// have none, so an endless input of those keeps one read busy for ever, whatever
/// [`DecodeOptions::output`] says. Whoever takes input from others that need not end bounds it
/// ([`Read::take`]) or fails from within it.
pub struct Decoder<R> {
    codec: Codec,
    input: Input<R>,
    /// `None` for data that is not packed.
    member: Option<Box<dyn MemberDecoder>>,
    state: State,
    options: DecodeOptions,
    /// Bytes handed out so far.
    produced: u64,
}

/// Where the decoder stands. Data that is not packed stays between members.
#[derive(Debug)]
enum State {
    /// Before a member or the end, after `padding` zero bytes.
    Between { padding: u64 },
    /// Within a member; `starved` if it has used up its input and given out all that came of it.
    Inside { starved: bool },
    /// At the verified end.
    Done,
    /// Refused for good.
    Failed(CodecError),
}

impl<R: Read> Decoder<R> {
    /// Returns the codec that was recognised.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Returns how many bytes of memory the data takes to decode, by what its first member says.
    ///
    /// Reads on to where that is said: a zstd frame's header, an xz block's. Skippable frames are
    /// passed over, and members that say that they are empty. No output is lost. In the middle of
    /// the data it is about the member at hand, and 0 for data that is not packed or is at its end.
    /// The 128 KiB of input that each decoder holds are not in it.
    ///
    /// Later members may ask for more, up to the limit. So whoever gives the rest of a budget away
    /// also sets the limit anew, as [`divide_memory`](Decoder::divide_memory) does.
    ///
    /// # Errors
    ///
    /// As for reading, [`CodecError::Memory`] among them: it is compared with the limit first.
    pub fn memory_needed(&mut self) -> io::Result<u64> {
        loop {
            match (&self.state, &mut self.member) {
                (State::Between { .. }, None) | (State::Done, _) => return Ok(0),
                (State::Inside { .. }, Some(member)) => {
                    if let Some(needed) = member.memory() {
                        return Ok(needed);
                    }
                }
                _ => {}
            }
            // Without room for output this goes on to where there is some.
            self.advance(&mut [])?;
        }
    }

    /// Sets [`DecodeOptions::memory`] anew, for what is yet to come.
    ///
    /// A member that has begun keeps what it was granted.
    pub fn limit_memory(&mut self, limit: u64) {
        self.options.memory = limit;
        if let Some(member) = &mut self.member {
            member.limit_memory(limit);
        }
    }

    /// Divides `budget` bytes of memory: grants the decoder what the data needs of it, up to the
    /// limit it has, and returns the rest.
    ///
    /// Data whose first member needs little is granted as much as a window of 8 MiB takes, which
    /// all usual levels use, or the limit where the first member says nothing of the others; never
    /// more than the budget.
    ///
    /// ```
    /// use layergraph_archive::UnpackOptions;
    /// use layergraph_archive::codec::{DecodeOptions, decode};
    ///
    /// # let layer = std::io::empty();
    /// let mut layer = decode(layer, &DecodeOptions::default())?;
    /// let mut options = UnpackOptions::default();
    /// options.limits.directory_bytes = usize::try_from(layer.divide_memory(48 << 20)?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`memory_needed`](Decoder::memory_needed), and [`CodecError::Memory`] where the first
    /// member needs more than the budget.
    pub fn divide_memory(&mut self, budget: u64) -> io::Result<u64> {
        /// Enough for a window of 8 MiB.
        const USUAL: u64 = 9 << 20;
        /// More than what a member needs that is small, whatever the level.
        const SMALL: u64 = 2 << 20;
        let needed = self.memory_needed()?;
        if needed > budget {
            return Err(self.fail(CodecError::Memory {
                codec: self.codec,
                needed,
                limit: budget,
            }));
        }
        let most = self.options.memory.min(budget);
        let granted = match self.codec {
            // zstd:chunked, of which each file is a frame, begins with a small one, and that says
            // nothing of the others.
            Codec::Zstd if needed < SMALL => most,
            Codec::Zstd | Codec::Xz => needed.max(USUAL).min(most),
            _ => needed,
        };
        self.limit_memory(granted);
        Ok(budget - granted)
    }

    /// Reads what is left to the end, verifies it, and returns the input at its end.
    ///
    /// What is left counts against [`DecodeOptions::output`] and is thrown away. This is how to be
    /// sure of data of which only a part was wanted: a tar ends before its file does.
    ///
    /// # Errors
    ///
    /// As for reading. The input is dropped then.
    pub fn finish(mut self) -> io::Result<R> {
        let mut rest = vec![0; PIECE];
        while self.read(&mut rest)? > 0 {}
        Ok(self.input.into_inner())
    }

    /// Decodes up to one buffer, without regard to the output limit.
    fn decode_some(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if self.member.is_none() && !matches!(self.state, State::Failed(_)) {
            return self.input.read(output);
        }
        loop {
            let count = self.advance(output)?;
            if count > 0 || matches!(self.state, State::Done) {
                return Ok(count);
            }
        }
    }

    /// Takes one step in packed data; 0 says that it made no output.
    fn advance(&mut self, output: &mut [u8]) -> io::Result<usize> {
        match self.state {
            State::Failed(ref error) => Err(error.clone().into()),
            State::Done => Ok(0),
            State::Between { padding } => self.between_members(padding).map(|()| 0),
            State::Inside { starved } => self.inside_member(starved, output),
        }
    }

    /// Passes over padding, or begins the next member, or ends.
    fn between_members(&mut self, padding: u64) -> io::Result<()> {
        let head = self.input.peek(HEAD_LEN)?;
        let zeros = match self.codec {
            // It pads by skippable frames.
            Codec::Zstd => 0,
            _ => head.iter().take_while(|&&byte| byte == 0).count(),
        };
        if zeros > 0 {
            self.input.consume(zeros);
            self.state = State::Between {
                padding: padding + zeros as u64,
            };
            return Ok(());
        }

        // The xz format defines padding, in fours, and more streams may follow it. To the other
        // formats it is foreign, and ends the data.
        let is_xz = self.codec == Codec::Xz;
        let odd_padding = is_xz && !padding.is_multiple_of(4);
        if head.is_empty() && !odd_padding {
            self.state = State::Done;
            return Ok(());
        }
        if odd_padding {
            let reason = "the padding is not a multiple of four bytes";
            return Err(self.fail_with(Fault::Damaged(reason.to_owned())));
        }
        if Codec::detect(head) != self.codec || (padding > 0 && !is_xz) {
            let offset = self.input.position();
            return Err(self.fail(CodecError::TrailingBytes {
                codec: self.codec,
                offset,
            }));
        }
        let begun = self
            .member
            .as_mut()
            .map_or(Ok(()), |member| member.begin(head));
        begun.map_err(|fault| self.fail_with(fault))?;
        self.state = State::Inside { starved: false };
        Ok(())
    }

    /// Decodes some of a member; 0 says that there is nothing yet or that it has ended.
    fn inside_member(&mut self, starved: bool, output: &mut [u8]) -> io::Result<usize> {
        // Codecs give up when they are asked again and again for nothing, as they would be by who
        // waits for an input that does not block.
        if starved && self.input.peek(1)?.is_empty() {
            let length = self.input.position();
            return Err(self.fail(CodecError::Truncated {
                codec: self.codec,
                length,
            }));
        }
        let Some(member) = &mut self.member else {
            return Ok(0);
        };
        let available = self.input.buffered().len();
        let step = match member.step(self.input.buffered(), output) {
            Ok(step) => step,
            Err(fault) => return Err(self.fail_with(fault)),
        };
        self.input.consume(step.consumed);
        let stands_still = step.consumed == 0 && step.produced == 0;
        if step.ended {
            self.state = State::Between { padding: 0 };
        } else if stands_still && available > 0 {
            // Never seen, but a decoder that stands still must not take us with it.
            return Err(self.fail_with(Fault::Damaged("no progress".to_owned())));
        } else {
            self.state = State::Inside {
                starved: stands_still,
            };
        }
        Ok(step.produced)
    }

    fn fail_with(&mut self, fault: Fault) -> io::Error {
        let codec = self.codec;
        self.fail(match fault {
            Fault::Damaged(reason) => CodecError::Damaged {
                codec,
                offset: self.input.position(),
                reason,
            },
            Fault::Memory { needed } => CodecError::Memory {
                codec,
                needed,
                limit: self.options.memory,
            },
        })
    }

    fn fail(&mut self, error: CodecError) -> io::Error {
        self.state = State::Failed(error.clone());
        error.into()
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        let room = match self.options.output {
            None => output.len(),
            Some(limit) => {
                let left = limit - self.produced;
                if left == 0 {
                    // One byte more tells data of exactly this length from longer data.
                    return match self.decode_some(&mut [0])? {
                        0 => Ok(0),
                        _ => Err(self.fail(CodecError::Output { limit })),
                    };
                }
                usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(output.len())
            }
        };
        let count = self.decode_some(&mut output[..room])?;
        self.produced += count as u64;
        Ok(count)
    }
}

impl<R> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("codec", &self.codec)
            .field("state", &self.state)
            .field("consumed", &self.input.position())
            .field("produced", &self.produced)
            .finish_non_exhaustive()
    }
}
