//! OCI layouts and docker-archives of container images, read and written.
//!
//! Images travel as files in several forms: as an OCI layout (image-spec, *image layout*) in a
//! directory or in a tar, as what `docker save` has written since Docker 1.10, and as what it wrote
//! before. [`open`] finds out which it is, and makes a source of it, in which each blob is read
//! where it lies; three sinks write the first three.
//!
//! ```
//! use std::ffi::OsStr;
//!
//! use layergraph_digest::{Algorithm, Digest};
//! use layergraph_fs::{AtomicFile, Dir, Durability};
//! use layergraph_image::oci::{Descriptor, Manifest, MediaType};
//! use layergraph_image::transfer::{ImageSink, ImageSource, Offered};
//! use layergraph_oci::{ArchiveWriter, Opened, SourceOptions, open};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("images.tar");
//! # let spool = Dir::open(directory.path())?;
//! // An image of one empty layer.
//! let layer = [0; 1024];
//! let diff_id = Digest::of(Algorithm::Sha256, layer);
//! let root_fs = format!(r#"{{"type":"layers","diff_ids":["{diff_id}"]}}"#);
//! let config = format!(r#"{{"os":"linux","architecture":"amd64","rootfs":{root_fs}}}"#);
//! let describe = |media_type, bytes: &[u8]| {
//!     Descriptor::new(media_type, Digest::of(Algorithm::Sha256, bytes), bytes.len() as u64)
//! };
//! let layer_blob = describe(MediaType::LAYER, &layer);
//! let config_blob = describe(MediaType::CONFIG, config.as_bytes());
//! let manifest = Manifest::new(config_blob.clone(), vec![layer_blob.clone()]).encode();
//! let root = describe(MediaType::MANIFEST, &manifest);
//!
//! // Written as an archive, and found there again.
//! let mut file = AtomicFile::create(&spool, OsStr::new("images.tar"), 0o644)?;
//! let mut sink = Box::new(ArchiveWriter::new(&mut file, &spool)?);
//! sink.put(&layer_blob, &mut &layer[..])?;
//! sink.put(&config_blob, &mut config.as_bytes())?;
//! sink.put(&root, &mut &manifest[..])?;
//! sink.add(&Offered::new(root.clone(), vec!["example:1".parse()?]))?;
//! sink.finish()?;
//! file.commit(Durability::Full)?;
//!
//! let Opened::Images(source) = open(&path, &SourceOptions::default())? else {
//!     panic!("it has manifests");
//! };
//! let images = source.images()?;
//! assert_eq!(images[0].root.digest, root.digest);
//! assert_eq!(images[0].names[0].to_string(), "docker.io/library/example:1");
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```
//!
//! # What is here
//!
//! - [`open`] and [`open_reader`] give a [`Source`], or a [`LegacyArchive`] for what is older than
//!   manifests;
//! - [`LayoutWriter`], [`ArchiveWriter`] and [`DockerWriter`] are sinks;
//! - [`OciError`] is what goes wrong, and comes out of the sources and sinks in a box.
//!
//! # Rules
//!
//! Archives come from anywhere.
//!
//! - Nothing outside an archive or a layout is read. In a layout no link is followed and nothing
//!   but a regular file is opened; in an archive links lead to its own members only, as Docker has
//!   them for layers that it has twice.
//! - What two readers could take for two things is refused: a member that is there twice, once it
//!   is asked for, a field that is, names that point to two images.
//! - An archive is read by offsets, so it has to be a plain file. What is compressed or comes as a
//!   stream becomes one first, without a name and within a limit.
//! - What is read is not verified: that is done where it is put to use, by the digests that it is
//!   asked for by. Sinks verify what they take.
//! - A docker-archive has no manifests. The one that is made of an image's config and layers is
//!   always the same, so that its digest can name the image.
//! - An archive that has the lists of both OCI and Docker, as Docker has written it since 25, is
//!   read as an OCI layout; names are taken from both, and both must mean the same images.
//!
//! # Limitations
//!
//! - A document that is read here has at most 4 MiB, `manifest.json` 2 MiB, `repositories` 1 MiB;
//!   an archive has at most 65,536 members.
//! - A sparse member is not read.
//! - Two writers that finish in one layout at the same time may lose the images of one of them.
//! - A compressed layer in a docker-archive is decoded twice: once for its size.
//!
//! # Features
//!
//! - `zstd`, `xz`, `bzip2`: codecs beside gzip, which is always there.

#![forbid(unsafe_code)]

mod error;
mod read;
mod write;

pub use error::{MemberError, OciError};
pub use read::{LegacyArchive, LegacyImage, Opened, Source, SourceOptions, open, open_reader};
pub use write::{ArchiveWriter, DockerWriter, LayoutWriter};
