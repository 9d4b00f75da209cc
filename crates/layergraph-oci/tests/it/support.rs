//! Small images, archives from a few words, and a reader that verifies as a store does.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use layergraph_archive::codec::{DecodeOptions, decode};
use layergraph_digest::{Algorithm, Digest, HashReader, Verifier};
use layergraph_fs::{Dir, Durability};
use layergraph_image::ImageName;
use layergraph_image::oci::{Config, Descriptor, Document, Manifest, MediaType};
use layergraph_image::transfer::{ImageSink, ImageSource, Offered};
use layergraph_oci::{
    ArchiveWriter, DockerWriter, LayoutWriter, OciError, Opened, Source, SourceOptions, open,
    open_reader,
};
use layergraph_tar::{Kind, NewMember, Writer};
use tempfile::TempDir;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// An image with all that it consists of.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) root: Descriptor,
    /// The manifest, the config, and the layers, the lowest first.
    pub(crate) blobs: Vec<(Descriptor, Vec<u8>)>,
    pub(crate) diff_ids: Vec<Digest>,
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

pub(crate) fn describe(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, digest(bytes), bytes.len() as u64)
}

/// Makes an image that has a layer for each text, with a file that holds it.
pub(crate) fn image(texts: &[&str]) -> Image {
    let layers: Vec<Vec<u8>> = texts.iter().map(|text| layer(text)).collect();
    let blobs: Vec<_> = layers
        .iter()
        .map(|layer| (describe(MediaType::LAYER, layer), layer.clone()))
        .collect();
    assemble(&layers, blobs)
}

/// Makes the same image with layers packed by gzip.
pub(crate) fn packed_image(texts: &[&str]) -> Image {
    let layers: Vec<Vec<u8>> = texts.iter().map(|text| layer(text)).collect();
    let pack = |layer: &Vec<u8>| {
        let packed = gzip(layer);
        (describe(MediaType::LAYER_GZIP, &packed), packed)
    };
    let blobs: Vec<_> = layers.iter().map(pack).collect();
    assemble(&layers, blobs)
}

fn assemble(layers: &[Vec<u8>], packed: Vec<(Descriptor, Vec<u8>)>) -> Image {
    let config = config(layers);
    let described = describe(MediaType::CONFIG, &config);
    let descriptors = packed.iter().map(|(blob, _)| blob.clone()).collect();
    let manifest = Manifest::new(described.clone(), descriptors).encode();
    let root = describe(MediaType::MANIFEST, &manifest);
    let mut blobs = vec![(root.clone(), manifest), (described, config)];
    blobs.extend(packed);
    Image {
        root,
        blobs,
        diff_ids: layers.iter().map(|layer| digest(layer)).collect(),
    }
}

/// Makes the config of an image of these layers.
pub(crate) fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("\"{}\"", digest(layer)))
        .collect();
    format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    )
    .into_bytes()
}

pub(crate) fn layer(text: &str) -> Vec<u8> {
    tar(&[("file", File(text.as_bytes()))])
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// What a member of an archive is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    File(&'a [u8]),
    Symlink(&'a str),
    HardLink(&'a str),
    Kind(Kind),
}
pub(crate) use Of::{File, HardLink, Symlink};

pub(crate) fn tar(members: &[(&str, Of<'_>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, of) in members {
        let (kind, link, data) = match *of {
            File(data) => (Kind::File, "", data),
            Symlink(link) => (Kind::Symlink, link, &[][..]),
            HardLink(link) => (Kind::HardLink, link, &[][..]),
            Of::Kind(kind) => (kind, "", &[][..]),
        };
        let member = NewMember {
            mode: 0o644,
            link: link.as_bytes(),
            size: data.len() as u64,
            ..NewMember::new(name.as_bytes(), kind)
        };
        writer.append(&member, data).expect("memory takes all");
    }
    writer.finish().expect("memory takes all")
}

pub(crate) fn names(texts: &[&str]) -> Vec<ImageName> {
    let parse = |text: &&str| text.parse().expect("a name");
    texts.iter().map(parse).collect()
}

/// Gives an image to a sink, by these names.
pub(crate) fn send(image: &Image, called: &[&str], sink: &mut dyn ImageSink) -> Result {
    for (blob, bytes) in image.blobs.iter().rev() {
        if !sink.has(blob)? {
            sink.put(blob, &mut bytes.as_slice())?;
            assert!(sink.has(blob)?);
        }
    }
    sink.add(&Offered::new(image.root.clone(), names(called)))
}

pub(crate) fn write_layout(path: &Path, images: &[(&Image, &[&str])]) -> Result {
    let mut sink = Box::new(LayoutWriter::new(path, Durability::None)?);
    for (image, called) in images {
        send(image, called, sink.as_mut())?;
    }
    sink.finish()
}

pub(crate) fn archive(images: &[(&Image, &[&str])]) -> Result<Vec<u8>> {
    let directory = TempDir::new()?;
    let mut output = Vec::new();
    let mut sink = Box::new(ArchiveWriter::new(
        &mut output,
        &Dir::open(directory.path())?,
    )?);
    for (image, called) in images {
        send(image, called, sink.as_mut())?;
    }
    sink.finish()?;
    assert_eq!(fs::read_dir(directory.path())?.count(), 0);
    Ok(output)
}

pub(crate) fn docker_archive(images: &[(&Image, &[&str])]) -> Result<Vec<u8>> {
    let directory = TempDir::new()?;
    let spool = Dir::open(directory.path())?;
    let mut output = Vec::new();
    let mut sink = Box::new(DockerWriter::new(
        &mut output,
        &spool,
        DecodeOptions::default(),
    )?);
    for (image, called) in images {
        send(image, called, sink.as_mut())?;
    }
    sink.finish()?;
    assert_eq!(fs::read_dir(directory.path())?.count(), 0);
    Ok(output)
}

/// Opens the archive of these bytes, from a file.
pub(crate) fn open_bytes(bytes: &[u8]) -> Result<Opened, OciError> {
    open_bytes_with(bytes, |_| {})
}

/// The same with options, which have a directory to spool to.
pub(crate) fn open_bytes_with(
    bytes: &[u8],
    set: impl FnOnce(&mut SourceOptions<'_>),
) -> Result<Opened, OciError> {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("archive");
    let spool = directory.path().join("spool");
    fs::create_dir(&spool).expect("a directory");
    fs::write(&path, bytes).expect("a file");
    let dir = Dir::open(&spool)?;
    let mut options = SourceOptions::default();
    options.spool = Some(&dir);
    set(&mut options);
    let opened = open(&path, &options);
    let left = fs::read_dir(&spool).expect("a directory").count();
    assert_eq!(left, 0, "nothing is left of a spooled archive");
    opened
}

pub(crate) fn images_of(opened: Opened) -> Source {
    match opened {
        Opened::Images(source) => source,
        Opened::Legacy(_) => panic!("it has no manifests"),
    }
}

pub(crate) fn open_stream(bytes: &[u8], limit: u64) -> Result<Opened, OciError> {
    let directory = TempDir::new().expect("a temporary directory");
    let spool = Dir::open(directory.path())?;
    let mut options = SourceOptions::default();
    options.spool = Some(&spool);
    options.limit = limit;
    open_reader(bytes, &options)
}

/// An image as a store finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) manifest: Digest,
    pub(crate) config: Digest,
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) names: Vec<String>,
}

impl Image {
    /// What a store is to find of it.
    pub(crate) fn found(&self, called: &[&str]) -> Found {
        let mut names: Vec<String> = names(called).iter().map(ToString::to_string).collect();
        names.sort();
        Found {
            manifest: self.root.digest,
            config: self.blobs[1].0.digest,
            diff_ids: self.diff_ids.clone(),
            names,
        }
    }
}

/// Reads every image whole, and verifies all of it.
pub(crate) fn read_all(source: &dyn ImageSource) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for Offered { root, names, .. } in source.images()? {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        read_image(source, &root, &names, 0, &mut all)?;
    }
    Ok(all)
}

fn read_image(
    source: &dyn ImageSource,
    root: &Descriptor,
    names: &[String],
    nesting: usize,
    all: &mut Vec<Found>,
) -> Result {
    if nesting > 8 {
        return Err("an index nests too deep".into());
    }
    let bytes = read_blob(source, root)?;
    let manifest = match Document::decode(&bytes, Some(&root.media_type))? {
        Document::Manifest(manifest) => manifest,
        Document::Index(index) => {
            for below in &index.manifests {
                read_image(source, below, names, nesting + 1, all)?;
            }
            return Ok(());
        }
    };
    let config = Config::decode(&read_blob(source, &manifest.config)?)?;
    let mut diff_ids = Vec::new();
    for layer in &manifest.layers {
        let mut verifier = Verifier::new(layer.digest, Some(layer.size), source.open(layer)?);
        let decoder = decode(&mut verifier, &DecodeOptions::default())?;
        let hashed = HashReader::new(Algorithm::Sha256, decoder).finish()?;
        verifier.finish()?;
        diff_ids.push(hashed.digest);
    }
    if !config
        .rootfs
        .diff_ids
        .iter()
        .map(|id| id.digest())
        .eq(diff_ids.iter().copied())
    {
        return Err("the layers are not those of the config".into());
    }
    all.push(Found {
        manifest: root.digest,
        config: manifest.config.digest,
        diff_ids,
        names: names.to_vec(),
    });
    Ok(())
}

pub(crate) fn read_blob(source: &dyn ImageSource, blob: &Descriptor) -> Result<Vec<u8>> {
    let mut verifier = Verifier::new(blob.digest, Some(blob.size), source.open(blob)?);
    let mut bytes = Vec::new();
    verifier.read_to_end(&mut bytes)?;
    verifier.finish()?;
    Ok(bytes)
}

/// Opens and reads what these bytes hold.
pub(crate) fn read_bytes(bytes: &[u8]) -> Result<Vec<Found>> {
    read_all(&images_of(open_bytes(bytes)?))
}

/// All that is below a directory.
pub(crate) fn tree(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let content = if path.is_dir() {
            all.extend(tree(&path)?);
            Vec::new()
        } else {
            fs::read(&path)?
        };
        all.push((path.display().to_string(), content));
    }
    all.sort();
    Ok(all)
}
