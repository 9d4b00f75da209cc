//! The driver's directory: what is where, and who may change which layer.
//!
//! Each layer has a byte of the file `.lock`, found by hashing its id. Who removes, mounts or
//! unmounts the layer, or commits another on top of it, holds that byte alone. So has each record
//! of a mount, by its name, which is that of the layer for a mount at the driver's own place; it is
//! taken after that of the layer. One byte more keeps the short names of layers that are being made
//! from being taken for leftovers: who makes one shares it until the layer is there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use layergraph_digest::{Algorithm, Digest};
use layergraph_driver::{Attempted, DriverError, LayerId, Result};
use layergraph_fs::{Dir, Durability, LockFile, LockGuard, LockKind};

use crate::layer::Layer;

/// Where layers are made.
pub(crate) const STAGING: &str = ".staging";
/// Where they go to be removed.
pub(crate) const TRASH: &str = ".trash";
/// Where mounts are recorded.
pub(crate) const MOUNTS: &str = ".mounts";
/// The short names of layers.
pub(crate) const LINKS: &str = "l";
/// What a single layer is mounted on.
const EMPTY: &str = ".empty";
/// The file whose bytes are locks.
const LOCK: &str = ".lock";
/// The byte that stands for no name: theirs are below it.
const LINKS_BYTE: u64 = 1 << 62;

/// Where the driver's directory is, which exists as soon as there is a layer.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    path: PathBuf,
    pub(crate) durability: Durability,
}

impl Home {
    pub(crate) fn new(path: PathBuf, durability: Durability) -> Home {
        Home { path, durability }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the directory, if it is there.
    pub(crate) fn find(&self) -> Result<Option<Dir>> {
        find_path(&self.path)
    }

    /// Opens a directory in it, if it is there.
    pub(crate) fn find_in(&self, name: &str) -> Result<Option<Dir>> {
        find_path(&self.path.join(name))
    }

    /// Opens the directory, which is made if it is missing.
    pub(crate) fn make(&self) -> Result<Dir> {
        self.make_path(&self.path, 1)
    }

    /// Opens a directory in it, which is made if it is missing.
    pub(crate) fn make_in(&self, name: &str) -> Result<Dir> {
        self.make_path(&self.path.join(name), 2)
    }

    /// Makes a directory that is as durable as the names of the `above` directories it is in.
    fn make_path(&self, path: &Path, above: usize) -> Result<Dir> {
        if let Some(dir) = find_path(path)? {
            return Ok(dir);
        }
        let made = Dir::open_or_make(path, 0o700).and_then(|dir| {
            if self.durability == Durability::Full {
                for above in path.ancestors().skip(1).take(above) {
                    Dir::open(above)?.sync()?;
                }
            }
            Ok(dir)
        });
        made.attempted(|| format!("cannot make {}", path.display()))
    }

    /// Opens the empty directory that is below a layer which has nothing below it, for the kernel
    /// wants two.
    pub(crate) fn empty(&self) -> Result<Dir> {
        self.make_in(EMPTY)
    }

    /// Opens the directory and the layer `id`, which must be there.
    pub(crate) fn layer(&self, id: &LayerId) -> Result<(Dir, Layer)> {
        if let Some(home) = self.find()?
            && let Some(layer) = Layer::find(&home, id)?
        {
            return Ok((home, layer));
        }
        Err(DriverError::not_found(id))
    }

    /// Makes entries of `dir` durable, if layers are to be.
    pub(crate) fn sync(&self, dir: &Dir) -> layergraph_fs::Result<()> {
        match self.durability {
            Durability::Full => dir.sync(),
            Durability::None => Ok(()),
        }
    }
}

fn find_path(path: &Path) -> Result<Option<Dir>> {
    match Dir::open(path) {
        Err(error) if error.leads_nowhere() => Ok(None),
        result => result
            .map(Some)
            .attempted(|| format!("cannot open {}", path.display())),
    }
}

/// Waits until nobody else has the layer or the record of this name.
pub(crate) fn lock(home: &Dir, name: &OsStr) -> Result<LockGuard> {
    let locked = open_lock(home).and_then(|file| file.lock(byte_of(name), LockKind::Exclusive));
    locked.attempted(|| format!("cannot lock {}", name.display()))
}

/// As [`lock`], unless somebody has the lock: then nothing is locked.
pub(crate) fn try_lock(home: &Dir, name: &OsStr) -> Result<Option<LockGuard>> {
    let locked = open_lock(home).and_then(|file| file.try_lock(byte_of(name), LockKind::Exclusive));
    locked.attempted(|| format!("cannot lock {}", name.display()))
}

/// Keeps sweeps from short names whose layers are not there yet.
pub(crate) fn share_links(home: &Dir) -> Result<LockGuard> {
    let locked = open_lock(home).and_then(|file| file.lock(LINKS_BYTE, LockKind::Shared));
    locked.attempted(|| format!("cannot lock the short names in {}", home.path().display()))
}

/// Keeps everybody from making short names, unless somebody is about to: then nothing is locked.
pub(crate) fn try_lock_links(home: &Dir) -> Result<Option<LockGuard>> {
    let locked = open_lock(home).and_then(|file| file.try_lock(LINKS_BYTE, LockKind::Exclusive));
    locked.attempted(|| format!("cannot lock the short names in {}", home.path().display()))
}

fn open_lock(home: &Dir) -> layergraph_fs::Result<LockFile> {
    LockFile::open(home, OsStr::new(LOCK))
}

/// Returns the byte that stands for a name, below [`LINKS_BYTE`]: a hash, because names may share
/// their beginning.
fn byte_of(name: &OsStr) -> u64 {
    let digest = Digest::of(Algorithm::Sha256, name.as_encoded_bytes());
    let first: [u8; 8] = *digest.as_bytes().first_chunk().expect("it has 32 bytes");
    u64::from_be_bytes(first) >> 2
}
