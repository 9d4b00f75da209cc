//! Why the graph could not do what it was asked.

use std::error::Error;
use std::io::ErrorKind;

use layergraph_driver::{DriverError, DriverErrorKind};
use layergraph_fs::FsError;
use layergraph_image::InvalidId;
use truncindex::LookupError;

/// What went wrong, for whoever has to decide what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GraphErrorKind {
    /// No node has that id, or begins so; or it has no digest.
    NotFound,
    /// Several nodes begin so.
    Ambiguous,
    /// The text is no id.
    InvalidId,
    /// A node has the id already.
    AlreadyExists,
    /// Other nodes build on the node, or its tree is mounted.
    InUse,
    /// The layer that came with a new node could not be applied. The cause says whether it was the
    /// layer's fault.
    Layer,
    /// The layer was prepared before its parent was known, and cannot be put on top of it as it is.
    NeedsParent,
    /// What the graph keeps on disk is not what a node needs.
    Damaged,
    /// The new node would be its own ancestor.
    Circle,
    /// There would be too many nodes on top of each other: more than a container could have below
    /// it in 2015, or than the driver can mount.
    TooDeep,
    /// The driver cannot do this, or not here.
    NotSupported,
    /// A call failed; see the source.
    Failed,
}

/// An error of a [`Graph`](crate::Graph): its kind, what was attempted on what, and the cause.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct GraphError {
    kind: GraphErrorKind,
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl GraphError {
    pub(crate) fn new(kind: GraphErrorKind, text: impl Into<String>) -> GraphError {
        GraphError {
            kind,
            text: text.into(),
            source: None,
        }
    }

    pub(crate) fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> GraphError {
        self.source = Some(cause.into());
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> GraphErrorKind {
        self.kind
    }

    /// Tells whether the error means that there is no such node, as
    /// [`exists`](crate::Graph::exists) takes it.
    pub(crate) fn means_absent(&self) -> bool {
        use GraphErrorKind::{Ambiguous, Damaged, InvalidId, NotFound};
        matches!(self.kind, NotFound | Ambiguous | Damaged | InvalidId)
    }

    /// Tells whether the disk takes nothing, which a reader can live with: it may not be written
    /// to, or is full.
    pub(crate) fn is_about_writing(&self) -> bool {
        let source = self
            .source
            .as_deref()
            .and_then(|source| source.downcast_ref::<FsError>());
        source.is_some_and(|error| {
            matches!(
                error.kind(),
                ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::PermissionDenied
                    | ErrorKind::StorageFull
                    | ErrorKind::QuotaExceeded
            )
        })
    }

    /// There is no node of this whole name.
    pub(crate) fn no_such(id: &str) -> GraphError {
        GraphError::new(GraphErrorKind::NotFound, format!("no such id: {id}"))
    }

    pub(crate) fn invalid_id(error: &InvalidId) -> GraphError {
        GraphError::new(GraphErrorKind::InvalidId, error.to_string())
    }

    pub(crate) fn already_exists(id: &str) -> GraphError {
        let text = format!("Image {id} already exists");
        GraphError::new(GraphErrorKind::AlreadyExists, text)
    }

    /// The error of an index lookup, which nothing else is said about.
    pub(crate) fn lookup(error: &LookupError) -> GraphError {
        GraphError::new(kind_of_lookup(error), error.to_string())
    }

    /// The error of a lookup for an image.
    pub(crate) fn not_found(self) -> GraphError {
        GraphError::new(self.kind, "could not find image").because(self)
    }

    pub(crate) fn driver(text: impl Into<String>, error: DriverError) -> GraphError {
        let kind = match error.kind() {
            DriverErrorKind::NotFound => GraphErrorKind::NotFound,
            DriverErrorKind::AlreadyExists => GraphErrorKind::AlreadyExists,
            DriverErrorKind::InvalidId => GraphErrorKind::InvalidId,
            DriverErrorKind::InUse => GraphErrorKind::InUse,
            DriverErrorKind::Damaged => GraphErrorKind::Damaged,
            DriverErrorKind::TooDeep => GraphErrorKind::TooDeep,
            DriverErrorKind::NotSupported
            | DriverErrorKind::Prerequisites
            | DriverErrorKind::IncompatibleFilesystem
            | DriverErrorKind::OtherDriver => GraphErrorKind::NotSupported,
            _ => GraphErrorKind::Failed,
        };
        GraphError::new(kind, text).because(error)
    }
}

fn kind_of_lookup(error: &LookupError) -> GraphErrorKind {
    match error {
        LookupError::Ambiguous { .. } => GraphErrorKind::Ambiguous,
        _ => GraphErrorKind::NotFound,
    }
}

/// Says what was attempted on something that the store has at a fixed place: if something of
/// another kind is there, the store is damaged.
pub(crate) fn of_store(what: impl Into<String>, error: FsError) -> GraphError {
    let kind = if error.leads_nowhere() || error.kind() == ErrorKind::InvalidInput {
        GraphErrorKind::Damaged
    } else {
        GraphErrorKind::Failed
    };
    GraphError::new(kind, what).because(error)
}

/// Says what was attempted when a call failed.
pub(crate) trait Attempted<T> {
    fn attempted(self, what: impl FnOnce() -> String) -> Result<T, GraphError>;
}

impl<T> Attempted<T> for Result<T, FsError> {
    fn attempted(self, what: impl FnOnce() -> String) -> Result<T, GraphError> {
        self.map_err(|error| GraphError::new(GraphErrorKind::Failed, what()).because(error))
    }
}

impl<T> Attempted<T> for Result<T, DriverError> {
    fn attempted(self, what: impl FnOnce() -> String) -> Result<T, GraphError> {
        self.map_err(|error| GraphError::driver(what(), error))
    }
}
