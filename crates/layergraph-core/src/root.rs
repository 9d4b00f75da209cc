//! The root of a store, which nobody but its owner may enter: there are set-uid programs in layers.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use layergraph_driver::Driver;
use layergraph_fs::{Dir, DirEntry, FileKind, Metadata, effective_user, is_temporary_name};
use layergraph_image::NodeId;
use truncindex::TruncIndex;

use crate::error::{Attempted, of_store};
use crate::graph::STAGING;
use crate::index::Index;
use crate::{GraphError, GraphErrorKind, Result};

/// Only the owner may enter.
pub(crate) const PRIVATE: u32 = 0o700;
/// The graph's directory in the store's root.
pub(crate) const GRAPH: &str = "graph";
/// The file that says how a store was made, in its root; see docs/on-disk-format.md.
const FORMAT: &str = "layergraph.json";
/// What is kept of images, over the graph.
const OF_IMAGES: [&str; 4] = ["blobs", "chains", "images", "names"];
/// Where drivers keep their layers, here and in 2015.
const DRIVERS: [&str; 6] = ["aufs", "btrfs", "devicemapper", "overlay", "vfs", "zfs"];

/// Opens the root of a store, which is made if it is missing, with its missing parents.
///
/// Its mode becomes 0700 if it lets others in: set-uid programs and old, flawed versions of others
/// are not to be run by who finds them in a layer.
///
/// # Errors
///
/// [`NotSupported`](GraphErrorKind::NotSupported) if it lets others in and is another user's, or
/// holds other things than a store, such as `/tmp`. It is then left as it is.
pub fn open_root(root: &Path) -> Result<Dir> {
    let opened = || format!("cannot open the store {}", root.display());
    // An absolute path makes messages, and paths that are handed out, true everywhere.
    let path = std::path::absolute(root)
        .map_err(|error| GraphError::new(GraphErrorKind::Failed, opened()).because(error))?;
    let dir = Dir::open_or_make(&path, PRIVATE).attempted(opened)?;
    let Metadata { mode, uid, .. } = dir.metadata_here().attempted(opened)?;
    let lets_others_in = mode & 0o077 != 0;
    if !lets_others_in {
        return Ok(dir);
    }
    let refused = |why: &str| {
        let text = format!("the directory {} lets others in, and {why}", root.display());
        Err(GraphError::new(GraphErrorKind::NotSupported, text))
    };
    if uid != effective_user() {
        return refused("belongs to another user");
    }
    let is_empty = dir.entries().attempted(opened)?.is_empty();
    if !is_empty && !holds_store(&dir).attempted(opened)? {
        return refused("holds other things than a store");
    }
    match dir.set_mode(OsStr::new("."), PRIVATE) {
        // Nobody can be given less than a medium gives that takes no changes.
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {}
        result => result.attempted(opened)?,
    }
    Ok(dir)
}

/// Tells whether a directory is the root of a store, and not one that happens to have something
/// called `graph` in it.
pub fn holds_store(root: &Dir) -> layergraph_fs::Result<bool> {
    if root.find(OsStr::new(FORMAT))?.is_some() {
        return Ok(true);
    }
    let graph = match root.find_dir(OsStr::new(GRAPH)) {
        Ok(Some(graph)) => graph,
        Ok(None) => return Ok(false),
        // A file or a link.
        Err(error) if error.leads_nowhere() => return Ok(false),
        Err(error) => return Err(error),
    };
    let entries = graph.entries()?;
    if entries.iter().any(is_of_graph) {
        return Ok(true);
    }
    // A graph without nodes, in a root that has nothing else.
    let mut others = root.entries()?.into_iter();
    Ok(entries.is_empty() && others.all(|entry| is_of_store(&entry.name)))
}

/// Counts the nodes of the store in the directory `root`, also those that cannot be read.
///
/// No node is read, and unlike opening a [`Graph`](crate::Graph) it neither makes nor removes
/// anything.
///
/// # Errors
///
/// [`Damaged`](GraphErrorKind::Damaged) if what is called as the graph's directory is none.
pub fn count_nodes(root: &Dir, driver: &dyn Driver) -> Result<usize> {
    let found = root.find_dir(OsStr::new(GRAPH));
    let found = found.map_err(|error| {
        let text = format!("cannot open the graph in {}", root.path().display());
        of_store(text, error)
    })?;
    match found {
        Some(graph) => Index::default().ask(&graph, driver, TruncIndex::len),
        None => Ok(0),
    }
}

/// Tells whether something is called as what is in a graph, and may be that. Others name files by
/// digests, which look like ids.
fn is_of_graph(entry: &DirEntry) -> bool {
    let is_named = entry.name == STAGING || NodeId::parse(entry.name.as_encoded_bytes()).is_ok();
    is_named && entry.kind.is_none_or(|kind| kind == FileKind::Directory)
}

/// Tells whether something is called as what is in the root of a store.
fn is_of_store(name: &OsStr) -> bool {
    let named = ["lock", GRAPH]
        .iter()
        .chain(&OF_IMAGES)
        .chain(&DRIVERS)
        .any(|known| name == *known);
    named || is_temporary_name(name)
}
