//! Why a layer is not unpacked.

use layergraph_fs::FsError;
use layergraph_tar::{Member, TarError};

use super::shown;

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The layer is not a readable archive, or its source failed.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// There is not a single byte, not even an end marker: more likely a lost file than a layer
    /// without entries.
    #[error("the layer is empty")]
    Empty,
    /// The name of an entry cannot be one of a layer.
    #[error("refused the name {path}: {reason}")]
    Name {
        /// The name as the layer has it, made printable.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry for the root that is no directory.
    #[error("refused the entry {path}: the root can only be a directory")]
    Root {
        /// The name as the layer has it, made printable.
        path: String,
    },
    /// An entry of a type that layers do not have.
    #[error("refused the entry {path}: type {} is not supported", kind.escape_ascii())]
    Type {
        /// The name as the layer has it, made printable.
        path: String,
        /// The type's byte.
        kind: u8,
    },
    /// A character device 0:0: it would be a whiteout wherever overlayfs sees it.
    #[error("refused the entry {path}: device 0:0 is a whiteout of overlayfs")]
    WhiteoutDevice {
        /// The name as the layer has it, made printable.
        path: String,
    },
    /// A device number that Linux has not.
    #[error("refused the entry {path}: there is no device {major}:{minor}")]
    DeviceNumber {
        /// The name as the layer has it, made printable.
        path: String,
        /// The major number.
        major: u32,
        /// The minor number.
        minor: u32,
    },
    /// A symbolic link to what is no path.
    #[error("refused the symbolic link {path}: {reason}")]
    Symlink {
        /// The name as the layer has it, made printable.
        path: String,
        /// What is wrong with its target.
        reason: &'static str,
    },
    /// A hard link to something that is not there or can have no second name.
    #[error("refused the hard link {path} to {target}: {reason}")]
    HardLink {
        /// The name as the layer has it, made printable.
        path: String,
        /// The target as the layer has it, made printable.
        target: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What the layer does depends on the layers below, and these are not known; or more depends on
    /// them than may be held until they are. It is unpacked [over](crate::Place::over) them or not
    /// at all.
    #[error("cannot tell what {path} is before the layers below are known")]
    Below {
        /// The name of the entry or the directory, made printable.
        path: String,
    },
    /// The layer wants more than its [`Limits`](crate::Limits) allow.
    #[error("refused the entry {path}: more than {limit} {what}")]
    Limit {
        /// The entry that wanted it, made printable.
        path: String,
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The file system did not take an entry.
    #[error("cannot make the entry {path}")]
    Entry {
        /// The name as the layer has it, made printable.
        path: String,
        /// The call that failed.
        source: FsError,
    },
    /// The recipe could not be written.
    #[error("cannot write the recipe of the layer")]
    Recipe(#[source] std::io::Error),
    /// A call that belongs to no single entry failed.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl UnpackError {
    /// Says which entry a failed call was for.
    pub(super) fn about(self, member: &Member) -> UnpackError {
        match self {
            UnpackError::Fs(source) => UnpackError::Entry {
                path: shown(&member.path),
                source,
            },
            other => other,
        }
    }
}
