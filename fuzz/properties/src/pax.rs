//! Extended headers: the reader against a model of what they mean.
//!
//! An input is a series of choices, of which an archive is made; the model knows the choices and
//! needs no parser. What it has no opinion on is still held to the laws of [`tar_reader`], and
//! what has been read can be written and read again.

use std::time::{Duration, SystemTime};

use arbitrary::{Result, Unstructured};
use layergraph_tar::{Kind, Member, NewMember, Reader, WriteError, Writer};

use crate::craft::{BLOCK, END, Header, LINK, NAME, PREFIX, TYPE, UID, long, padded, record};
use crate::tar_reader;

/// Data longer than this are not made, and the archive is cut off there.
const MOST_DATA: u64 = 2000;

/// Checks what the reader makes of extended headers.
///
/// # Panics
///
/// Panics if it is not what they mean.
pub fn pax(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let Ok((archive, expected)) = archive(&mut choices) else {
        return;
    };
    tar_reader(&archive);
    let mut reader = Reader::new(&archive[..]);
    for expected in expected {
        match (expected, reader.next_member()) {
            (Expected::Member(expected), Ok(Some(member))) => {
                expected.check(&member);
                check_written_again(&member);
            }
            (Expected::Refused, Err(_)) | (Expected::Unknown, _) => return,
            (expected, read) => panic!("expected {expected:?}, read {read:?}"),
        }
    }
    assert!(matches!(reader.next_member(), Ok(None)));
}

#[derive(Debug)]
enum Expected {
    Member(Box<Fields>),
    Refused,
    Unknown,
}

/// What a member is to be.
#[derive(Debug, Default)]
struct Fields {
    path: Vec<u8>,
    link: Vec<u8>,
    user: Vec<u8>,
    group: Vec<u8>,
    uid: i128,
    gid: i128,
    size: u64,
    mtime: Option<SystemTime>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Fields {
    fn check(&self, member: &Member) {
        assert_eq!(member.path, self.path);
        assert_eq!((&member.link, member.size), (&self.link, self.size));
        assert_eq!((&member.user, &member.group), (&self.user, &self.group));
        assert_eq!(i128::from(member.uid), self.uid);
        assert_eq!(i128::from(member.gid), self.gid);
        assert_eq!(Some(member.mtime), self.mtime);
        assert_eq!(member.xattrs, self.xattrs);
    }
}

/// What extension headers have said so far; `Err` where they are wrong.
#[derive(Debug, Default)]
struct Stated {
    records: Records,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

/// What the records of one extended header say.
#[derive(Debug, Default)]
struct Records {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    user: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
    size: Option<i128>,
    uid: Option<i128>,
    gid: Option<i128>,
    mtime: Option<SystemTime>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why there is no member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Not {
    Right,
    Known,
}

fn archive(choices: &mut Unstructured<'_>) -> Result<(Vec<u8>, Vec<Expected>)> {
    let mut archive = Vec::new();
    let mut all_expected = Vec::new();
    for _ in 0..choices.int_in_range(1..=3)? {
        let mut stated = Ok(Stated::default());
        for _ in 0..choices.int_in_range(0..=3)? {
            let said = extension(choices, &mut archive)?;
            stated = stated.and_then(|stated| said.map(|said| said.after(stated)));
        }
        let expected = match member(choices, &mut archive, stated)? {
            Ok(fields) => Expected::Member(Box::new(fields)),
            Err(Not::Right) => Expected::Refused,
            Err(Not::Known) => Expected::Unknown,
        };
        let is_member = matches!(expected, Expected::Member(_));
        all_expected.push(expected);
        if !is_member {
            return Ok((archive, all_expected));
        }
    }
    archive.extend(END);
    Ok((archive, all_expected))
}

enum Said {
    Records(Box<Records>),
    LongName(Vec<u8>),
    LongLink(Vec<u8>),
}

impl Said {
    /// Of several headers of one kind the last counts.
    fn after(self, mut stated: Stated) -> Stated {
        match self {
            Said::Records(records) => stated.records = *records,
            Said::LongName(name) => stated.long_name = Some(name),
            Said::LongLink(name) => stated.long_link = Some(name),
        }
        stated
    }
}

fn extension(
    choices: &mut Unstructured<'_>,
    archive: &mut Vec<u8>,
) -> Result<std::result::Result<Said, Not>> {
    let kind = choices.int_in_range(0..=7)?;
    if kind < 2 {
        let name = text(choices)?;
        archive.extend(long([b'L', b'K'][kind], &name));
        let end = name
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        let name = name[..end].to_vec();
        let said = [Said::LongName, Said::LongLink][kind](name.clone());
        return Ok(if name.is_empty() || name.contains(&0) {
            Err(Not::Right)
        } else {
            Ok(said)
        });
    }
    let mut body = Vec::new();
    let mut records = Ok(Records::default());
    for _ in 0..choices.int_in_range(0..=5)? {
        let (key, value, effect) = one_record(choices)?;
        let mut bytes = record(&key, &value);
        if choices.ratio(1, 24)? {
            let at = choices.choose_index(bytes.len())?;
            bytes[at] = *choices.choose(b"0 =\n1\0")?;
            // What a damaged one means, another parser would have to say.
            records = Err(Not::Known);
        }
        body.extend(bytes);
        records = records.and_then(|mut records| {
            effect.apply(&mut records)?;
            Ok(records)
        });
    }
    archive.extend(Header::new(b"PaxHeaders/x", b'x').data(&body));
    Ok(records.map(|records| Said::Records(Box::new(records))))
}

/// What a record changes.
#[derive(Debug)]
enum Effect {
    Text(usize, Vec<u8>),
    Number(usize, Option<i128>),
    Time(Option<SystemTime>),
    Xattr(Vec<u8>, Vec<u8>),
    Nothing,
    Wrong,
    Unknown,
}

impl Effect {
    fn apply(self, records: &mut Records) -> std::result::Result<(), Not> {
        match self {
            Effect::Text(_, value) if value.contains(&0) => return Err(Not::Right),
            Effect::Text(at, value) => {
                let fields = [
                    &mut records.path,
                    &mut records.link,
                    &mut records.user,
                    &mut records.group,
                ];
                let text = (!value.is_empty()).then_some(value);
                *fields.into_iter().nth(at).expect("one of four") = text;
            }
            Effect::Number(0, Some(number)) if number < 0 => return Err(Not::Right),
            Effect::Number(at, number) => {
                let fields = [&mut records.size, &mut records.uid, &mut records.gid];
                *fields.into_iter().nth(at).expect("one of three") = number;
            }
            Effect::Time(time) => records.mtime = time,
            Effect::Xattr(name, _) if name.is_empty() || name.contains(&0) => {
                return Err(Not::Right);
            }
            Effect::Xattr(name, value) => {
                records.xattrs.retain(|(known, _)| *known != name);
                records.xattrs.push((name, value));
                records.xattrs.sort();
            }
            Effect::Nothing => {}
            Effect::Wrong => return Err(Not::Right),
            Effect::Unknown => return Err(Not::Known),
        }
        Ok(())
    }
}

fn one_record(choices: &mut Unstructured<'_>) -> Result<(Vec<u8>, Vec<u8>, Effect)> {
    let key = |name: &str| name.as_bytes().to_vec();
    Ok(match choices.int_in_range(0..=12)? {
        at @ 0..=3 => {
            let value = text(choices)?;
            let keys = ["path", "linkpath", "uname", "gname"];
            (key(keys[at]), value.clone(), Effect::Text(at, value))
        }
        at @ 4..=7 => {
            // A size is often right, or no member would be.
            let at = [0, 1, 2, 0][at - 4];
            let (value, number) = number(choices)?;
            let effect = match number {
                Number::Of(number) => Effect::Number(at, Some(number)),
                Number::Nothing => Effect::Number(at, None),
                Number::Wrong => Effect::Wrong,
            };
            (key(["size", "uid", "gid"][at]), value, effect)
        }
        8 => {
            let (value, effect) = time(choices)?;
            (key("mtime"), value, effect)
        }
        9 | 10 => {
            let name = text(choices)?.into_iter().filter(|byte| *byte != b'=');
            let name: Vec<u8> = name.collect();
            let value = text(choices)?;
            let key = [b"SCHILY.xattr.", &name[..]].concat();
            (key, value.clone(), Effect::Xattr(name, value))
        }
        11 => (key("comment"), text(choices)?, Effect::Nothing),
        _ => {
            let keys = [
                "GNU.sparse.map",
                "GNU.sparse.size",
                "GNU.sparse.major",
                "GNU.sparse.offset",
                "GNU.sparse.numblocks",
                "atime",
            ];
            let value: Vec<u8> = if choices.ratio(1, 4)? {
                text(choices)?
            } else {
                b"0,3,512,2"[..=2 * choices.int_in_range(0..=3)?].to_vec()
            };
            (key(choices.choose(&keys)?), value, Effect::Unknown)
        }
    })
}

/// Returns a few bytes, often those that mean something elsewhere.
fn text(choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = match choices.int_in_range(0..=15)? {
        15 => choices.int_in_range(90..=700)?,
        short => short / 3,
    };
    let mut text = Vec::new();
    for _ in 0..length {
        text.push(match choices.int_in_range(0..=31)? {
            at @ 0..=11 => b"\n=/. \xff1ab:\xc3\xa9"[at],
            12 => 0,
            _ => b'a',
        });
    }
    Ok(text)
}

/// What the text of a number says.
enum Number {
    Of(i128),
    Nothing,
    Wrong,
}

fn number(choices: &mut Unstructured<'_>) -> Result<(Vec<u8>, Number)> {
    let magnitude: u64 = match choices.int_in_range(0..=7)? {
        0 => choices.arbitrary()?,
        1 => *choices.choose(&[
            u64::MAX,
            u64::MAX - 511,
            1 << 63,
            (1 << 33) - 1,
            u64::from(u32::MAX),
            u64::from(u32::MAX) - 1,
        ])?,
        _ => choices.int_in_range(0..=1500)?,
    };
    Ok(match choices.int_in_range(0..=15)? {
        0 => (Vec::new(), Number::Nothing),
        1 => {
            let text =
                choices.choose(&["+1", "0x1", " 1", "1 ", "--1", "-", "18446744073709551616"])?;
            (text.as_bytes().to_vec(), Number::Wrong)
        }
        2 => (
            format!("-{magnitude}").into(),
            Number::Of(-i128::from(magnitude)),
        ),
        3 => (
            format!("000{magnitude}").into(),
            Number::Of(magnitude.into()),
        ),
        _ => (magnitude.to_string().into(), Number::Of(magnitude.into())),
    })
}

fn time(choices: &mut Unstructured<'_>) -> Result<(Vec<u8>, Effect)> {
    let (seconds, number) = number(choices)?;
    let (number, is_negative) = match number {
        Number::Wrong => return Ok((seconds, Effect::Wrong)),
        Number::Nothing => return Ok((seconds, Effect::Time(None))),
        Number::Of(number) => (number, seconds.starts_with(b"-")),
    };
    let digits: String = (0..choices.int_in_range(0..=11)?)
        .map(|_| choices.int_in_range(b'0'..=b'9').map(char::from))
        .collect::<Result<_>>()?;
    let dot = if choices.ratio(1, 2)? { "." } else { "" };
    let (dot, digits) = match dot {
        "." => (dot, digits),
        _ => ("", String::new()),
    };
    let nanos = format!("{digits:0<9}")[..9].parse().unwrap_or(0);
    let seconds_alone = u64::try_from(number.abs()).expect("it has 64 bits");
    let distance = Duration::new(seconds_alone, nanos);
    let time = if is_negative {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    let value = [&seconds[..], dot.as_bytes(), digits.as_bytes()].concat();
    Ok((
        value,
        time.map_or(Effect::Wrong, |time| Effect::Time(Some(time))),
    ))
}

/// Adds a header with its data, and says what is to be read of it.
fn member(
    choices: &mut Unstructured<'_>,
    archive: &mut Vec<u8>,
    stated: std::result::Result<Stated, Not>,
) -> Result<std::result::Result<Fields, Not>> {
    let without_nul = |text: Vec<u8>| text.into_iter().filter(|byte| *byte != 0);
    let mut name: Vec<u8> = without_nul(text(choices)?).collect();
    name.truncate(NAME.len());
    let prefix: Vec<u8> = if choices.ratio(1, 6)? {
        without_nul(text(choices)?).take(PREFIX.len()).collect()
    } else {
        Vec::new()
    };
    let mut link: Vec<u8> = without_nul(text(choices)?).collect();
    link.truncate(LINK.len());
    let type_byte = *choices.choose(b"00000\x007125346")?;
    let in_header = choices.int_in_range(0..=700)? * u64::from(choices.ratio(2, 3)?);
    let uid = choices.int_in_range(0..=2000)?;

    let mut header = Header::new(&name, type_byte)
        .with(PREFIX, &prefix)
        .link(&link)
        .with(UID, format!("{uid:07o}\0").as_bytes())
        .size(in_header);
    header.0[TYPE] = type_byte;
    archive.extend(header.block());

    let has_data = !matches!(type_byte, b'1'..=b'6');
    let in_record = stated.as_ref().ok().and_then(|stated| stated.records.size);
    let size = match in_record {
        Some(size) => u64::try_from(size).unwrap_or(u64::MAX),
        None if has_data => in_header,
        None => 0,
    };
    let data = vec![b'd'; usize::try_from(size.min(MOST_DATA)).unwrap_or(0)];
    archive.extend(padded(&data));
    let stated = match stated {
        Ok(stated) => stated,
        Err(not) => return Ok(Err(not)),
    };
    if type_byte == b'1' && in_record.is_none() && in_header > 0 {
        return Ok(Err(Not::Right));
    }
    if !has_data && size > 0 {
        return Ok(Err(Not::Right));
    }
    let in_header = match &prefix[..] {
        b"" => name,
        prefix => [prefix, &name].join(&b'/'),
    };
    let fields = fields(stated, type_byte, in_header, link, uid, size);
    // A member with more data than there are is read, and then nothing.
    Ok(fields.and_then(|fields| match fields.size {
        ..=MOST_DATA => Ok(fields),
        _ => Err(Not::Known),
    }))
}

fn fields(
    stated: Stated,
    type_byte: u8,
    name: Vec<u8>,
    link: Vec<u8>,
    uid: i128,
    size: u64,
) -> std::result::Result<Fields, Not> {
    let Stated {
        records,
        long_name,
        long_link,
    } = stated;
    let one_of = |record: Option<Vec<u8>>, long: Option<Vec<u8>>| match (record, long) {
        (Some(record), Some(long)) if record != long => Err(Not::Right),
        (record, long) => Ok(record.or(long)),
    };
    let path = one_of(records.path, long_name)?.unwrap_or(name);
    let long_link = one_of(records.link, long_link)?;
    let link = match type_byte {
        b'1' | b'2' => long_link.unwrap_or(link),
        _ => Vec::new(),
    };
    let is_named_directory = path.ends_with(b"/") && matches!(type_byte, b'0' | 0 | b'7');
    if is_named_directory && size > 0 {
        return Err(Not::Right);
    }
    let uid = records.uid.unwrap_or(uid);
    let gid = records.gid.unwrap_or(0);
    if [uid, gid]
        .iter()
        .any(|id| !(0..i128::from(u32::MAX)).contains(id))
    {
        return Err(Not::Right);
    }
    Ok(Fields {
        path,
        link,
        user: records.user.unwrap_or_default(),
        group: records.group.unwrap_or_default(),
        uid,
        gid,
        size,
        mtime: records.mtime.or(Some(SystemTime::UNIX_EPOCH)),
        xattrs: records.xattrs,
    })
}

/// Checks that what was read can be written, unless it is what no writer should write, and that it
/// is then read as it was.
fn check_written_again(member: &Member) {
    let new = NewMember {
        path: &member.path,
        kind: member.kind,
        link: &member.link,
        mode: member.mode,
        uid: member.uid,
        gid: member.gid,
        user: &member.user,
        group: &member.group,
        mtime: member.mtime,
        atime: member.atime,
        ctime: member.ctime,
        size: 0,
        device: member.device,
        xattrs: &member.xattrs,
    };
    let mut writer = Writer::new(Vec::new());
    match writer.append(&new, std::io::empty()) {
        Ok(()) => {}
        Err(WriteError::Member { .. }) => {
            let is_odd = member.kind != Kind::Directory && member.path.ends_with(b"/");
            let is_nowhere =
                member.link.is_empty() && matches!(member.kind, Kind::HardLink | Kind::Symlink);
            assert!(is_odd || is_nowhere || member.path.is_empty(), "{member:?}");
            return;
        }
        Err(other) => panic!("{other:?} of {member:?}"),
    }
    let archive = writer.finish().expect("a vector takes it");
    assert_eq!(archive.len() % BLOCK, 0);
    let read = Reader::new(&archive[..]).next_member();
    let mut read = read.expect("ours can be read").expect("there is one");
    if member.kind == Kind::Directory && !member.path.ends_with(b"/") {
        assert_eq!(read.path.pop(), Some(b'/'));
    }
    // What depends on where it stands, and on the data that are left out.
    (read.size, read.stored_size) = (member.size, member.stored_size);
    read.header_position = member.header_position;
    read.data_position = member.data_position;
    assert_eq!(read, *member);
}
