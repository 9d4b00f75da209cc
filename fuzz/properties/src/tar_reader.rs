//! The tar reader on any bytes.
//!
//! However the stream comes in and whatever is asked for, the members, their positions and the
//! error are the same; the tap sees each byte once and in order; and nothing is kept that is not in
//! the stream.

use std::io::{self, Read};

use layergraph_tar::{Kind, Limits, Member, Reader, Tap, TarError};

use crate::Random;
use crate::craft::BLOCK;

/// What came of reading an archive.
#[derive(Debug)]
struct Reading {
    members: Vec<Member>,
    /// How many bytes followed the end, or what was wrong.
    outcome: Result<u64, TarError>,
}

/// Checks the laws of the reader on any bytes.
///
/// # Panics
///
/// Panics if one does not hold.
pub fn tar_reader(bytes: &[u8]) {
    let whole = read(bytes, bytes, None);
    let mut end = 0;
    for member in &whole.members {
        let position = u128::from(member.header_position);
        assert_eq!(position, end, "headers follow each other");
        check_member(member);
        end = u128::from(member.data_position) + u128::from(member.stored_size);
        end = end.next_multiple_of(BLOCK as u128);
    }
    match &whole.outcome {
        Ok(trailing) => assert!(*trailing <= bytes.len() as u64),
        Err(error) => check_error(error, bytes.len() as u64),
    }

    let mut random = Random::of(bytes);
    if random.once_in(4) {
        check_failing_input(bytes, &whole, random);
    } else {
        let stream = Dribble::new(bytes, random.clone());
        let again = read(bytes, stream, Some(random));
        assert_eq!(again.members, whole.members);
        assert_eq!(
            format!("{:?}", again.outcome),
            format!("{:?}", whole.outcome)
        );
    }
}

/// A stream that fails gives the members before, and says where it failed.
fn check_failing_input(bytes: &[u8], whole: &Reading, mut random: Random) {
    let at = random.below(bytes.len() + 1);
    let stream = Dribble::new(&bytes[..at], random.clone()).chain(Failing);
    let cut = read(bytes, stream, Some(random));
    match cut.outcome {
        Err(TarError::Read { position, .. }) => assert_eq!(position, at as u64),
        // Then it had not been read so far.
        Err(error) => assert_eq!(
            format!("Err({error:?})"),
            format!("{:?}", whole.outcome),
            "of a part"
        ),
        Ok(_) => panic!("the failure was not seen"),
    }
    assert!(whole.members.starts_with(&cut.members));
}

/// Reads an archive to its end, all data or, with `random`, some of them.
fn read(bytes: &[u8], stream: impl Read, mut random: Option<Random>) -> Reading {
    let watch = Watch {
        stream: bytes,
        seen: 0,
        member: None,
    };
    let mut reader = Reader::with(stream, watch, Limits::default());
    let mut members = Vec::new();
    loop {
        match reader.next_member() {
            Ok(Some(member)) => {
                assert_eq!(reader.position(), member.data_position);
                members.push(member);
            }
            Ok(None) => break,
            Err(error) => return stopped(reader, members, error),
        }
        if let Err(error) = data(bytes, &mut reader, random.as_mut()) {
            return stopped(reader, members, error);
        }
    }
    assert!(matches!(reader.next_member(), Ok(None)));
    assert!(reader.chunk().is_ok_and(<[u8]>::is_empty));
    let end = reader.position();
    let outcome = reader.finish().map(|finished| {
        assert_eq!(finished.tap.seen, bytes.len(), "the tap sees every byte");
        assert_eq!(end + finished.trailing, bytes.len() as u64);
        finished.trailing
    });
    Reading { members, outcome }
}

fn stopped<R: Read>(
    mut reader: Reader<R, Watch<'_>>,
    members: Vec<Member>,
    error: TarError,
) -> Reading {
    assert!(matches!(reader.next_member(), Err(TarError::Stopped)));
    assert!(matches!(reader.chunk(), Err(TarError::Stopped)));
    let outcome = Err(error);
    Reading { members, outcome }
}

fn data<R: Read>(
    bytes: &[u8],
    reader: &mut Reader<R, Watch<'_>>,
    mut random: Option<&mut Random>,
) -> Result<(), TarError> {
    loop {
        let start = usize::try_from(reader.position()).expect("it is within the stream");
        let chunk = reader.chunk()?;
        assert_eq!(Some(chunk), bytes.get(start..start + chunk.len()));
        if chunk.is_empty() {
            return Ok(());
        }
        let mut count = chunk.len();
        if let Some(random) = random.as_mut() {
            if random.once_in(3) {
                return Ok(());
            }
            count = random.below(count + 1);
        }
        reader.consume(count);
    }
}

fn check_member(member: &Member) {
    let is_aligned = |position: u64| position.is_multiple_of(BLOCK as u64);
    assert!(is_aligned(member.header_position) && is_aligned(member.data_position));
    for text in [&member.path, &member.link, &member.user, &member.group] {
        assert!(!text.contains(&0), "a NUL in a name");
    }
    assert!(member.mode <= 0o7777 && member.uid != u32::MAX && member.gid != u32::MAX);
    let is_link = matches!(member.kind, Kind::HardLink | Kind::Symlink);
    assert!(is_link || member.link.is_empty());
    let is_device = matches!(member.kind, Kind::CharDevice | Kind::BlockDevice);
    assert!(is_device || member.device == (0, 0));
    let has_data = matches!(member.kind, Kind::File | Kind::Other(_));
    assert!(has_data || member.stored_size == 0);
    assert!(has_data || member.size == 0 || member.kind == Kind::Global);
    for pair in member.xattrs.windows(2) {
        assert!(pair[0].0 < pair[1].0, "attributes in order, each once");
    }
    for (name, _) in &member.xattrs {
        assert!(!name.is_empty() && !name.contains(&0));
    }
    check_sparse(member);

    // Nothing is kept that a header merely claims.
    let texts = [&member.path, &member.link, &member.user, &member.group];
    let texts: usize = texts.iter().map(|text| text.len()).sum();
    let xattrs = member
        .xattrs
        .iter()
        .map(|(name, value)| name.len() + value.len());
    let segments = member.sparse.iter().map(Vec::len).sum::<usize>();
    let kept = texts + xattrs.sum::<usize>() + 16 * segments;
    let headers = member.data_position - member.header_position;
    assert!(kept as u64 <= 8 * headers, "{kept} bytes of {headers}");
}

fn check_sparse(member: &Member) {
    let Some(segments) = &member.sparse else {
        assert!(member.size == member.stored_size || member.kind == Kind::Global);
        return;
    };
    assert!(matches!(member.kind, Kind::File | Kind::Directory));
    let mut end = 0;
    let mut stored = 0;
    for segment in segments {
        assert!(segment.offset >= end && segment.length > 0);
        end = segment.offset.checked_add(segment.length).expect("it ends");
        stored += segment.length;
    }
    assert!(end <= member.size);
    assert_eq!(stored, member.stored_size);
}

fn check_error(error: &TarError, length: u64) {
    match error {
        TarError::Truncated { position, .. } => assert_eq!(*position, length, "cut off at its end"),
        TarError::Header { position, .. } | TarError::Limit { position, .. } => {
            assert!(*position <= length && position.is_multiple_of(BLOCK as u64));
        }
        other => panic!("{other:?} of bytes in memory"),
    }
}

/// A tap that compares what it sees with the stream.
struct Watch<'a> {
    stream: &'a [u8],
    seen: usize,
    /// Where the data of the current member begin, and how many there are.
    member: Option<(u64, u64)>,
}

impl Watch<'_> {
    fn see(&mut self, bytes: &[u8]) {
        let next = self.stream.get(self.seen..self.seen + bytes.len());
        assert_eq!(next, Some(bytes), "each byte once and in order");
        self.seen += bytes.len();
    }

    fn data_end(&self) -> u64 {
        self.member
            .map_or(0, |(start, length)| start.saturating_add(length))
    }
}

impl Tap for Watch<'_> {
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(
            self.seen as u64 >= self.data_end(),
            "data given out as headers"
        );
        self.see(bytes);
        Ok(())
    }

    fn member(&mut self, member: &Member) -> io::Result<()> {
        assert_eq!(self.seen as u64, member.data_position);
        self.member = Some((member.data_position, member.stored_size));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(!bytes.is_empty());
        self.see(bytes);
        assert!(
            self.seen as u64 <= self.data_end(),
            "headers given out as data"
        );
        Ok(())
    }
}

/// A stream that comes in pieces, with interruptions.
struct Dribble<'a> {
    left: &'a [u8],
    random: Random,
    most: usize,
}

impl<'a> Dribble<'a> {
    fn new(left: &'a [u8], mut random: Random) -> Dribble<'a> {
        let most = [7, 100, 511, 1000, 5000][random.below(5)];
        Dribble { left, random, most }
    }
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.random.once_in(16) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = buffer.len().min(1 + self.random.below(self.most));
        self.left.read(&mut buffer[..most])
    }
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}
