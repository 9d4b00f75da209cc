//! What is written down of mounts, which outlive the command that made them.
//!
//! A record is there before its mount and goes after it. It counts as long as the boot is the same
//! and the mount is there, or may be: in another namespace, of which this process cannot tell.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use layergraph_digest::{Algorithm, Digest};
use layergraph_driver::{Access, Attempted, DriverError, DriverErrorKind, LayerId, Result};
use layergraph_fs::{Dir, Durability, is_temporary_name, write_atomic};
use serde::{Deserialize, Serialize};

use crate::here::{MountId, Whereabouts, escaped, is_mounted, unescaped};

/// No record is longer: 500 ids of 255 bytes, a path.
const LONGEST: u64 = 256 * 1024;

/// How a mount was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools)] // they are options of a mount, each for itself
pub(crate) struct Manner {
    pub(crate) writable: bool,
    pub(crate) nodev: bool,
    pub(crate) nosuid: bool,
    pub(crate) volatile: bool,
    pub(crate) selinux_context: Option<String>,
}

/// A mount of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The ids of the layers in it, the uppermost first: that is the one which was mounted.
    layers: Vec<String>,
    pub(crate) manner: Manner,
    /// Where it is; see [`escaped`].
    target: String,
    whereabouts: Whereabouts,
    /// Which it is, as soon as it is there.
    pub(crate) mount: Option<MountId>,
    /// How many have asked for it and not ended it.
    pub(crate) count: u32,
}

impl Record {
    pub(crate) fn new(
        layers: &[LayerId],
        manner: Manner,
        target: &Path,
        whereabouts: Whereabouts,
    ) -> Record {
        Record {
            layers: layers.iter().map(ToString::to_string).collect(),
            manner,
            target: escaped(target),
            whereabouts,
            mount: None,
            count: 1,
        }
    }

    pub(crate) fn target(&self) -> PathBuf {
        OsString::from_vec(unescaped(self.target.as_bytes())).into()
    }

    /// Tells whether it is a mount of the layer, not only of one on top of it.
    pub(crate) fn is_of(&self, id: &LayerId) -> bool {
        self.layers
            .first()
            .is_some_and(|layer| layer == id.as_str())
    }

    /// Tells whether the layer is in it.
    pub(crate) fn uses(&self, id: &LayerId) -> bool {
        self.layers.iter().any(|layer| layer == id.as_str())
    }

    /// Says that the layer is in use by it.
    pub(crate) fn in_use(&self, id: &LayerId) -> DriverError {
        let (how, target) = (self.manner.how(), self.target());
        let at = target.display();
        let text = format!("layer {id} is in use: it is mounted {how} at {at}");
        DriverError::new(DriverErrorKind::InUse, text)
    }

    /// Tells whether the mount was made in the namespace that `here` is in.
    pub(crate) fn is_here(&self, here: &Whereabouts) -> bool {
        (&self.whereabouts.boot, &self.whereabouts.mounts) == (&here.boot, &here.mounts)
    }

    /// Tells whether the mount is there, or may be.
    pub(crate) fn is_live(&self, here: &Whereabouts) -> Result<bool> {
        let live = if self.is_here(here) {
            is_mounted(self.mount, &self.target())
        } else {
            here.may_hold(&self.whereabouts, self.mount, &self.target())
        };
        live.attempted(|| format!("cannot tell whether {} is still mounted", self.target))
    }

    /// Writes it. It need not survive a power loss, as the mount does not.
    pub(crate) fn write(&self, mounts: &Dir, name: &OsStr) -> Result<()> {
        let written = || format!("cannot record the mount at {}", self.target);
        let text = serde_json::to_vec(self)
            .map_err(|error| DriverError::new(DriverErrorKind::Failed, written()).because(error))?;
        write_atomic(mounts, name, 0o600, &text, Durability::None).attempted(written)
    }
}

impl Manner {
    pub(crate) fn of(options: &layergraph_driver::MountOptions) -> Manner {
        Manner {
            writable: options.access == Access::ReadWrite,
            nodev: options.nodev,
            nosuid: options.nosuid,
            volatile: options.volatile,
            selinux_context: options.selinux_context.clone(),
        }
    }

    pub(crate) fn how(&self) -> &'static str {
        if self.writable {
            "to be changed"
        } else {
            "to be read"
        }
    }
}

/// Returns where this process is.
pub(crate) fn here() -> Result<Whereabouts> {
    Whereabouts::here().attempted(|| "cannot tell in which namespace this is".to_owned())
}

/// Returns the name of the record of a mount at a path that is not the driver's own. No layer has
/// such a name.
pub(crate) fn name_of(target: &Path) -> OsString {
    let digest = Digest::of(Algorithm::Sha256, target.as_os_str().as_encoded_bytes());
    format!(".at-{}", digest.hex()).into()
}

/// Reads a record, if it is there.
pub(crate) fn read(mounts: &Dir, name: &OsStr) -> Result<Option<Record>> {
    let shown = || format!("{}/{}", mounts.path().display(), name.display());
    let bytes = match mounts.read_file(name, LONGEST + 1) {
        Err(error) if error.leads_nowhere() => return Ok(None),
        result => result.attempted(|| format!("cannot read {}", shown()))?,
    };
    match serde_json::from_slice(&bytes) {
        Ok(record) => Ok(Some(record)),
        Err(error) => {
            let text = format!("{} is no record of a mount", shown());
            Err(DriverError::new(DriverErrorKind::Damaged, text).because(error))
        }
    }
}

/// Removes a record, which somebody else may have done.
pub(crate) fn remove(mounts: &Dir, name: &OsStr) -> Result<()> {
    match mounts.remove_file(name) {
        Err(error) if error.leads_nowhere() => Ok(()),
        result => result.attempted(|| {
            let (mounts, name) = (mounts.path().display(), name.display());
            format!("cannot remove the record {mounts}/{name}")
        }),
    }
}

/// Lists the names of all records.
pub(crate) fn names(mounts: &Dir) -> Result<Vec<OsString>> {
    let names = mounts.sorted_names();
    let names = names.attempted(|| format!("cannot list {}", mounts.path().display()))?;
    Ok(names
        .into_iter()
        .filter(|name| !is_temporary_name(name))
        .collect())
}
