//! What an unpacking knows of the directories it works in.
//!
//! Two facts are kept. Which objects this layer made, because a whiteout removes only what the
//! layers below left there, wherever in the layer it stands. And what each directory's metadata has
//! to be in the end, because every entry made in a directory changes its time.

mod records;
mod table;

use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use layergraph_fs::Metadata;
use layergraph_tar::Member;

use self::records::{Fact, LONGEST_PATH, Place, Records};
use self::table::Table;
use super::{UnpackError, shown};

/// Names an object on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId {
    filesystem: u64,
    inode: u64,
}

impl From<&Metadata> for ObjectId {
    fn from(metadata: &Metadata) -> ObjectId {
        ObjectId {
            filesystem: metadata.filesystem,
            inode: metadata.inode,
        }
    }
}

/// A directory that the layer named, made or changed something in.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Where it is, below the root.
    pub(crate) path: Vec<u8>,
    /// Whether the layer made it.
    pub(crate) made: bool,
    /// When it was last modified, to be said at the end.
    pub(crate) modified: SystemTime,
    /// Whether only entries in it say that it is there: then its time is that of the newest.
    pub(crate) implied: bool,
    /// What the layer says of it; nothing for a directory that only entries of the layer are in.
    pub(crate) stated: Option<Stated>,
}

/// The owner, mode and attributes an entry states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Stated {
    /// What a directory is that only entries in it imply.
    pub(crate) fn implied() -> Stated {
        Stated {
            mode: 0o755,
            uid: 0,
            gid: 0,
            xattrs: Vec::new(),
        }
    }
}

impl From<&Member> for Stated {
    fn from(member: &Member) -> Stated {
        Stated {
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            xattrs: member.xattrs.clone(),
        }
    }
}

/// Where an object comes from that a directory of the layers below has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    Made,
    Parted,
}

/// All directories of one unpacking.
#[derive(Debug)]
pub(crate) struct Directories {
    records: Records,
    /// The numbers of the records, each more by one than the record's, since zero is none.
    numbers: Table<u32>,
    /// A hash of the directory and the name of each object made, or parted from the layers below,
    /// in a directory that is not fresh. The directory is that and no other that gets its inode
    /// later.
    names: Table<u64>,
    /// The keys of the hashes are random, so that no layer can be made to collide.
    keys: RandomState,
    /// How many bytes all this may take.
    limit: usize,
}

impl Directories {
    pub(crate) fn new(limit: usize) -> Directories {
        Directories {
            records: Records::default(),
            numbers: Table::new(),
            names: Table::new(),
            keys: RandomState::new(),
            // Places among the names are counted in 32 bits.
            limit: limit.min(u32::MAX as usize),
        }
    }

    /// Returns how many bytes the records take.
    fn bytes(&self) -> usize {
        self.records.bytes() + self.numbers.bytes() + self.names.bytes()
    }

    /// Refuses what would take more than the limit, for the sake of `path`.
    fn reserve(&self, more: usize, path: impl FnOnce() -> Vec<u8>) -> Result<(), UnpackError> {
        if self.bytes().saturating_add(more) <= self.limit {
            return Ok(());
        }
        Err(UnpackError::Limit {
            path: shown(&path()),
            what: "bytes of memory for its directories",
            limit: self.limit as u64,
        })
    }

    fn number(&self, id: ObjectId) -> Option<u32> {
        let found = self.numbers.find(self.keys.hash_one(id), |number| {
            self.records.id(number - 1) == id
        })?;
        Some(found - 1)
    }

    fn is(&self, id: ObjectId, fact: Fact) -> bool {
        self.number(id)
            .is_some_and(|number| self.records.is(number, fact))
    }

    /// Returns whether the layer made the directory.
    pub(crate) fn is_made(&self, id: ObjectId) -> bool {
        self.is(id, Fact::Made)
    }

    /// Returns whether the directory holds nothing of the layers below, because the layer made or
    /// emptied it.
    pub(crate) fn is_fresh(&self, id: ObjectId) -> bool {
        self.is(id, Fact::Fresh)
    }

    /// Returns whether the layer says what the directory is.
    pub(crate) fn is_stated(&self, id: ObjectId) -> bool {
        self.is(id, Fact::Stated)
    }

    /// Records a directory that the layer made; without a statement only entries in it imply it.
    pub(crate) fn insert_fresh(
        &mut self,
        id: ObjectId,
        path: &[u8],
        modified: SystemTime,
        stated: Option<Stated>,
    ) -> Result<(), UnpackError> {
        let number = self.insert(id, path, modified)?;
        self.records.add_fact(number, Fact::Made);
        self.records.add_fact(number, Fact::Fresh);
        match stated {
            Some(stated) => self.state(id, stated),
            None => self.imply(id),
        }
    }

    /// Records a directory that was just copied up, with the time it has now.
    pub(crate) fn insert_brought(
        &mut self,
        path: &[u8],
        metadata: &Metadata,
    ) -> Result<(), UnpackError> {
        self.insert(ObjectId::from(metadata), path, metadata.modified)?;
        Ok(())
    }

    /// Records a directory that was not there before. Nothing is known of it, whatever is known of
    /// one that had its inode and was removed.
    fn insert(
        &mut self,
        id: ObjectId,
        path: &[u8],
        modified: SystemTime,
    ) -> Result<u32, UnpackError> {
        let number = match self.number(id) {
            Some(number) => {
                let place = self.place(path, number)?;
                self.reserve(self.records.growth(&place), || path.to_vec())?;
                self.records.replace(number, &place, modified);
                number
            }
            None => self.push(id, path, modified)?,
        };
        self.records.used(number);
        Ok(number)
    }

    /// Records a directory that was there before with the time it has now, unless it is known.
    pub(crate) fn touch(&mut self, path: &[u8], metadata: &Metadata) -> Result<(), UnpackError> {
        let id = ObjectId::from(metadata);
        let number = match self.number(id) {
            Some(number) => number,
            None => self.push(id, path, metadata.modified)?,
        };
        self.records.used(number);
        Ok(())
    }

    fn place<'p>(&self, path: &'p [u8], limit: u32) -> Result<Place<'p>, UnpackError> {
        // Links can lead to a directory that no path without links leads to.
        if path.len() > LONGEST_PATH {
            return Err(UnpackError::Limit {
                path: shown(path),
                what: "bytes in the path of a directory",
                limit: LONGEST_PATH as u64,
            });
        }
        Ok(self.records.place(path, limit))
    }

    fn push(
        &mut self,
        id: ObjectId,
        path: &[u8],
        modified: SystemTime,
    ) -> Result<u32, UnpackError> {
        let place = self.place(path, u32::MAX)?;
        let hash = self.keys.hash_one(id);
        let more = self.records.growth(&place) + self.numbers.growth(hash);
        self.reserve(more, || path.to_vec())?;
        let Directories {
            records,
            numbers,
            keys,
            ..
        } = self;
        let number = records.push(id, &place, modified);
        let hash_of = |number: u32| keys.hash_one(records.id(number - 1));
        numbers.insert(hash, number + 1, hash_of);
        Ok(number)
    }

    /// Records when a directory that is known was last modified.
    pub(crate) fn set_modified(&mut self, id: ObjectId, modified: SystemTime) {
        if let Some(number) = self.number(id) {
            self.records.set_modified(number, modified);
        }
    }

    /// Records what the layer says of a directory that is known.
    pub(crate) fn state(&mut self, id: ObjectId, stated: Stated) -> Result<(), UnpackError> {
        if let Some(number) = self.number(id) {
            let more = Records::xattrs_growth(&stated);
            self.reserve(more, || self.records.path(number))?;
            self.records.state(number, stated);
        }
        Ok(())
    }

    fn imply(&mut self, id: ObjectId) -> Result<(), UnpackError> {
        self.state(id, Stated::implied())?;
        if let Some(number) = self.number(id) {
            self.records.add_fact(number, Fact::Implied);
        }
        Ok(())
    }

    /// Records that a directory that is known holds nothing of the layers below any more.
    pub(crate) fn emptied(&mut self, id: ObjectId) {
        if let Some(number) = self.number(id) {
            self.records.add_fact(number, Fact::Fresh);
        }
    }

    /// Records that a directory that is known is the one below no longer: what stands there now is
    /// what the layer states, or else what its entries imply.
    pub(crate) fn renewed(&mut self, id: ObjectId) -> Result<(), UnpackError> {
        self.emptied(id);
        if self.is_stated(id) {
            return Ok(());
        }
        self.imply(id)
    }

    /// Records that the layer made the object `name` in a directory that is known.
    pub(crate) fn insert_object(
        &mut self,
        directory: ObjectId,
        name: &[u8],
    ) -> Result<(), UnpackError> {
        self.insert_name(directory, name, Origin::Made)
    }

    /// Returns whether the layer made the object `name` in a directory.
    pub(crate) fn has_object(&self, directory: ObjectId, name: &[u8]) -> bool {
        self.is_fresh(directory) || self.has_name(directory, name, Origin::Made)
    }

    /// Records that the object `name` in a directory that is known is a copy of the one below, to
    /// which the layer has a hard link.
    pub(crate) fn insert_parted(
        &mut self,
        directory: ObjectId,
        name: &[u8],
    ) -> Result<(), UnpackError> {
        self.insert_name(directory, name, Origin::Parted)
    }

    /// Returns whether the object `name` in a directory is such a copy.
    pub(crate) fn has_parted(&self, directory: ObjectId, name: &[u8]) -> bool {
        self.has_name(directory, name, Origin::Parted)
    }

    fn insert_name(
        &mut self,
        directory: ObjectId,
        name: &[u8],
        origin: Origin,
    ) -> Result<(), UnpackError> {
        let Some(hash) = self.hash(directory, name, origin) else {
            return Ok(());
        };
        if self.is_fresh(directory) || self.has_hash(hash) {
            return Ok(());
        }
        self.reserve(self.names.growth(hash), || name.to_vec())?;
        self.names.insert(hash, hash, |hash| hash);
        Ok(())
    }

    fn has_name(&self, directory: ObjectId, name: &[u8], origin: Origin) -> bool {
        let hash = self.hash(directory, name, origin);
        hash.is_some_and(|hash| self.has_hash(hash))
    }

    fn has_hash(&self, hash: u64) -> bool {
        self.names.find(hash, |other| other == hash).is_some()
    }

    /// Returns the hash of a name in a directory, if the directory is known.
    fn hash(&self, directory: ObjectId, name: &[u8], origin: Origin) -> Option<u64> {
        let mark = self.records.mark(self.number(directory)?);
        // Zero stands for a vacant place.
        Some(self.keys.hash_one((mark, name, origin)).max(1))
    }

    /// Gives up all records, each directory before those above it.
    pub(crate) fn into_deepest_first(self) -> impl Iterator<Item = (ObjectId, Directory)> {
        let Directories {
            records,
            numbers,
            names,
            ..
        } = self;
        // They make room for the order.
        drop((numbers, names));
        let order = records.deepest_first().into_iter();
        order.map(move |number| (records.id(number), records.directory(number)))
    }
}

#[cfg(test)]
mod tests {
    use layergraph_fs::Dir;

    use super::*;

    #[test]
    fn nothing_is_known_of_a_directory_that_is_copied_up_with_the_inode_of_another()
    -> Result<(), Box<dyn std::error::Error>> {
        let place = tempfile::tempdir()?;
        let metadata = Dir::open(place.path())?.metadata_here()?;
        let id = ObjectId::from(&metadata);
        let mut directories = Directories::new(1 << 20);
        // Each is gone when the next one comes.
        directories.touch(b"d", &metadata)?;
        for _ in 0..3 {
            directories.insert_object(id, b"f")?;
            directories.insert_parted(id, b"g")?;
            assert!(directories.has_object(id, b"f") && directories.has_parted(id, b"g"));
            directories.insert_brought(b"d", &metadata)?;
            assert!(!directories.has_object(id, b"f") && !directories.has_parted(id, b"g"));

            directories.insert_fresh(id, b"d", metadata.modified, None)?;
            assert!(directories.has_object(id, b"f") && directories.is_stated(id));
            directories.insert_brought(b"d", &metadata)?;
            assert!(!directories.is_made(id) && !directories.is_fresh(id));
            assert!(!directories.is_stated(id) && !directories.has_object(id, b"f"));
        }
        let (_, left) = directories
            .into_deepest_first()
            .next()
            .ok_or("there is one")?;
        assert!(!left.made && !left.implied && left.stated.is_none());
        Ok(())
    }
}
