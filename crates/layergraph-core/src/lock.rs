//! Who may change which node.
//!
//! Each node has a byte of the file `lock` in the store's root, found by hashing its id. Who makes
//! or removes the node holds it alone, who builds on it shares it. Two are taken in the order of
//! their bytes, so that nobody waits in a circle, whatever ids name each other as parents.
//!
//! One byte more, which is taken last, keeps several new nodes from being a circle together: see
//! [`ancestry`].

use std::ffi::OsStr;

use layergraph_digest::{Algorithm, Digest};
use layergraph_fs::{Dir, LockFile, LockGuard, LockKind};

use crate::Result;
use crate::error::{Attempted, of_store};

/// The name of the file.
const NAME: &str = "lock";
/// The byte that stands for no node: theirs are below it.
const ANCESTRY: u64 = 1 << 62;

/// Locks that are held until this is dropped.
#[derive(Debug)]
#[must_use = "the locks end when this is dropped"]
pub(crate) struct Locks {
    _held: Vec<LockGuard>,
}

/// Waits until nobody else changes the node `id`, and nobody removes its parent.
pub(crate) fn lock(root: &Dir, id: &str, parent: Option<&str>) -> Result<Locks> {
    let file = open(root, id)?;
    let mut wanted = vec![(byte_of(id), LockKind::Exclusive, id)];
    // A parent that happens to have the same byte is locked by the node's own lock.
    if let Some(parent) = parent.filter(|parent| byte_of(parent) != byte_of(id)) {
        wanted.push((byte_of(parent), LockKind::Shared, parent));
    }
    wanted.sort_unstable_by_key(|(byte, _, _)| *byte);
    let mut held = Vec::new();
    for (byte, kind, id) in wanted {
        held.push(file.lock(byte, kind).attempted(|| locked(id))?);
    }
    Ok(Locks { _held: held })
}

/// Waits until nobody makes or removes the node `id`, and keeps others from it.
pub(crate) fn share(root: &Dir, id: &str) -> Result<Locks> {
    let guard = open(root, id)?.lock(byte_of(id), LockKind::Shared);
    let held = vec![guard.attempted(|| locked(id))?];
    Ok(Locks { _held: held })
}

/// Waits until nobody makes a node `id` that others name as their parent already.
///
/// Who makes a node on top of others shares this lock, and holds it alone where one of those below
/// is missing. So what is missing is not made while somebody relies on that.
pub(crate) fn ancestry(root: &Dir, id: &str, kind: LockKind) -> Result<Locks> {
    let guard = open(root, id)?.lock(ANCESTRY, kind);
    let held = vec![guard.attempted(|| locked(id))?];
    Ok(Locks { _held: held })
}

/// As [`lock`], unless somebody has a lock on the node: then nothing is locked.
pub(crate) fn try_lock(root: &Dir, id: &str) -> Result<Option<Locks>> {
    let guard = open(root, id)?.try_lock(byte_of(id), LockKind::Exclusive);
    let guard = guard.attempted(|| locked(id))?;
    Ok(guard.map(|guard| Locks { _held: vec![guard] }))
}

fn open(root: &Dir, id: &str) -> Result<LockFile> {
    LockFile::open(root, OsStr::new(NAME)).map_err(|error| of_store(locked(id), error))
}

fn locked(id: &str) -> String {
    format!("cannot lock image {id}")
}

/// Returns the byte that stands for an id, below [`ANCESTRY`]: a hash, because ids may share their
/// beginning.
fn byte_of(id: &str) -> u64 {
    let digest = Digest::of(Algorithm::Sha256, id);
    let first: [u8; 8] = *digest.as_bytes().first_chunk().expect("it has 32 bytes");
    u64::from_be_bytes(first) >> 2
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    /// Each of two nodes may be about to be made on top of the other, as far as their makers know.
    #[test]
    fn nobody_waits_in_a_circle_of_nodes_that_name_each_other_as_parents() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = Dir::open(directory.path()).expect("it is there");
        let ids = ["a", "b", "c"];
        let start = Barrier::new(ids.len());
        thread::scope(|scope| {
            for at in 0..ids.len() {
                let (root, start) = (&root, &start);
                let (id, parent) = (ids[at], ids[(at + 1) % ids.len()]);
                scope.spawn(move || {
                    start.wait();
                    for _ in 0..2000 {
                        drop(lock(root, id, Some(parent)).expect("it can be locked"));
                    }
                });
            }
        });
    }

    #[test]
    fn a_node_is_locked_alone_and_its_parent_shared() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = Dir::open(directory.path()).expect("it is there");
        let is_free = |id| try_lock(&root, id).expect("it can be locked").is_some();
        let held = lock(&root, "child", Some("parent")).expect("it can be locked");
        assert!(!is_free("child") && !is_free("parent") && is_free("other"));
        let other = lock(&root, "sibling", Some("parent")).expect("it can be locked");
        let shared = share(&root, "parent").expect("it can be locked");
        drop(held);
        assert!(is_free("child") && !is_free("parent"));
        drop((other, shared));
        assert!(is_free("parent"));
        // A node that is its own parent is locked once.
        let held = lock(&root, "child", Some("child")).expect("it can be locked");
        assert!(!is_free("child"));
        drop(held);
    }
}
