//! Files with several names: which of them a change of one draws along.
//!
//! A layer states hard links among its own entries. A link to a file of the layers below parts that
//! file from its other names there, so a file's names are stated all together or not at all.

use std::collections::HashMap;
use std::path::PathBuf;

use layergraph_fs::{FileKind, Metadata};

/// An inode.
pub(super) type Id = (u64, u64);

/// The names of the upper tree's files that have more than one, here or below.
#[derive(Debug, Default)]
pub(super) struct LinkGroups {
    /// By inode of the upper tree.
    groups: HashMap<Id, Group>,
    /// The inodes of the upper tree in the order in which they were met.
    order: Vec<Id>,
}

#[derive(Debug, Default)]
struct Group {
    size: u64,
    /// Whether one of the names was reported.
    changed: bool,
    /// The names that were not, and the inode each has in the lower tree.
    unchanged: Vec<(PathBuf, Id)>,
}

impl LinkGroups {
    /// Takes note of a name that was reported.
    pub(super) fn changed(&mut self, upper: &Metadata) {
        if upper.links > 1 && upper.kind != FileKind::Directory {
            self.group(upper).changed = true;
        }
    }

    /// Takes note of a name whose object is, by itself, as in the lower tree.
    pub(super) fn unchanged(&mut self, path: PathBuf, upper: &Metadata, lower: &Metadata) {
        if upper.links > 1 || lower.links > 1 {
            self.group(upper).unchanged.push((path, lower.id()));
        }
    }

    fn group(&mut self, upper: &Metadata) -> &mut Group {
        let id = upper.id();
        self.groups.entry(id).or_insert_with(|| {
            self.order.push(id);
            Group {
                size: upper.size,
                ..Group::default()
            }
        })
    }

    /// Returns the names, with the size of their file, that have to be stated although nothing
    /// about them but their fellows changed.
    pub(super) fn into_drawn_along(mut self) -> Vec<(PathBuf, u64)> {
        // Which upper file keeps the names of a lower one: the first that keeps any.
        let mut kept: HashMap<Id, Id> = HashMap::new();
        let mut drawn = Vec::new();
        for upper in self.order {
            let Some(group) = self.groups.remove(&upper) else {
                continue;
            };
            let mut lower_ids = group.unchanged.iter().map(|(_, lower)| *lower);
            let Some(first) = lower_ids.next() else {
                continue;
            };
            let parted = lower_ids.any(|lower| lower != first);
            if group.changed || parted || *kept.entry(first).or_insert(upper) != upper {
                let paths = group.unchanged.into_iter().map(|(path, _)| path);
                drawn.extend(paths.map(|path| (path, group.size)));
            }
        }
        drawn
    }
}
