//! An OCI layout as a tar.

use std::io::{self, Read, Write};
use std::path::Path;

use layergraph_digest::Digest;
use layergraph_fs::{Dir, Durability};
use layergraph_image::oci::Descriptor;
use layergraph_image::transfer::{ImageSink, Offered, TransferError};
use layergraph_tar::{Kind, NewMember, Writer};

use super::images::{Images, VERSION, check_root};
use super::staged::{BLOBS, DIR_MODE, FILE_MODE, Staged};
use crate::error::OciError;
use crate::read::files::blob_name;
use crate::read::{INDEX, LAYOUT};

/// What the output is called in messages.
pub(super) const OUTPUT: &str = "the archive";

/// Writes images as an archive: a tar of an OCI layout.
///
/// The same images, added in the same order, give the same bytes: members are sorted by their
/// names, of the year 1970, and owned by 0:0. So the blobs are kept aside until all are there, and
/// nothing is written before [`finish`](ImageSink::finish). If that fails, what there is of the
/// output is to be thrown away.
#[derive(Debug)]
#[must_use = "nothing is written until `finish`"]
pub struct ArchiveWriter<W> {
    output: W,
    staged: Staged,
    images: Images,
}

impl<W: Write> ArchiveWriter<W> {
    /// Makes a writer to `output` that keeps blobs in a private directory in `spool` meanwhile.
    ///
    /// # Errors
    ///
    /// The private directory cannot be made.
    pub fn new(output: W, spool: &Dir) -> Result<ArchiveWriter<W>, OciError> {
        Ok(ArchiveWriter {
            output,
            staged: Staged::new(spool, Durability::None)?,
            images: Images::default(),
        })
    }

    fn write(self) -> Result<(), OciError> {
        let mut tar = Tar(Writer::new(self.output));
        tar.directory(BLOBS)?;
        let mut algorithm = None;
        for digest in self.staged.digests() {
            if algorithm.replace(digest.algorithm()) != Some(digest.algorithm()) {
                tar.directory(&format!("{BLOBS}/{}", digest.algorithm()))?;
            }
            tar.blob(&blob_name(digest), &self.staged, digest)?;
        }
        tar.document(INDEX, &self.images.index())?;
        tar.document(LAYOUT, VERSION)?;
        tar.finish()
    }
}

impl<W: Write> ImageSink for ArchiveWriter<W> {
    fn has(&mut self, blob: &Descriptor) -> Result<bool, TransferError> {
        Ok(self.staged.get(&blob.digest).is_some())
    }

    fn put(&mut self, blob: &Descriptor, content: &mut dyn Read) -> Result<(), TransferError> {
        Ok(self.staged.put(blob, content, None)?)
    }

    fn add(&mut self, image: &Offered) -> Result<(), TransferError> {
        check_root(image, &self.staged, Path::new(OUTPUT))?;
        Ok(self.images.add(image, Path::new(OUTPUT))?)
    }

    fn finish(self: Box<Self>) -> Result<(), TransferError> {
        Ok(self.write()?)
    }
}

/// A tar of files and directories without anything that differs from one time to the next.
pub(super) struct Tar<W>(pub(super) Writer<W>);

impl<W: Write> Tar<W> {
    pub(super) fn directory(&mut self, name: &str) -> Result<(), OciError> {
        let member = NewMember {
            mode: DIR_MODE,
            ..NewMember::new(name.as_bytes(), Kind::Directory)
        };
        self.append(&member, io::empty())
    }

    pub(super) fn document(&mut self, name: &str, content: &[u8]) -> Result<(), OciError> {
        self.file(name, content.len() as u64, content)
    }

    /// Writes a blob that was taken, as it is stored.
    pub(super) fn blob(
        &mut self,
        name: &str,
        staged: &Staged,
        digest: &Digest,
    ) -> Result<(), OciError> {
        let Some(stored) = staged.get(digest) else {
            return Err(OciError::NoBlob {
                path: OUTPUT.into(),
                digest: Box::new(*digest),
            });
        };
        self.file(name, stored.size, staged.open(digest)?)
    }

    fn file(&mut self, name: &str, size: u64, content: impl Read) -> Result<(), OciError> {
        let member = NewMember {
            mode: FILE_MODE,
            size,
            ..NewMember::new(name.as_bytes(), Kind::File)
        };
        self.append(&member, content)
    }

    fn append(&mut self, member: &NewMember<'_>, content: impl Read) -> Result<(), OciError> {
        self.0.append(member, content).map_err(OciError::Write)
    }

    /// Writes the end of the archive.
    pub(super) fn finish(self) -> Result<(), OciError> {
        self.0.finish().map(drop).map_err(OciError::Write)
    }
}
