//! Stores to work in, layers of a few lines, and the test program as an ordinary user.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use layergraph_driver::Driver;
use layergraph_driver::conformance::files;
pub(crate) use layergraph_driver_tests::{
    Result, apply, as_ordinary_user, id, layer, listing_of, options,
};
use layergraph_driver_vfs::VfsDriver;
use layergraph_fs::Durability;
use layergraph_tests::Scratch;

/// A driver with a store of its own.
pub(crate) struct Store {
    pub(crate) driver: VfsDriver,
    root: Scratch,
}

impl Store {
    pub(crate) fn new() -> Result<Store> {
        Store::at(Scratch::new()?, Durability::None)
    }

    pub(crate) fn at(root: Scratch, durability: Durability) -> Result<Store> {
        let driver = VfsDriver::open(root.path(), &options(durability))?;
        Ok(Store { driver, root })
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where a tree is to be.
    pub(crate) fn tree(&self, name: &str) -> PathBuf {
        self.root().join("vfs/dir").join(name)
    }

    pub(crate) fn commit(&self, name: &str, parent: Option<&str>, layer: &[u8]) -> Result {
        let parent = parent.map(id);
        let staged = self.driver.stage(parent.as_ref())?;
        apply(layer, &*staged)?;
        Ok(staged.commit(&id(name), parent.as_ref())?)
    }

    /// Everything in the store.
    pub(crate) fn files(&self) -> io::Result<BTreeSet<PathBuf>> {
        files(self.root())
    }
}

pub(crate) fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::symlink_metadata(path)?.permissions().mode() & 0o7777)
}
