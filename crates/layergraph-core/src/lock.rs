//! Who may change which node.
//!
//! Each node has a byte of the file `lock` in the store's root, found by hashing its id. Who makes
//! or removes the node holds it alone, who builds on it shares it. Several are taken from the
//! bottom up, so that nobody waits in a circle.

use std::ffi::OsStr;

use layergraph_digest::{Algorithm, Digest};
use layergraph_fs::{Dir, LockFile, LockGuard, LockKind};

use crate::Result;
use crate::error::Attempted;

/// The name of the file.
const NAME: &str = "lock";

/// Locks that are held until this is dropped.
#[derive(Debug)]
#[must_use = "the locks end when this is dropped"]
pub(crate) struct Locks {
    _held: Vec<LockGuard>,
}

/// Waits until nobody else changes the node `id`, and nobody removes its parent.
pub(crate) fn lock(root: &Dir, id: &str, parent: Option<&str>) -> Result<Locks> {
    let file = LockFile::open(root, OsStr::new(NAME));
    let file = file.attempted(|| format!("cannot lock image {id}"))?;
    let own = byte_of(id);
    let mut held = Vec::new();
    // A parent that happens to have the same byte is locked by the node's own lock.
    if let Some(parent) = parent.filter(|parent| byte_of(parent) != own) {
        let guard = file.lock(byte_of(parent), LockKind::Shared);
        held.push(guard.attempted(|| format!("cannot lock image {parent}"))?);
    }
    let guard = file.lock(own, LockKind::Exclusive);
    held.push(guard.attempted(|| format!("cannot lock image {id}"))?);
    Ok(Locks { _held: held })
}

/// Returns the byte that stands for an id: a hash, because ids may share their beginning, below
/// 2⁶².
fn byte_of(id: &str) -> u64 {
    let digest = Digest::of(Algorithm::Sha256, id);
    let first: [u8; 8] = *digest.as_bytes().first_chunk().expect("it has 32 bytes");
    u64::from_be_bytes(first) >> 2
}
