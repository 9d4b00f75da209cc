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
    let header_size = field::unsigned(&block[field::SIZE])?;
    let stored_size = records.size.unwrap_or(header_size);
    let mut size = stored_size;
    let (map, sparse_name) = sparse_map(block, &mut records, &mut size)?;

    let path = sparse_name
        .or_else(|| records.path.take())
        .or(long_name)
        .unwrap_or_else(|| header_name(block));
    let kind = kind(type_byte, &path);
    let link = match kind {
        Kind::HardLink | Kind::Symlink => {
            let in_header = || field::text(&block[field::LINK]).to_vec();
            records.link.take().or(long_link).unwrap_or_else(in_header)
        }
        _ => Vec::new(),
    };
    // As for Go's archive/tar, no data follows these whatever their size says.
    let has_data = !matches!(type_byte, b'1'..=b'6');
    // Some programs pass over the data of a hard link, others take it for headers.
    if kind == Kind::HardLink && stored_size > 0 {
        return Err("a hard link states a size");
    }
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
        stored_size: if has_data { stored_size } else { 0 },
        sparse: None,
        device: device(block, kind)?,
        xattrs: records.xattrs,
        path,
        header_position: 0,
        data_position: 0,
    };
    Ok((member, map))
}

/// Finds out whether a member is sparse; `size` becomes that with its holes.
fn sparse_map(
    block: &Block,
    records: &mut Records,
    size: &mut u64,
) -> Result<(SparseMap, Option<Vec<u8>>), Reason> {
    match block[field::TYPE] {
        b'S' => {
            let mut map = Map::default();
            let more = sparse::old_gnu(&mut map, block, true)?;
            *size = sparse::old_gnu_size(block)?;
            Ok((SparseMap::InBlocks { map, more }, None))
        }
        b'0' | 0 => {
            let described = &mut records.sparse;
            let map = if described.is_in_data()? {
                SparseMap::InData
            } else if let Some(map) = described.map()? {
                SparseMap::Known(map)
            } else {
                return Ok((SparseMap::None, None));
            };
            *size = described
                .size
                .ok_or("a sparse file does not state its size")?;
            Ok((map, described.name.take()))
        }
        _ => Ok((SparseMap::None, None)),
    }
}

fn kind(type_byte: u8, path: &[u8]) -> Kind {
    match type_byte {
        // The oldest programs told directories by their names alone.
        b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
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
