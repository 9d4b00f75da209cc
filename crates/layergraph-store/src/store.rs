//! The store: what images there are, and by which names.

use layergraph_core::Graph;
use layergraph_digest::{Algorithm, ChainId, Digest};
use layergraph_fs::{Dir, Durability};
use layergraph_image::oci::{Config, MAX_BYTES, Manifest, MediaType, Platform};
use layergraph_image::{ImageName, NodeId, Raw, Reference};

use crate::error::Attempted;
use crate::files::{Files, digest_of, name_of};
use crate::records::{Chain, Mark, Name, Record};
use crate::{Result, StoreError, StoreErrorKind};

/// How a store is kept.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StoreOptions {
    /// Whether what was done survives a power loss when a call has returned. The graph has an
    /// option of its own.
    pub durability: Durability,
}

/// Images with names, over a graph of layers. See the [crate].
#[derive(Debug)]
pub struct Store {
    pub(crate) graph: Graph,
    pub(crate) root: Dir,
    pub(crate) durability: Durability,
    pub(crate) blobs: Files,
    pub(crate) images: Files,
    pub(crate) chains: Files,
    pub(crate) names: Files,
}

/// An image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// The digest of its manifest, by which the store knows it.
    pub manifest: Digest,
    /// What the manifest is.
    pub media_type: MediaType,
    /// The digest of its config.
    pub id: Digest,
    /// Its names, sorted.
    pub names: Vec<ImageName>,
    /// What it runs on.
    pub platform: Platform,
    /// Its layers, the lowest first, each with all below it.
    pub chains: Vec<ChainId>,
    /// When it was made, as its config says.
    pub created: Option<String>,
    /// The sum in bytes of the sizes of its layers' tars.
    pub size: u64,
}

/// All images, and what cannot be read as one.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Images {
    /// The images, by the digests of their manifests.
    pub images: Vec<Image>,
    /// Why others are missing here. One that is broken hides no other.
    pub broken_images: Vec<StoreError>,
    /// Why names are missing.
    pub broken_names: Vec<StoreError>,
}

impl Store {
    /// Takes a graph, whose store is in the directory `root`. Nothing is made before there is an
    /// image.
    ///
    /// # Errors
    ///
    /// The handle on the directory cannot be had again.
    pub fn new(graph: Graph, root: Dir, options: &StoreOptions) -> Result<Store> {
        let files = |name| Files::new(&root, name, options.durability);
        Ok(Store {
            graph,
            blobs: files("blobs")?,
            images: files("images")?,
            chains: files("chains")?,
            names: files("names")?,
            durability: options.durability,
            root,
        })
    }

    /// Returns the graph that the layers of images are in.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Lists the images, sorted by the digests of their manifests.
    ///
    /// # Errors
    ///
    /// The lists cannot be read. What is wrong with one image stands in the result.
    pub fn images(&self) -> Result<Images> {
        let mut all = Images::default();
        let names = self.all_names(&mut all.broken_names)?;
        for file in self.images.names(None)? {
            match self.images.record::<Record>(None, &file) {
                Ok(Some(record)) => all.images.push(image(record, &names)),
                // It went meanwhile.
                Ok(None) => {}
                Err(error) => all.broken_images.push(error),
            }
        }
        all.images.sort_by_key(|image| image.manifest);
        Ok(all)
    }

    /// Returns the image that is meant by a name, by the digest of a manifest or a config, or by
    /// the beginning of one of these, if only one begins so.
    ///
    /// A name comes first.
    ///
    /// # Errors
    ///
    /// [`NotFound`](StoreErrorKind::NotFound), [`Ambiguous`](StoreErrorKind::Ambiguous),
    /// [`InvalidName`](StoreErrorKind::InvalidName).
    pub fn image(&self, text: &str) -> Result<Image> {
        let manifest = self.resolve(text)?;
        let record = self.record(&manifest)?.ok_or_else(|| no_image(text))?;
        Ok(image(record, &self.all_names(&mut Vec::new())?))
    }

    /// Returns the digest of the manifest of the image that is meant, as [`image`](Store::image)
    /// takes it. It finds by a name or a manifest also an image that cannot be read, so that it can
    /// be removed.
    ///
    /// # Errors
    ///
    /// [`NotFound`](StoreErrorKind::NotFound), [`Ambiguous`](StoreErrorKind::Ambiguous),
    /// [`InvalidName`](StoreErrorKind::InvalidName).
    pub fn resolve(&self, text: &str) -> Result<Digest> {
        let reference = text.parse::<Reference>();
        if let Ok(reference) = &reference
            && let Some(target) = self.target(reference)?
            && self.images.size(None, &name_of(&target))?.is_some()
        {
            return Ok(target);
        }
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let may_begin = !hex.is_empty()
            && hex.len() <= 128
            && hex
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !may_begin {
            return Err(match reference {
                Ok(_) => no_image(text),
                Err(error) => StoreError::new(StoreErrorKind::InvalidName, error.to_string()),
            });
        }
        let begins = |digest: &Digest| digest.hex().starts_with(hex);
        let files = self.images.names(None)?;
        let manifests = files.iter().filter_map(|file| digest_of(file));
        let mut found: Vec<Digest> = manifests.filter(begins).collect();
        if found.is_empty() {
            // One config can be in several images; a manifest is in one.
            let all = self.images()?.images;
            let by_config = all.iter().filter(|image| begins(&image.id));
            found = by_config.map(|image| image.manifest).collect();
        }
        match found[..] {
            [] => Err(no_image(text)),
            [only] => Ok(only),
            [first, ..] => {
                let text = format!("{text} is several images, one of them {first}");
                Err(StoreError::new(StoreErrorKind::Ambiguous, text))
            }
        }
    }

    /// Returns the manifest that a reference leads to.
    fn target(&self, reference: &Reference) -> Result<Option<Digest>> {
        match (reference.digest, reference.has_tag) {
            (Some(digest), false) => Ok(Some(digest)),
            (digest, _) => {
                let named = self.name(&reference.name)?;
                Ok(named.filter(|found| digest.is_none_or(|wanted| wanted == *found)))
            }
        }
    }

    pub(crate) fn record(&self, manifest: &Digest) -> Result<Option<Record>> {
        self.images.record(None, &name_of(manifest))
    }

    /// Returns what a name points to.
    pub(crate) fn name(&self, name: &ImageName) -> Result<Option<Digest>> {
        let (part, file) = place_of(name);
        let found: Option<Name> = self.names.record(Some(&part), &file)?;
        Ok(found
            .filter(|found| found.name == *name)
            .map(|found| found.target))
    }

    /// Reads all names; what is wrong with one of them is put into `broken`.
    pub(crate) fn all_names(
        &self,
        broken: &mut Vec<StoreError>,
    ) -> Result<Vec<(ImageName, Digest)>> {
        let mut names = Vec::new();
        for part in self.names.names(None)? {
            for file in self.names.names(Some(&part))? {
                match self.names.record::<Name>(Some(&part), &file) {
                    Ok(Some(Name { name, target })) => names.push((name, target)),
                    Ok(None) => {}
                    Err(error) => broken.push(error),
                }
            }
        }
        names.sort();
        Ok(names)
    }

    /// Returns the names of the image whose manifest has this digest, sorted.
    ///
    /// # Errors
    ///
    /// The names cannot be listed.
    pub fn names_of(&self, manifest: &Digest) -> Result<Vec<ImageName>> {
        let names = self.all_names(&mut Vec::new())?.into_iter();
        let its = names.filter(|(_, target)| target == manifest);
        Ok(its.map(|(name, _)| name).collect())
    }

    /// Gives an image a name, which another image may lose by that.
    ///
    /// # Errors
    ///
    /// [`NotFound`](StoreErrorKind::NotFound) if there is no such image.
    pub fn tag(&self, manifest: &Digest, name: &ImageName) -> Result<()> {
        let _naming = self.naming()?;
        if self.record(manifest)?.is_none() {
            return Err(no_image(&manifest.to_string()));
        }
        let (part, file) = place_of(name);
        let record = Name {
            name: name.clone(),
            target: *manifest,
        };
        self.names.put(Some(&part), &file, &record, self.durability)
    }

    /// Takes a name away. The image stays, perhaps without a name.
    ///
    /// # Errors
    ///
    /// [`NotFound`](StoreErrorKind::NotFound) if no image has it.
    pub fn untag(&self, name: &ImageName) -> Result<()> {
        let _naming = self.naming()?;
        if self.remove_name(name)? {
            return Ok(());
        }
        Err(no_image(&name.familiar().to_string()))
    }

    /// Removes a name, and returns whether there was one.
    pub(crate) fn remove_name(&self, name: &ImageName) -> Result<bool> {
        let (part, file) = place_of(name);
        self.names.remove(Some(&part), &file)
    }

    /// Returns the node that has the whole tree of an image; nothing if it has no layers.
    ///
    /// # Errors
    ///
    /// [`Damaged`](StoreErrorKind::Damaged) if the store does not have all of its layers.
    pub fn node(&self, image: &Image) -> Result<Option<NodeId>> {
        let Some(top) = image.chains.last() else {
            return Ok(None);
        };
        let chain = self.chain(top)?;
        let missing = || {
            damaged(format!(
                "the layers of {} are not all there",
                image.manifest
            ))
        };
        chain.map(|(node, _)| Some(node)).ok_or_else(missing)
    }

    /// Returns the node that has a layer with all below it, if the store has that.
    ///
    /// # Errors
    ///
    /// What is written down about it cannot be read.
    pub fn node_of(&self, chain: &ChainId) -> Result<Option<NodeId>> {
        Ok(self.chain(chain)?.map(|(node, _)| node))
    }

    /// Returns the size in bytes of the tar of a layer, if the store has it.
    ///
    /// # Errors
    ///
    /// What is written down about it cannot be read.
    pub fn layer_size(&self, chain: &ChainId) -> Result<Option<u64>> {
        Ok(self.chain(chain)?.map(|(_, mark)| mark.size))
    }

    /// Returns the manifest of an image in its exact bytes.
    ///
    /// # Errors
    ///
    /// [`Damaged`](StoreErrorKind::Damaged) if it is missing or another one.
    pub fn manifest(&self, image: &Image) -> Result<Raw<Manifest>> {
        let bytes = self.document(&image.manifest)?;
        Raw::parse(bytes, |bytes| Manifest::decode(bytes, None)).map_err(|error| {
            damaged(format!("cannot read the manifest {}", image.manifest)).because(error)
        })
    }

    /// Returns the config of an image in its exact bytes.
    ///
    /// # Errors
    ///
    /// [`Damaged`](StoreErrorKind::Damaged) if it is missing or another one.
    pub fn config(&self, image: &Image) -> Result<Raw<Config>> {
        let bytes = self.document(&image.id)?;
        Raw::parse(bytes, Config::decode)
            .map_err(|error| damaged(format!("cannot read the config {}", image.id)).because(error))
    }

    /// Reads a document, and checks that it is the one of this digest.
    fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let (part, name) = blob_of(digest);
        let bytes = self.blobs.read(Some(&part), &name, MAX_BYTES as u64)?;
        let bytes = bytes.ok_or_else(|| damaged(format!("the document {digest} is missing")))?;
        if Digest::of(digest.algorithm(), &bytes) == *digest {
            return Ok(bytes);
        }
        Err(damaged(format!("the document {digest} is another one")))
    }

    pub(crate) fn put_document(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let (part, name) = blob_of(digest);
        let found = self.blobs.read(Some(&part), &name, MAX_BYTES as u64);
        if matches!(found, Ok(Some(found)) if found == bytes) {
            return Ok(());
        }
        self.blobs.write(Some(&part), &name, bytes, self.durability)
    }

    /// Returns which node has a layer with all below it, and what its import has written down.
    ///
    /// What a record says counts only if the node says the same: a node that somebody registered
    /// under its id does not. One that an import has made, and was killed before it wrote the
    /// record, is found by the id that it likes.
    pub(crate) fn chain(&self, chain: &ChainId) -> Result<Option<(NodeId, Mark)>> {
        // One that cannot be read, as after a power loss, is as good as none: the next import
        // writes another one.
        let found = match self.chains.record::<Chain>(None, &name_of(&chain.digest())) {
            Err(error) if error.kind() == StoreErrorKind::Damaged => None,
            result => result?,
        };
        let nodes = found.map(|found| found.node).into_iter();
        for node in nodes.chain([node_of_chain(chain)]) {
            let looked = || format!("cannot look for the layers {chain}");
            let mark = self.mark(&node)?.filter(|mark| mark.chain == *chain);
            let Some(mark) = mark else { continue };
            if self.graph.exists(&node.to_string()).attempted(looked)? {
                return Ok(Some((node, mark)));
            }
        }
        Ok(None)
    }

    /// Returns what an import has written down of a node, if one has made it.
    pub(crate) fn mark(&self, node: &NodeId) -> Result<Option<Mark>> {
        let mark = self.graph.mark(node);
        let mark = mark.attempted(|| format!("cannot look at the node {node}"))?;
        // What cannot be read marks nothing.
        Ok(mark.and_then(|mark| serde_json::from_slice(&mark).ok()))
    }

    pub(crate) fn put_chain(
        &self,
        chain: &ChainId,
        node: NodeId,
        durability: Durability,
    ) -> Result<()> {
        let record = Chain { node };
        self.chains
            .put(None, &name_of(&chain.digest()), &record, durability)
    }

    /// Returns all blobs that are kept.
    pub(crate) fn all_blobs(&self) -> Result<Vec<(Digest, u64)>> {
        let mut blobs = Vec::new();
        for part in self.blobs.names(None)? {
            for file in self.blobs.names(Some(&part))? {
                let Ok(digest) = format!("{part}:{file}").parse() else {
                    continue;
                };
                if let Some(size) = self.blobs.size(Some(&part), &file)? {
                    blobs.push((digest, size));
                }
            }
        }
        Ok(blobs)
    }

    /// Opens the directory of the store.
    pub fn root(&self) -> &Dir {
        &self.root
    }
}

fn image(record: Record, names: &[(ImageName, Digest)]) -> Image {
    let is_own = |(_, target): &&(ImageName, Digest)| *target == record.manifest;
    Image {
        names: names
            .iter()
            .filter(is_own)
            .map(|(name, _)| name.clone())
            .collect(),
        manifest: record.manifest,
        media_type: record.media_type,
        id: record.config,
        platform: record.platform,
        chains: record.chains,
        created: record.created,
        size: record.size,
    }
}

/// Returns where a name is written down: in one of 256 directories, in a file whose name has no
/// limit of length and no slash.
pub(crate) fn place_of(name: &ImageName) -> (String, String) {
    let hex = Digest::of(Algorithm::Sha256, name.to_string()).hex();
    (hex[..2].to_owned(), hex)
}

/// Returns where a blob is kept.
pub(crate) fn blob_of(digest: &Digest) -> (String, String) {
    (digest.algorithm().to_string(), digest.hex())
}

pub(crate) fn no_image(text: &str) -> StoreError {
    StoreError::new(StoreErrorKind::NotFound, format!("no such image: {text}"))
}

pub(crate) fn damaged(text: String) -> StoreError {
    StoreError::new(StoreErrorKind::Damaged, text)
}

/// Returns the id that the node of a chain is to have, if no other has it.
pub(crate) fn node_of_chain(chain: &ChainId) -> NodeId {
    let digest = chain.digest();
    let first = digest.as_bytes().first_chunk();
    NodeId::from_bytes(*first.expect("no digest is shorter than 32 bytes"))
}
