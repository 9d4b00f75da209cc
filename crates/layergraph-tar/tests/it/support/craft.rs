//! Archives put together block by block, right or wrong as the test wants.

use std::ops::Range;

use layergraph_tar::{Member, Reader, TarError};

/// Where fields of a header block are (tar(5)).
pub(crate) const UID: Range<usize> = 108..116;
pub(crate) const GID: Range<usize> = 116..124;
pub(crate) const SIZE: Range<usize> = 124..136;
pub(crate) const MTIME: Range<usize> = 136..148;
pub(crate) const CHECKSUM: Range<usize> = 148..156;
pub(crate) const MAGIC: Range<usize> = 257..265;

/// The end marker.
pub(crate) const END: [u8; 1024] = [0; 1024];

/// What the magic of a format is, and its version.
pub(crate) const V7: &[u8; 8] = &[0; 8];
pub(crate) const USTAR: &[u8; 8] = b"ustar\x0000";
pub(crate) const GNU: &[u8; 8] = b"ustar  \0";

/// A header block.
#[derive(Clone)]
pub(crate) struct Header([u8; 512]);

impl Header {
    /// Makes the header of an empty member in ustar form.
    pub(crate) fn new(name: &[u8], type_byte: u8) -> Header {
        let header = Header([0; 512])
            .with(0..100, name)
            .with(100..108, b"0000644\0")
            .with(UID, b"0000000\0")
            .with(GID, b"0000000\0")
            .with(MTIME, b"00000000000\0")
            .with(MAGIC, USTAR);
        header.with(156..157, &[type_byte]).size(0)
    }

    /// Overwrites the beginning of a field, with as much as there is room for.
    pub(crate) fn with(mut self, at: Range<usize>, bytes: &[u8]) -> Header {
        let bytes = &bytes[..bytes.len().min(at.len())];
        self.0[at.start..][..bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn size(self, size: u64) -> Header {
        self.with(SIZE, format!("{size:011o}\0").as_bytes())
    }

    pub(crate) fn link(self, target: &[u8]) -> Header {
        self.with(157..257, target)
    }

    /// Gives out the block with its checksum.
    pub(crate) fn block(mut self) -> Vec<u8> {
        seal(&mut self.0);
        self.0.to_vec()
    }

    /// Gives out the block with that data after it, as its size says.
    pub(crate) fn data(self, data: &[u8]) -> Vec<u8> {
        [self.size(data.len() as u64).block(), padded(data)].concat()
    }
}

/// Gives a block the checksum that it should have.
pub(crate) fn seal(block: &mut [u8]) {
    block[CHECKSUM].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Returns data with the zeros up to the next block.
pub(crate) fn padded(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    data.resize(data.len().next_multiple_of(512), 0);
    data
}

/// Returns a file with its data.
pub(crate) fn file(name: &[u8], data: &[u8]) -> Vec<u8> {
    Header::new(name, b'0').data(data)
}

/// Returns a PAX record.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..rest + 20).find(|length| rest + length.to_string().len() == *length);
    let start = format!("{} {key}=", length.expect("one of the numbers fits"));
    [start.as_bytes(), value, b"\n"].concat()
}

/// Returns an extended header with these records.
pub(crate) fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let records: Vec<_> = records
        .iter()
        .map(|(key, value)| record(key, value))
        .collect();
    Header::new(b"PaxHeaders/x", b'x').data(&records.concat())
}

/// Returns a GNU long name (`L`) or long link (`K`).
pub(crate) fn long(type_byte: u8, name: &[u8]) -> Vec<u8> {
    let header = Header::new(b"././@LongLink", type_byte).with(MAGIC, GNU);
    header.data(&[name, b"\0"].concat())
}

/// Reads all members; the data of none is looked at.
pub(crate) fn members(archive: &[u8]) -> Result<Vec<Member>, TarError> {
    let mut reader = Reader::new(archive);
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        members.push(member);
    }
    reader.finish()?;
    Ok(members)
}

/// Reads the names of all members.
pub(crate) fn names(archive: &[u8]) -> Result<Vec<String>, TarError> {
    let name = |member: Member| String::from_utf8_lossy(&member.path).into_owned();
    Ok(members(archive)?.into_iter().map(name).collect())
}
