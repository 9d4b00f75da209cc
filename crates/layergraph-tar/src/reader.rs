//! The reader: from a stream to members and their data.

use std::io::Read;

use crate::field::{self, BLOCK, Block, Reason};
use crate::header::{self, Extensions, SparseMap};
use crate::input::Input;
use crate::pax::Records;
use crate::sparse::{self, Map, MapInData};
use crate::{Kind, Limits, Member, Segment, Tap, TarError};

/// Reads the members of an archive from a stream, one after the other.
///
/// It reads ahead in pieces of 128 KiB and needs no buffer around the input. After an error it
/// gives [`TarError::Stopped`] for ever: where one header is wrong, nothing says where the next is.
#[derive(Debug)]
pub struct Reader<R, T = ()> {
    input: Input<R, T>,
    limits: Limits,
    /// How much is left of the current member's data, and of the padding after it.
    data_left: u64,
    padding: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// The archive has ended, the stream perhaps not.
    Ended,
    Stopped,
}

/// What is left when an archive has been read to the end of its stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished<R, T> {
    /// The input, at its end.
    pub input: R,
    /// The tap, which has seen every byte.
    pub tap: T,
    /// How many bytes followed the end marker.
    pub trailing: u64,
}

impl<R: Read> Reader<R> {
    /// Makes a reader of `input` with the default limits and no tap.
    pub fn new(input: R) -> Self {
        Reader::with(input, (), Limits::default())
    }
}

impl<R: Read, T: Tap> Reader<R, T> {
    /// Makes a reader of `input` that shows every byte to `tap`.
    pub fn with(input: R, tap: T, limits: Limits) -> Self {
        let input = Input::new(input, tap);
        Reader {
            input,
            limits,
            data_left: 0,
            padding: 0,
            state: State::Reading,
        }
    }

    /// Goes on to the next member, past what is left of the current one's data; `None` at the end.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        match self.state {
            State::Stopped => return Err(TarError::Stopped),
            State::Ended => return Ok(None),
            State::Reading => {}
        }
        // Until all went well.
        self.state = State::Stopped;
        let member = self.read_member()?;
        self.state = if member.is_some() {
            State::Reading
        } else {
            State::Ended
        };
        Ok(member)
    }

    fn read_member(&mut self) -> Result<Option<Member>, TarError> {
        self.skip_data()?;
        let mut extensions = Extensions::default();
        let first_position = self.input.position();
        loop {
            let position = self.input.position();
            let invalid = |reason| TarError::Header { position, reason };
            if self.input.zeros()? {
                end(&extensions).map_err(invalid)?;
                // Real tools leave the second block of zeros out, or cut one short.
                if !self.input.zeros()? {
                    return Err(invalid("a block of zeros stands alone"));
                }
                return Ok(None);
            }
            let block = self.input.block("a header")?;
            if !field::has_its_checksum(&block) {
                return Err(invalid("its checksum is wrong"));
            }
            match block[field::TYPE] {
                b'x' | b'L' | b'K' => self.extension(&block, position, &mut extensions)?,
                b'g' => {
                    end(&extensions).map_err(invalid)?;
                    return self.global(&block, position).map(Some);
                }
                _ => {
                    let (member, map) = header::member(&block, extensions).map_err(invalid)?;
                    return self.begin(member, map, first_position, position).map(Some);
                }
            }
        }
    }

    /// Passes over what was not asked for of the current member.
    fn skip_data(&mut self) -> Result<(), TarError> {
        while self.data_left > 0 {
            let count = self.fill()?.len();
            self.input.consume(count);
            self.data_left -= count as u64;
        }
        // Real tools leave the last member unpadded; that the stream ends here is seen next.
        self.input.raw(std::mem::take(&mut self.padding), |_| {})?;
        Ok(())
    }

    /// Reads an extension header's body.
    fn body(&mut self, block: &Block, position: u64) -> Result<Vec<u8>, TarError> {
        let size = field::unsigned(&block[field::SIZE])
            .map_err(|reason| TarError::Header { position, reason })?;
        if size > self.limits.extension_bytes {
            let limit = self.limits.extension_bytes;
            return Err(TarError::Limit {
                position,
                what: "bytes of extension header",
                limit,
            });
        }
        let mut body = Vec::new();
        let padded = size.saturating_add(field::padding(size));
        if self
            .input
            .raw(padded, |bytes| body.extend_from_slice(bytes))?
            < padded
        {
            let position = self.input.position();
            return Err(TarError::Truncated {
                position,
                what: "an extension header",
            });
        }
        body.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(body)
    }

    fn extension(
        &mut self,
        block: &Block,
        position: u64,
        extensions: &mut Extensions,
    ) -> Result<(), TarError> {
        extensions.count += 1;
        if extensions.count > self.limits.extensions {
            let limit = self.limits.extensions.into();
            let what = "extension headers for one member";
            return Err(TarError::Limit {
                position,
                what,
                limit,
            });
        }
        let body = self.body(block, position)?;
        let invalid = |reason| TarError::Header { position, reason };
        // Of several of one kind the last counts, as for Go's archive/tar.
        match block[field::TYPE] {
            b'x' => extensions.records = Some(Records::parse(&body).map_err(invalid)?),
            b'L' => extensions.long_name = Some(long(&body).map_err(invalid)?),
            _ => extensions.long_link = Some(long(&body).map_err(invalid)?),
        }
        Ok(())
    }

    fn global(&mut self, block: &Block, position: u64) -> Result<Member, TarError> {
        let body = self.body(block, position)?;
        let invalid = |reason| TarError::Header { position, reason };
        Records::parse(&body).map_err(invalid)?;
        let (mut member, _) = header::member(block, Extensions::default()).map_err(invalid)?;
        member.kind = Kind::Global;
        member.size = body.len() as u64;
        member.stored_size = 0;
        self.begin(member, SparseMap::None, position, position)
    }

    /// Takes what still belongs to the header and gives out the member.
    fn begin(
        &mut self,
        mut member: Member,
        map: SparseMap,
        first_position: u64,
        position: u64,
    ) -> Result<Member, TarError> {
        let stored = member.stored_size;
        self.padding = field::padding(stored);
        let map = match map {
            SparseMap::None => None,
            SparseMap::Known(map) => Some(map),
            SparseMap::InBlocks { map, more } => Some(self.map_blocks(map, more, position)?),
            SparseMap::InData => Some(self.map_in_data(&mut member, position)?),
        };
        if let Some(map) = map {
            let finished = map.finish(member.size, member.stored_size);
            let segments: Vec<Segment> =
                finished.map_err(|reason| TarError::Header { position, reason })?;
            self.check_segments(segments.len(), position)?;
            member.sparse = Some(segments);
        }
        member.header_position = first_position;
        member.data_position = self.input.position();
        self.data_left = member.stored_size;
        let position = self.input.position();
        let seen = self.input.tap.member(&member);
        seen.map_err(|source| TarError::Tap { position, source })?;
        Ok(member)
    }

    fn map_blocks(&mut self, mut map: Map, more: bool, position: u64) -> Result<Map, TarError> {
        let mut more = more;
        while more {
            let block = self.input.block("a sparse map")?;
            more = sparse::old_gnu(&mut map, &block, false)
                .map_err(|reason| TarError::Header { position, reason })?;
            self.check_segments(map.len(), position)?;
        }
        Ok(map)
    }

    fn map_in_data(&mut self, member: &mut Member, position: u64) -> Result<Map, TarError> {
        let invalid = |reason| TarError::Header { position, reason };
        let mut map = MapInData::default();
        loop {
            let left = member.stored_size.checked_sub(BLOCK as u64);
            let left = left.ok_or(invalid("the data of a sparse file ends within its map"))?;
            let block = self.input.block("a sparse map")?;
            member.stored_size = left;
            let complete = map.take(&block).map_err(invalid)?;
            self.check_segments(map.len(), position)?;
            if complete {
                return Ok(map.into_map());
            }
        }
    }

    fn check_segments(&self, count: usize, position: u64) -> Result<(), TarError> {
        if count > self.limits.sparse_segments {
            let limit = self.limits.sparse_segments as u64;
            return Err(TarError::Limit {
                position,
                what: "runs of a sparse file",
                limit,
            });
        }
        Ok(())
    }

    /// Returns stored data of the current member, an empty slice when there are no more.
    ///
    /// Like [`BufRead::fill_buf`](std::io::BufRead::fill_buf), it returns the same bytes until
    /// [`consume`](Reader::consume) takes them.
    pub fn chunk(&mut self) -> Result<&[u8], TarError> {
        if self.state == State::Stopped {
            return Err(TarError::Stopped);
        }
        if self.data_left == 0 {
            return Ok(&[]);
        }
        self.state = State::Stopped;
        // The borrow checker does not see that an error returns nothing of `self`: look twice.
        self.fill()?;
        self.state = State::Reading;
        self.input.data(self.data_left)
    }

    fn fill(&mut self) -> Result<&[u8], TarError> {
        let position = self.input.position();
        let bytes = self.input.data(self.data_left)?;
        if bytes.is_empty() {
            return Err(TarError::Truncated {
                position,
                what: "the data of a member",
            });
        }
        Ok(bytes)
    }

    /// Takes `n` bytes of the last [`chunk`](Reader::chunk).
    ///
    /// # Panics
    ///
    /// Panics if the last chunk was shorter than `n`.
    pub fn consume(&mut self, n: usize) {
        self.input.consume(n);
        self.data_left -= n as u64;
    }

    /// Reads on to the end of the stream and gives back its parts.
    ///
    /// Members that were not asked for are passed over as [`next_member`](Reader::next_member)
    /// does. What follows the end marker is shown to the tap and never taken for members.
    pub fn finish(mut self) -> Result<Finished<R, T>, TarError> {
        while self.next_member()?.is_some() {}
        let trailing = self.input.raw(u64::MAX, |_| {})?;
        let Input { inner, tap, .. } = self.input;
        Ok(Finished {
            input: inner,
            tap,
            trailing,
        })
    }

    /// Returns the offset in the (uncompressed) stream of the next byte to take.
    pub fn position(&self) -> u64 {
        self.input.position()
    }

    /// Returns the tap.
    pub fn tap_mut(&mut self) -> &mut T {
        &mut self.input.tap
    }
}

/// Takes the end of the archive for what it is: no extension header may wait for a member.
fn end(extensions: &Extensions) -> Result<(), Reason> {
    match extensions.count {
        0 => Ok(()),
        _ => Err("an extension header before it belongs to no member"),
    }
}

/// Reads the body of a GNU long name: a name and the NULs that end it. Of an empty one some
/// programs make the name `.`, others pass over it or over the member.
fn long(body: &[u8]) -> Result<Vec<u8>, Reason> {
    let end = body
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    if end == 0 {
        return Err("a long name is empty");
    }
    if body[..end].contains(&0) {
        return Err("a long name has a NUL in it");
    }
    Ok(body[..end].to_vec())
}
