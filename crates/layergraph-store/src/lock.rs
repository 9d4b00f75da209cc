//! Who may change what, among threads and processes.
//!
//! The locks are bytes of the file `lock` in the root, beside those of nodes: one that imports
//! share and a collection holds alone, one for names, and one for each chain of layers. They are
//! taken in this order, and before any of a node.

use std::ffi::OsStr;

use layergraph_digest::ChainId;
use layergraph_fs::{LockFile, LockGuard, LockKind};

use crate::error::Attempted;
use crate::{Result, Store};

/// The name of the file, which the graph has, too. Its bytes are those up to 2^62.
const NAME: &str = "lock";
const COLLECTION: u64 = (1 << 62) + 1;
const NAMES: u64 = (1 << 62) + 2;
/// Where the bytes of chains begin.
const CHAINS: u64 = (1 << 62) | (1 << 61);

impl Store {
    /// Keeps collections away: what is found is there until this is dropped.
    pub(crate) fn keep(&self) -> Result<LockGuard> {
        self.lock(COLLECTION, LockKind::Shared)
    }

    /// Waits until nobody counts on what is there; or returns nothing if it would have to.
    pub(crate) fn collecting(&self, wait: bool) -> Result<Option<LockGuard>> {
        if wait {
            return self.lock(COLLECTION, LockKind::Exclusive).map(Some);
        }
        let file = LockFile::open(&self.root, OsStr::new(NAME));
        let tried = file.and_then(|file| file.try_lock(COLLECTION, LockKind::Exclusive));
        tried.attempted(|| "cannot lock the store".to_owned())
    }

    /// Keeps others from changing names and which images there are.
    pub(crate) fn naming(&self) -> Result<LockGuard> {
        self.lock(NAMES, LockKind::Exclusive)
    }

    /// Keeps others from landing a layer with all below it.
    pub(crate) fn landing(&self, chain: &ChainId) -> Result<LockGuard> {
        let digest = chain.digest();
        let first = digest.as_bytes().first_chunk();
        let number = u64::from_be_bytes(*first.expect("no digest is shorter than 32 bytes"));
        self.lock(CHAINS | number >> 3, LockKind::Exclusive)
    }

    fn lock(&self, byte: u64, kind: LockKind) -> Result<LockGuard> {
        let file = LockFile::open(&self.root, OsStr::new(NAME));
        let locked = file.and_then(|file| file.lock(byte, kind));
        locked.attempted(|| "cannot lock the store".to_owned())
    }
}
