//! Why the store could not do what it was asked.

use std::error::Error;

use layergraph_core::{GraphError, GraphErrorKind};
use layergraph_fs::FsError;

/// What went wrong, for whoever has to decide what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// There is no such image.
    NotFound,
    /// Several images are meant.
    Ambiguous,
    /// The text names no image: it is no name, no digest, and no beginning of an id.
    InvalidName,
    /// Something else needs what was to be removed.
    InUse,
    /// What came in is not what it was to be, or cannot be taken. The cause says why.
    Refused,
    /// What the store keeps on disk is not what an image needs.
    Damaged,
    /// This cannot be done here.
    NotSupported,
    /// It was asked to stop.
    Interrupted,
    /// A call failed; see the source.
    Failed,
}

/// An error of a [`Store`](crate::Store): its kind, what was attempted on what, and the cause.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct StoreError {
    kind: StoreErrorKind,
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    pub(crate) fn new(kind: StoreErrorKind, text: impl Into<String>) -> StoreError {
        StoreError {
            kind,
            text: text.into(),
            source: None,
        }
    }

    pub(crate) fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        self.source = Some(cause.into());
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    pub(crate) fn refused(text: impl Into<String>) -> StoreError {
        StoreError::new(StoreErrorKind::Refused, text)
    }
}

/// Says what was attempted when a call failed.
pub(crate) trait Attempted<T> {
    fn attempted(self, what: impl FnOnce() -> String) -> Result<T, StoreError>;
}

impl<T> Attempted<T> for Result<T, FsError> {
    fn attempted(self, what: impl FnOnce() -> String) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::new(StoreErrorKind::Failed, what()).because(error))
    }
}

impl<T> Attempted<T> for Result<T, GraphError> {
    fn attempted(self, what: impl FnOnce() -> String) -> Result<T, StoreError> {
        self.map_err(|error| {
            let kind = match error.kind() {
                GraphErrorKind::InUse => StoreErrorKind::InUse,
                GraphErrorKind::Layer | GraphErrorKind::TooDeep => StoreErrorKind::Refused,
                GraphErrorKind::Damaged => StoreErrorKind::Damaged,
                GraphErrorKind::NotSupported => StoreErrorKind::NotSupported,
                _ => StoreErrorKind::Failed,
            };
            StoreError::new(kind, what()).because(error)
        })
    }
}
