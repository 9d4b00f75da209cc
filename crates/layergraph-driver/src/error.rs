//! Why a driver could not do what it was asked.

use std::error::Error;

use layergraph_fs::FsError;

use crate::{InvalidLayerId, LayerId};

/// What went wrong, for whoever has to decide what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DriverErrorKind {
    /// There is no layer of that id.
    NotFound,
    /// A layer has the id already.
    AlreadyExists,
    /// The text is no id.
    InvalidId,
    /// The layer is mounted, or others build on it.
    InUse,
    /// There are more layers on top of each other than can be mounted.
    TooDeep,
    /// No driver has that name, or the driver cannot do this.
    NotSupported,
    /// The machine lacks what the driver needs, such as a module of the kernel or a privilege.
    Prerequisites,
    /// The driver does not work on the file system of the store.
    IncompatibleFilesystem,
    /// The store's root holds layers of another driver.
    OtherDriver,
    /// What the driver keeps on disk is not as it left it.
    Damaged,
    /// A call on the file system failed; see the source.
    Failed,
}

/// An error of a [`Driver`](crate::Driver): its kind, what was attempted on what, and the cause.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}")]
pub struct DriverError {
    kind: DriverErrorKind,
    attempted: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl DriverError {
    /// Makes an error that says what was attempted, or is the case, without a further cause.
    pub fn new(kind: DriverErrorKind, attempted: impl Into<String>) -> DriverError {
        DriverError {
            kind,
            attempted: attempted.into(),
            source: None,
        }
    }

    /// Names the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> DriverError {
        self.source = Some(cause.into());
        self
    }

    /// There is no layer `id`.
    pub fn not_found(id: &LayerId) -> DriverError {
        DriverError::new(DriverErrorKind::NotFound, format!("there is no layer {id}"))
    }

    /// There is a layer `id` already.
    pub fn already_exists(id: &LayerId) -> DriverError {
        let text = format!("layer {id} exists already");
        DriverError::new(DriverErrorKind::AlreadyExists, text)
    }

    /// Returns the kind.
    pub fn kind(&self) -> DriverErrorKind {
        self.kind
    }

    /// Tells whether the driver cannot work here at all, so that another one may be tried.
    pub fn is_unusable_here(&self) -> bool {
        matches!(
            self.kind,
            DriverErrorKind::NotSupported
                | DriverErrorKind::Prerequisites
                | DriverErrorKind::IncompatibleFilesystem
        )
    }
}

impl From<InvalidLayerId> for DriverError {
    fn from(error: InvalidLayerId) -> DriverError {
        DriverError::new(DriverErrorKind::InvalidId, error.to_string())
    }
}

/// Says what was attempted when a call on the file system failed.
pub trait Attempted<T> {
    /// Makes the error a [`DriverError`] of the kind [`Failed`](DriverErrorKind::Failed).
    fn attempted(self, what: impl FnOnce() -> String) -> Result<T, DriverError>;
}

impl<T> Attempted<T> for Result<T, FsError> {
    fn attempted(self, what: impl FnOnce() -> String) -> Result<T, DriverError> {
        self.map_err(|error| DriverError::new(DriverErrorKind::Failed, what()).because(error))
    }
}
