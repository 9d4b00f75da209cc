//! The writer: the same members always give the same bytes.

use std::io::{self, Read, Write};
use std::time::SystemTime;

use crate::field::{self, BLOCK, Block};
use crate::pax::XATTR;
use crate::{Kind, Limits, WriteError};

/// A member to be written. Fields that a kind has no use for are not looked at.
#[derive(Debug, Clone, Copy)]
pub struct NewMember<'a> {
    /// The name; a directory gets its trailing slash from the writer.
    pub path: &'a [u8],
    /// The kind of object; [`Kind::Other`] and [`Kind::Global`] are refused.
    pub kind: Kind,
    /// The target of a link.
    pub link: &'a [u8],
    /// The permission bits; further bits are dropped.
    pub mode: u32,
    /// The owner's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// The owner's name, usually empty.
    pub user: &'a [u8],
    /// The group's name, usually empty.
    pub group: &'a [u8],
    /// When the content was last changed.
    pub mtime: SystemTime,
    /// When it was last read, if that is to be written.
    pub atime: Option<SystemTime>,
    /// When its metadata last changed, if that is to be written.
    pub ctime: Option<SystemTime>,
    /// The size of a file in bytes.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// The extended attributes, in any order, each name once.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

impl<'a> NewMember<'a> {
    /// Makes a member with no rights, owned by 0:0, of the year 1970, without data or attributes.
    pub fn new(path: &'a [u8], kind: Kind) -> Self {
        NewMember {
            path,
            kind,
            link: &[],
            mode: 0,
            uid: 0,
            gid: 0,
            user: &[],
            group: &[],
            mtime: SystemTime::UNIX_EPOCH,
            atime: None,
            ctime: None,
            size: 0,
            device: (0, 0),
            xattrs: &[],
        }
    }
}

/// Writes an archive, deterministically.
///
/// Headers are those of ustar; what ustar has no room for stands in PAX records before it, in the
/// order of their keys. After an error the writer gives [`WriteError::Stopped`], but for members
/// that were refused before anything was written of them.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    position: u64,
    data_left: u64,
    padding: u64,
    stopped: bool,
}

impl<W: Write> Writer<W> {
    /// Makes a writer of an archive to `output`, which needs no buffer of its own.
    pub fn new(output: W) -> Self {
        Writer {
            output,
            position: 0,
            data_left: 0,
            padding: 0,
            stopped: false,
        }
    }

    /// Writes a member with its data: `member.size` bytes of `data`, which must end there.
    ///
    /// Only files have data; for other kinds `data` is not read (`io::empty()` will do).
    pub fn append(
        &mut self,
        member: &NewMember<'_>,
        mut data: impl Read,
    ) -> Result<(), WriteError> {
        self.begin(member)?;
        if member.kind != Kind::File {
            return self.end();
        }
        self.stopped = true;
        let expected = member.size;
        let mut buffer = vec![0; capacity(expected)];
        while self.data_left > 0 {
            let most = buffer
                .len()
                .min(usize::try_from(self.data_left).unwrap_or(usize::MAX));
            let count = read(&mut data, &mut buffer[..most])?;
            if count == 0 {
                return Err(WriteError::Length { expected });
            }
            self.write(&buffer[..count])?;
            self.data_left -= count as u64;
        }
        if read(&mut data, &mut [0])? > 0 {
            return Err(WriteError::Length { expected });
        }
        self.stopped = false;
        self.end()
    }

    /// Writes the headers of a member, after which come `member.size` bytes by
    /// [`write_data`](Writer::write_data), if it is a file. The member before is ended.
    pub fn begin(&mut self, member: &NewMember<'_>) -> Result<(), WriteError> {
        // The member before, if nobody has said that it is complete.
        self.end()?;
        let headers = headers(member)?;
        self.write(&headers)?;
        let size = if member.kind == Kind::File {
            member.size
        } else {
            0
        };
        self.data_left = size;
        self.padding = field::padding(size);
        Ok(())
    }

    /// Writes data of the member that was begun last.
    pub fn write_data(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if self.stopped {
            return Err(WriteError::Stopped);
        }
        let expected = self.data_left;
        let left = self.data_left.checked_sub(bytes.len() as u64);
        let Some(left) = left else {
            self.stopped = true;
            return Err(WriteError::Length { expected });
        };
        self.write(bytes)?;
        self.data_left = left;
        Ok(())
    }

    /// Ends the member that was begun last; all its data must have been written.
    pub fn end(&mut self) -> Result<(), WriteError> {
        if self.stopped {
            return Err(WriteError::Stopped);
        }
        if self.data_left > 0 {
            self.stopped = true;
            return Err(WriteError::Length {
                expected: self.data_left,
            });
        }
        let padding = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or_default();
        self.write(&[0; BLOCK][..padding])
    }

    /// Returns how many bytes of archive were written so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Writes the end marker (1,024 zero bytes), flushes and gives back the output.
    #[must_use = "an archive without its end marker is incomplete"]
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.end()?;
        self.write(&[0; 2 * BLOCK])?;
        self.output.flush().map_err(WriteError::Write)?;
        Ok(self.output)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if let Err(error) = self.output.write_all(bytes) {
            self.stopped = true;
            return Err(WriteError::Write(error));
        }
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// How much data is passed on at a time: no more than there is.
fn capacity(size: u64) -> usize {
    const MOST: usize = 128 << 10;
    usize::try_from(size).unwrap_or(MOST).clamp(1, MOST)
}

fn read(data: &mut impl Read, buffer: &mut [u8]) -> Result<usize, WriteError> {
    loop {
        match data.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(WriteError::Data),
        }
    }
}

/// The largest numbers of 7 and of 11 octal digits.
const MAX_7: u64 = (1 << 21) - 1;
const MAX_11: u64 = (1 << 33) - 1;

/// Writes the header block of a member, with an extended header before it where that is needed.
fn headers(member: &NewMember<'_>) -> Result<Vec<u8>, WriteError> {
    check(member)?;
    let mut path = member.path.to_vec();
    if member.kind == Kind::Directory && !path.ends_with(b"/") {
        path.push(b'/');
    }
    let mut records = Records::default();
    let mut block = [0; BLOCK];
    let (prefix, name) = ustar_name(&path).unwrap_or_else(|| {
        records.add(b"path", &path);
        (&[], &path[..path.len().min(100)])
    });
    put(&mut block, field::PREFIX, prefix);
    put(&mut block, field::NAME, name);
    if matches!(member.kind, Kind::HardLink | Kind::Symlink) {
        if member.link.len() > field::LINK.len() || !member.link.is_ascii() {
            records.add(b"linkpath", member.link);
        }
        put(
            &mut block,
            field::LINK,
            &member.link[..member.link.len().min(100)],
        );
    }
    number(&mut block, field::MODE, (member.mode & 0o7777).into());
    let size = if member.kind == Kind::File {
        member.size
    } else {
        0
    };
    let mut numbers = |key: &[u8], at: std::ops::Range<usize>, value: u64, most: u64| {
        if value > most {
            records.add(key, value.to_string().as_bytes());
        }
        number(&mut block, at, if value > most { 0 } else { value });
    };
    numbers(b"uid", field::UID, member.uid.into(), MAX_7);
    numbers(b"gid", field::GID, member.gid.into(), MAX_7);
    numbers(b"size", field::SIZE, size, MAX_11);
    let (seconds, nanos) = split(member.mtime);
    let whole = u64::try_from(seconds)
        .ok()
        .filter(|&whole| whole <= MAX_11 && nanos == 0);
    if whole.is_none() {
        records.add(b"mtime", decimal(seconds, nanos).as_bytes());
    }
    // Who does not read the record gets the nearest that the field can hold.
    let nearest = u64::try_from(seconds).map_or(0, |seconds| seconds.min(MAX_11));
    number(&mut block, field::MTIME, whole.unwrap_or(nearest));
    for (key, time) in [(&b"atime"[..], member.atime), (b"ctime", member.ctime)] {
        if let Some((seconds, nanos)) = time.map(split) {
            records.add(key, decimal(seconds, nanos).as_bytes());
        }
    }
    owners(&mut records, &mut block, member);
    let (major, minor) = match member.kind {
        Kind::CharDevice | Kind::BlockDevice => member.device,
        _ => (0, 0),
    };
    number(&mut block, field::MAJOR, major.into());
    number(&mut block, field::MINOR, minor.into());
    for (key, value) in member.xattrs {
        records.add(&[XATTR, key].concat(), value);
    }
    block[field::TYPE] = type_byte(member.kind);
    seal(&mut block);
    let mut headers = records.finish()?;
    headers.extend_from_slice(&block);
    Ok(headers)
}

/// Writes the names of owner and group.
fn owners(records: &mut Records, block: &mut Block, member: &NewMember<'_>) {
    for (key, at, owner) in [
        (&b"uname"[..], field::USER, member.user),
        (b"gname", field::GROUP, member.group),
    ] {
        // A NUL ends the field.
        if owner.len() >= at.len() || !owner.is_ascii() {
            records.add(key, owner);
        } else {
            put(block, at, owner);
        }
    }
}

/// Refuses what a tar has no room for.
fn check(member: &NewMember<'_>) -> Result<(), WriteError> {
    let refuse = |reason| Err(WriteError::Member { reason });
    if matches!(member.kind, Kind::Other(_) | Kind::Global) {
        return refuse("its kind is not one of an object");
    }
    if member.path.is_empty() {
        return refuse("it has no name");
    }
    let is_link = matches!(member.kind, Kind::HardLink | Kind::Symlink);
    if is_link && member.link.is_empty() {
        return refuse("its link has no target");
    }
    if member.kind != Kind::Directory && member.path.ends_with(b"/") {
        return refuse("its name is that of a directory");
    }
    let names = [member.path, member.link, member.user, member.group];
    if names.iter().any(|name| name.contains(&0)) {
        return refuse("a name has a NUL in it");
    }
    if member.uid == u32::MAX || member.gid == u32::MAX {
        return refuse("an id means no owner");
    }
    if u64::from(member.device.0.max(member.device.1)) > MAX_7 {
        return refuse("a device number is too large");
    }
    let bad = |key: &Vec<u8>| key.is_empty() || key.contains(&0) || key.contains(&b'=');
    if member.xattrs.iter().any(|(key, _)| bad(key)) {
        return refuse("an attribute has a name that cannot be written");
    }
    Ok(())
}

fn type_byte(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
        Kind::Global => b'g',
        Kind::Other(byte) => byte,
    }
}

/// Splits a name for the fields of ustar, if it can be: ASCII, at most 155 and 100 bytes around a
/// slash.
fn ustar_name(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if !path.is_ascii() {
        return None;
    }
    if path.len() <= field::NAME.len() {
        return Some((&[], path));
    }
    // The first slash that leaves a short enough name; the one at the end does not count.
    let earliest = path.len() - field::NAME.len() - 1;
    let slash = path[earliest..path.len() - 1]
        .iter()
        .position(|&byte| byte == b'/')?
        + earliest;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (!prefix.is_empty() && prefix.len() <= field::PREFIX.len()).then_some((prefix, name))
}

fn put(block: &mut Block, at: std::ops::Range<usize>, bytes: &[u8]) {
    block[at.start..at.start + bytes.len()].copy_from_slice(bytes);
}

/// Writes octal digits up to the last byte of a field, which stays NUL.
fn number(block: &mut Block, at: std::ops::Range<usize>, number: u64) {
    let digits = format!("{number:0width$o}", width = at.len() - 1);
    put(block, at, digits.as_bytes());
}

/// Fills in magic, version and checksum.
fn seal(block: &mut Block) {
    put(block, field::MAGIC, b"ustar\x0000");
    block[field::CHECKSUM].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    put(block, field::CHECKSUM, format!("{sum:06o}\0 ").as_bytes());
}

/// Returns whole seconds, rounded down, and the nanoseconds above them.
fn split(time: SystemTime) -> (i128, u32) {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (after.as_secs().into(), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            match (i128::from(before.as_secs()), before.subsec_nanos()) {
                (seconds, 0) => (-seconds, 0),
                (seconds, nanos) => (-seconds - 1, 1_000_000_000 - nanos),
            }
        }
    }
}

/// Prints a time as a decimal number without trailing zeros.
fn decimal(seconds: i128, nanos: u32) -> String {
    if nanos == 0 {
        return seconds.to_string();
    }
    let (sign, whole, nanos) = if seconds < 0 {
        ("-", -(seconds + 1), 1_000_000_000 - nanos)
    } else {
        ("", seconds, nanos)
    };
    let text = format!("{sign}{whole}.{nanos:09}");
    text.trim_end_matches('0').to_owned()
}

/// Records of an extended header.
#[derive(Default)]
struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.0.push((key.to_vec(), value.to_vec()));
    }

    /// Writes the extended header, nothing if there are no records.
    fn finish(mut self) -> Result<Vec<u8>, WriteError> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        self.0.sort();
        let body: Vec<u8> = self
            .0
            .iter()
            .flat_map(|(key, value)| record(key, value))
            .collect();
        // A longer one could be written, and neither our reader nor Go's would read it.
        if body.len() as u64 > Limits::default().extension_bytes {
            let reason = "its names and attributes are longer than what readers take";
            return Err(WriteError::Member { reason });
        }
        let mut block = [0; BLOCK];
        put(&mut block, field::NAME, b"PaxHeaders/member");
        number(&mut block, field::MODE, 0o644);
        for at in [
            field::UID,
            field::GID,
            field::MTIME,
            field::MAJOR,
            field::MINOR,
        ] {
            number(&mut block, at, 0);
        }
        number(&mut block, field::SIZE, body.len() as u64);
        block[field::TYPE] = b'x';
        seal(&mut block);
        let mut bytes = block.to_vec();
        bytes.extend_from_slice(&body);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        Ok(bytes)
    }
}

/// Writes one record, whose length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} ").into_bytes();
    record.extend_from_slice(key);
    record.push(b'=');
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_begun_ends_the_one_before() -> Result<(), WriteError> {
        let member = NewMember {
            size: 1,
            ..NewMember::new(b"f", Kind::File)
        };
        let mut ended = Writer::new(Vec::new());
        let mut begun = Writer::new(Vec::new());
        for _ in 0..2 {
            ended.append(&member, &b"x"[..])?;
            begun.begin(&member)?;
            begun.write_data(b"x")?;
        }
        assert_eq!(begun.finish()?, ended.finish()?);
        Ok(())
    }

    #[test]
    fn data_of_another_length_is_refused_and_stops_the_writer() {
        let member = NewMember {
            size: 2,
            ..NewMember::new(b"f", Kind::File)
        };
        for data in [&b"x"[..], b"xyz"] {
            let mut writer = Writer::new(Vec::new());
            let refused = writer.append(&member, data);
            assert!(matches!(refused, Err(WriteError::Length { expected: 2 })));
            assert!(matches!(writer.end(), Err(WriteError::Stopped)));
        }
    }
}
