//! What can go wrong with archives and layouts of images.

use std::io;
use std::path::{Path, PathBuf};

use layergraph_digest::Digest;
use layergraph_fs::FsError;
use layergraph_image::oci::DocumentError;
use layergraph_image::v1::DecodeError;
use layergraph_image::{InvalidId, NameError};
use layergraph_tar::{TarError, WriteError};

/// Why images cannot be read from where they are, or not be written to where they should go.
///
/// `path` is the archive or the layout, `-` for a stream; `name` is what is meant in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// A file or directory could not be used.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The archive could not be read or not be decoded.
    #[error("cannot read {}", path.display())]
    Read {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The archive is no tar, or a damaged one.
    #[error("cannot read the members of {}", path.display())]
    Tar {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: TarError,
    },
    /// It is neither an OCI layout nor an archive of images.
    #[error("{} is neither an OCI layout nor an archive of images", path.display())]
    NoImages {
        /// The archive or directory.
        path: PathBuf,
    },
    /// There is more than is read.
    #[error("{}: {what}: more than {limit}", path.display())]
    Limit {
        /// The archive or layout.
        path: PathBuf,
        /// Of what.
        what: String,
        /// How much is allowed.
        limit: u64,
    },
    /// A compressed archive or a stream has to be kept in a file, and there is no place for it.
    #[error("{} is no plain file, and no directory was given to keep it in", path.display())]
    NeedsSpool {
        /// The archive.
        path: PathBuf,
    },
    /// A member or file is not what it should be.
    #[error("{}: {name}: {reason}", path.display())]
    Member {
        /// The archive or layout.
        path: PathBuf,
        /// The member, or what points to it.
        name: String,
        /// What is wrong with it.
        reason: MemberError,
    },
    /// A document is not of its form.
    #[error("{}: cannot read {name}", path.display())]
    Document {
        /// The archive or layout.
        path: PathBuf,
        /// The document.
        name: String,
        /// Why.
        source: DocumentError,
    },
    /// A list of images is not of its form.
    #[error("{}: cannot read {name}", path.display())]
    List {
        /// The archive or layout.
        path: PathBuf,
        /// The document.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The image JSON of 2015 is not of its form.
    #[error("{}: cannot read {name}", path.display())]
    ImageJson {
        /// The archive.
        path: PathBuf,
        /// The document.
        name: String,
        /// Why.
        source: DecodeError,
    },
    /// What should be an id is none.
    #[error("{}: {name} has an invalid id", path.display())]
    Id {
        /// The archive.
        path: PathBuf,
        /// Where it stands.
        name: String,
        /// Why.
        source: InvalidId,
    },
    /// What should be a name of an image is none.
    #[error("{}: {name} has an invalid name", path.display())]
    Name {
        /// The archive or layout.
        path: PathBuf,
        /// Where it stands.
        name: String,
        /// Why.
        source: NameError,
    },
    /// What an image consists of contradicts itself.
    #[error("{}: {name}: {reason}", path.display())]
    Contradiction {
        /// The archive or layout.
        path: PathBuf,
        /// Where it stands.
        name: String,
        /// What contradicts what.
        reason: String,
    },
    /// No image is called so.
    #[error("{} has no image {reference}", path.display())]
    NoReference {
        /// The archive or layout.
        path: PathBuf,
        /// What was asked for.
        reference: String,
    },
    /// Several images are called so.
    #[error("{} has several images {reference}", path.display())]
    Ambiguous {
        /// The archive or layout.
        path: PathBuf,
        /// The name.
        reference: String,
    },
    /// There is no such blob.
    #[error("{} has no blob {digest}", path.display())]
    NoBlob {
        /// The archive or layout.
        path: PathBuf,
        /// The digest of the blob.
        digest: Box<Digest>,
    },
    /// A blob has another size than was said.
    #[error("{}: the blob {digest} has {actual} bytes, and {expected} were announced", path.display())]
    Size {
        /// The archive or layout.
        path: PathBuf,
        /// The digest of the blob.
        digest: Box<Digest>,
        /// How many bytes were announced.
        expected: u64,
        /// How many there are.
        actual: u64,
    },
    /// A blob that was to be written is not the one that was announced, or could not be read.
    #[error("cannot take the blob {digest}")]
    Blob {
        /// The digest of the blob.
        digest: Box<Digest>,
        /// Why.
        source: io::Error,
    },
    /// The directory is in use for something else than a layout.
    #[error("{} is neither an OCI layout nor empty", path.display())]
    NoLayout {
        /// The directory.
        path: PathBuf,
    },
    /// The archive could not be written; what there is of it is of no use.
    #[error("cannot write the archive")]
    Write(#[source] WriteError),
}

/// Why a member of an archive is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// There is none of that name.
    #[error("it is not there")]
    Missing,
    /// There are several of that name, and readers differ in which of them counts.
    #[error("there are several of that name")]
    Several,
    /// It is something else than a file.
    #[error("it is {0}, not a file")]
    Kind(&'static str),
    /// The name, or a link on the way, leads out of the archive.
    #[error("it leads out of the archive")]
    Outside,
    /// More than 40 links stand between the name and a file.
    #[error("too many links lead to it")]
    Links,
    /// The name, or what it leads to, is longer than 4,096 bytes.
    #[error("its name is too long")]
    NameLength,
}

impl OciError {
    pub(crate) fn member(path: &Path, name: &str, reason: MemberError) -> OciError {
        OciError::Member {
            path: path.to_owned(),
            name: shown(name),
            reason,
        }
    }

    pub(crate) fn contradiction(path: &Path, name: &str, reason: String) -> OciError {
        OciError::Contradiction {
            path: path.to_owned(),
            name: shown(name),
            reason,
        }
    }

    pub(crate) fn read(path: &Path, source: io::Error) -> OciError {
        OciError::Read {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn limit(path: &Path, what: impl Into<String>, limit: u64) -> OciError {
        OciError::Limit {
            path: path.to_owned(),
            what: what.into(),
            limit,
        }
    }
}

/// Shortens what an archive says, for a message.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 300;
    let mut shown: String = text
        .chars()
        .take(MOST)
        .flat_map(char::escape_default)
        .collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}
