//! Opening a store: which driver, and whose files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use layergraph_archive::{Limits, Ownership};
use layergraph_core::{BeforeLayers, Graph, GraphError, GraphOptions, count_nodes, open_root};
use layergraph_driver::{Driver, DriverChoice, DriverError, DriverOptions, OpenDriver, Registry};
use layergraph_driver_overlay::OverlayDriver;
use layergraph_driver_vfs::VfsDriver;
use layergraph_fs::{Dir, Durability, FsError, UserNamespace, effective_user};
use layergraph_store::{Store, StoreError};

use crate::format::{Features, Format, FormatError};

/// How many ids the layers of images use: 16 bits of them, by custom.
const USUAL_IDS: u32 = 1 << 16;

/// How a store is opened.
///
/// ```
/// use layergraph::{DriverChoice, StoreOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # let root = directory.path();
/// let vfs = DriverChoice::Named("vfs".to_owned());
/// let graph = StoreOptions::new().driver(vfs).open_graph(root)?;
/// assert_eq!(graph.driver().name(), "vfs");
///
/// // A store that must be there.
/// let missing = StoreOptions::new().create(false).open_graph(&root.join("missing"));
/// assert!(missing.is_err());
/// # Ok::<(), layergraph::OpenError>(())
/// # .map_err(|error| Box::new(error) as Box<dyn std::error::Error>)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct StoreOptions {
    driver: DriverChoice,
    ownership: Option<Ownership>,
    durability: Durability,
    limits: Limits,
    create: bool,
}

/// How a store was made, and how much is in it; see [`StoreOptions::describe`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Description {
    /// The version of its format. None if it is one of 2015, or as these were.
    pub version: Option<u32>,
    /// What one must know to open it, and what one may ignore, if it has a version.
    pub features: Option<Features>,
    /// The driver that keeps its trees, which knows how owners and whiteouts are kept.
    pub driver: Arc<dyn Driver>,
    /// How many nodes there are, also those that cannot be read.
    pub nodes: usize,
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no store, and none was to be made.
    #[error("there is no store at {}", root.display())]
    NoStore {
        /// Where.
        root: PathBuf,
    },
    /// The store was made in a way that does not go with what is asked for, or that is not known
    /// here.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// No driver could be opened.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The graph could not be opened.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The store over it could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A call on the file system failed.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// Returns the drivers this was built with, the preferred ones first.
///
/// # Errors
///
/// Never, as long as each has its own name.
pub fn drivers() -> Result<Registry, DriverError> {
    registry([OVERLAY, VFS])
}

type Named = (&'static str, OpenDriver);

const OVERLAY: Named = (layergraph_driver_overlay::NAME, OverlayDriver::open_dyn);
const VFS: Named = (layergraph_driver_vfs::NAME, VfsDriver::open_dyn);

fn registry(drivers: [Named; 2]) -> Result<Registry, DriverError> {
    let mut registry = Registry::new();
    for (name, open) in drivers {
        registry.register(name, open)?;
    }
    Ok(registry)
}

/// Returns the drivers for a store that is there. Without layers and without a word about it, it is
/// one that vfs keeps.
fn drivers_of_found() -> Result<Registry, DriverError> {
    registry([VFS, OVERLAY])
}

/// Opens the root of a store and reads how it was made; nothing if there is none.
fn find(root: &Path) -> Result<Option<(Dir, Format)>, OpenError> {
    let dir = match Dir::open(root) {
        Err(error) if error.leads_nowhere() => return Ok(None),
        result => result?,
    };
    let format = Format::read(&dir)?;
    Ok(format.map(|format| (dir, format)))
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            driver: DriverChoice::Auto,
            ownership: None,
            durability: Durability::Full,
            limits: Limits::default(),
            create: true,
        }
    }
}

impl StoreOptions {
    /// Returns the defaults: the driver and the ownership that fit, full durability, and a store
    /// that is missing is made.
    pub fn new() -> StoreOptions {
        StoreOptions::default()
    }

    /// Says which driver is to keep the trees.
    #[must_use]
    pub fn driver(mut self, driver: DriverChoice) -> StoreOptions {
        self.driver = driver;
        self
    }

    /// Says how owners, modes and devices are kept on disk.
    ///
    /// It is fixed when a store is made. If it is not said here, it is what the store has; a new
    /// one preserves them for root, also of a user namespace with 65,536 ids, and squashes them for
    /// anybody else. Ranges of ids are fixed
    /// with it: a store that was made with others is refused.
    #[must_use]
    pub fn ownership(mut self, ownership: Ownership) -> StoreOptions {
        self.ownership = Some(ownership);
        self
    }

    /// Says whether what was done survives a power loss when a call has returned.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> StoreOptions {
        self.durability = durability;
        self
    }

    /// Says what a layer may cost that is registered.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> StoreOptions {
        self.limits = limits;
        self
    }

    /// Says whether a store that is missing is made.
    #[must_use]
    pub fn create(mut self, create: bool) -> StoreOptions {
        self.create = create;
        self
    }

    /// Opens the graph of layers of the store at `root`.
    ///
    /// # Errors
    ///
    /// A store that is not there, that is of a kind not known here, or that does not go with what
    /// is asked for, is left as it is.
    pub fn open_graph(&self, root: &Path) -> Result<Graph, OpenError> {
        let found = self.find(root)?;
        let namespace = UserNamespace::of_process()?;
        let (format, drivers) = match &found {
            Some(found) => (found.clone(), drivers_of_found()?),
            None => (self.new_format(&namespace), drivers()?),
        };
        let driver = self.open_driver(root, &format, &namespace, &drivers)?;
        let format = format.with_driver(&*driver);
        let mut options = GraphOptions::default();
        options.durability = self.durability;
        options.limits = self.limits.clone();
        if found.is_none() {
            // Before there is a graph, which without this file would be one of 2015.
            format.write(&open_root(root)?, self.durability)?;
        } else {
            let (root, durability) = (root.to_owned(), self.durability);
            options.before_layers = BeforeLayers::new(move || {
                Ok(format.write_if_missing(&Dir::open(&root)?, durability)?)
            });
        }
        Ok(Graph::open(root, driver, &options)?)
    }

    /// Opens the store at `root`: its images, and its graph of layers.
    ///
    /// # Errors
    ///
    /// As for [`open_graph`](StoreOptions::open_graph).
    pub fn open(&self, root: &Path) -> Result<Store, OpenError> {
        let graph = self.open_graph(root)?;
        let mut options = layergraph_store::StoreOptions::default();
        options.durability = self.durability;
        Ok(Store::new(graph, open_root(root)?, &options)?)
    }

    /// Tells how the store at `root` was made, and how much is in it; nothing if there is none.
    ///
    /// Nothing is made or changed, and nothing is removed that others left half made.
    ///
    /// # Errors
    ///
    /// As for [`open_graph`](StoreOptions::open_graph).
    pub fn describe(&self, root: &Path) -> Result<Option<Description>, OpenError> {
        let Some((dir, format)) = find(root)? else {
            return Ok(None);
        };
        let namespace = UserNamespace::of_process()?;
        let driver = self.open_driver(root, &format, &namespace, &drivers_of_found()?)?;
        let nodes = count_nodes(&dir, &*driver)?;
        let written = format.written();
        Ok(Some(Description {
            version: written.map(|(version, _)| version),
            features: written.map(|(_, features)| features.clone()),
            driver,
            nodes,
        }))
    }

    /// Opens the driver of a store, if its format goes with what is asked for.
    fn open_driver(
        &self,
        root: &Path,
        format: &Format,
        namespace: &UserNamespace,
        drivers: &Registry,
    ) -> Result<Arc<dyn Driver>, OpenError> {
        format.check_namespace(namespace)?;
        format.check_ownership(self.ownership.as_ref())?;
        let mut options = DriverOptions::default();
        options.ownership = format.ownership();
        options.durability = self.durability;
        options.overlay_userxattr = format.overlay_userxattr();
        Ok(drivers.open(root, &format.driver(&self.driver)?, &options)?)
    }

    /// Reads how the store was made; nothing if there is none and one may be made.
    fn find(&self, root: &Path) -> Result<Option<Format>, OpenError> {
        match find(root)? {
            None if !self.create => Err(OpenError::NoStore {
                root: root.to_owned(),
            }),
            found => Ok(found.map(|(_, format)| format)),
        }
    }

    /// Decides how a new store is made.
    fn new_format(&self, namespace: &UserNamespace) -> Format {
        // Root of a user namespace can keep only owners that it has.
        let usual = if effective_user() == 0 && namespace.has_first(USUAL_IDS) {
            Ownership::Preserve
        } else {
            Ownership::Squash
        };
        Format::new(self.ownership.clone().unwrap_or(usual)).made_in(namespace)
    }
}
