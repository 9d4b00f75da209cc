//! What an unpacking knows of the directories it works in.
//!
//! Two facts are kept. Which objects this layer made, because a whiteout removes only what the
//! layers below left there, wherever in the layer it stands. And what each directory's metadata has
//! to be in the end, because every entry made in a directory changes its time.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use layergraph_fs::Metadata;
use layergraph_tar::Member;

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

/// A directory that the layer names, makes or changes something in.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Where it is, below the root.
    pub(crate) path: Box<[u8]>,
    /// Whether the layer made it.
    pub(crate) made: bool,
    /// Whether it holds nothing of the layers below, because the layer made or emptied it.
    pub(crate) fresh: bool,
    /// When it was last modified, to be said at the end.
    pub(crate) modified: SystemTime,
    /// What the layer says of it; nothing for a directory that only entries of the layer are in.
    pub(crate) stated: Option<Box<Stated>>,
}

/// The owner, mode and attributes an entry states.
#[derive(Debug, Clone)]
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

/// All directories of one unpacking.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    known: HashMap<ObjectId, Directory>,
    /// A hash of the directory and the name of each object made in a directory that is not fresh.
    /// The keys of the hash are random, so that no layer can be made to collide.
    made: HashSet<u64>,
    keys: RandomState,
    /// About how many bytes all this takes.
    bytes: usize,
}

impl Directories {
    /// Returns about how many bytes the records take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns what is known of a directory.
    pub(crate) fn get(&self, id: ObjectId) -> Option<&Directory> {
        self.known.get(&id)
    }

    /// Returns whether the directory holds nothing of the layers below.
    pub(crate) fn is_fresh(&self, id: ObjectId) -> bool {
        self.known.get(&id).is_some_and(|directory| directory.fresh)
    }

    /// Records a directory that the layer made.
    pub(crate) fn insert_fresh(
        &mut self,
        id: ObjectId,
        path: &[u8],
        modified: SystemTime,
        stated: Stated,
    ) {
        let stated = Some(Box::new(stated));
        self.insert(
            id,
            Directory {
                path: path.into(),
                made: true,
                fresh: true,
                modified,
                stated,
            },
        );
    }

    /// Returns the record of a directory that was there before, made at its first use with the time
    /// it has now.
    pub(crate) fn touch(&mut self, path: &[u8], metadata: &Metadata) -> &mut Directory {
        let id = ObjectId::from(metadata);
        if !self.known.contains_key(&id) {
            let modified = metadata.modified;
            self.insert(
                id,
                Directory {
                    path: path.into(),
                    made: false,
                    fresh: false,
                    modified,
                    stated: None,
                },
            );
        }
        self.known.get_mut(&id).expect("it was just inserted")
    }

    fn insert(&mut self, id: ObjectId, directory: Directory) {
        self.bytes += 160 + directory.path.len() + cost(directory.stated.as_deref());
        self.known.insert(id, directory);
    }

    /// Records what the layer says of a directory that is known.
    pub(crate) fn state(&mut self, id: ObjectId, stated: Stated) {
        if let Some(directory) = self.known.get_mut(&id) {
            self.bytes -= cost(directory.stated.as_deref());
            self.bytes += cost(Some(&stated));
            directory.stated = Some(Box::new(stated));
        }
    }

    /// Records that the layer made the object `name` in a directory.
    pub(crate) fn made(&mut self, directory: ObjectId, name: &[u8]) {
        if !self.is_fresh(directory) && self.made.insert(self.keys.hash_one((directory, name))) {
            self.bytes += 16;
        }
    }

    /// Returns whether the layer made the object `name` in a directory.
    pub(crate) fn has_made(&self, directory: ObjectId, name: &[u8]) -> bool {
        self.is_fresh(directory) || self.made.contains(&self.keys.hash_one((directory, name)))
    }

    /// Gives up all records of directories, deepest paths first.
    pub(crate) fn into_deepest_first(self) -> Vec<(ObjectId, Directory)> {
        let mut directories: Vec<_> = self.known.into_iter().collect();
        directories.sort_unstable_by(|(_, a), (_, b)| b.path.cmp(&a.path));
        directories
    }
}

/// About how many bytes a statement takes.
fn cost(stated: Option<&Stated>) -> usize {
    let xattrs = stated.iter().flat_map(|stated| &stated.xattrs);
    xattrs
        .map(|(name, value)| name.len() + value.len() + 64)
        .sum()
}
