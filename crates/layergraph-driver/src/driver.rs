//! The trait, and the words it speaks.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use layergraph_archive::{Change, Dialect, Ownership, View};
use layergraph_fs::{Dir, Durability};

use crate::{DriverError, DriverErrorKind, LayerId, Result, naive};

/// What a caller must know of a driver to plan with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether a layer may be unpacked before its parent exists. If so, a staged layer holds the
    /// changes alone; if not, it begins as a copy of its parent.
    pub independent: bool,
    /// How a whiteout stands in a directory of the driver.
    pub dialect: Dialect,
}

impl Capabilities {
    /// Those of a driver whose staged layers begin as a copy of their parent, and so need no
    /// whiteouts.
    pub const COPYING: Capabilities = Capabilities {
        independent: false,
        dialect: Dialect::Plain,
    };

    /// Returns those of a driver whose staged layers hold the changes alone, with whiteouts of
    /// `dialect`.
    pub const fn independent(dialect: Dialect) -> Capabilities {
        Capabilities {
            independent: true,
            dialect,
        }
    }
}

/// How the layers of a store are kept, whatever the driver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DriverOptions {
    /// How owners, modes and devices stand on disk. It is the same for all layers of a store.
    pub ownership: Ownership,
    /// Whether a committed layer survives a power loss.
    pub durability: Durability,
    /// Whether the driver overlay keeps its signs in attributes that any user may set
    /// (`user.overlay.*`, [`Dialect::OverlayUser`]). It is the same for all layers of a store; if
    /// not given, it is so where this process may not set the others (`trusted.overlay.*`).
    pub overlay_userxattr: Option<bool>,
}

/// How a layer is mounted.
///
/// A driver that mounts nothing passes over all but the target: see
/// [`mount`](Driver::mount).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MountOptions {
    /// Whether the tree may be changed.
    pub access: Access,
    /// Where: an existing directory. If not given, at a place of the driver's own.
    pub target: Option<PathBuf>,
    /// Whether device nodes in the tree are of no effect (`nodev`, mount(8)).
    pub nodev: bool,
    /// Whether set-uid, set-gid and file capabilities are of no effect (`nosuid`, mount(8)).
    pub nosuid: bool,
    /// Whether what is written need never be synced (`volatile`, kernel documentation, *Overlay
    /// Filesystem*). The layer cannot be mounted to be changed again until somebody has said that
    /// nothing is lost.
    pub volatile: bool,
    /// The label that all objects of the tree get from `SELinux` (`context=`, mount(8)).
    pub selinux_context: Option<String>,
}

impl MountOptions {
    /// Asks for a read-only mount at `target`.
    pub fn at(target: &Path) -> MountOptions {
        MountOptions {
            target: Some(target.to_owned()),
            ..MountOptions::default()
        }
    }
}

/// Whether a mounted tree may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// It is to be read. A driver that mounts nothing cannot keep others from writing.
    #[default]
    ReadOnly,
    /// It is the tree of a container, to be changed.
    ReadWrite,
}

/// Keeps the trees of layers.
///
/// A driver may be used by several threads and processes at once; who removes a layer sees to it
/// that nobody stages on it or mounts it at the same time. See the [crate] for the life of a
/// layer.
pub trait Driver: Debug + Send + Sync {
    /// Returns the name under which the driver is registered; also that of its directory in the
    /// store's root.
    fn name(&self) -> &str;

    /// Returns what a caller must know to plan.
    fn capabilities(&self) -> Capabilities;

    /// Returns how owners, modes and devices stand on disk.
    fn ownership(&self) -> Ownership;

    /// Begins a layer on top of `parent`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::DriverErrorKind::NotFound) if there is no such parent. Nothing is left
    /// after an error.
    fn stage(&self, parent: Option<&LayerId>) -> Result<Box<dyn StagedLayer>>;

    /// Tells whether there is a layer of this id.
    fn exists(&self, id: &LayerId) -> Result<bool>;

    /// Lists the layers, sorted by id. What is staged is not listed.
    fn list(&self) -> Result<Vec<LayerId>>;

    /// Removes a layer. It is gone at once; its files may be removed after that.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::DriverErrorKind::NotFound),
    /// [`InUse`](crate::DriverErrorKind::InUse) while it is mounted. An error about files that
    /// could not be removed comes after the layer is gone; a [sweep](Driver::sweep) tries again.
    fn remove(&self, id: &LayerId) -> Result<()>;

    /// Checks that a layer could be [removed](Driver::remove) now.
    ///
    /// # Errors
    ///
    /// As for that, before anything is done.
    fn check_unused(&self, id: &LayerId) -> Result<()> {
        if self.exists(id)? {
            Ok(())
        } else {
            Err(DriverError::not_found(id))
        }
    }

    /// Returns the directories whose union is the layer's tree, the uppermost first.
    fn layers(&self, id: &LayerId) -> Result<Vec<Dir>>;

    /// Makes the layer's tree available under a path, which is returned, until
    /// [`unmount`](Driver::unmount).
    ///
    /// Mounts of one layer at the driver's own place are counted.
    ///
    /// # Errors
    ///
    /// [`NotSupported`](crate::DriverErrorKind::NotSupported) if the driver cannot mount so,
    /// [`Prerequisites`](crate::DriverErrorKind::Prerequisites) if this user may not,
    /// [`InUse`](crate::DriverErrorKind::InUse) if it would be changed while others are built on it
    /// or have it mounted. After an error nothing is mounted.
    fn mount(&self, id: &LayerId, options: &MountOptions) -> Result<PathBuf>;

    /// Ends one mount of the layer at the driver's own place.
    ///
    /// One that is not mounted is no error, as in 2015.
    fn unmount(&self, id: &LayerId) -> Result<()>;

    /// Ends the mount at `target`, which [`mount`](Driver::mount) was given.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::DriverErrorKind::NotFound) if the driver has nothing mounted there,
    /// [`InUse`](crate::DriverErrorKind::InUse) while somebody uses it,
    /// [`NotSupported`](crate::DriverErrorKind::NotSupported) if the driver mounts nothing.
    fn unmount_at(&self, target: &Path) -> Result<()> {
        let (name, target) = (self.name(), target.display());
        let text = format!("the driver {name} mounts nothing at {target}");
        Err(DriverError::new(DriverErrorKind::NotSupported, text))
    }

    /// Removes what processes that are gone have left half made or half removed, and returns how
    /// many such things there were.
    fn sweep(&self) -> Result<usize>;

    /// Returns the layer's tree, to be read without a mount.
    fn view(&self, id: &LayerId) -> Result<View> {
        let layers = self.layers(id)?;
        if layers.is_empty() {
            let text = format!("layer {id} has no directories");
            return Err(DriverError::new(DriverErrorKind::Damaged, text));
        }
        let view = View::union(layers, self.capabilities().dialect);
        Ok(view.with_ownership(self.ownership()))
    }

    /// Lists what makes the tree `id` of the tree `against`, or of an empty one.
    fn changes(&self, id: &LayerId, against: Option<&LayerId>) -> Result<Vec<Change>> {
        naive::changes(self, id, against)
    }
}

/// A layer that is being made: private until it is committed, gone when it is dropped.
pub trait StagedLayer: Debug + Send {
    /// Returns the directory to unpack into.
    fn dir(&self) -> &Dir;

    /// Returns what is below the layer, where its directory holds only what it changes of that.
    ///
    /// None if the directory is the whole tree, or nobody has said what is below.
    fn below(&self) -> Result<Option<View>> {
        Ok(None)
    }

    /// Says how durable the layer is when it is committed, instead of what the driver's options
    /// say: whoever commits several may sync their file system once, before and after.
    fn set_durability(&mut self, durability: Durability);

    /// Makes it the layer `id` on top of `parent`, in one step.
    ///
    /// A driver that is not [independent](Capabilities::independent) was told the parent when the
    /// layer was staged; it must be the same.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](crate::DriverErrorKind::AlreadyExists) if there is such a layer, which is
    /// left as it is; [`NotSupported`](crate::DriverErrorKind::NotSupported) if the parent is not
    /// the one it was staged on, and the driver needs that. After an error what was staged is gone.
    fn commit(self: Box<Self>, id: &LayerId, parent: Option<&LayerId>) -> Result<()>;
}
