//! Sparse files: where the stored runs of bytes belong.
//!
//! Four forms are known, all by GNU tar: a map in the header and in blocks after it (old GNU), in
//! PAX records (0.0 and 0.1), and at the head of the data (1.0).

use crate::Segment;
use crate::field::{Reason, unsigned};
use crate::pax::digits;

const INVALID: Reason = "the map of a sparse file is invalid";

/// A map while it is collected.
#[derive(Debug, Default)]
pub(crate) struct Map {
    segments: Vec<Segment>,
    /// Where the last one ends.
    end: u64,
    /// How many runs there were, those without a byte included.
    pushed: u64,
}

impl Map {
    /// Adds a run; they must come in order and not overlap.
    pub(crate) fn push(&mut self, offset: u64, length: u64) -> Result<(), Reason> {
        let end = offset.checked_add(length).ok_or(INVALID)?;
        if offset < self.end {
            return Err("the runs of a sparse file overlap or are not in order");
        }
        self.end = end;
        self.pushed += 1;
        if length > 0 {
            self.segments.push(Segment { offset, length });
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }

    /// Checks that the runs lie within the file and are what is stored.
    pub(crate) fn finish(self, size: u64, stored: u64) -> Result<Vec<Segment>, Reason> {
        let sum: u128 = self
            .segments
            .iter()
            .map(|segment| u128::from(segment.length))
            .sum();
        if self.end > size || sum != u128::from(stored) {
            return Err("the map of a sparse file does not fit its size");
        }
        Ok(self.segments)
    }
}

/// What PAX records say of a sparse file.
#[derive(Debug, Default)]
pub(crate) struct Described {
    /// Whether they say anything.
    given: bool,
    pub(crate) name: Option<Vec<u8>>,
    /// The size of the file, holes included.
    pub(crate) size: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
    /// How many runs there are to be.
    count: Option<u64>,
    map: Option<Map>,
    /// An offset whose length has not come yet (0.0).
    offset: Option<u64>,
}

impl Described {
    pub(crate) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Reason> {
        let number = || digits(value).ok_or(INVALID);
        self.given = true;
        match key {
            b"GNU.sparse.name" => {
                if value.contains(&0) {
                    return Err("a name has a NUL in it");
                }
                self.name = Some(value.to_vec());
            }
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.size = Some(number()?),
            b"GNU.sparse.major" => self.major = Some(number()?),
            b"GNU.sparse.minor" => self.minor = Some(number()?),
            b"GNU.sparse.numblocks" => self.count = Some(number()?),
            b"GNU.sparse.offset" => match self.offset.replace(number()?) {
                None => {}
                Some(_) => return Err(INVALID),
            },
            b"GNU.sparse.numbytes" => {
                let offset = self.offset.take().ok_or(INVALID)?;
                self.map.get_or_insert_default().push(offset, number()?)?;
            }
            b"GNU.sparse.map" => {
                let mut map = Map::default();
                let mut numbers = value.split(|&byte| byte == b',').map(digits);
                while let Some(offset) = numbers.next() {
                    // A file of holes alone has an empty map.
                    if offset.is_none() && value.is_empty() {
                        break;
                    }
                    let length = numbers.next().flatten().ok_or(INVALID)?;
                    map.push(offset.ok_or(INVALID)?, length)?;
                }
                self.map = Some(map);
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns whether there are such records.
    pub(crate) fn is_given(&self) -> bool {
        self.given
    }

    /// Returns whether the map stands at the head of the data.
    pub(crate) fn is_in_data(&self) -> Result<bool, Reason> {
        match (self.major, self.minor) {
            (None, None) | (Some(0), Some(0 | 1)) => Ok(false),
            (Some(1), Some(0)) => Ok(true),
            _ => Err("the form of a sparse file is not known"),
        }
    }

    /// Returns the map that the records hold. Without one, some programs take the name and the
    /// size that they state, others those of the header block.
    pub(crate) fn map(&mut self) -> Result<Map, Reason> {
        const INCOMPLETE: Reason = "the records of a sparse file have not the map they announce";
        let map = match self.map.take() {
            Some(map) => map,
            None if self.count.is_some() => Map::default(),
            None => return Err(INCOMPLETE),
        };
        let is_all = self.count.is_none_or(|count| count == map.pushed);
        if self.offset.is_some() || !is_all {
            return Err(INCOMPLETE);
        }
        Ok(map)
    }
}

/// Reads runs from a header block or a block after it: offset and length in 12 bytes each. Returns
/// whether another block of them follows.
pub(crate) fn old_gnu(map: &mut Map, block: &[u8], in_header: bool) -> Result<bool, Reason> {
    let (entries, more) = if in_header {
        (&block[386..482], 482)
    } else {
        (&block[..504], 504)
    };
    for entry in entries.chunks_exact(24) {
        if entry[0] == 0 {
            break;
        }
        map.push(unsigned(&entry[..12])?, unsigned(&entry[12..])?)?;
    }
    Ok(block[more] != 0)
}

/// The size of an old GNU sparse file, holes included.
pub(crate) fn old_gnu_size(block: &[u8]) -> Result<u64, Reason> {
    unsigned(&block[483..495])
}

/// Reads the map at the head of the data (1.0): decimal numbers, each on a line.
#[derive(Debug, Default)]
pub(crate) struct MapInData {
    line: Vec<u8>,
    count: Option<u64>,
    offset: Option<u64>,
    map: Map,
    read: u64,
}

impl MapInData {
    /// Takes a block; returns whether the map is complete.
    pub(crate) fn take(&mut self, block: &[u8]) -> Result<bool, Reason> {
        for &byte in block {
            if self.is_complete() {
                break;
            }
            if byte != b'\n' {
                // No number of 64 bits has more digits.
                if self.line.len() == 20 {
                    return Err(INVALID);
                }
                self.line.push(byte);
                continue;
            }
            let number = digits(&self.line).ok_or(INVALID)?;
            self.line.clear();
            match (self.count, self.offset.take()) {
                (None, _) => self.count = Some(number),
                (Some(_), None) => self.offset = Some(number),
                (Some(_), Some(offset)) => {
                    self.map.push(offset, number)?;
                    self.read += 1;
                }
            }
        }
        Ok(self.is_complete())
    }

    fn is_complete(&self) -> bool {
        self.count.is_some_and(|count| self.read >= count)
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn into_map(self) -> Map {
        self.map
    }
}
