//! From a header block, and what extended headers said before it, to a member.

use std::time::{Duration, SystemTime};

use crate::field::{self, Block, Reason};
use crate::pax::Records;
use crate::sparse::{self, Map};
use crate::{Kind, Member};

/// What the extension headers before a member say.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) records: Option<Records>,
    pub(crate) long_name: Option<Vec<u8>>,
    pub(crate) long_link: Option<Vec<u8>>,
    pub(crate) count: u32,
}

/// Where the map of a sparse member is.
pub(crate) enum SparseMap {
    /// The member is not sparse.
    None,
    /// All of it is known.
    Known(Map),
    /// In blocks after the header, if `more` of them follow.
    InBlocks { map: Map, more: bool },
    /// At the head of the data.
    InData,
}

/// Makes the member of a header block. Positions and the sparse map are for the reader to fill in.
pub(crate) fn member(block: &Block, extensions: Extensions) -> Result<(Member, SparseMap), Reason> {
    let Extensions {
        records,
        long_name,
        long_link,
        ..
    } = extensions;
    let mut records = records.unwrap_or_default();
    let type_byte = block[field::TYPE];
    let stored_size = stored_size(block, &records)?;
    let mut size = stored_size;
    let (map, sparse_name) = sparse_map(block, &mut records, &mut size)?;

    let long_path = one_of(records.path.take(), long_name)?;
    let long_link = one_of(records.link.take(), long_link)?;
    let path = sparse_name
        .or(long_path)
        .unwrap_or_else(|| header_name(block));
    let kind = kind(type_byte, &path);
    // Some programs pass over the data of such a directory, others take it for headers.
    if kind == Kind::Directory && size > 0 {
        return Err("what is a directory by its name states a size");
    }
    let link = match kind {
        Kind::HardLink | Kind::Symlink => {
            let in_header = || field::text(&block[field::LINK]).to_vec();
            long_link.unwrap_or_else(in_header)
        }
        _ => Vec::new(),
    };
    let id = |stated: Option<i128>, at: std::ops::Range<usize>| match stated {
        Some(number) => field::id(number),
        None => field::number(&block[at]).and_then(field::id),
    };
    let has_names = &block[field::MAGIC][..5] == b"ustar";
    let owner = |stated: Option<Vec<u8>>, at: std::ops::Range<usize>| match stated {
        Some(name) => name,
        None if has_names => field::text(&block[at]).to_vec(),
        None => Vec::new(),
    };
    let member = Member {
        kind,
        link,
        mode: mode(block)?,
        uid: id(records.uid, field::UID)?,
        gid: id(records.gid, field::GID)?,
        user: owner(records.user.take(), field::USER),
        group: owner(records.group.take(), field::GROUP),
        mtime: match records.mtime {
            Some(time) => time,
            None => header_time(&block[field::MTIME])?,
        },
        atime: records.atime,
        ctime: records.ctime,
        size,
        stored_size,
        sparse: None,
        device: device(block, kind)?,
        xattrs: records.xattrs,
        path,
        header_position: 0,
        data_position: 0,
    };
    Ok((member, map))
}

/// Returns how many bytes of data follow.
fn stored_size(block: &Block, records: &Records) -> Result<u64, Reason> {
    let in_header = field::unsigned(&block[field::SIZE])?;
    let has_data = !matches!(block[field::TYPE], b'1'..=b'6');
    match records.size {
        // GNU tar and bsdtar pass over as much data, Go's archive/tar and Python's tarfile go on
        // with the next header.
        Some(1..) if !has_data => Err("a PAX record gives a size to what has no data"),
        Some(size) => Ok(size),
        // POSIX lets data follow a hard link. Most programs pass over none and would read it as
        // headers, libarchive and others pass over it: what one lists, another never sees.
        None if block[field::TYPE] == b'1' && in_header > 0 => Err("a hard link states a size"),
        // Old programs gave links the size of their target, and wrote no data: readers know that.
        None if !has_data => Ok(0),
        None => Ok(in_header),
    }
}

/// Returns the name that a PAX record, a GNU long name, or both give. Of two that differ some
/// programs take the first, some the last, some always that of the record.
fn one_of(record: Option<Vec<u8>>, long: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Reason> {
    match (record, long) {
        (Some(record), Some(long)) if record != long => {
            Err("a PAX record and a GNU long name differ")
        }
        (record, long) => Ok(record.or(long)),
    }
}

/// Finds out whether a member is sparse; `size` becomes that with its holes.
fn sparse_map(
    block: &Block,
    records: &mut Records,
    size: &mut u64,
) -> Result<(SparseMap, Option<Vec<u8>>), Reason> {
    let described = &mut records.sparse;
    match (block[field::TYPE], described.is_given()) {
        (b'S', false) => {
            let mut map = Map::default();
            let more = sparse::old_gnu(&mut map, block, true)?;
            *size = sparse::old_gnu_size(block)?;
            Ok((SparseMap::InBlocks { map, more }, None))
        }
        (_, false) => Ok((SparseMap::None, None)),
        (b'0' | b'7' | 0, true) => {
            let map = if described.is_in_data()? {
                SparseMap::InData
            } else {
                SparseMap::Known(described.map()?)
            };
            *size = described
                .size
                .ok_or("a sparse file does not state its size")?;
            Ok((map, described.name.take()))
        }
        (_, true) => Err("the records of a sparse file belong to something else"),
    }
}

fn kind(type_byte: u8, path: &[u8]) -> Kind {
    match type_byte {
        // The oldest programs told directories by their names alone.
        b'0' | 0 | b'7' | b'S' if path.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => Kind::Other(other),
    }
}

fn header_name(block: &Block) -> Vec<u8> {
    let name = field::text(&block[field::NAME]);
    // GNU tar keeps times where POSIX has the prefix, and says so by another magic.
    if &block[field::MAGIC][..6] != b"ustar\0" {
        return name.to_vec();
    }
    // star keeps times in the last 24 bytes of the prefix.
    let prefix = &block[field::PREFIX];
    let prefix = if &block[508..512] == b"tar\0" {
        &prefix[..131]
    } else {
        prefix
    };
    match field::text(prefix) {
        b"" => name.to_vec(),
        prefix => [prefix, name].join(&b'/'),
    }
}

fn mode(block: &Block) -> Result<u32, Reason> {
    let mode = field::unsigned(&block[field::MODE])? & 0o7777;
    Ok(u32::try_from(mode).unwrap_or_default())
}

fn header_time(field: &[u8]) -> Result<SystemTime, Reason> {
    const OUT_OF_RANGE: Reason = "a time is out of range";
    let seconds = i64::try_from(field::number(field)?).map_err(|_| OUT_OF_RANGE)?;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    time.ok_or(OUT_OF_RANGE)
}

fn device(block: &Block, kind: Kind) -> Result<(u32, u32), Reason> {
    if !matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
        return Ok((0, 0));
    }
    let part = |at: std::ops::Range<usize>| {
        let number = field::unsigned(&block[at])?;
        u32::try_from(number).map_err(|_| "a device number is out of range")
    };
    Ok((part(field::MAJOR)?, part(field::MINOR)?))
}
