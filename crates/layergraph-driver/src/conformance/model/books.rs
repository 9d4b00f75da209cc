//! What the model driver keeps in memory, and the rules of its use.

use std::collections::BTreeMap;
use std::fmt;

use crate::{DriverError, DriverErrorKind, LayerId, Result};

/// A method of a driver or of its staged layers. Those that a trait makes of others are not told
/// from these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CallKind {
    /// [`Driver::stage`](crate::Driver::stage).
    Stage,
    /// [`StagedLayer::commit`](crate::StagedLayer::commit).
    Commit,
    /// [`Driver::exists`](crate::Driver::exists).
    Exists,
    /// [`Driver::list`](crate::Driver::list).
    List,
    /// [`Driver::remove`](crate::Driver::remove).
    Remove,
    /// [`Driver::layers`](crate::Driver::layers), also for a view or for changes.
    Layers,
    /// [`Driver::mount`](crate::Driver::mount).
    Mount,
    /// [`Driver::unmount`](crate::Driver::unmount).
    Unmount,
    /// [`Driver::sweep`](crate::Driver::sweep).
    Sweep,
}

/// A call of a [`ModelDriver`](super::ModelDriver).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// What was called.
    pub kind: CallKind,
    /// The layer it was for.
    pub id: Option<LayerId>,
    /// What the layer was to be staged or committed on.
    pub parent: Option<LayerId>,
    /// The kind of the error that it ended with.
    pub error: Option<DriverErrorKind>,
}

impl Call {
    pub(super) fn new(kind: CallKind, id: Option<&LayerId>, parent: Option<&LayerId>) -> Call {
        Call {
            kind,
            id: id.cloned(),
            parent: parent.cloned(),
            error: None,
        }
    }
}

impl fmt::Display for CallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CallKind::Stage => "stage",
            CallKind::Commit => "commit",
            CallKind::Exists => "exists",
            CallKind::List => "list",
            CallKind::Remove => "remove",
            CallKind::Layers => "layers",
            CallKind::Mount => "mount",
            CallKind::Unmount => "unmount",
            CallKind::Sweep => "sweep",
        })
    }
}

impl fmt::Display for Call {
    /// One line, such as `commit child on base: AlreadyExists`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(id) = &self.id {
            write!(f, " {id}")?;
        }
        if let Some(parent) = &self.parent {
            write!(f, " on {parent}")?;
        }
        if let Some(error) = self.error {
            write!(f, ": {error:?}")?;
        }
        Ok(())
    }
}

/// A committed layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) parent: Option<LayerId>,
    /// The name of the directory that holds the tree.
    pub(super) place: String,
    pub(super) mounts: usize,
    /// Whether one of the mounts is there to change the tree.
    pub(super) is_writable: bool,
}

impl Layer {
    pub(super) fn new(parent: Option<LayerId>, place: String) -> Layer {
        Layer {
            parent,
            place,
            mounts: 0,
            is_writable: false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) layers: BTreeMap<LayerId, Layer>,
    pub(super) calls: Vec<Call>,
    pub(super) misuses: Vec<String>,
    /// Which calls are to fail, by how many of the kind there will have been then.
    failures: Vec<(CallKind, usize)>,
    places: u64,
}

impl Books {
    pub(super) fn layer(&self, id: &LayerId) -> Result<&Layer> {
        self.layers
            .get(id)
            .ok_or_else(|| DriverError::not_found(id))
    }

    pub(super) fn layer_mut(&mut self, id: &LayerId) -> Result<&mut Layer> {
        let layer = self.layers.get_mut(id);
        layer.ok_or_else(|| DriverError::not_found(id))
    }

    /// Returns a name that no directory had so far.
    pub(super) fn new_place(&mut self, what: &str) -> String {
        self.places += 1;
        format!("{what}-{}", self.places)
    }

    fn count(&self, kind: CallKind) -> usize {
        self.calls.iter().filter(|call| call.kind == kind).count()
    }

    pub(super) fn fail(&mut self, kind: CallKind, nth: usize) {
        self.failures.push((kind, self.count(kind) + nth));
    }

    /// Returns the error that the call, which is not noted yet, is to end with.
    pub(super) fn due_failure(&mut self, call: &Call) -> Option<DriverError> {
        let now = (call.kind, self.count(call.kind) + 1);
        self.failures.contains(&now).then(|| {
            let text = format!("{call} fails because it was told to");
            DriverError::new(DriverErrorKind::Failed, text)
        })
    }

    /// Notes and refuses what is against the rules.
    fn refuse(&mut self, kind: DriverErrorKind, text: String) -> DriverError {
        self.misuses.push(text.clone());
        DriverError::new(kind, text)
    }

    pub(super) fn check_removable(&mut self, id: &LayerId) -> Result<()> {
        if self.layer(id)?.mounts > 0 {
            let text = format!("remove {id}: it is mounted");
            return Err(self.refuse(DriverErrorKind::InUse, text));
        }
        self.check_childless(CallKind::Remove, id)
    }

    pub(super) fn check_childless(&mut self, kind: CallKind, id: &LayerId) -> Result<()> {
        let mut layers = self.layers.iter();
        match layers.find(|(_, layer)| layer.parent.as_ref() == Some(id)) {
            Some((child, _)) => {
                let text = format!("{kind} {id}: {child} is built on it");
                Err(self.refuse(DriverErrorKind::InUse, text))
            }
            None => Ok(()),
        }
    }

    /// Checks that nobody is changing the layer.
    pub(super) fn check_unchanging(&mut self, kind: CallKind, id: &LayerId) -> Result<()> {
        if self.layer(id)?.is_writable {
            let text = format!("{kind} on {id}: it is mounted to be changed");
            return Err(self.refuse(DriverErrorKind::InUse, text));
        }
        Ok(())
    }

    pub(super) fn check_committable(
        &mut self,
        id: &LayerId,
        parent: Option<&LayerId>,
        staged_on: Option<&LayerId>,
    ) -> Result<()> {
        if parent != staged_on {
            let text = format!("commit {id}: it was not staged on the parent it is committed on");
            return Err(self.refuse(DriverErrorKind::NotSupported, text));
        }
        if self.layers.contains_key(id) {
            return Err(DriverError::already_exists(id));
        }
        match parent {
            Some(parent) if !self.layers.contains_key(parent) => {
                self.misuses
                    .push(format!("commit {id}: {parent} was removed meanwhile"));
                Err(DriverError::not_found(parent))
            }
            Some(parent) => self.check_unchanging(CallKind::Commit, parent),
            None => Ok(()),
        }
    }
}
