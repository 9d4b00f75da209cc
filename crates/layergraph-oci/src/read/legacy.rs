//! Archives of 2015: layers with ids of their own, and names that point to these.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use layergraph_image::v1::{self, Image};
use layergraph_image::{ImageName, NodeId};

use super::REPOSITORIES;
use super::archive::Archive;
use super::files::Files;
use super::list::read_repositories;
use super::names::parse;
use crate::error::{MemberError, OciError, shown};

/// An archive as `docker save` wrote it before Docker 1.10.
///
/// A directory for each layer, called by its id, holds the image JSON (`json`) and the tar
/// (`layer.tar`); `repositories` names some of them. There are no manifests and no digests, so
/// nothing can be verified: whoever takes these layers takes them under their own ids.
#[derive(Debug)]
pub struct LegacyArchive {
    files: Files,
    images: Vec<LegacyImage>,
}

/// A layer in a [`LegacyArchive`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LegacyImage {
    /// Its id.
    pub id: NodeId,
    /// The layer below it, which the archive need not hold.
    pub parent: Option<NodeId>,
    /// The names that point to it.
    pub names: Vec<ImageName>,
}

/// Reads an archive that has `repositories` and no manifests.
pub(super) fn read(archive: Archive) -> Result<LegacyArchive, OciError> {
    let ids: Vec<NodeId> = archive.names().filter_map(id_of).collect();
    let files = Files::Archive(archive);
    let mut parents = BTreeMap::new();
    for id in ids {
        parents.insert(id, read_parent(&files, id)?);
    }
    let mut names = read_names(&files, &parents)?;
    let images = parents_first(&files, &parents)?
        .into_iter()
        .map(|id| LegacyImage {
            id,
            parent: parents[&id],
            names: names.remove(&id).unwrap_or_default(),
        })
        .collect();
    Ok(LegacyArchive { files, images })
}

/// Returns the id of the layer whose image JSON is called so.
fn id_of(name: &[u8]) -> Option<NodeId> {
    NodeId::parse(name.strip_suffix(b"/json")?).ok()
}

fn json_name(id: NodeId) -> String {
    format!("{id}/json")
}

fn read_json(files: &Files, id: NodeId) -> Result<Vec<u8>, OciError> {
    let name = json_name(id);
    match files.read(&name, v1::MAX_BYTES)? {
        Some(bytes) => Ok(bytes),
        None => Err(OciError::member(files.path(), &name, MemberError::Missing)),
    }
}

fn read_parent(files: &Files, id: NodeId) -> Result<Option<NodeId>, OciError> {
    let path = files.path();
    let name = json_name(id);
    let bytes = read_json(files, id)?;
    let image = Image::decode(&bytes).map_err(|source| OciError::ImageJson {
        path: path.to_owned(),
        name: name.clone(),
        source,
    })?;
    if image.id != id.to_string() {
        let reason = format!("it is that of {}", shown(&image.id));
        return Err(OciError::contradiction(path, &name, reason));
    }
    if image.parent.is_empty() {
        return Ok(None);
    }
    let parent = NodeId::parse(&image.parent);
    parent.map(Some).map_err(|source| OciError::Id {
        path: path.to_owned(),
        name,
        source,
    })
}

fn read_names(
    files: &Files,
    parents: &BTreeMap<NodeId, Option<NodeId>>,
) -> Result<BTreeMap<NodeId, Vec<ImageName>>, OciError> {
    let path = files.path();
    let mut names: BTreeMap<NodeId, Vec<ImageName>> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (repository, tags) in read_repositories(files)?.unwrap_or_default() {
        for (tag, id) in tags {
            let name = parse(&format!("{repository}:{tag}"), REPOSITORIES, path)?;
            let id = NodeId::parse(&id).map_err(|source| OciError::Id {
                path: path.to_owned(),
                name: REPOSITORIES.to_owned(),
                source,
            })?;
            if !parents.contains_key(&id) {
                return Err(OciError::member(path, &json_name(id), MemberError::Missing));
            }
            if !taken.insert(name.clone()) {
                return Err(OciError::Ambiguous {
                    path: path.to_owned(),
                    reference: name.to_string(),
                });
            }
            names.entry(id).or_default().push(name);
        }
    }
    Ok(names)
}

/// Sorts the layers so that each stands behind its parent.
fn parents_first(
    files: &Files,
    parents: &BTreeMap<NodeId, Option<NodeId>>,
) -> Result<Vec<NodeId>, OciError> {
    let mut sorted = Vec::with_capacity(parents.len());
    let mut placed: BTreeSet<NodeId> = BTreeSet::new();
    for &id in parents.keys() {
        // From here down to what has its place, or is not in the archive.
        let mut way = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next.filter(|id| parents.contains_key(id) && !placed.contains(id)) {
            if way.len() == parents.len() {
                let reason = "it is among its own parents".to_owned();
                return Err(OciError::contradiction(
                    files.path(),
                    &json_name(id),
                    reason,
                ));
            }
            way.push(id);
            next = parents[&id];
        }
        placed.extend(&way);
        sorted.extend(way.into_iter().rev());
    }
    Ok(sorted)
}

impl LegacyArchive {
    /// Returns the layers, each behind its parent.
    pub fn images(&self) -> &[LegacyImage] {
        &self.images
    }

    /// Reads the image JSON of a layer, in its exact bytes.
    ///
    /// # Errors
    ///
    /// The archive has no such layer, or cannot be read.
    pub fn json(&self, id: NodeId) -> Result<Vec<u8>, OciError> {
        read_json(&self.files, id)
    }

    /// Opens the tar of a layer, as it is packed; several may be read at once.
    ///
    /// # Errors
    ///
    /// The archive has no such layer.
    pub fn layer(&self, id: NodeId) -> Result<impl Read + Send + '_, OciError> {
        let name = format!("{id}/layer.tar");
        match self.files.open(&name)? {
            Some(content) => Ok(content.reader),
            None => Err(OciError::member(
                self.files.path(),
                &name,
                MemberError::Missing,
            )),
        }
    }
}
