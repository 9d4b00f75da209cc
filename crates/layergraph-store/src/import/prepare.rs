//! Layers that are read, verified and unpacked, on all processors at once.

use std::io::{self, Read};
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use layergraph_archive::ExpectedBlob;
use layergraph_core::{GraphErrorKind, LayerOptions, Onto, PreparedLayer};
use layergraph_image::NodeId;
use layergraph_image::oci::Descriptor;

use super::plan::PlannedLayer;
use super::{Import, ImportProgress};
use crate::error::Attempted;
use crate::store::node_of_chain;
use crate::{Result, StoreError};

/// A layer that was prepared, nothing if it waits for its parent, or why it was not.
type Prepared = Mutex<Option<Result<Option<PreparedLayer>>>>;

impl Import<'_> {
    /// Prepares layers of which only the first has a parent that is there, all at once. Returns
    /// them in their order; nothing for one that can only be prepared on top of its parent.
    pub(super) fn prepare_all(
        &self,
        parent: Option<NodeId>,
        layers: &[PlannedLayer],
    ) -> Result<Vec<Option<PreparedLayer>>> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = threads.min(layers.len());
        let done: Vec<Prepared> = layers.iter().map(|_| Mutex::new(None)).collect();
        let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            while !has_failed.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let (Some(layer), Some(place)) = (layers.get(at), done.get(at)) else {
                    break;
                };
                let onto = match (&parent, at) {
                    (Some(parent), 0) => Onto::Node(parent),
                    (None, 0) => Onto::Nothing,
                    _ => Onto::Later,
                };
                let prepared = self.prepare(layer, onto, threads > 1);
                if prepared.is_err() {
                    has_failed.store(true, Ordering::Relaxed);
                }
                *place.lock().expect("nobody panics with it") = Some(prepared);
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                // Where no more threads may be started, fewer do the work.
                if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        let done = done
            .into_iter()
            .map(|place| place.into_inner().expect("nobody panics with it"));
        let mut prepared = Vec::with_capacity(layers.len());
        let mut failed = None;
        for result in done.flatten() {
            match result {
                Ok(layer) => prepared.push(layer),
                // Of several errors the one of the lowest layer.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(prepared), Err)
    }

    /// Prepares one layer; returns nothing if it has to be on top of its parent for that.
    pub(super) fn prepare(
        &self,
        layer: &PlannedLayer,
        onto: Onto<'_>,
        single_thread: bool,
    ) -> Result<Option<PreparedLayer>> {
        self.check_interrupt()?;
        let blob = &layer.blob;
        let refused = || format!("refused the layer {}", blob.digest);
        let opened = self.source.open(blob);
        let opened = opened.map_err(|error| StoreError::refused(refused()).because(error))?;
        let mut reader = Watched {
            reader: opened,
            blob,
            interrupt: self.options.interrupt,
            progress: self.options.progress,
        };
        let mut options = LayerOptions::default();
        options.blob = Some(ExpectedBlob {
            digest: blob.digest,
            size: Some(blob.size),
        });
        options.diff_id = Some(layer.diff_id);
        options.single_thread = single_thread;
        let id = node_of_chain(&layer.chain);
        let prepared = self.store.graph.prepare(&id, onto, &mut reader, &options);
        self.check_interrupt()?;
        match prepared {
            Err(error) if error.kind() == GraphErrorKind::NeedsParent => Ok(None),
            result => result.map(Some).attempted(refused),
        }
    }
}

/// Reads a blob, tells how far it is, and ends when somebody asks for it.
struct Watched<'a, R> {
    reader: R,
    blob: &'a Descriptor,
    interrupt: Option<&'a AtomicBool>,
    progress: Option<&'a dyn ImportProgress>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self
            .interrupt
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
        {
            return Err(io::Error::other("interrupted"));
        }
        let count = self.reader.read(buffer)?;
        if let Some(progress) = self.progress {
            progress.read(self.blob, count as u64);
        }
        Ok(count)
    }
}
