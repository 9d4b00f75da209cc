//! Images that go out: documents as they came, and layers as they came, to the byte.

use std::io::{self, Read, Write};
use std::thread;

use layergraph_digest::{Algorithm, HashReader};
use layergraph_image::NodeId;
use layergraph_image::oci::{Descriptor, Manifest, MediaType};
use layergraph_image::transfer::{ImageSink, Offered, TransferError};

use crate::error::Attempted;
use crate::store::damaged;
use crate::{Image, Result, Store, StoreError, StoreErrorKind};

/// What an image is after an export.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The manifest it has there. It is another one than in the store where layers that came
    /// compressed go out plain.
    pub manifest: Descriptor,
}

impl Store {
    /// Puts an image into a sink, with these names.
    ///
    /// Each layer is given out plain, exactly as it came when it was decompressed. The config keeps
    /// its bytes, and the image so its id; the manifest keeps its own if the layers came plain.
    ///
    /// # Errors
    ///
    /// [`Damaged`](StoreErrorKind::Damaged) if a layer is not any more what it was,
    /// [`Failed`](StoreErrorKind::Failed) if the sink does not take it.
    pub fn export(&self, image: &Image, sink: &mut dyn ImageSink) -> Result<Exported> {
        // A collection waits.
        let _kept = self.keep()?;
        let (manifest, config) = (self.manifest(image)?, self.config(image)?);
        let mut layers = Vec::new();
        let came = &manifest.value().layers;
        if came.len() != image.chains.len() {
            let text = format!(
                "the manifest {} has other layers than the image",
                image.manifest
            );
            return Err(damaged(text));
        }
        for (blob, chain) in came.iter().zip(&image.chains) {
            let (node, mark) = self
                .chain(chain)?
                .ok_or_else(|| damaged(format!("the layer {} is not there", blob.digest)))?;
            let mut plain = Descriptor::new(MediaType::LAYER, mark.diff_id.digest(), mark.size);
            if blob.digest == plain.digest {
                // It came plain, and stays what it was called.
                plain = blob.clone();
            }
            self.put_layer(&plain, node, sink)?;
            layers.push(plain);
        }
        let mut config_blob = manifest.value().config.clone();
        config_blob.size = config.bytes().len() as u64;
        put(sink, &config_blob, &mut &config.bytes()[..])?;
        let bytes = if layers == *came {
            manifest.bytes().to_vec()
        } else {
            Manifest::new(config_blob, layers).encode()
        };
        let digest = layergraph_digest::Digest::of(Algorithm::Sha256, &bytes);
        let media_type = if digest == image.manifest {
            image.media_type.as_str()
        } else {
            MediaType::MANIFEST
        };
        let mut root = Descriptor::new(media_type, digest, bytes.len() as u64);
        root.platform = Some(image.platform.clone());
        put(sink, &root, &mut &bytes[..])?;
        let offered = Offered::new(root.clone(), image.names.clone());
        sink.add(&offered)
            .map_err(|error| refused_by_sink(&root, error))?;
        Ok(Exported { manifest: root })
    }

    /// Puts a layer into a sink, while it is made of its recipe by another thread.
    fn put_layer(&self, blob: &Descriptor, node: NodeId, sink: &mut dyn ImageSink) -> Result<()> {
        if sink
            .has(blob)
            .map_err(|error| refused_by_sink(blob, error))?
        {
            return Ok(());
        }
        let lost = || format!("cannot give out the layer {}", blob.digest);
        let node = self.graph.get(&node.to_string()).attempted(lost)?;
        let (reader, writer) = io::pipe()
            .map_err(|error| StoreError::new(StoreErrorKind::Failed, lost()).because(error))?;
        thread::scope(|scope| {
            let made = scope.spawn(|| {
                let mut out = io::BufWriter::with_capacity(1 << 16, writer);
                let made = self.graph.tar_layer(&node, &mut out).attempted(lost);
                made.and_then(|_| {
                    let flushed = out.flush();
                    flushed.map_err(|error| {
                        StoreError::new(StoreErrorKind::Failed, lost()).because(error)
                    })
                })
            });
            let mut hashed = HashReader::new(blob.digest.algorithm(), reader);
            let taken = sink.put(blob, &mut hashed);
            // What the sink has left is read, so that the other thread ends.
            let rest = io::copy(&mut hashed, &mut io::sink());
            let made = made.join().expect("it does not panic");
            // Why the layer could not be made says more than why it was short.
            made?;
            taken.map_err(|error| refused_by_sink(blob, error))?;
            rest.map_err(|error| StoreError::new(StoreErrorKind::Failed, lost()).because(error))?;
            let found = hashed
                .finish()
                .map_err(|error| damaged(lost()).because(error))?;
            if found.digest != blob.digest {
                return Err(damaged(lost()).because("it is another one than came in"));
            }
            Ok(())
        })
    }
}

fn put(sink: &mut dyn ImageSink, blob: &Descriptor, content: &mut dyn Read) -> Result<()> {
    let refused = |error| refused_by_sink(blob, error);
    if sink.has(blob).map_err(refused)? {
        return Ok(());
    }
    sink.put(blob, content).map_err(refused)
}

fn refused_by_sink(blob: &Descriptor, error: TransferError) -> StoreError {
    let text = format!("cannot write {}", blob.digest);
    StoreError::new(StoreErrorKind::Failed, text).because(error)
}
