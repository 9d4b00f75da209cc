//! The driver: what layers there are, and how they come and go.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use layergraph_archive::{Dialect, Ownership, View};
use layergraph_driver::{
    Attempted, Capabilities, Driver, DriverError, DriverErrorKind, DriverOptions, LayerId,
    MountOptions, Result, StagedLayer,
};
use layergraph_fs::{Dir, FileKind, RenameMode, Staging};

use crate::home::{Home, LINKS, MOUNTS, STAGING, TRASH, lock, try_lock_links};
use crate::layer::{Form, Layer};
use crate::link;
use crate::mount::MountMethod;
use crate::mounting::MERGED;
use crate::probe;
use crate::staged::Staged;
use crate::unmounting;

/// The name the driver is registered under.
pub const NAME: &str = "overlay";

/// The driver; see the [crate].
#[derive(Debug, Clone)]
pub struct OverlayDriver {
    pub(crate) home: Home,
    pub(crate) options: DriverOptions,
    pub(crate) dialect: Dialect,
    pub(crate) methods: Vec<MountMethod>,
}

impl OverlayDriver {
    /// Opens the driver of the store at `root`. Nothing is made before there is a layer.
    ///
    /// The dialect of whiteouts is the one that
    /// [`overlay_userxattr`](DriverOptions::overlay_userxattr) asks for, or else the one that this
    /// process may write.
    ///
    /// # Errors
    ///
    /// [`Prerequisites`](DriverErrorKind::Prerequisites) if the kernel has no overlayfs,
    /// [`IncompatibleFilesystem`](DriverErrorKind::IncompatibleFilesystem) if layers cannot be on
    /// the file system of the root. Who may not mount opens the driver all the same.
    pub fn open(root: &Path, options: &DriverOptions) -> Result<OverlayDriver> {
        let home = std::path::absolute(root.join(NAME)).map_err(|error| {
            let text = format!("cannot tell where {} is", root.display());
            DriverError::new(DriverErrorKind::Failed, text).because(error)
        })?;
        let dialect = probe::check(&home, options.overlay_userxattr)?;
        Ok(OverlayDriver {
            home: Home::new(home, options.durability),
            options: options.clone(),
            dialect,
            methods: MountMethod::ALL.to_vec(),
        })
    }

    /// As [`open`](OverlayDriver::open), for a [`Registry`](layergraph_driver::Registry).
    pub fn open_dyn(root: &Path, options: &DriverOptions) -> Result<Arc<dyn Driver>> {
        Ok(Arc::new(OverlayDriver::open(root, options)?))
    }

    /// Leaves out all ways to mount but these, which are tried in this order.
    ///
    /// This is for a kernel that is known to do one of them wrong.
    #[must_use]
    pub fn with_mount_methods(mut self, methods: &[MountMethod]) -> OverlayDriver {
        self.methods = methods.to_vec();
        self
    }

    /// Checks that a layer can get another on top of it.
    pub(crate) fn check_fit_to_build_on(&self, layer: &Layer) -> Result<()> {
        if layer.form == Form::Upper {
            layer.check_dialect(self.dialect)?;
        }
        layer.check_depth()?;
        self.check_settled(&layer.id)
    }

    /// Finds what is built on a layer, if anything is.
    fn child_of(&self, home: &Dir, layer: &Layer) -> Result<Option<LayerId>> {
        // Those of today seal what they are built on; those of 2015 do not.
        if layer.form == Form::Diff && !layer.is_sealed()? {
            return Ok(None);
        }
        let names = match self.home.find_in(LINKS)? {
            Some(links) => link::all_of(&links, &layer.id)?,
            None => Vec::new(),
        };
        for id in self.list()? {
            let Some(other) = Layer::find(home, &id)? else {
                continue;
            };
            let is_below = match other.form {
                Form::Diff => other
                    .lower()
                    .map(|lower| lower.iter().any(|name| names.contains(name))),
                Form::Upper => other.lower_id().map(|lower| lower == layer.id),
                Form::Root => Ok(false),
            };
            match is_below {
                Ok(true) => return Ok(Some(id)),
                // One that cannot say what it is built on is of no use to anybody.
                Err(error) if error.kind() != DriverErrorKind::Damaged => return Err(error),
                Ok(false) | Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Checks that nothing needs the layer, which is locked.
    fn check_not_needed(&self, home: &Dir, layer: &Layer) -> Result<()> {
        let id = &layer.id;
        self.check_unmounted(id)?;
        let in_use = |why: String| {
            let text = format!("layer {id} is in use: {why}");
            Err(DriverError::new(DriverErrorKind::InUse, text))
        };
        if let Some(child) = self.child_of(home, layer)? {
            return in_use(format!("layer {child} is built on it"));
        }
        match layer.dir.open_dir_on_mount(OsStr::new(MERGED)) {
            // Whoever mounted it wrote no record.
            Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                in_use("something is mounted in it".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Driver for OverlayDriver {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::independent(self.dialect)
    }

    fn ownership(&self) -> Ownership {
        self.options.ownership.clone()
    }

    fn stage(&self, parent: Option<&LayerId>) -> Result<Box<dyn StagedLayer>> {
        let Some(parent) = parent else {
            return Ok(Box::new(Staged::new(self, None)?));
        };
        let (_, parent) = self.home.layer(parent)?;
        self.check_fit_to_build_on(&parent)?;
        Ok(Box::new(Staged::new(self, Some(&parent))?))
    }

    fn exists(&self, id: &LayerId) -> Result<bool> {
        match self.home.find()? {
            Some(home) => Ok(Layer::find(&home, id)?.is_some()),
            None => Ok(false),
        }
    }

    fn list(&self) -> Result<Vec<LayerId>> {
        let Some(home) = self.home.find()? else {
            return Ok(Vec::new());
        };
        let looked = || format!("cannot list {}", home.path().display());
        let mut ids = Vec::new();
        for entry in home.entries().attempted(looked)? {
            // Whatever has no name of a layer was not put there by a driver.
            let id = entry
                .name
                .to_str()
                .and_then(|name| name.parse::<LayerId>().ok());
            let Some(id) = id else { continue };
            let may_be = entry.kind.is_none_or(|kind| kind == FileKind::Directory);
            if may_be && Layer::find(&home, &id)?.is_some() {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    fn check_unused(&self, id: &LayerId) -> Result<()> {
        let (home, layer) = self.home.layer(id)?;
        self.check_not_needed(&home, &layer)
    }

    fn remove(&self, id: &LayerId) -> Result<()> {
        let (home, _) = self.home.layer(id)?;
        let removed = || format!("cannot remove layer {id}");
        let _locked = lock(&home, id.as_name())?;
        // Somebody else may have removed it meanwhile.
        let (_, layer) = self.home.layer(id)?;
        self.check_not_needed(&home, &layer)?;
        // Of a damaged layer a sweep removes it.
        let name = link::of(&layer.dir, id).unwrap_or_default();
        let trash = self.home.make_in(TRASH)?;
        let bin = Staging::new(&trash).attempted(removed)?;
        home.rename(id.as_name(), bin.dir(), id.as_name(), RenameMode::NoReplace)
            .attempted(removed)?;
        self.home.sync(&home).attempted(removed)?;
        if let (Some(name), Some(links)) = (name, self.home.find_in(LINKS)?) {
            link::remove(&links, &name).attempted(removed)?;
        }
        bin.discard().attempted(removed)
    }

    fn layers(&self, id: &LayerId) -> Result<Vec<Dir>> {
        let (home, layer) = self.home.layer(id)?;
        Ok(layer.stack(&home, self.dialect)?.dirs)
    }

    fn view(&self, id: &LayerId) -> Result<View> {
        let (home, layer) = self.home.layer(id)?;
        let dirs = layer.stack(&home, self.dialect)?.dirs;
        let dialect = match layer.form {
            // A whole tree on its own has no whiteouts, and is mounted by nobody.
            Form::Root => Dialect::Plain,
            Form::Diff | Form::Upper => self.dialect,
        };
        Ok(View::union(dirs, dialect).with_ownership(self.ownership()))
    }

    fn mount(&self, id: &LayerId, options: &MountOptions) -> Result<PathBuf> {
        self.mount_layer(id, options)
    }

    fn unmount(&self, id: &LayerId) -> Result<()> {
        self.unmount_layer(id)
    }

    fn unmount_at(&self, target: &Path) -> Result<()> {
        self.unmount_target(target)
    }

    fn sweep(&self) -> Result<usize> {
        let Some(home) = self.home.find()? else {
            return Ok(0);
        };
        let mut swept = 0;
        let mut failed = None;
        let mut add = |result: Result<usize>| match result {
            Ok(some) => swept += some,
            Err(error) => failed = failed.take().or(Some(error)),
        };
        for name in [STAGING, TRASH, MOUNTS] {
            let Some(dir) = self.home.find_in(name)? else {
                continue;
            };
            let path = dir.path().display();
            add(layergraph_fs::sweep(&dir).attempted(|| format!("cannot sweep {path}")));
            if name == MOUNTS {
                add(unmounting::sweep(&home, &dir));
            }
        }
        if let Some(links) = self.home.find_in(LINKS)? {
            add(sweep_links(&home, &links));
        }
        failed.map_or(Ok(swept), Err)
    }
}

/// Removes the short names that no layer has, if there are some. A store that is only to be read
/// has no locks, and none are needed to look.
fn sweep_links(home: &Dir, links: &Dir) -> Result<usize> {
    if link::leftovers(home, links)?.is_empty() {
        return Ok(0);
    }
    match try_lock_links(home)? {
        Some(_locked) => link::sweep(home, links),
        // Who is about to make some will look after them.
        None => Ok(0),
    }
}
