//! The tap sees every byte of any stream once, in order, and sorted as it promises.

use std::io::{self, Read};

use layergraph_tar::{Limits, Member, Reader, Tap, TarError};
use proptest::prelude::*;

use crate::support::craft::{END, GNU, Header, MAGIC, file, long, pax, seal};

/// Writes down what it sees.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Recorder {
    /// All bytes in order.
    pub(crate) bytes: Vec<u8>,
    /// Each member, and how many bytes were seen before it.
    pub(crate) members: Vec<(Member, usize)>,
    /// The data of each member.
    pub(crate) data: Vec<Vec<u8>>,
    /// Whether data came where there is no place for them.
    pub(crate) is_out_of_order: bool,
}

impl Tap for Recorder {
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn member(&mut self, member: &Member) -> io::Result<()> {
        self.members.push((member.clone(), self.bytes.len()));
        self.data.push(Vec::new());
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        match (self.members.last(), self.data.last_mut()) {
            (Some((_, start)), Some(data)) if start + data.len() == self.bytes.len() => {
                data.extend_from_slice(bytes);
            }
            _ => self.is_out_of_order = true,
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// A source that gives a few bytes at a time, and is interrupted now and then.
pub(crate) struct Dribble<'a> {
    pub(crate) rest: &'a [u8],
    pub(crate) sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl Dribble<'_> {
    pub(crate) fn new(rest: &[u8], sizes: Vec<usize>) -> Dribble<'_> {
        let sizes = sizes.into_iter().cycle();
        Dribble { rest, sizes }
    }
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.sizes.next() {
            Some(0) => Err(io::ErrorKind::Interrupted.into()),
            size => {
                let most = size.unwrap_or(usize::MAX).min(buffer.len());
                self.rest.read(&mut buffer[..most])
            }
        }
    }
}

/// Sizes of reads, of which at least one is no interruption.
pub(crate) fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![0..3_usize, 500..530_usize, 1000..200_000_usize];
    prop::collection::vec(size, 0..6).prop_map(|mut sizes| {
        sizes.push(700);
        sizes
    })
}

/// Data that repeat late. Drawing each byte by itself would take most of the time.
pub(crate) fn content(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    (length, any::<usize>()).prop_map(|(length, seed)| {
        let byte = |at: usize| (at ^ seed).wrapping_mul(0x9e37_79b9).to_le_bytes()[3];
        (0..length).map(byte).collect()
    })
}

/// Parts of streams: valid, nearly valid, or nothing of the kind.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let data = || prop_oneof![content(0..1500), Just(b"zeros".repeat(100_000)),];
    prop_oneof![
        4 => data().prop_map(|data| file(b"file", &data)),
        // Padding that is not zeros.
        2 => data().prop_map(|data| {
            let length = data.len();
            let mut file = file(b"odd", &data);
            file[512 + length..].fill(b'p');
            file
        }),
        1 => any::<u8>().prop_map(|type_byte| Header::new(b"any", type_byte).block()),
        1 => prop::sample::select(&b"xgLKSDMNV1234567"[..])
            .prop_flat_map(move |byte| data().prop_map(move |data| {
                Header::new(b"any", byte).data(&data)
            })),
        2 => (data(), 0..300_u64).prop_map(|(data, mtime)| {
            let mtime = mtime.to_string();
            [pax(&[("mtime", mtime.as_bytes()), ("path", b"p")]), file(b"q", &data)].concat()
        }),
        1 => Just([
            long(b'L', &b"n".repeat(600)),
            Header::new(b"n", b'5').with(MAGIC, GNU).block(),
        ].concat()),
        1 => prop::collection::vec((1..100_u64, 0..100_u64), 0..60).prop_map(sparse_in_data),
        1 => prop::collection::vec(any::<u8>(), 0..600),
        1 => (1..4_usize).prop_map(|blocks| vec![0; 512 * blocks]),
    ]
}

/// A sparse file with its map at the head of its data, of holes and runs of these lengths.
fn sparse_in_data(lengths: Vec<(u64, u64)>) -> Vec<u8> {
    let mut map = vec![lengths.len().to_string()];
    let (mut at, mut stored) = (0, 0);
    for (hole, run) in lengths {
        map.extend([(at + hole).to_string(), run.to_string()]);
        at += hole + run;
        stored += usize::try_from(run).unwrap_or_default();
    }
    let mut data = (map.join("\n") + "\n").into_bytes();
    data.resize(data.len().next_multiple_of(512), 0);
    data.resize(data.len() + stored, b's');
    let size = at.to_string();
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.realsize", size.as_bytes()),
    ];
    [pax(&records), file(b"x", &data)].concat()
}

/// Whole streams, with one of many ends.
pub(crate) fn stream() -> impl Strategy<Value = Vec<u8>> {
    let end = prop_oneof![
        3 => Just(END.to_vec()),
        1 => (0..1024_usize).prop_map(|zeros| vec![0; zeros]),
        1 => prop::collection::vec(any::<u8>(), 0..2000)
            .prop_map(|rest| [&END[..], &rest].concat()),
    ];
    let cut = prop_oneof![3 => Just(0), 1 => 1..1000_usize];
    (prop::collection::vec(part(), 0..6), end, cut).prop_map(|(parts, end, cut)| {
        let mut stream = [parts.concat(), end].concat();
        stream.truncate(stream.len().saturating_sub(cut));
        stream
    })
}

/// Goes through all members, taking so much of each chunk, so many times; then to the end.
pub(crate) fn read<R: Read>(
    source: R,
    tap: &mut Recorder,
    takes: &[usize],
) -> Result<u64, TarError> {
    let mut takes = takes.iter().copied().cycle();
    let mut reader = Reader::with(source, tap, Limits::default());
    while let Some(member) = reader.next_member()? {
        assert_eq!(reader.position(), member.data_position);
        while let Some(take @ 1..) = takes.next() {
            let length = reader.chunk()?.len();
            if length == 0 {
                break;
            }
            reader.consume(length.min(take));
        }
    }
    Ok(reader.finish()?.trailing)
}

/// What the tap promises of the stream it was shown.
fn check(stream: &[u8], tap: &Recorder, outcome: &Result<u64, TarError>) {
    assert!(!tap.is_out_of_order);
    assert!(
        stream.starts_with(&tap.bytes),
        "what it saw is another stream"
    );
    if outcome.is_ok() {
        assert_eq!(tap.bytes.len(), stream.len());
    }
    let mut end = 0;
    for ((member, seen), data) in tap.members.iter().zip(&tap.data) {
        assert_eq!(member.data_position, *seen as u64);
        assert!(end <= member.header_position && member.header_position < member.data_position);
        end = member.data_position + member.stored_size;
        let is_last = tap.members.last().is_some_and(|(last, _)| last == member);
        if outcome.is_ok() || !is_last {
            assert_eq!(data.len() as u64, member.stored_size);
        }
        if let Some(segments) = &member.sparse {
            let sum: u64 = segments.iter().map(|segment| segment.length).sum();
            assert_eq!(sum, member.stored_size);
            let mut at = 0;
            for segment in segments {
                assert!(segment.offset >= at && segment.length > 0);
                at = segment.offset + segment.length;
            }
            assert!(at <= member.size);
        } else if member.kind != layergraph_tar::Kind::Global {
            assert_eq!(member.size, member.stored_size);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_tap_sees_the_stream(stream in stream()) {
        let mut tap = Recorder::default();
        let outcome = read(&stream[..], &mut tap, &[usize::MAX]);
        check(&stream, &tap, &outcome);
    }

    #[test]
    fn sizes_of_reads_make_no_difference(
        stream in stream(),
        sizes in sizes(),
        takes in prop::collection::vec(0..2000_usize, 1..5),
    ) {
        let (mut whole, mut pieces) = (Recorder::default(), Recorder::default());
        let expected = read(&stream[..], &mut whole, &[usize::MAX]);
        let outcome = read(Dribble::new(&stream, sizes), &mut pieces, &takes);
        check(&stream, &pieces, &outcome);
        prop_assert_eq!(format!("{outcome:?}"), format!("{expected:?}"));
        if outcome.is_ok() {
            prop_assert_eq!(pieces, whole);
        } else {
            prop_assert_eq!(pieces.members, whole.members);
        }
    }

    #[test]
    fn damage_of_any_kind_ends_reading_and_nothing_else(
        stream in stream(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..20),
        copies in prop::collection::vec(any::<[prop::sample::Index; 2]>(), 0..3),
        sealed in any::<bool>(),
    ) {
        let mut stream = stream;
        let blocks = stream.len() / 512;
        if blocks > 0 {
            for [from, to] in copies {
                let from = from.index(blocks) * 512;
                stream.copy_within(from..from + 512, to.index(blocks) * 512);
            }
            for (at, bit) in flips {
                // Most of a file is data: aim at the first blocks.
                let at = at.index(stream.len().min(4096));
                stream[at] ^= 1 << bit;
                let block = at / 512 * 512;
                if sealed && block + 512 <= stream.len() {
                    seal(&mut stream[block..block + 512]);
                }
            }
        }
        let mut tap = Recorder::default();
        let outcome = read(&stream[..], &mut tap, &[usize::MAX]);
        check(&stream, &tap, &outcome);
        prop_assert!(tap.members.len() <= stream.len() / 512);
    }

    #[test]
    fn random_bytes_with_a_checksum_end_reading_and_nothing_else(
        blocks in prop::collection::vec((prop::collection::vec(any::<u8>(), 512), any::<bool>()), 0..6),
        type_byte in prop::sample::select(&b"01234567xgLKSMV"[..]),
    ) {
        let mut stream = Vec::new();
        for (mut block, has_fields) in blocks {
            if has_fields {
                // Fields that are valid, so that more is looked at.
                let valid = Header::new(b"n", type_byte).size(block[0].into()).block();
                block[..345].copy_from_slice(&valid[..345]);
            }
            seal(&mut block);
            stream.extend_from_slice(&block);
        }
        let mut tap = Recorder::default();
        let outcome = read(&stream[..], &mut tap, &[usize::MAX]);
        check(&stream, &tap, &outcome);
    }
}

/// A tap that fails after so many calls.
struct Failing(usize);

impl Failing {
    fn count(&mut self) -> io::Result<()> {
        self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }
}

impl Tap for Failing {
    fn raw(&mut self, _bytes: &[u8]) -> io::Result<()> {
        self.count()
    }

    fn member(&mut self, _member: &Member) -> io::Result<()> {
        self.count()
    }

    fn data(&mut self, _bytes: &[u8]) -> io::Result<()> {
        self.count()
    }
}

#[test]
fn a_tap_that_fails_stops_the_reader() {
    let archive = [
        file(b"a", b"x"),
        pax(&[("path", b"p")]),
        file(b"b", b"y"),
        END.to_vec(),
    ];
    let archive = archive.concat();
    let outcome = |calls| Reader::with(&archive[..], Failing(calls), Limits::default()).finish();
    let needed = (0..100).find(|calls| outcome(*calls).is_ok());
    assert_eq!(needed, Some(12));
    for calls in 0..12 {
        let failed = outcome(calls).map(|_| ());
        assert!(matches!(failed, Err(TarError::Tap { .. })), "{failed:?}");
    }
}
