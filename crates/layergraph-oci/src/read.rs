//! Reading: what a path or a stream holds, and the images in it as a source.

pub(crate) mod archive;
mod docker;
pub(crate) mod files;
mod layout;
mod legacy;
pub(crate) mod list;
pub(crate) mod names;
mod spool;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use layergraph_archive::codec::{Codec, DecodeOptions, MAGIC_LEN, decode};
use layergraph_digest::Digest;
use layergraph_fs::{Dir, FsError};
use layergraph_image::oci::Descriptor;
use layergraph_image::transfer::{ImageSource, Offered, TransferError};

pub(crate) use self::layout::check_version;
pub use self::legacy::{LegacyArchive, LegacyImage};

use self::archive::{Archive, Extent, Section};
use self::files::{Files, check_size};
use crate::error::OciError;

/// The file that makes a directory or an archive an OCI layout.
pub(crate) const LAYOUT: &str = "oci-layout";
/// What lists the images of a layout.
pub(crate) const INDEX: &str = "index.json";
/// What lists the images of a docker-archive.
pub(crate) const LIST: &str = "manifest.json";
/// What lists the names in an archive of 2015.
pub(crate) const REPOSITORIES: &str = "repositories";

/// How images are read from where they are.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SourceOptions<'a> {
    /// The one image to offer: by a name, or in a layout by what the annotation
    /// `org.opencontainers.image.ref.name` says. All of them by default.
    pub select: Option<&'a str>,
    /// Where an archive is kept that is compressed or comes as a stream, while it is read. It has
    /// no name there, and is gone when the source is dropped or the process ends. None by default.
    pub spool: Option<&'a Dir>,
    /// How many bytes a stream may have, and a compressed archive or compressed layer of a
    /// docker-archive once it is decoded. 64 GiB by default.
    pub limit: u64,
    /// What decoding may cost.
    pub decode: DecodeOptions,
}

impl Default for SourceOptions<'_> {
    fn default() -> Self {
        SourceOptions {
            select: None,
            spool: None,
            limit: 64 << 30,
            decode: DecodeOptions::default(),
        }
    }
}

/// What there is at a path.
#[derive(Debug)]
pub enum Opened {
    /// Images with manifests.
    Images(Source),
    /// Layers of 2015 with their own ids, and no manifests.
    Legacy(LegacyArchive),
}

/// Images of an OCI layout or a docker-archive.
///
/// Blobs are opened at any place and by several threads at once. Their sizes are those of their
/// descriptors; their digests are for the reader to verify.
#[derive(Debug)]
pub struct Source {
    files: Files,
    offered: Vec<Offered>,
    content: Content,
}

/// Where the blobs of a source are.
#[derive(Debug)]
enum Content {
    /// Each has a file of its own.
    Layout,
    Docker {
        /// The manifests that were made of the list.
        manifests: BTreeMap<Digest, Vec<u8>>,
        /// Configs and layers.
        blobs: BTreeMap<Digest, Part>,
        decode: DecodeOptions,
    },
}

/// A blob in a docker-archive.
#[derive(Debug, Clone, Copy)]
struct Part {
    extent: Extent,
    /// How it is packed there.
    codec: Codec,
    /// How many bytes it has, once it is decoded.
    size: u64,
}

/// Opens the images at `path`: an OCI layout in a directory or a tar, or a docker-archive, packed
/// by any [codec](layergraph_archive::codec).
///
/// `path` is trusted, and links in it are followed; nothing of what is found there is.
///
/// # Errors
///
/// Also if it is damaged, contradicts itself, or can be read in two ways.
pub fn open(path: &Path, options: &SourceOptions<'_>) -> Result<Opened, OciError> {
    match Dir::open(path) {
        Ok(dir) => {
            let source = layout::read(Files::Directory(dir), options)?;
            return Ok(Opened::Images(source));
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
        Err(error) => return Err(error.into()),
    }
    let file = open_file(path)?;
    let codec = first_bytes(&file).map(|first| Codec::detect(&first));
    let file = match codec.map_err(|error| OciError::read(path, error))? {
        Codec::None => file,
        _ => spool::spool(file, path, options)?,
    };
    open_archive(Archive::scan(file, path)?, options)
}

/// Opens the images that a stream holds, as [`open`] does those of a file.
///
/// All of it is kept in [`SourceOptions::spool`] first.
///
/// # Errors
///
/// As for [`open`], and if the stream fails or is longer than [`SourceOptions::limit`].
pub fn open_reader(stream: impl Read, options: &SourceOptions<'_>) -> Result<Opened, OciError> {
    let path = Path::new("-");
    let file = spool::spool(stream, path, options)?;
    open_archive(Archive::scan(file, path)?, options)
}

fn open_archive(archive: Archive, options: &SourceOptions<'_>) -> Result<Opened, OciError> {
    if archive.has(LAYOUT) {
        layout::read(Files::Archive(archive), options).map(Opened::Images)
    } else if archive.has(LIST) {
        docker::read(archive, options).map(Opened::Images)
    } else if archive.has(REPOSITORIES) {
        legacy::read(archive).map(Opened::Legacy)
    } else {
        let path = archive.path().to_owned();
        Err(OciError::NoImages { path })
    }
}

/// Reads what tells how a file is packed, and leaves its position alone.
fn first_bytes(file: &File) -> io::Result<Vec<u8>> {
    let end = file.metadata()?.len().min(MAGIC_LEN as u64);
    let mut bytes = Vec::new();
    Section::new(file, 0, end).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens the regular file at a trusted path, whose last part may be a link.
fn open_file(path: &Path) -> Result<File, OciError> {
    const MAX_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let (parent, name) = split(&path)?;
        let parent = Dir::open(&parent)?;
        match parent.read_link(&name) {
            Ok(target) => path = parent.path().join(target),
            // It is no link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Ok(parent.open_file(&name)?);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let source = io::Error::other("too many links lead to it");
    Err(FsError::new("open", path, source).into())
}

/// Splits a path into a directory that can be opened and a name in it.
pub(crate) fn split(path: &Path) -> Result<(PathBuf, OsString), OciError> {
    let Some(name) = path.file_name() else {
        let source = io::ErrorKind::InvalidInput.into();
        return Err(FsError::new("open", path, source).into());
    };
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    Ok((parent.to_owned(), name.to_owned()))
}

impl Source {
    fn open_blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>, OciError> {
        let Content::Docker {
            manifests,
            blobs,
            decode: decoding,
        } = &self.content
        else {
            return Ok(self.files.open_blob(blob)?.reader);
        };
        let path = self.files.path();
        if let Some(manifest) = manifests.get(&blob.digest) {
            check_size(path, blob, manifest.len() as u64)?;
            return Ok(Box::new(manifest.as_slice()));
        }
        let (Some(part), Files::Archive(archive)) = (blobs.get(&blob.digest), &self.files) else {
            return Err(OciError::NoBlob {
                path: path.to_owned(),
                digest: blob.digest.into(),
            });
        };
        check_size(path, blob, part.size)?;
        let packed = archive.open(part.extent);
        if part.codec == Codec::None {
            return Ok(Box::new(packed));
        }
        let decoder = decode(packed, decoding).map_err(|error| OciError::read(path, error))?;
        Ok(Box::new(decoder))
    }
}

impl ImageSource for Source {
    fn images(&self) -> Result<Vec<Offered>, TransferError> {
        Ok(self.offered.clone())
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>, TransferError> {
        Ok(self.open_blob(blob)?)
    }
}
