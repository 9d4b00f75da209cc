//! The root of a store, which nobody but its owner may enter: there are set-uid programs in layers.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use layergraph_fs::{Dir, Metadata, effective_user};

use crate::error::Attempted;
use crate::{GraphError, GraphErrorKind, Result};

/// Only the owner may enter.
pub(crate) const PRIVATE: u32 = 0o700;
/// The graph's directory in the store's root.
pub(crate) const GRAPH: &str = "graph";
/// The file that says how a store was made, in its root; see docs/on-disk-format.md.
const FORMAT: &str = "layergraph.json";

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
    let mut names = dir
        .entries()
        .attempted(opened)?
        .into_iter()
        .map(|entry| entry.name);
    let is_store = |name| [GRAPH, FORMAT].iter().any(|sign| name == *sign);
    let is_empty = names.len() == 0;
    if !is_empty && !names.any(is_store) {
        return refused("holds other things than a store");
    }
    match dir.set_mode(OsStr::new("."), PRIVATE) {
        // Nobody can be given less than a medium gives that takes no changes.
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {}
        result => result.attempted(opened)?,
    }
    Ok(dir)
}
