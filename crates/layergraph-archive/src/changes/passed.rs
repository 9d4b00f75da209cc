//! Whether names that were passed over have to be looked at after all.
//!
//! Of two views with layers in common, only names that are in the layers on top are compared: all
//! others lead to the same objects in both trees. By itself none of them is a change, but it may be
//! drawn along by one (see `links`), if it is a further name of a file that is one. Then the trees
//! are to be compared whole, which is slow and rare.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;

use layergraph_fs::{FsError, Metadata};

use super::links::Id;
use crate::view::{Entry, Shared, ViewDir};

/// What is known of the names that were passed over, from those that were not.
#[derive(Debug)]
pub(super) struct PassedOver {
    pub(super) shared: Shared,
    /// Whether a file has, or may have, a name that was passed over.
    is_certain: bool,
    /// The files in the layers on top that have several names.
    files: HashMap<Id, File>,
}

#[derive(Debug)]
struct File {
    names: u64,
    /// Those that were met: directories in the layers, and the names in them.
    met: HashSet<(Id, OsString)>,
}

impl PassedOver {
    pub(super) fn new(shared: Shared) -> PassedOver {
        PassedOver {
            shared,
            is_certain: false,
            files: HashMap::new(),
        }
    }

    /// Takes note of a name that was reported.
    pub(super) fn changed(&mut self, dir: &ViewDir<'_>, entry: &Entry) -> Result<(), FsError> {
        let metadata = entry.metadata();
        if metadata.links <= 1 {
            return Ok(());
        }
        if self.shared.has(dir, entry) {
            // As in a redirected directory.
            self.is_certain = true;
            return Ok(());
        }
        // Every name in a layer on top is met, if it is in the tree. But layers can have hard links
        // among them.
        let file = self.files.entry(metadata.id()).or_insert_with(|| File {
            names: metadata.links,
            met: HashSet::new(),
        });
        let place = dir.holder(entry).metadata_here()?.id();
        file.met.insert((place, entry.name().to_owned()));
        Ok(())
    }

    /// Takes note of a name whose object is, by itself, as in the lower tree.
    pub(super) fn unchanged(
        &mut self,
        dir: &ViewDir<'_>,
        entry: &Entry,
        lower: &Metadata,
    ) -> Result<(), FsError> {
        if entry.metadata().is_same_object(lower) {
            return Ok(());
        }
        // Another file has the place of one whose other names may still lead to that one.
        self.is_certain |= lower.links > 1;
        self.changed(dir, entry)
    }

    /// Returns whether one that was passed over may belong to a file that was compared.
    pub(super) fn matter(&self) -> bool {
        let has_more = |file: &File| file.names > file.met.len() as u64;
        self.is_certain || self.files.values().any(has_more)
    }
}
