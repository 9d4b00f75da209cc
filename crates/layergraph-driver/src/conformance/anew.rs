//! A driver that is opened anew for each call.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use layergraph_archive::{Change, Ownership, View};
use layergraph_fs::Dir;

use crate::{
    Capabilities, Driver, DriverOptions, LayerId, MountOptions, OpenDriver, Result, StagedLayer,
};

/// Opens another driver anew for each call, as programs do that run one after the other: nothing
/// that it remembers outlives a call.
///
/// ```
/// # mod conformance {
/// use std::path::Path;
/// use std::sync::Arc;
///
/// use layergraph_driver::conformance::AnewDriver;
/// use layergraph_driver::{Driver, DriverOptions, Result};
/// # use layergraph_driver::conformance::ModelDriver as SomeDriver;
///
/// fn open(root: &Path, options: &DriverOptions) -> Result<Arc<dyn Driver>> {
///     Ok(Arc::new(AnewDriver::open(SomeDriver::open_dyn, root, options)?))
/// }
///
/// layergraph_driver::driver_conformance!(anew, open);
/// # }
/// ```
#[derive(Debug)]
pub struct AnewDriver {
    open: OpenDriver,
    root: PathBuf,
    options: DriverOptions,
    /// What cannot fail is asked of this one.
    first: Arc<dyn Driver>,
}

impl AnewDriver {
    /// Takes the way to open the other driver, and opens it once.
    ///
    /// # Errors
    ///
    /// What opening said.
    pub fn open(open: OpenDriver, root: &Path, options: &DriverOptions) -> Result<AnewDriver> {
        Ok(AnewDriver {
            open,
            root: root.to_owned(),
            options: options.clone(),
            first: open(root, options)?,
        })
    }

    fn anew(&self) -> Result<Arc<dyn Driver>> {
        (self.open)(&self.root, &self.options)
    }
}

impl Driver for AnewDriver {
    fn name(&self) -> &str {
        self.first.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.first.capabilities()
    }

    fn ownership(&self) -> Ownership {
        self.first.ownership()
    }

    fn stage(&self, parent: Option<&LayerId>) -> Result<Box<dyn StagedLayer>> {
        self.anew()?.stage(parent)
    }

    fn exists(&self, id: &LayerId) -> Result<bool> {
        self.anew()?.exists(id)
    }

    fn list(&self) -> Result<Vec<LayerId>> {
        self.anew()?.list()
    }

    fn remove(&self, id: &LayerId) -> Result<()> {
        self.anew()?.remove(id)
    }

    fn check_unused(&self, id: &LayerId) -> Result<()> {
        self.anew()?.check_unused(id)
    }

    fn layers(&self, id: &LayerId) -> Result<Vec<Dir>> {
        self.anew()?.layers(id)
    }

    fn mount(&self, id: &LayerId, options: &MountOptions) -> Result<PathBuf> {
        self.anew()?.mount(id, options)
    }

    fn unmount(&self, id: &LayerId) -> Result<()> {
        self.anew()?.unmount(id)
    }

    fn unmount_at(&self, target: &Path) -> Result<()> {
        self.anew()?.unmount_at(target)
    }

    fn sweep(&self) -> Result<usize> {
        self.anew()?.sweep()
    }

    fn view(&self, id: &LayerId) -> Result<View> {
        self.anew()?.view(id)
    }

    fn changes(&self, id: &LayerId, against: Option<&LayerId>) -> Result<Vec<Change>> {
        self.anew()?.changes(id, against)
    }
}
