//! What is written is read again, by us and by the `tar` crate; the writer depends on nothing else.

use std::io::{self, Read};
use std::time::SystemTime;

use layergraph_tar::{Kind, NewMember, Reader, TarError, WriteError, Writer};
use proptest::prelude::*;

use crate::support::tree::{Time, data, system_time};
use crate::taps::{Dribble, content, sizes};

/// A member with all that it needs.
#[derive(Debug, Clone)]
struct Owned {
    path: Vec<u8>,
    kind: Kind,
    link: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
    names: (Vec<u8>, Vec<u8>),
    times: (Time, Option<Time>, Option<Time>),
    data: Vec<u8>,
    device: (u32, u32),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Owned {
    fn member(&self) -> NewMember<'_> {
        NewMember {
            path: &self.path,
            kind: self.kind,
            link: &self.link,
            mode: self.mode,
            uid: self.owner.0,
            gid: self.owner.1,
            user: &self.names.0,
            group: &self.names.1,
            mtime: system_time(self.times.0),
            atime: self.times.1.map(system_time),
            ctime: self.times.2.map(system_time),
            size: self.data.len() as u64,
            device: self.device,
            xattrs: &self.xattrs,
        }
    }
}

/// Bytes without a NUL.
fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => b'a'..=b'z', 1 => Just(b'/'), 1 => 1..=255_u8];
    prop::collection::vec(byte, length)
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let ascii = prop::collection::vec("[a-z]{1,90}", 1..6).prop_map(|parts| parts.join("/"));
    prop_oneof![
        ascii.prop_map(String::into_bytes),
        bytes(1..20),
        bytes(95..105),
        bytes(250..260),
        bytes(600..700),
    ]
}

fn id() -> impl Strategy<Value = u32> {
    let edge = prop::sample::select(vec![0, 2_097_151, 2_097_152, u32::MAX - 1]);
    prop_oneof![edge, 0..u32::MAX]
}

fn any_time() -> impl Strategy<Value = Time> {
    let seconds = prop_oneof![
        prop::sample::select(vec![-1, 0, 1, (1 << 33) - 1, 1 << 33]),
        -(1_i64 << 40)..1_i64 << 40,
    ];
    let nanos = prop_oneof![Just(0), 0..1_000_000_000_u32, Just(500_000_000)];
    (seconds, nanos)
}

fn xattrs() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let key = bytes(1..30).prop_map(|mut key| {
        key.retain(|byte| *byte != b'=');
        [b"user.".to_vec(), key].concat()
    });
    let value = content(0..200);
    prop::collection::btree_map(key, value, 0..4).prop_map(|map| map.into_iter().collect())
}

fn owned() -> impl Strategy<Value = Owned> {
    let kind = prop::sample::select(vec![
        Kind::File,
        Kind::File,
        Kind::Directory,
        Kind::Symlink,
        Kind::HardLink,
        Kind::CharDevice,
        Kind::BlockDevice,
        Kind::Fifo,
    ]);
    let data = prop_oneof![content(0..1100), Just(vec![b'd'; 300_001]),];
    let times = (
        any_time(),
        prop::option::of(any_time()),
        prop::option::of(any_time()),
    );
    let device = (0..4096_u32, 0..1_048_576_u32);
    let who = ((id(), id()), (bytes(0..40), bytes(0..40)));
    (
        kind,
        path(),
        path(),
        0..0o10000_u32,
        who,
        times,
        data,
        device,
        xattrs(),
    )
        .prop_map(
            |(kind, mut path, link, mode, (owner, names), times, data, device, xattrs)| {
                if kind == Kind::Directory {
                    path.push(b'/');
                } else {
                    path.push(b'n');
                }
                let is_link = matches!(kind, Kind::Symlink | Kind::HardLink);
                let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
                Owned {
                    path,
                    kind,
                    link: if is_link { link } else { Vec::new() },
                    mode,
                    owner,
                    names,
                    times,
                    data: if kind == Kind::File { data } else { Vec::new() },
                    device: if is_device { device } else { (0, 0) },
                    xattrs,
                }
            },
        )
}

/// The tar crate takes PAX records apart at line breaks, and loses those that have one.
fn without_line_breaks(mut owned: Owned) -> Owned {
    let (user, group) = &mut owned.names;
    let names = [&mut owned.path, &mut owned.link, user, group];
    let xattrs = owned.xattrs.iter_mut();
    for text in names
        .into_iter()
        .chain(xattrs.flat_map(|(key, value)| [key, value]))
    {
        for byte in text.iter_mut().filter(|byte| **byte == b'\n') {
            *byte = b'n';
        }
    }
    // Names that were in order and different may no longer be.
    owned.xattrs.sort();
    owned.xattrs.dedup_by(|one, other| one.0 == other.0);
    owned
}

fn write(members: &[Owned]) -> Result<Vec<u8>, WriteError> {
    let mut writer = Writer::new(Vec::new());
    for owned in members {
        writer.append(&owned.member(), &owned.data[..])?;
    }
    writer.finish()
}

/// Reads an archive, to compare with what was to be written.
fn read<R: Read>(source: R) -> Result<Vec<Owned>, TarError> {
    let mut reader = Reader::new(source);
    let mut read = Vec::new();
    while let Some(member) = reader.next_member()? {
        let time = crate::support::tree::time;
        let data = data(&mut reader)?;
        read.push(Owned {
            path: member.path,
            kind: member.kind,
            link: member.link,
            mode: member.mode,
            owner: (member.uid, member.gid),
            names: (member.user, member.group),
            times: (
                time(member.mtime),
                member.atime.map(time),
                member.ctime.map(time),
            ),
            data,
            device: member.device,
            xattrs: member.xattrs,
        });
    }
    assert_eq!(reader.finish()?.trailing, 0);
    Ok(read)
}

/// A source of data or a sink that takes a few bytes at a time.
struct Slow(Vec<u8>);

impl io::Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = bytes.len().min(100);
        self.0.extend_from_slice(&bytes[..most]);
        Ok(most)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn what_is_written_is_read(members in prop::collection::vec(owned(), 0..6), sizes in sizes()) {
        let archive = write(&members)?;
        prop_assert_eq!(archive.len() % 512, 0);
        let read = read(Dribble::new(&archive, sizes))?;
        prop_assert_eq!(format!("{read:?}"), format!("{members:?}"));
    }

    #[test]
    fn what_is_read_and_written_again_is_the_same_archive(
        members in prop::collection::vec(owned(), 0..4),
    ) {
        let archive = write(&members)?;
        prop_assert!(write(&read(&archive[..])?)? == archive);
    }

    #[test]
    fn sizes_of_writes_make_no_difference(
        members in prop::collection::vec(owned(), 0..4),
        sizes in sizes(),
    ) {
        let mut appended = Writer::new(Slow(Vec::new()));
        let mut pieces = Writer::new(Vec::new());
        for owned in &members {
            let mut reversed = owned.clone();
            reversed.xattrs.reverse();
            appended.append(&reversed.member(), Dribble::new(&owned.data, sizes.clone()))?;
            pieces.begin(&owned.member())?;
            for piece in owned.data.chunks(sizes[0].max(1)) {
                pieces.write_data(piece)?;
            }
            prop_assert!(pieces.position() <= appended.position());
        }
        let archive = write(&members)?;
        prop_assert!(appended.finish()?.0 == archive);
        prop_assert!(pieces.finish()? == archive);
    }

    #[test]
    fn the_tar_crate_reads_what_is_written(members in prop::collection::vec(owned(), 0..4)) {
        let members: Vec<_> = members.into_iter().map(without_line_breaks).collect();
        let archive = write(&members)?;
        let mut archive = tar::Archive::new(&archive[..]);
        let mut entries = archive.entries()?;
        for owned in &members {
            let mut entry = entries.next().expect("there is one more")?;
            prop_assert_eq!(&*entry.path_bytes(), &owned.path[..]);
            let link = entry.link_name_bytes().unwrap_or_default().into_owned();
            prop_assert_eq!(link, &owned.link[..]);
            let header = entry.header();
            let kind = match owned.kind {
                Kind::Directory => tar::EntryType::Directory,
                Kind::Symlink => tar::EntryType::Symlink,
                Kind::HardLink => tar::EntryType::Link,
                Kind::CharDevice => tar::EntryType::Char,
                Kind::BlockDevice => tar::EntryType::Block,
                Kind::Fifo => tar::EntryType::Fifo,
                _ => tar::EntryType::Regular,
            };
            prop_assert_eq!(header.entry_type(), kind);
            prop_assert_eq!(header.mode()?, owned.mode);
            prop_assert_eq!(header.device_major()?, Some(owned.device.0));
            prop_assert_eq!(header.device_minor()?, Some(owned.device.1));
            prop_assert_eq!(header.uid()?, u64::from(owned.owner.0));
            prop_assert_eq!(header.gid()?, u64::from(owned.owner.1));
            let mut data = Vec::new();
            entry.read_to_end(&mut data)?;
            prop_assert!(data == owned.data);
            let mut xattrs = Vec::new();
            for record in entry.pax_extensions()?.into_iter().flatten() {
                let record = record?;
                if let Some(key) = record.key_bytes().strip_prefix(b"SCHILY.xattr.") {
                    xattrs.push((key.to_vec(), record.value_bytes().to_vec()));
                }
            }
            prop_assert_eq!(&xattrs, &owned.xattrs);
        }
        prop_assert!(entries.next().is_none());
    }
}

#[test]
fn a_size_beyond_octal_digits_is_read_as_it_was_written() -> Result<(), Box<dyn std::error::Error>>
{
    for size in [(1 << 33) - 1, 1 << 33, u64::MAX / 2] {
        let member = NewMember {
            size,
            ..NewMember::new(b"f", Kind::File)
        };
        let mut archive = Vec::new();
        let mut writer = Writer::new(&mut archive);
        writer.begin(&member)?;
        writer.write_data(b"the beginning")?;
        assert!(matches!(writer.end(), Err(WriteError::Length { .. })));
        let mut reader = Reader::new(&archive[..]);
        let read = reader.next_member()?.ok_or("no member")?;
        assert_eq!((read.size, read.stored_size), (size, size));
        assert_eq!(reader.chunk()?, b"the beginning");
    }
    Ok(())
}

#[test]
fn what_no_reader_takes_is_not_written() -> Result<(), WriteError> {
    let file = NewMember::new(b"f", Kind::File);
    let link = NewMember::new(b"l", Kind::Symlink);
    let bad_keys = [&b""[..], b"a=b", b"a\0b"].map(|key| [(key.to_vec(), b"v".to_vec())]);
    let large: Vec<_> = (0..20_u8)
        .map(|at| (vec![b'k', at + 1], vec![b'v'; 60_000]))
        .collect();
    let long = b"n".repeat(1 << 20);
    let mut refused = vec![
        NewMember { path: b"", ..file },
        NewMember {
            path: b"f/",
            ..file
        },
        NewMember {
            path: b"a\0b",
            ..file
        },
        NewMember {
            path: &long,
            ..file
        },
        NewMember {
            user: b"a\0",
            ..file
        },
        NewMember {
            group: b"\0",
            ..file
        },
        NewMember {
            uid: u32::MAX,
            ..file
        },
        NewMember {
            gid: u32::MAX,
            ..file
        },
        NewMember {
            xattrs: &large,
            ..file
        },
        NewMember { link: b"", ..link },
        NewMember {
            link: b"a\0b",
            ..link
        },
        NewMember {
            device: (0, 1 << 21),
            ..NewMember::new(b"d", Kind::CharDevice)
        },
        NewMember::new(b"g", Kind::Global),
        NewMember::new(b"v", Kind::Other(b'V')),
    ];
    refused.extend(bad_keys.iter().map(|xattrs| NewMember { xattrs, ..file }));
    let mut writer = Writer::new(Vec::new());
    for member in refused {
        let outcome = writer.append(&member, io::empty());
        assert!(
            matches!(outcome, Err(WriteError::Member { .. })),
            "{:?}",
            member.path.len()
        );
        assert_eq!(writer.position(), 0);
    }
    // Nothing was written, and the writer goes on.
    writer.append(&file, io::empty())?;
    assert_eq!(writer.finish()?.len(), 512 + 1024);
    Ok(())
}

/// An output with room for so many bytes.
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_fails_stops_the_writer() {
    let member = NewMember {
        size: 3,
        mtime: SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1),
        ..NewMember::new(b"f", Kind::File)
    };
    // Extended header, its body, header, data with padding, end marker.
    for room in [0, 1000, 1535, 1538, 2047, 3071] {
        let mut writer = Writer::new(Full(room));
        let outcome = writer.append(&member, &b"abc"[..]);
        if outcome.is_err() {
            assert!(matches!(outcome, Err(WriteError::Write(_))));
            let again = writer.append(&member, &b"abc"[..]);
            assert!(matches!(again, Err(WriteError::Stopped)));
            assert!(matches!(writer.write_data(b""), Err(WriteError::Stopped)));
        }
        assert!(writer.finish().is_err(), "{room}");
    }
    let mut writer = Writer::new(Full(3072));
    assert!(writer.append(&member, &b"abc"[..]).is_ok());
    assert!(writer.finish().is_ok());
}

#[test]
fn data_that_fail_stop_the_writer() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let member = NewMember {
        size: 3,
        ..NewMember::new(b"f", Kind::File)
    };
    let mut writer = Writer::new(Vec::new());
    let outcome = writer.append(&member, b"a".chain(Failing));
    assert!(matches!(outcome, Err(WriteError::Data(_))));
    assert!(matches!(writer.finish(), Err(WriteError::Stopped)));
}
