//! Stores to work in, layers of a few lines, and what is mounted.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use layergraph_driver::conformance::files;
use layergraph_driver::{Access, Driver, DriverError, DriverErrorKind, MountOptions};
use layergraph_driver_overlay::OverlayDriver;
pub(crate) use layergraph_driver_tests::{
    Result, apply, as_ordinary_user, id, layer, lines, listing_of, options,
};
use layergraph_fs::Durability;
use layergraph_tests::{Scratch, mounted_below};

/// A driver with a store of its own.
pub(crate) struct Store {
    pub(crate) driver: OverlayDriver,
    root: Scratch,
}

impl Store {
    pub(crate) fn new() -> Result<Store> {
        Store::at(Scratch::new()?, Durability::None)
    }

    pub(crate) fn at(root: Scratch, durability: Durability) -> Result<Store> {
        let driver = OverlayDriver::open(root.path(), &options(durability))?;
        Ok(Store { driver, root })
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The driver's directory, or what is in it.
    pub(crate) fn home(&self, path: &str) -> PathBuf {
        self.root().join("overlay").join(path)
    }

    pub(crate) fn commit(&self, name: &str, parent: Option<&str>, layer: &[u8]) -> Result {
        let parent = parent.map(id);
        let staged = self.driver.stage(parent.as_ref())?;
        apply(layer, &*staged)?;
        Ok(staged.commit(&id(name), parent.as_ref())?)
    }

    /// Commits a layer with one file of its name, or of another text.
    pub(crate) fn layer(&self, name: &str, parent: Option<&str>) -> Result {
        let line = format!("{name} = of {name}");
        self.commit(name, parent, &layer(&[(0o644, &line)])?)
    }

    /// Makes a directory in the root, to mount at.
    pub(crate) fn target(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.root().join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// Everything in the store.
    pub(crate) fn files(&self) -> io::Result<BTreeSet<PathBuf>> {
        files(self.root())
    }

    /// What is mounted in the root, the last one first.
    pub(crate) fn mounted(&self) -> Vec<PathBuf> {
        mounted_below(self.root())
    }

    pub(crate) fn listing(&self, name: &str) -> Result<Vec<String>> {
        lines(&self.driver.view(&id(name))?)
    }
}

pub(crate) fn to_change() -> MountOptions {
    let mut options = MountOptions::default();
    options.access = Access::ReadWrite;
    options
}

#[track_caller]
pub(crate) fn assert_refused<T>(
    result: layergraph_driver::Result<T>,
    kind: DriverErrorKind,
) -> DriverError {
    match result {
        Ok(_) => panic!("it was not refused; {kind:?} was expected"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{error:?}");
            error
        }
    }
}
