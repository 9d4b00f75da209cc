//! The names of images in layouts and archives, and finding the one that was asked for.

use std::collections::BTreeMap;
use std::path::Path;

use layergraph_digest::Digest;
use layergraph_image::ImageName;
use layergraph_image::oci::Descriptor;
use layergraph_image::transfer::Offered;

use crate::error::{OciError, shown};

/// The tag of an image in a layout, or its name (image-spec, *annotations*).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The full name of an image in a layout, as containerd and Docker write it.
pub(crate) const FULL_NAME: &str = "io.containerd.image.name";

/// An image as it is found, with the names that it has there.
pub(super) struct Candidate {
    pub(super) root: Descriptor,
    pub(super) names: Vec<ImageName>,
}

impl Candidate {
    /// Takes the names from the annotations of an image in a layout.
    ///
    /// What is a tag alone, or no name at all, names no image: the specification lets a reference
    /// be any text. The full name must be one.
    pub(super) fn annotated(root: Descriptor, path: &Path) -> Result<Candidate, OciError> {
        let names = match root.annotations.get(FULL_NAME) {
            Some(full) => vec![parse(full, FULL_NAME, path)?],
            None => root
                .annotations
                .get(REF_NAME)
                .filter(|name| name.contains(['/', ':']))
                .and_then(|name| name.parse().ok())
                .into_iter()
                .collect(),
        };
        Ok(Candidate { root, names })
    }

    fn is_called(&self, reference: &str) -> bool {
        let is_name = |name: ImageName| self.names.contains(&name);
        self.root
            .annotations
            .get(REF_NAME)
            .is_some_and(|name| name == reference)
            || reference.parse().is_ok_and(is_name)
    }
}

pub(super) fn parse(text: &str, at: &str, path: &Path) -> Result<ImageName, OciError> {
    text.parse().map_err(|source| OciError::Name {
        path: path.to_owned(),
        name: at.to_owned(),
        source,
    })
}

/// Offers each image once, with all its names, or only the one that is asked for.
///
/// # Errors
///
/// Two images have one name, or there is not one that is called as was asked.
pub(super) fn offer(
    mut candidates: Vec<Candidate>,
    select: Option<&str>,
    path: &Path,
) -> Result<Vec<Offered>, OciError> {
    let mut owners: BTreeMap<&ImageName, Digest> = BTreeMap::new();
    for candidate in &candidates {
        for name in &candidate.names {
            if *owners.entry(name).or_insert(candidate.root.digest) != candidate.root.digest {
                return Err(ambiguous(path, &name.to_string()));
            }
        }
    }
    if let Some(reference) = select {
        candidates.retain(|candidate| candidate.is_called(reference));
    }
    let mut offered: Vec<Offered> = Vec::new();
    let mut places: BTreeMap<Digest, usize> = BTreeMap::new();
    for Candidate { root, names } in candidates {
        let place = *places.entry(root.digest).or_insert(offered.len());
        if place == offered.len() {
            offered.push(Offered::new(root, Vec::new()));
        }
        offered[place].names.extend(names);
    }
    for image in &mut offered {
        image.names.sort();
        image.names.dedup();
    }
    match (select, offered.len()) {
        (Some(reference), 0) => Err(OciError::NoReference {
            path: path.to_owned(),
            reference: shown(reference),
        }),
        (Some(_), 1) | (None, _) => Ok(offered),
        (Some(reference), _) => Err(ambiguous(path, reference)),
    }
}

fn ambiguous(path: &Path, reference: &str) -> OciError {
    OciError::Ambiguous {
        path: path.to_owned(),
        reference: shown(reference),
    }
}
