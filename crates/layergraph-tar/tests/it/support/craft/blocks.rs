//! Blocks of an archive, right or wrong, and the sums that guard its headers.
//!
//! The fuzzed properties make archives of the same blocks: the file is theirs as well, and so it
//! needs nothing but the standard library.

use std::ops::Range;

// Where fields of a header block are (tar(5)).
pub(crate) const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
pub(crate) const UID: Range<usize> = 108..116;
pub(crate) const GID: Range<usize> = 116..124;
pub(crate) const SIZE: Range<usize> = 124..136;
pub(crate) const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
pub(crate) const TYPE: usize = 156;
pub(crate) const LINK: Range<usize> = 157..257;
pub(crate) const MAGIC: Range<usize> = 257..265;

/// The unit of an archive.
pub(crate) const BLOCK: usize = 512;

/// The end marker.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

// What the magic of a format is, and its version.
pub(crate) const V7: &[u8; 8] = &[0; 8];
pub(crate) const USTAR: &[u8; 8] = b"ustar\x0000";
pub(crate) const GNU: &[u8; 8] = b"ustar  \0";

/// A header block.
#[derive(Debug, Clone)]
pub(crate) struct Header(pub(crate) [u8; BLOCK]);

impl Header {
    /// Makes the header of an empty member in ustar form.
    pub(crate) fn new(name: &[u8], type_byte: u8) -> Header {
        let mut header = Header([0; BLOCK])
            .with(NAME, name)
            .with(MODE, b"0000644\0")
            .with(UID, b"0000000\0")
            .with(GID, b"0000000\0")
            .with(MTIME, b"00000000000\0")
            .with(MAGIC, USTAR);
        header.0[TYPE] = type_byte;
        header.size(0)
    }

    /// Overwrites the beginning of a field, with as much as there is room for.
    pub(crate) fn with(mut self, at: Range<usize>, bytes: &[u8]) -> Header {
        let bytes = &bytes[..bytes.len().min(at.len())];
        self.0[at.start..][..bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn size(self, size: u64) -> Header {
        // What has no room in octal digits stands in base-256.
        if size < 1 << 33 {
            return self.with(SIZE, format!("{size:011o}\0").as_bytes());
        }
        let mut field = [0; 12];
        field[0] = 0x80;
        field[4..].copy_from_slice(&size.to_be_bytes());
        self.with(SIZE, &field)
    }

    pub(crate) fn link(self, target: &[u8]) -> Header {
        self.with(LINK, target)
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
    data.resize(data.len().next_multiple_of(BLOCK), 0);
    data
}

/// Returns a PAX record.
pub(crate) fn record(key: impl AsRef<[u8]>, value: &[u8]) -> Vec<u8> {
    let key = key.as_ref();
    let rest = key.len() + value.len() + 3;
    let length = (rest + 1..rest + 20).find(|length| rest + length.to_string().len() == *length);
    let length = length.expect("one of the numbers fits");
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
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
