//! Mounts of layers: who may have which, and what is written down of them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use layergraph_archive::Dialect;
use layergraph_driver::{Attempted, DriverError, DriverErrorKind, LayerId, MountOptions, Result};
use layergraph_fs::Dir;

use crate::driver::OverlayDriver;
use crate::here::{Whereabouts, mount_id, path_of};
use crate::home::{MOUNTS, lock};
use crate::layer::{DEEPEST, Form, Layer, Stack};
use crate::mount::{MountError, Overlay, mount, unmount};
use crate::probe;
use crate::record::{self, Manner, Record};
use crate::work::{check_not_volatile, fresh_work};

/// Where a layer is mounted if nobody says where, in its directory.
pub(crate) const MERGED: &str = "merged";

/// Where a mount is to be.
struct Place {
    dir: Dir,
    path: PathBuf,
    /// The name of its record.
    record: OsString,
    is_own: bool,
}

/// An attempt that failed for reasons of the kernel's, or of ours.
enum Failed {
    Mount(MountError),
    Driver(DriverError),
}

impl From<MountError> for Failed {
    fn from(error: MountError) -> Failed {
        Failed::Mount(error)
    }
}

impl Place {
    /// Opens a directory of the caller's.
    fn at(target: &Path) -> Result<Place> {
        let opened = || format!("cannot open {} to mount there", target.display());
        let dir = Dir::open(target).attempted(opened)?;
        let path = path_of(&dir).attempted(opened)?;
        let record = record::name_of(&path);
        Ok(Place {
            dir,
            path,
            record,
            is_own: false,
        })
    }
}

impl OverlayDriver {
    pub(crate) fn mount_layer(&self, id: &LayerId, options: &MountOptions) -> Result<PathBuf> {
        let manner = Manner::of(options);
        self.home.layer(id)?;
        let home = self.home.make()?;
        let _locked = lock(&home, id.as_name())?;
        let (_, layer) = self.home.layer(id)?;
        if layer.form == Form::Root
            && let Some(path) = self.tree_of_2015(&layer, options, &manner)?
        {
            return Ok(path);
        }
        let place = match &options.target {
            Some(target) => Place::at(target)?,
            None => self.own_place(&layer)?,
        };
        // That of its own place is the layer's.
        let _also_locked = if place.is_own {
            None
        } else {
            Some(lock(&home, &place.record)?)
        };
        let mounts = self.home.make_in(MOUNTS)?;
        let here = record::here()?;
        if let Some(record) = record::read(&mounts, &place.record)? {
            if record.is_live(&here)? {
                return share(record, &mounts, &place, &manner, &here);
            }
            record::remove(&mounts, &place.record)?;
        }
        if place.is_own {
            check_free(&layer, &place)?;
        }
        check_alone(&layer, &manner, &mounts, &here)?;
        let stack = layer.stack(&home, self.dialect)?;
        let mut record = Record::new(&stack.ids, manner, &place.path, here);
        record.write(&mounts, &place.record)?;
        let attached = self.attach(&layer, &stack, &record.manner, &place);
        let is_attached = attached.is_ok();
        let mounted = attached.and_then(|()| note_mount(&mut record, &mounts, &place));
        if let Err(error) = mounted {
            // As long as the mount stays, its record does. The first error tells more.
            if !is_attached || unmount(&place.path).is_ok() {
                let _ = record::remove(&mounts, &place.record);
            }
            return Err(error);
        }
        Ok(place.path)
    }

    /// Returns where the whole tree of a layer of 2015 is, if that is what is asked for.
    fn tree_of_2015(
        &self,
        layer: &Layer,
        options: &MountOptions,
        manner: &Manner,
    ) -> Result<Option<PathBuf>> {
        let id = &layer.id;
        let refused = |what: &str| {
            let text = format!("layer {id} of 2015 is a whole tree: {what}");
            Err(DriverError::new(DriverErrorKind::NotSupported, text))
        };
        match options.target {
            Some(_) if manner.writable => refused("it is changed under its own path only"),
            Some(_) => Ok(None),
            None if manner.nodev || manner.nosuid || manner.selinux_context.is_some() => {
                refused("it has no mount options under its own path")
            }
            None => {
                let root = self
                    .home
                    .path()
                    .join(id.as_name())
                    .join(Form::Root.as_str());
                Ok(Some(root))
            }
        }
    }

    fn own_place(&self, layer: &Layer) -> Result<Place> {
        let (id, name) = (&layer.id, OsStr::new(MERGED));
        let dir = layer.dir.ensure_dir(name, 0o700);
        Ok(Place {
            dir: dir.attempted(|| format!("cannot make a place to mount layer {id}"))?,
            path: self.home.path().join(id.as_name()).join(name),
            record: id.as_name().to_owned(),
            is_own: true,
        })
    }

    fn attach(&self, layer: &Layer, stack: &Stack, manner: &Manner, place: &Place) -> Result<()> {
        let id = &layer.id;
        if stack.dirs.len() > DEEPEST {
            let text = format!(
                "cannot mount layer {id}: it is {} layers, and the kernel takes {DEEPEST}",
                stack.dirs.len()
            );
            return Err(DriverError::new(DriverErrorKind::TooDeep, text));
        }
        let (upper, below) = match stack.dirs.split_first() {
            Some((upper, below)) if manner.writable => (Some(upper), below),
            _ => (None, stack.dirs.as_slice()),
        };
        let mut lowers: Vec<&Dir> = below.iter().collect();
        let empty;
        if lowers.len() + usize::from(upper.is_some()) < 2 {
            empty = self.home.empty()?;
            lowers.push(&empty);
        }
        let overlay = Overlay {
            lowers,
            upper,
            options: options(self.dialect, manner)?,
            nodev: manner.nodev,
            nosuid: manner.nosuid,
        };
        if manner.writable {
            check_not_volatile(layer)?;
        }
        let work = || match upper {
            Some(_) => fresh_work(layer).map(Some).map_err(Failed::Driver),
            None => Ok(None),
        };
        match mount(&overlay, work, &place.dir, &self.methods) {
            Ok(()) => Ok(()),
            Err(Failed::Driver(error)) => Err(error),
            Err(Failed::Mount(error)) => Err(not_mounted(id, place, error)),
        }
    }
}

/// Checks that nothing is mounted at the driver's own place for the layer.
fn check_free(layer: &Layer, place: &Place) -> Result<()> {
    let text = || format!("something is mounted at {}", place.path.display());
    match place.dir.check_same_mount(&layer.dir) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            Err(DriverError::new(DriverErrorKind::InUse, text()))
        }
        result => result.attempted(|| format!("cannot tell whether {}", text())),
    }
}

/// Checks that nobody changes the layer while it is mounted so.
fn check_alone(layer: &Layer, manner: &Manner, mounts: &Dir, here: &Whereabouts) -> Result<()> {
    let id = &layer.id;
    for name in record::names(mounts)? {
        let Some(other) = record::read(mounts, &name)? else {
            continue;
        };
        let is_conflict = manner.writable || other.manner.writable;
        if is_conflict && other.is_of(id) && other.is_live(here)? {
            return Err(other.in_use(id));
        }
    }
    if manner.writable && layer.is_sealed()? {
        let text = format!("layer {id} cannot be changed: others are built on it");
        return Err(DriverError::new(DriverErrorKind::InUse, text));
    }
    Ok(())
}

/// Counts one more who has asked for a mount, if it is one that can be shared.
fn share(
    mut record: Record,
    mounts: &Dir,
    place: &Place,
    manner: &Manner,
    here: &Whereabouts,
) -> Result<PathBuf> {
    if !place.is_own || record.manner != *manner || !record.is_here(here) {
        let text = format!(
            "{} is in use: a layer is mounted there {}",
            place.path.display(),
            record.manner.how()
        );
        return Err(DriverError::new(DriverErrorKind::InUse, text));
    }
    record.count += 1;
    record.write(mounts, &place.record)?;
    Ok(record.target())
}

/// Writes down which mount it is.
fn note_mount(record: &mut Record, mounts: &Dir, place: &Place) -> Result<()> {
    let mounted = Dir::open(&place.path).and_then(|dir| mount_id(&dir));
    let id = mounted.attempted(|| format!("cannot look at {}", place.path.display()))?;
    record.mount = Some(id);
    record.write(mounts, &place.record)
}

/// The options of overlayfs.
fn options(dialect: Dialect, manner: &Manner) -> Result<Vec<(&'static str, Option<&str>)>> {
    let mut options = Vec::new();
    let is_user = dialect == Dialect::OverlayUser;
    if is_user {
        options.push(("userxattr", None));
    }
    if manner.writable {
        // Defaults differ from kernel to kernel. An upperdir that was written with one of these
        // would be no layer on its own.
        let known = probe::known_options();
        let known = known.attempted(|| "cannot tell which options overlayfs knows".to_owned())?;
        for (key, value) in [
            ("index", "off"),
            ("metacopy", "off"),
            // Off means that such attributes are followed, which goes not with userxattr.
            ("redirect_dir", if is_user { "nofollow" } else { "off" }),
        ] {
            if known.has(key) {
                options.push((key, Some(value)));
            }
        }
        if manner.volatile {
            options.push(("volatile", None));
        }
    }
    if let Some(context) = &manner.selinux_context {
        // It ends what mount(2) takes for one value.
        if context.contains('"') {
            let text = format!("the label {context:?} is no option of a mount");
            return Err(DriverError::new(DriverErrorKind::NotSupported, text));
        }
        options.push(("context", Some(context.as_str())));
    }
    Ok(options)
}

fn not_mounted(id: &LayerId, place: &Place, error: MountError) -> DriverError {
    let mut text = format!("cannot mount layer {id} at {}", place.path.display());
    let mut kind = DriverErrorKind::Failed;
    if error.is_not_permitted() {
        kind = DriverErrorKind::Prerequisites;
        text.push_str("; an ordinary user may mount in a user namespace (`layergraph unshare`)");
    }
    DriverError::new(kind, text).because(error)
}
