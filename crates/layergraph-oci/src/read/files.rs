//! The files of a layout, in a directory or in an archive.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;

use layergraph_digest::Digest;
use layergraph_fs::{Dir, FsError};
use layergraph_image::oci::Descriptor;

use super::archive::Archive;
use crate::error::{OciError, shown};

/// Where the files are.
#[derive(Debug)]
pub(crate) enum Files {
    Directory(Dir),
    Archive(Archive),
}

/// An opened file.
pub(crate) struct Content<'a> {
    pub(crate) reader: Box<dyn Read + Send + 'a>,
    /// In bytes.
    pub(crate) size: u64,
}

impl Files {
    /// Returns the path of the directory or archive, for messages.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Files::Directory(dir) => dir.path(),
            Files::Archive(archive) => archive.path(),
        }
    }

    /// Opens a file, if there is one of that name; the parts of the name are plain.
    ///
    /// In a directory, no link is followed, and nothing but a regular file is opened.
    pub(crate) fn open(&self, name: &str) -> Result<Option<Content<'_>>, OciError> {
        match self {
            Files::Directory(dir) => match open_below(dir, name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                result => Ok(Some(result?)),
            },
            Files::Archive(archive) => {
                let extent = archive.find_if_any(name)?;
                Ok(extent.map(|extent| Content {
                    reader: Box::new(archive.open(extent)),
                    size: extent.size,
                }))
            }
        }
    }

    /// Reads a document of at most `most` bytes, if there is one of that name.
    pub(crate) fn read(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, OciError> {
        let Some(content) = self.open(name)? else {
            return Ok(None);
        };
        if content.size > most as u64 {
            let what = format!("bytes of {}", shown(name));
            return Err(OciError::limit(self.path(), what, most as u64));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(content.size).unwrap_or(0));
        let read = content.reader.take(content.size).read_to_end(&mut bytes);
        read.map_err(|error| OciError::read(self.path(), error))?;
        Ok(Some(bytes))
    }

    /// Opens a blob of a layout (image-spec, *image layout*, *blobs*).
    pub(crate) fn open_blob(&self, blob: &Descriptor) -> Result<Content<'_>, OciError> {
        let digest = blob.digest;
        let Some(content) = self.open(&blob_name(&digest))? else {
            return Err(OciError::NoBlob {
                path: self.path().to_owned(),
                digest: digest.into(),
            });
        };
        check_size(self.path(), blob, content.size)?;
        Ok(content)
    }
}

/// Returns where a blob is in a layout.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

pub(crate) fn check_size(path: &Path, blob: &Descriptor, actual: u64) -> Result<(), OciError> {
    if actual == blob.size {
        return Ok(());
    }
    Err(OciError::Size {
        path: path.to_owned(),
        digest: blob.digest.into(),
        expected: blob.size,
        actual,
    })
}

fn open_below(dir: &Dir, name: &str) -> Result<Content<'static>, FsError> {
    let file = match name.split_once('/') {
        None => dir.open_file(OsStr::new(name))?,
        Some((first, rest)) => return open_below(&dir.open_dir(OsStr::new(first))?, rest),
    };
    let metadata = file.metadata();
    let size = metadata.map_err(|error| FsError::new("fstat", dir.path().join(name), error))?;
    Ok(Content {
        size: size.len(),
        reader: Box::new(file),
    })
}
