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
use layergraph_fs::{Dir, Durability, FileKind, RenameMode, Staging, remove_tree, sweep};

use self::staged::Staged;

/// The name the driver is registered under.
pub const NAME: &str = "vfs";

/// Where the trees are, in the driver's directory.
const TREES: &str = "dir";
/// Where they are made.
const STAGING: &str = ".staging";
/// Where they go to be removed.
const TRASH: &str = ".trash";

/// See the [crate](crate).
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
        let path = self.home.join(name);
        Dir::open_or_make(&path, 0o700).attempted(|| format!("cannot make {}", path.display()))
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
        self.options.ownership
    }

    fn stage(&self, parent: Option<&LayerId>) -> Result<Box<dyn StagedLayer>> {
        let parent = match parent {
            Some(id) => Some((id, self.trees_with(id)?)),
            None => None,
        };
        let staging = self.make(STAGING)?;
        let trees = self.make(TREES)?;
        let staged = Staged::new(&staging, trees, parent, self.options.durability)?;
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
        let bin = Staging::new(&trash).attempted(removed)?;
        match trees.rename(id.as_name(), bin.dir(), id.as_name(), RenameMode::NoReplace) {
            Ok(()) => {
                if self.options.durability == Durability::Full {
                    trees.sync().attempted(removed)?;
                }
                bin.discard().attempted(removed)
            }
            Err(error) if error.leads_nowhere() => Err(DriverError::not_found(id)),
            // An ordinary user may not move a directory that he may not write to.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                remove_tree(&trees, id.as_name()).attempted(removed)
            }
            Err(error) => Err(error).attempted(removed),
        }
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
        for name in [STAGING, TRASH] {
            if let Some(dir) = self.find(name)? {
                swept +=
                    sweep(&dir).attempted(|| format!("cannot sweep {}", dir.path().display()))?;
            }
        }
        Ok(swept)
    }
}

/// What the driver's staging directories hold.
const TREE: &str = "tree";

fn tree() -> &'static OsStr {
    OsStr::new(TREE)
}
