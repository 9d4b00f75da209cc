//! The images that were added, and how a layout lists them.

use std::path::Path;

use layergraph_image::oci::{Descriptor, Index};
use layergraph_image::transfer::Offered;

use super::staged::Staged;
use crate::error::OciError;
use crate::read::names::{FULL_NAME, REF_NAME};

/// What says that a directory or an archive is a layout (image-spec, *oci-layout file*).
pub(super) const VERSION: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Images in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Images(Vec<Offered>);

impl Images {
    /// Adds an image whose names no other has.
    pub(super) fn add(&mut self, image: &Offered, output: &Path) -> Result<(), OciError> {
        let mut others = self
            .0
            .iter()
            .filter(|other| other.root.digest != image.root.digest);
        let taken = |other: &Offered| {
            image
                .names
                .iter()
                .find(|name| other.names.contains(name))
                .cloned()
        };
        if let Some(name) = others.find_map(taken) {
            return Err(OciError::Ambiguous {
                path: output.to_owned(),
                reference: name.to_string(),
            });
        }
        self.0.push(image.clone());
        Ok(())
    }

    /// Lists the images, once for each name.
    pub(super) fn descriptors(&self) -> Vec<Descriptor> {
        self.0.iter().flat_map(descriptors).collect()
    }

    /// Writes the index of a layout that has no others.
    pub(super) fn index(&self) -> Vec<u8> {
        Index::new(self.descriptors()).encode()
    }
}

fn descriptors(image: &Offered) -> Vec<Descriptor> {
    if image.names.is_empty() {
        return vec![image.root.clone()];
    }
    let named = image.names.iter().map(|name| {
        let mut root = image.root.clone();
        root.annotations
            .insert(REF_NAME.to_owned(), name.tag().to_owned());
        root.annotations
            .insert(FULL_NAME.to_owned(), name.to_string());
        root
    });
    named.collect()
}

/// Checks that the manifest or index of an image was taken.
pub(super) fn check_root(image: &Offered, staged: &Staged, output: &Path) -> Result<(), OciError> {
    let Offered { root, .. } = image;
    let Some(stored) = staged.get(&root.digest) else {
        return Err(OciError::NoBlob {
            path: output.to_owned(),
            digest: root.digest.into(),
        });
    };
    crate::read::files::check_size(output, root, stored.size)
}
