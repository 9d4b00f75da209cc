//! Images in memory, and stores for them.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use layergraph_archive::{Ownership, View, listing};
use layergraph_core::{Graph, GraphOptions, open_root};
use layergraph_digest::{Algorithm, DiffId, Digest};
use layergraph_driver::{Driver, DriverOptions};
use layergraph_driver_overlay::OverlayDriver;
use layergraph_driver_vfs::VfsDriver;
use layergraph_fs::Durability;
use layergraph_image::ImageName;
use layergraph_image::oci::{Descriptor, Index, Manifest, MediaType};
use layergraph_image::transfer::{ImageSink, ImageSource, Offered, TransferError};
use layergraph_store::{ImportOptions, Imported, Store, StoreOptions};
use layergraph_tar::{Kind, NewMember, Writer};
use tempfile::TempDir;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A store in a temporary directory.
pub(crate) struct Lab {
    pub(crate) place: TempDir,
    pub(crate) store: Store,
}

/// The drivers that work for this user.
pub(crate) const DRIVERS: [&str; 2] = ["overlay", "vfs"];

impl Lab {
    pub(crate) fn new(driver: &str) -> Result<Lab> {
        let place = TempDir::new()?;
        let store = open(&place, driver)?;
        Ok(Lab { place, store })
    }

    /// Everything in the store that is no directory without anything in it.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        let mut left = vec![self.place.path().to_owned()];
        while let Some(directory) = left.pop() {
            for entry in std::fs::read_dir(&directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    left.push(entry.path());
                } else {
                    let path = entry.path();
                    let path = path.strip_prefix(self.place.path())?.to_owned();
                    files.push(path.to_string_lossy().into_owned());
                }
            }
        }
        // Locks and what is below a layer without any are of no image.
        files.retain(|file| !file.ends_with("lock"));
        files.sort();
        Ok(files)
    }
}

pub(crate) fn open(place: &TempDir, driver: &str) -> Result<Store> {
    let mut options = DriverOptions::default();
    options.durability = Durability::None;
    if layergraph_fs::effective_user() != 0 {
        options.ownership = Ownership::Squash;
    }
    let driver: Arc<dyn Driver> = match driver {
        "vfs" => VfsDriver::open_dyn(place.path(), &options)?,
        _ => OverlayDriver::open_dyn(place.path(), &options)?,
    };
    let mut options = GraphOptions::default();
    options.durability = Durability::None;
    let graph = Graph::open(place.path(), driver, &options)?;
    let mut options = StoreOptions::default();
    options.durability = Durability::None;
    Ok(Store::new(graph, open_root(place.path())?, &options)?)
}

/// A layer of lines: `d/`, `f = text`, `l -> target`, `h => f`.
pub(crate) fn tar(lines: &[&str]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for line in lines {
        let (path, kind, link, text) = if let Some((path, text)) = line.split_once(" = ") {
            (path, Kind::File, "", text)
        } else if let Some((path, target)) = line.split_once(" -> ") {
            (path, Kind::Symlink, target, "")
        } else if let Some((path, target)) = line.split_once(" => ") {
            (path, Kind::HardLink, target, "")
        } else if line.ends_with('/') {
            (*line, Kind::Directory, "", "")
        } else {
            (*line, Kind::File, "", "")
        };
        let member = NewMember {
            mode: if kind == Kind::Directory {
                0o755
            } else {
                0o644
            },
            link: link.as_bytes(),
            size: text.len() as u64,
            ..NewMember::new(path.as_bytes(), kind)
        };
        writer
            .append(&member, text.as_bytes())
            .expect("a member that can be written");
    }
    writer.finish().expect("a vector takes it")
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a vector takes it");
    encoder.finish().expect("a vector takes it")
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// A source in memory, which counts what is opened.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    pub(crate) images: Vec<Offered>,
    pub(crate) opened: AtomicUsize,
}

impl Memory {
    pub(crate) fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
        let blob = Descriptor::new(media_type, digest(&bytes), bytes.len() as u64);
        self.blobs.insert(blob.digest, bytes);
        blob
    }

    /// Adds the documents of an image, whose layers are there, and says how its manifest is found.
    pub(crate) fn documents(
        &mut self,
        layers: &[Descriptor],
        diff_ids: &[DiffId],
        architecture: &str,
    ) -> Descriptor {
        let history: Vec<String> = (0..layers.len())
            .map(|number| format!("{{\"created_by\":\"step {number}\"}}"))
            .collect();
        let diff_ids: Vec<String> = diff_ids.iter().map(|id| format!("\"{id}\"")).collect();
        let config = format!(
            "{{\"architecture\":\"{architecture}\",\"os\":\"linux\",\
             \"created\":\"2015-06-01T00:00:00Z\",\"config\":{{}},\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}},\"history\":[{}]}}",
            diff_ids.join(","),
            history.join(",")
        );
        let config = self.blob(MediaType::CONFIG, config.into_bytes());
        let manifest = Manifest::new(config, layers.to_vec());
        self.blob(MediaType::MANIFEST, manifest.encode())
    }

    /// Adds an image of layers, each compressed by gzip.
    pub(crate) fn image(&mut self, layers: &[&[&str]]) -> Descriptor {
        self.image_for(layers, "amd64")
    }

    pub(crate) fn image_for(&mut self, layers: &[&[&str]], architecture: &str) -> Descriptor {
        let tars: Vec<Vec<u8>> = layers.iter().map(|lines| tar(lines)).collect();
        let diff_ids: Vec<DiffId> = tars.iter().map(|tar| DiffId::new(digest(tar))).collect();
        let blobs: Vec<Descriptor> = tars
            .iter()
            .map(|tar| self.blob(MediaType::LAYER_GZIP, gzip(tar)))
            .collect();
        self.documents(&blobs, &diff_ids, architecture)
    }

    pub(crate) fn index(&mut self, manifests: Vec<Descriptor>) -> Descriptor {
        self.blob(MediaType::INDEX, Index::new(manifests).encode())
    }

    pub(crate) fn offer(&mut self, root: Descriptor, names: &[&str]) {
        let names = names
            .iter()
            .map(|name| name.parse().expect("a name"))
            .collect();
        self.images.push(Offered::new(root, names));
    }

    /// A source with one image of these layers, by this name.
    pub(crate) fn of(name: &str, layers: &[&[&str]]) -> Memory {
        let mut memory = Memory::default();
        let root = memory.image(layers);
        memory.offer(root, &[name]);
        memory
    }

    pub(crate) fn count(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl ImageSource for Memory {
    fn images(&self) -> std::result::Result<Vec<Offered>, TransferError> {
        Ok(self.images.clone())
    }

    fn open(
        &self,
        blob: &Descriptor,
    ) -> std::result::Result<Box<dyn Read + Send + '_>, TransferError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let bytes = self
            .blobs
            .get(&blob.digest)
            .ok_or("there is no such blob")?;
        Ok(Box::new(Cursor::new(&bytes[..])))
    }
}

/// What was put there.
#[derive(Default)]
pub(crate) struct Sink(pub(crate) Memory);

impl ImageSink for Sink {
    fn has(&mut self, blob: &Descriptor) -> std::result::Result<bool, TransferError> {
        Ok(self.0.blobs.contains_key(&blob.digest))
    }

    fn put(
        &mut self,
        blob: &Descriptor,
        content: &mut dyn Read,
    ) -> std::result::Result<(), TransferError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != blob.size {
            return Err("it has another size".into());
        }
        self.0.blobs.insert(blob.digest, bytes);
        Ok(())
    }

    fn add(&mut self, image: &Offered) -> std::result::Result<(), TransferError> {
        self.0.images.push(image.clone());
        Ok(())
    }

    fn finish(self: Box<Self>) -> std::result::Result<(), TransferError> {
        Ok(())
    }
}

pub(crate) fn import(store: &Store, source: &Memory) -> Result<Vec<Imported>> {
    Ok(store.import(source, &ImportOptions::default())?)
}

pub(crate) fn name(text: &str) -> ImageName {
    text.parse().expect("a name")
}

/// Lists the tree of an image.
pub(crate) fn tree(store: &Store, text: &str) -> Result<String> {
    let image = store.image(text)?;
    let node = store.node(&image)?.ok_or("it has no layers")?;
    listing_of(&store.graph().view(&node)?)
}

pub(crate) fn listing_of(view: &View) -> Result<String> {
    let mut text = Vec::new();
    listing(view, &mut text)?;
    Ok(String::from_utf8(text)?)
}
