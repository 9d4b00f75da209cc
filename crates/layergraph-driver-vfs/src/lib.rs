//! A storage driver that works everywhere: each layer is a whole tree of files.
//!
//! A new layer begins as a copy of its parent. Where the file system can share content between
//! files (`FICLONE`, as on btrfs and xfs) the copy costs metadata only; elsewhere it costs what the
//! tree does. In return a layer is a plain directory that any program can read, and nothing has to
//! be mounted.
//!
//! Everything about a tree is kept from generation to generation: owners, modes, times in
//! nanoseconds, extended attributes, hard links, holes, and what the root directory itself is.
//!
//! ```
//! use layergraph_driver::{Driver, DriverOptions, LayerId};
//! use layergraph_driver_vfs::VfsDriver;
//! use std::ffi::OsStr;
//!
//! # let directory = tempfile::tempdir()?;
//! let driver = VfsDriver::open(directory.path(), &DriverOptions::default())?;
//! let base: LayerId = "base".parse()?;
//! let staged = driver.stage(None)?;
//! staged.dir().create_file(OsStr::new("greeting"), 0o644)?.write_all(b"hello")?;
//! assert!(!driver.exists(&base)?);
//! staged.commit(&base, None)?;
//!
//! assert_eq!(driver.list()?, [base.clone()]);
//! let changes = driver.changes(&base, None)?;
//! assert!(changes.iter().any(|change| change.to_string() == "A /greeting"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # On disk
//!
//! ```text
//! <root>/vfs/dir/<id>/      the tree of a layer, as the original kept it
//! <root>/vfs/.staging/      trees that are being made
//! <root>/vfs/.trash/        trees that are being removed
//! ```
//!
//! # Limitations
//!
//! A tree is handed out under its own path ([`Driver::mount`]), so nothing but its modes keeps
//! anybody from changing a layer there; mounting at another path is not supported.
//!
//! An ordinary user can build on a layer only if he may read all of it. That is so with
//! [`Ownership::Squash`]; a tree kept as it is may hold files that their own mode shuts even to
//! their owner.

#![forbid(unsafe_code)]

mod staged;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use layergraph_archive::Ownership;
use layergraph_driver::{
    Attempted, Capabilities, Driver, DriverError, DriverErrorKind, DriverOptions, LayerId,
    MountOptions, Result, StagedLayer,
};
use layergraph_fs::{Dir, Durability, FileKind, RenameMode, Staging, sweep};

use self::staged::Staged;

/// The name the driver is registered under.
pub const NAME: &str = "vfs";

/// Where the trees are, in the driver's directory.
const TREES: &str = "dir";
/// Where they are made.
const STAGING: &str = ".staging";
/// Where they go to be removed.
const TRASH: &str = ".trash";

/// The driver; see the [crate].
#[derive(Debug)]
pub struct VfsDriver {
    /// The directory of the driver, which exists as soon as there is a layer.
    home: PathBuf,
    options: DriverOptions,
}

impl VfsDriver {
    /// Opens the driver of the store at `root`. Nothing is made before there is a layer.
    ///
    /// # Errors
    ///
    /// The current directory cannot be told, by which a relative path is made absolute.
    pub fn open(root: &Path, options: &DriverOptions) -> Result<VfsDriver> {
        let home = std::path::absolute(root.join(NAME)).map_err(|error| {
            let text = format!("cannot tell where {} is", root.display());
            DriverError::new(DriverErrorKind::Failed, text).because(error)
        })?;
        Ok(VfsDriver {
            home,
            options: options.clone(),
        })
    }

    /// As [`open`](VfsDriver::open), for a [`Registry`](layergraph_driver::Registry).
    pub fn open_dyn(root: &Path, options: &DriverOptions) -> Result<Arc<dyn Driver>> {
        Ok(Arc::new(VfsDriver::open(root, options)?))
    }

    /// Opens a directory of the driver, if it is there.
    fn find(&self, name: &str) -> Result<Option<Dir>> {
        let path = self.home.join(name);
        match Dir::open(&path) {
            Err(error) if error.leads_nowhere() => Ok(None),
            result => result
                .map(Some)
                .attempted(|| format!("cannot open {}", path.display())),
        }
    }

    /// Opens a directory of the driver, which is made if it is missing.
    fn make(&self, name: &str) -> Result<Dir> {
        if let Some(dir) = self.find(name)? {
            return Ok(dir);
        }
        let path = self.home.join(name);
        let made = Dir::open_or_make(&path, 0o700).and_then(|dir| {
            if self.options.durability == Durability::Full {
                // Layers are as durable as the names of the directories above them.
                for above in path.ancestors().skip(1).take(2) {
                    Dir::open(above)?.sync()?;
                }
            }
            Ok(dir)
        });
        made.attempted(|| format!("cannot make {}", path.display()))
    }

    /// Opens the directory of trees, for a layer that must be there.
    fn trees_with(&self, id: &LayerId) -> Result<Dir> {
        match self.find(TREES)? {
            Some(trees) if is_layer(&trees, id)? => Ok(trees),
            _ => Err(DriverError::not_found(id)),
        }
    }
}

fn is_layer(trees: &Dir, id: &LayerId) -> Result<bool> {
    let found = trees
        .find(id.as_name())
        .attempted(|| format!("cannot look for layer {id}"))?;
    Ok(found.is_some_and(|metadata| metadata.kind == FileKind::Directory))
}

impl Driver for VfsDriver {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::COPYING
    }

    fn ownership(&self) -> Ownership {
        self.options.ownership.clone()
    }

    fn stage(&self, parent: Option<&LayerId>) -> Result<Box<dyn StagedLayer>> {
        let parent = match parent {
            Some(id) => Some((id, self.trees_with(id)?)),
            None => None,
        };
        let staging = self.make(STAGING)?;
        let trees = self.make(TREES)?;
        let staged = Staged::new(&staging, trees, parent, &self.options)?;
        Ok(Box::new(staged))
    }

    fn exists(&self, id: &LayerId) -> Result<bool> {
        self.find(TREES)?
            .map_or(Ok(false), |trees| is_layer(&trees, id))
    }

    fn list(&self) -> Result<Vec<LayerId>> {
        let Some(trees) = self.find(TREES)? else {
            return Ok(Vec::new());
        };
        let looked = || format!("cannot list {}", trees.path().display());
        let mut ids = Vec::new();
        for entry in trees.entries().attempted(looked)? {
            // Whatever has no name of a layer was not put there by a driver.
            let id = entry
                .name
                .to_str()
                .and_then(|name| name.parse::<LayerId>().ok());
            let Some(id) = id else { continue };
            let is_tree = match entry.kind {
                Some(kind) => kind == FileKind::Directory,
                None => is_layer(&trees, &id)?,
            };
            if is_tree {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    fn remove(&self, id: &LayerId) -> Result<()> {
        let trees = self.trees_with(id)?;
        let removed = || format!("cannot remove layer {id}");
        let trash = self.make(TRASH)?;
        let bin = match throw(&trees, id, &trash) {
            Err(error) if error.leads_nowhere() => return Err(DriverError::not_found(id)),
            result => result.attempted(removed)?,
        };
        if self.options.durability == Durability::Full {
            trees.sync().attempted(removed)?;
        }
        bin.discard().attempted(removed)
    }

    fn layers(&self, id: &LayerId) -> Result<Vec<Dir>> {
        let trees = self.trees_with(id)?;
        let dir = trees
            .open_dir(id.as_name())
            .attempted(|| format!("cannot open layer {id}"))?;
        Ok(vec![dir])
    }

    fn mount(&self, id: &LayerId, options: &MountOptions) -> Result<PathBuf> {
        let trees = self.trees_with(id)?;
        if let Some(target) = &options.target {
            let text = format!("the driver {NAME} mounts nothing at {}", target.display());
            return Err(DriverError::new(DriverErrorKind::NotSupported, text));
        }
        Ok(trees.path().join(id.as_name()))
    }

    fn unmount(&self, _id: &LayerId) -> Result<()> {
        Ok(())
    }

    fn sweep(&self) -> Result<usize> {
        let mut swept = 0;
        let mut failed = None;
        for name in [STAGING, TRASH, TREES] {
            let Some(dir) = self.find(name)? else {
                continue;
            };
            let path = dir.path().display();
            match sweep(&dir).attempted(|| format!("cannot sweep {path}")) {
                Ok(some) => swept += some,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(swept), Err)
    }
}

/// Takes a tree away in one step, so that no half of a layer is ever there, and returns what is to
/// be discarded then.
fn throw(trees: &Dir, id: &LayerId, trash: &Dir) -> layergraph_fs::Result<Staging> {
    let (bin, mode) = (Staging::new(trash)?, RenameMode::NoReplace);
    match trees.rename(id.as_name(), bin.dir(), id.as_name(), mode) {
        // An ordinary user may not move a directory that he may not write to to another parent,
        // because `..` in it changes; within its parent he may. There it goes by a name that is no
        // layer's, and takes the place of an empty directory.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let bin = Staging::new(trees)?;
            trees.rename(id.as_name(), trees, bin.name(), RenameMode::Replace)?;
            Ok(bin)
        }
        result => result.map(|()| bin),
    }
}

/// What the driver's staging directories hold.
const TREE: &str = "tree";

fn tree() -> &'static OsStr {
    OsStr::new(TREE)
}
