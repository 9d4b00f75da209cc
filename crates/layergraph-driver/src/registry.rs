//! Which drivers there are, and which one a store gets.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use layergraph_fs::Dir;

use crate::error::Attempted;
use crate::{Driver, DriverError, DriverErrorKind, DriverOptions, Result};

/// Opens a driver for the store whose root is given.
pub type OpenDriver = fn(&Path, &DriverOptions) -> Result<Arc<dyn Driver>>;

/// The directories in which drivers of the original, and of its successors, keep their layers. One
/// that nobody here can read is reported, lest its layers seem lost.
const FOREIGN: [&str; 7] = [
    "aufs",
    "btrfs",
    "devicemapper",
    "overlay",
    "overlay2",
    "vfs",
    "zfs",
];

/// Which driver is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DriverChoice {
    /// The one whose layers the store holds; for a new store the first that works here.
    #[default]
    Auto,
    /// This one and no other.
    Named(String),
}

/// The drivers that a program was built with.
#[derive(Clone, Default)]
pub struct Registry {
    /// The preferred ones first.
    drivers: Vec<(&'static str, OpenDriver)>,
}

impl Registry {
    /// Returns a registry without drivers.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Adds a driver, which is preferred less than those that were added before.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](DriverErrorKind::AlreadyExists) if there is one of this name.
    pub fn register(&mut self, name: &'static str, open: OpenDriver) -> Result<()> {
        if self.find(name).is_some() {
            let text = format!("Name already registered {name}");
            return Err(DriverError::new(DriverErrorKind::AlreadyExists, text));
        }
        self.drivers.push((name, open));
        Ok(())
    }

    /// Returns the names of the drivers, the preferred ones first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.drivers.iter().map(|(name, _)| *name)
    }

    /// Opens a driver for the store at `root`.
    ///
    /// A directory `<root>/<driver>` with layers in it is a driver's state; hidden entries and
    /// empty directories, which opening a driver may leave, are none. A driver that is named must
    /// find its own state or none at all. If none is named, it is the one that has state; where no
    /// driver has, it is the first that works here.
    ///
    /// # Errors
    ///
    /// [`OtherDriver`](DriverErrorKind::OtherDriver) if only others have state, or more than one
    /// has and none is named;
    /// [`NotSupported`](DriverErrorKind::NotSupported) if none of that name is registered or none
    /// works here; whatever the driver that holds the state says when it is opened.
    pub fn open(
        &self,
        root: &Path,
        choice: &DriverChoice,
        options: &DriverOptions,
    ) -> Result<Arc<dyn Driver>> {
        let states = self.states(root)?;
        let open = match choice {
            DriverChoice::Named(name) => {
                let open = self.find(name).ok_or_else(|| unsupported(name))?;
                if !states.is_empty() && !states.contains(&name.as_str()) {
                    return Err(other_driver(root, &states));
                }
                open
            }
            DriverChoice::Auto => match *states {
                [] => return self.first_usable(root, options),
                [only] => match self.find(only) {
                    Some(open) => open,
                    None => return Err(other_driver(root, &states)),
                },
                _ => return Err(other_driver(root, &states)),
            },
        };
        open(root, options)
    }

    fn find(&self, name: &str) -> Option<OpenDriver> {
        let found = self.drivers.iter().find(|(other, _)| *other == name);
        found.map(|&(_, open)| open)
    }

    /// Returns the drivers, known here or not, that have layers in the root.
    fn states(&self, root: &Path) -> Result<Vec<&'static str>> {
        let mut states = Vec::new();
        let foreign = FOREIGN.into_iter().filter(|name| self.find(name).is_none());
        for name in self.names().chain(foreign) {
            if has_layers(&root.join(name)).attempted(|| look(root))? {
                states.push(name);
            }
        }
        Ok(states)
    }

    fn first_usable(&self, root: &Path, options: &DriverOptions) -> Result<Arc<dyn Driver>> {
        for (_, open) in &self.drivers {
            match open(root, options) {
                Err(error) if error.is_unusable_here() => {}
                result => return result,
            }
        }
        let text = "No supported storage backend found";
        Err(DriverError::new(DriverErrorKind::NotSupported, text))
    }
}

/// Tells whether a driver has layers: whether its directory, or the one to which a link of that
/// name leads, has something in it that is neither hidden nor an empty directory.
fn has_layers(home: &Path) -> layergraph_fs::Result<bool> {
    let home = match Dir::open(home) {
        Err(error) if error.leads_nowhere() => return Ok(false),
        result => result?,
    };
    for entry in home.entries()? {
        if entry.name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let inner = match home.open_dir(&entry.name) {
            Err(error) if error.leads_nowhere() => return Ok(true),
            result => result?,
        };
        if !inner.entries()?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn look(root: &Path) -> String {
    format!("cannot see which driver's layers are in {}", root.display())
}

fn unsupported(name: &str) -> DriverError {
    let text = format!("driver not supported: {name}");
    DriverError::new(DriverErrorKind::NotSupported, text)
}

fn other_driver(root: &Path, states: &[&str]) -> DriverError {
    let text = format!(
        "{} holds layers of the driver {}",
        root.display(),
        states.join(" and of ")
    );
    DriverError::new(DriverErrorKind::OtherDriver, text)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
