//! Records of directories, small enough that hundreds of thousands can be held.
//!
//! They are never moved: records and names stand in pieces of one size each. So what they take is
//! exactly known, and growing takes no more than the next piece. A path is held as the record of a
//! directory above and what leads from there: of a layer that is in the order of a walk, one name.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::mem::size_of;
use std::time::SystemTime;

use super::{Directory, ObjectId, Stated};

/// How many records are in a piece.
const RECORDS: usize = 512;
/// How many bytes of names are in a piece.
const NAMES: usize = 64 << 10;
/// How many bytes say how long a name is.
const LENGTH: usize = size_of::<u16>();
/// The number of no record.
const NONE: u32 = u32::MAX;

/// The longest path of a directory, in bytes (`PATH_MAX` less its NUL).
pub(super) const LONGEST_PATH: usize = 4095;

/// What is kept of one directory.
#[derive(Debug, Clone, Copy)]
struct Record {
    inode: u64,
    modified: SystemTime,
    /// Which of the file systems.
    filesystem: u32,
    /// The record of a directory above it, or none.
    base: u32,
    /// Where the path from there, or from the root, begins among the names.
    name: u32,
    uid: u32,
    gid: u32,
    /// The lowest 12 bits are the mode, the others the facts.
    mode: u16,
    /// How many names its path has.
    depth: u16,
}

const _: () = assert!(size_of::<Record>() == 48, "a record has grown");

/// What there is to say of a directory besides its metadata, as bits beside the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    /// The layer made it.
    Made = 1 << 12,
    /// It holds nothing of the layers below, because the layer made or emptied it.
    Fresh = 1 << 13,
    /// The layer says what its owner, mode and attributes are.
    Stated = 1 << 14,
    /// It says so only by having entries in it.
    Implied = 1 << 15,
}

const MODE: u16 = 0o7777;

/// All records, each with a number.
#[derive(Debug, Default)]
pub(super) struct Records {
    pieces: Vec<Vec<Record>>,
    names: Vec<Vec<u8>>,
    filesystems: Vec<u64>,
    /// The attributes that directories are to get, by the number of their record.
    xattrs: BTreeMap<u32, Xattrs>,
    /// How many bytes the attributes take.
    xattrs_bytes: usize,
    /// The record that was used last, which is usually near the next one in the tree.
    last: Option<u32>,
}

type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// A path as it is recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    base: u32,
    name: &'a [u8],
    depth: u16,
}

impl Records {
    /// Returns how many bytes the records take.
    pub(super) fn bytes(&self) -> usize {
        let lists = self.pieces.capacity() * size_of::<Vec<Record>>()
            + self.names.capacity() * size_of::<Vec<u8>>();
        let pieces = self.pieces.len() * RECORDS * size_of::<Record>() + self.names.len() * NAMES;
        lists + pieces + self.xattrs_bytes
    }

    fn len(&self) -> u32 {
        let full = self.pieces.len().saturating_sub(1) * RECORDS;
        let records = full + self.pieces.last().map_or(0, Vec::len);
        u32::try_from(records).expect("so many records take more than their limit")
    }

    fn get(&self, number: u32) -> &Record {
        let number = number as usize;
        &self.pieces[number / RECORDS][number % RECORDS]
    }

    fn get_mut(&mut self, number: u32) -> &mut Record {
        let number = number as usize;
        &mut self.pieces[number / RECORDS][number % RECORDS]
    }

    pub(super) fn id(&self, number: u32) -> ObjectId {
        let record = self.get(number);
        ObjectId {
            filesystem: self.filesystems[record.filesystem as usize],
            inode: record.inode,
        }
    }

    pub(super) fn is(&self, number: u32, fact: Fact) -> bool {
        self.get(number).mode & fact as u16 != 0
    }

    pub(super) fn add_fact(&mut self, number: u32, fact: Fact) {
        self.get_mut(number).mode |= fact as u16;
    }

    pub(super) fn set_modified(&mut self, number: u32, modified: SystemTime) {
        self.get_mut(number).modified = modified;
    }

    /// Notes that the directory is in use, for those recorded next.
    pub(super) fn used(&mut self, number: u32) {
        self.last = Some(number);
    }

    /// Returns how many bytes more a statement with these attributes takes.
    pub(super) fn xattrs_growth(stated: &Stated) -> usize {
        cost(&stated.xattrs)
    }

    /// Records owner, mode and attributes.
    pub(super) fn state(&mut self, number: u32, stated: Stated) {
        let record = self.get_mut(number);
        let mode = u16::try_from(stated.mode & u32::from(MODE)).expect("it has 12 bits");
        let facts = record.mode & !(MODE | Fact::Implied as u16);
        record.mode = facts | mode | Fact::Stated as u16;
        (record.uid, record.gid) = (stated.uid, stated.gid);
        self.set_xattrs(number, stated.xattrs);
    }

    fn set_xattrs(&mut self, number: u32, xattrs: Xattrs) {
        self.xattrs_bytes += cost(&xattrs);
        let old = if xattrs.is_empty() {
            self.xattrs.remove(&number)
        } else {
            self.xattrs.insert(number, xattrs)
        };
        self.xattrs_bytes -= old.map_or(0, |old| cost(&old));
    }

    /// Finds out how to record a path shortest: from the nearest directory above that is on the way
    /// to the one used last. Its record has a number below `limit`.
    pub(super) fn place<'a>(&self, path: &'a [u8], limit: u32) -> Place<'a> {
        let mut way = Vec::new();
        let mut next = self.last;
        while let Some(number) = next {
            way.push(number);
            next = Some(self.get(number).base).filter(|&base| base != NONE);
        }
        let (mut base, mut name) = (NONE, path);
        for &number in way.iter().rev().take_while(|&&number| number < limit) {
            let below = name.strip_prefix(self.name(number));
            match below.and_then(|below| below.strip_prefix(b"/")) {
                Some(below) => (base, name) = (number, below),
                None => break,
            }
        }
        // The root has no name, and is finished after everything in it.
        let names = path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty());
        let names = names.count();
        let depth = u16::try_from(names).expect("a path has fewer names than bytes");
        Place { base, name, depth }
    }

    /// Returns how many bytes more are taken while a record of this place is made.
    pub(super) fn growth(&self, place: &Place<'_>) -> usize {
        let mut bytes = 0;
        if self.needs_piece() {
            bytes += RECORDS * size_of::<Record>() + list_growth(&self.pieces);
        }
        if self.needs_names(place.name) {
            bytes += NAMES + list_growth(&self.names);
        }
        bytes
    }

    fn needs_piece(&self) -> bool {
        self.pieces
            .last()
            .is_none_or(|piece| piece.len() == RECORDS)
    }

    fn needs_names(&self, name: &[u8]) -> bool {
        let full = |names: &Vec<u8>| names.len() + LENGTH + name.len() > NAMES;
        self.names.last().is_none_or(full)
    }

    /// Adds a record of a directory of which nothing is known but its time, and returns its number.
    pub(super) fn push(&mut self, id: ObjectId, place: &Place<'_>, modified: SystemTime) -> u32 {
        let name = self.add_name(place.name);
        let record = Record {
            inode: id.inode,
            modified,
            filesystem: self.filesystem(id.filesystem),
            base: place.base,
            name,
            uid: 0,
            gid: 0,
            mode: 0,
            depth: place.depth,
        };
        let number = self.len();
        if self.needs_piece() {
            self.pieces.push(Vec::with_capacity(RECORDS));
        }
        let piece = self.pieces.last_mut().expect("there is one with room");
        piece.push(record);
        number
    }

    /// Returns a number that no other directory has or had, not even one with the same inode.
    ///
    /// It says where its name is; see [`replace`](Records::replace).
    pub(super) fn mark(&self, number: u32) -> u32 {
        self.get(number).name
    }

    /// Replaces a record by that of another directory, which got the inode of the old one.
    ///
    /// The mark stays only after a directory that the layer made, and only if it was called the
    /// same: such a one is fresh, and nothing is recorded under its mark. So a layer may replace
    /// its own directories for as long as it likes.
    ///
    /// The old one is gone, and with it every directory whose path goes on from its record. The
    /// new base has a lower number, as every base has, so that paths have an end.
    pub(super) fn replace(&mut self, number: u32, place: &Place<'_>, modified: SystemTime) {
        let old = *self.get(number);
        let keeps_mark = self.is(number, Fact::Made) && self.name(number) == place.name;
        let name = if keeps_mark {
            old.name
        } else {
            self.add_name(place.name)
        };
        *self.get_mut(number) = Record {
            modified,
            base: place.base,
            name,
            mode: 0,
            depth: place.depth,
            ..old
        };
        self.set_xattrs(number, Vec::new());
    }

    /// Returns the number of a file system; there are few.
    fn filesystem(&mut self, filesystem: u64) -> u32 {
        let known = self
            .filesystems
            .iter()
            .position(|&known| known == filesystem);
        let number = known.unwrap_or_else(|| {
            self.filesystems.push(filesystem);
            self.filesystems.len() - 1
        });
        u32::try_from(number).expect("a tree is on fewer file systems")
    }

    /// Adds a name, its length before it, and returns where it begins.
    fn add_name(&mut self, name: &[u8]) -> u32 {
        if self.needs_names(name) {
            self.names.push(Vec::with_capacity(NAMES));
        }
        let piece = self.names.len() - 1;
        let names = &mut self.names[piece];
        let at = piece * NAMES + names.len();
        let length = u16::try_from(name.len()).expect("a path is shorter");
        names.extend(length.to_ne_bytes());
        names.extend(name);
        u32::try_from(at).expect("so many names take more than their limit")
    }

    fn name(&self, number: u32) -> &[u8] {
        let at = self.get(number).name as usize;
        let (length, name) = self.names[at / NAMES][at % NAMES..]
            .split_first_chunk::<LENGTH>()
            .expect("a name has a length");
        &name[..usize::from(u16::from_ne_bytes(*length))]
    }

    /// Returns the path of a directory below the root.
    pub(super) fn path(&self, number: u32) -> Vec<u8> {
        let mut names = vec![self.name(number)];
        let mut base = self.get(number).base;
        while base != NONE {
            names.push(self.name(base));
            base = self.get(base).base;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// Returns what is known of a directory.
    pub(super) fn directory(&self, number: u32) -> Directory {
        let Record { mode, uid, gid, .. } = *self.get(number);
        let stated = self.is(number, Fact::Stated).then(|| Stated {
            mode: u32::from(mode & MODE),
            uid,
            gid,
            xattrs: self.xattrs.get(&number).cloned().unwrap_or_default(),
        });
        Directory {
            path: self.path(number),
            made: self.is(number, Fact::Made),
            modified: self.get(number).modified,
            implied: self.is(number, Fact::Implied),
            stated,
        }
    }

    /// Returns the numbers of all records, each before those of the directories above it.
    pub(super) fn deepest_first(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..self.len()).collect();
        numbers.sort_unstable_by_key(|&number| (Reverse(self.get(number).depth), number));
        numbers
    }
}

/// Returns how many bytes more a list takes while it gets longer by one.
fn list_growth<T>(list: &Vec<T>) -> usize {
    if list.len() < list.capacity() {
        0
    } else {
        (list.capacity() * 2).max(4) * size_of::<T>()
    }
}

/// Returns how many bytes attributes take, with their place among those of all directories.
fn cost(xattrs: &Xattrs) -> usize {
    if xattrs.is_empty() {
        return 0;
    }
    // A node of the map is half full at least.
    let place = 2 * (size_of::<u32>() + size_of::<Xattrs>()) + 16;
    let list = allocated(xattrs.capacity() * size_of::<(Vec<u8>, Vec<u8>)>());
    let values = xattrs
        .iter()
        .map(|(key, value)| allocated(key.capacity()) + allocated(value.capacity()));
    place + list + values.sum::<usize>()
}

/// Returns what an allocation takes, with what the allocator adds.
fn allocated(bytes: usize) -> usize {
    (bytes + 8).next_multiple_of(16).max(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(inode: u64) -> ObjectId {
        ObjectId {
            filesystem: 7,
            inode,
        }
    }

    fn push(records: &mut Records, inode: u64, path: &str) -> u32 {
        let place = records.place(path.as_bytes(), NONE);
        let allowed = records.bytes() + records.growth(&place);
        let number = records.push(id(inode), &place, SystemTime::UNIX_EPOCH);
        assert!(records.bytes() <= allowed);
        records.used(number);
        number
    }

    #[test]
    fn paths_come_back_in_whatever_order_they_were_recorded() {
        let paths = [
            "", "a", "a/b/c", "a/b", "a/b/c/d", "a-b", "x/y/z", "x", "a/b/e", "aa/b",
        ];
        let mut records = Records::default();
        let numbers: Vec<u32> = paths
            .iter()
            .zip(0..)
            .map(|(path, inode)| push(&mut records, inode, path))
            .collect();
        for (number, path) in numbers.iter().zip(paths) {
            assert_eq!(records.path(*number), path.as_bytes());
            assert_eq!(records.id(*number), id((*number).into()));
        }
        let depths = records.deepest_first().into_iter();
        let depths: Vec<usize> = depths
            .map(|number| match records.path(number).as_slice() {
                b"" => 0,
                path => path.split(|&byte| byte == b'/').count(),
            })
            .collect();
        assert_eq!(depths, [4, 3, 3, 3, 2, 2, 1, 1, 1, 0]);
    }

    #[test]
    fn in_the_order_of_a_walk_a_record_takes_its_own_name() {
        let mut records = Records::default();
        let above = "n".repeat(2000);
        push(&mut records, 0, &above);
        for inode in 1..10_000 {
            push(&mut records, inode, &format!("{above}/d{inode}"));
        }
        assert!(
            records.bytes() < 10_000 * (48 + 8) + (200 << 10),
            "{}",
            records.bytes()
        );
    }

    #[test]
    fn a_record_is_replaced_without_a_circle_and_without_growing() {
        let mut records = Records::default();
        let first = push(&mut records, 1, "a");
        let second = push(&mut records, 2, "a/b");
        let before = records.bytes();
        for path in ["a/b/c", "a", "a"].iter().cycle().take(100_000) {
            let place = records.place(path.as_bytes(), first);
            records.replace(first, &place, SystemTime::UNIX_EPOCH);
            records.add_fact(first, Fact::Made);
            assert_eq!(records.path(first), path.as_bytes());
            let place = records.place(b"a/b/c/d", second);
            records.replace(second, &place, SystemTime::UNIX_EPOCH);
            records.add_fact(second, Fact::Made);
            assert_eq!(records.path(second), b"a/b/c/d");
            records.used(second);
        }
        // Only a name that is not the one before takes room.
        assert!(records.bytes() < before + (3 << 20));
        let before = records.bytes();
        for _ in 0..100_000 {
            let place = records.place(b"a", first);
            records.replace(first, &place, SystemTime::UNIX_EPOCH);
            records.add_fact(first, Fact::Made);
        }
        assert_eq!(records.bytes(), before);
    }

    #[test]
    fn no_directory_has_the_mark_of_one_before_that_the_layer_did_not_make() {
        let mut records = Records::default();
        let number = push(&mut records, 1, "a");
        let mut marks = vec![records.mark(number)];
        for is_made in [false, true, false, true] {
            let place = records.place(b"a", number);
            records.replace(number, &place, SystemTime::UNIX_EPOCH);
            assert!(!records.is(number, Fact::Made) && !records.is(number, Fact::Fresh));
            if is_made {
                records.add_fact(number, Fact::Made);
            } else {
                assert!(!marks.contains(&records.mark(number)));
                marks.push(records.mark(number));
            }
        }
    }

    #[test]
    fn attributes_are_counted_as_long_as_they_are_held() {
        let mut records = Records::default();
        let number = push(&mut records, 1, "d");
        let before = records.bytes();
        let stated = |value: &[u8]| Stated {
            xattrs: vec![(b"user.x".to_vec(), value.to_vec())],
            ..Stated::implied()
        };
        for size in [0, 1, 60_000, 10] {
            let stated = stated(&vec![0; size]);
            let growth = Records::xattrs_growth(&stated);
            assert!(growth > size);
            records.state(number, stated);
            assert_eq!(records.bytes(), before + growth);
        }
        records.state(number, Stated::implied());
        assert_eq!(records.bytes(), before);
    }
}
