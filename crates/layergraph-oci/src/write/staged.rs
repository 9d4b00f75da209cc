//! Blobs that were taken and are not yet where they should be.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use layergraph_archive::codec::{DecodeOptions, decode};
use layergraph_digest::{Algorithm, Digest, HashReader, Verifier};
use layergraph_fs::{Dir, Durability, NewFile, Staging};
use layergraph_image::oci::Descriptor;

use crate::error::OciError;
use crate::read::list::MAX_BYTES;

/// Size of the pieces in which blobs are copied.
const PIECE: usize = 128 << 10;
/// The modes that the user's mask takes from.
pub(super) const DIR_MODE: u32 = 0o755;
pub(super) const FILE_MODE: u32 = 0o644;
/// Where blobs are in a layout.
pub(super) const BLOBS: &str = "blobs";
/// What the layout is called in the staging directory.
pub(super) const TREE: &str = "layout";

/// Blobs in a layout of their own, in a private directory that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Staged {
    staging: Staging,
    tree: Dir,
    blobs: Dir,
    /// By the digest that each was asked to be taken by.
    stored: BTreeMap<Digest, Stored>,
    /// Whether each is made durable by itself.
    durability: Durability,
}

/// A blob as it is stored: decoded, where that was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    pub(super) digest: Digest,
    /// In bytes.
    pub(super) size: u64,
}

impl Staged {
    pub(super) fn new(home: &Dir, durability: Durability) -> Result<Staged, OciError> {
        let staging = Staging::new(home)?;
        let tree = make(staging.dir(), TREE)?;
        let blobs = make(&tree, BLOBS)?;
        Ok(Staged {
            staging,
            tree,
            blobs,
            stored: BTreeMap::new(),
            durability,
        })
    }

    /// Returns the layout that the blobs are in.
    pub(super) fn tree(&self) -> &Dir {
        &self.tree
    }

    /// Returns the private directory, with the layout in it.
    pub(super) fn into_staging(self) -> Staging {
        self.staging
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Stored> {
        self.stored.get(digest).copied()
    }

    /// Returns the algorithms of the digests.
    pub(super) fn algorithms(&self) -> BTreeSet<Algorithm> {
        self.stored.keys().map(Digest::algorithm).collect()
    }

    /// Returns the digests of the blobs, sorted.
    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.stored.keys()
    }

    /// Takes a blob, verified, and decoded if that is asked for. After an error nothing of it is
    /// there.
    pub(super) fn put(
        &mut self,
        blob: &Descriptor,
        content: &mut dyn Read,
        decoding: Option<&DecodeOptions>,
    ) -> Result<(), OciError> {
        if self.stored.contains_key(&blob.digest) {
            return Ok(());
        }
        let directory = make_if_none(&self.blobs, blob.digest.algorithm().name())?;
        let name = blob.digest.hex();
        let name = OsStr::new(&name);
        let mut file = directory.create_file(name, FILE_MODE)?;
        match self.fill(&mut file, blob, content, decoding) {
            Ok(stored) => {
                self.stored.insert(blob.digest, stored);
                Ok(())
            }
            Err(error) => {
                // What cannot be removed goes with the private directory.
                let _ = directory.remove_file(name);
                Err(error)
            }
        }
    }

    fn fill(
        &self,
        file: &mut NewFile,
        blob: &Descriptor,
        content: &mut dyn Read,
        decoding: Option<&DecodeOptions>,
    ) -> Result<Stored, OciError> {
        let digest = blob.digest;
        let failed = |source| OciError::Blob {
            digest: digest.into(),
            source,
        };
        let mut verifier = Verifier::new(digest, Some(blob.size), content);
        let stored = if let Some(decoding) = decoding {
            let decoder = decode(&mut verifier, decoding).map_err(failed)?;
            let mut hashed = HashReader::new(Algorithm::Sha256, decoder);
            copy(&mut hashed, file, failed)?;
            let hashed = hashed.finish().map_err(failed)?;
            Stored {
                digest: hashed.digest,
                size: hashed.size,
            }
        } else {
            copy(&mut verifier, file, failed)?;
            let size = blob.size;
            Stored { digest, size }
        };
        verifier.finish().map_err(|error| failed(error.into()))?;
        if self.durability == Durability::Full {
            file.sync()?;
        }
        Ok(stored)
    }

    /// Opens a blob that was taken.
    pub(super) fn open(&self, digest: &Digest) -> Result<File, OciError> {
        let directory = self.directory(digest.algorithm())?;
        Ok(directory.open_file(OsStr::new(&digest.hex()))?)
    }

    /// Opens the directory of the blobs of an algorithm, of which there is one.
    pub(super) fn directory(&self, algorithm: Algorithm) -> Result<Dir, OciError> {
        Ok(self.blobs.open_dir(OsStr::new(algorithm.name()))?)
    }

    /// Reads a document that was taken; `output` is what it is for, in messages.
    pub(super) fn read(&self, digest: &Digest, output: &Path) -> Result<Vec<u8>, OciError> {
        let Some(Stored { size, .. }) = self.get(digest) else {
            return Err(OciError::NoBlob {
                path: output.to_owned(),
                digest: Box::new(*digest),
            });
        };
        if size > MAX_BYTES as u64 {
            let what = format!("bytes of the document {digest}");
            return Err(OciError::limit(output, what, MAX_BYTES as u64));
        }
        let mut bytes = Vec::new();
        let read = self.open(digest)?.take(size).read_to_end(&mut bytes);
        read.map_err(|error| OciError::read(output, error))?;
        Ok(bytes)
    }
}

pub(super) fn make(parent: &Dir, name: &str) -> Result<Dir, OciError> {
    let name = OsStr::new(name);
    parent.make_dir(name, DIR_MODE)?;
    Ok(parent.open_dir(name)?)
}

pub(super) fn make_if_none(parent: &Dir, name: &str) -> Result<Dir, OciError> {
    match parent.open_dir(OsStr::new(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(parent, name),
        result => Ok(result?),
    }
}

fn copy(
    from: &mut dyn Read,
    to: &mut NewFile,
    failed: impl Fn(io::Error) -> OciError,
) -> Result<(), OciError> {
    let mut buffer = vec![0; PIECE];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}
