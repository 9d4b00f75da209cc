//! Which node names which parent, remembered as long as it is true.
//!
//! The JSON of a node never changes, so what was read once holds as long as the directory is the
//! same. That it is tells its inode with the time of its last change, unless the change was so
//! recent that the file system's clock might give the same time to another one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use layergraph_fs::{Dir, FileKind};

use crate::error::Attempted;
use crate::index::TICK;
use crate::{GraphError, Result, files};

/// The parents that were read, by the names of the nodes.
#[derive(Debug, Default)]
pub(crate) struct Parents {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    inode: u64,
    changed: SystemTime,
    parent: Option<String>,
}

impl Parents {
    /// Returns the parent that the node of this whole name names; none for what is no directory.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::GraphErrorKind::NotFound) if there is no such node, or it went while it
    /// was read.
    pub(crate) fn of(&self, graph: &Dir, name: &str) -> Result<Option<String>> {
        let look = || {
            let found = graph.find(OsStr::new(name));
            let found = found.attempted(|| format!("cannot look for image {name}"))?;
            found.ok_or_else(|| GraphError::no_such(name))
        };
        let before = look()?;
        if before.kind != FileKind::Directory {
            return Ok(None);
        }
        if let Some(known) = self.lock().get(name)
            && (known.inode, known.changed) == (before.inode, before.changed)
        {
            return Ok(known.parent.clone());
        }
        let read = graph
            .open_dir(OsStr::new(name))
            .attempted(|| format!("cannot open image {name}"))
            .and_then(|dir| files::read_parent(&dir));
        let after = look()?;
        if !before.is_same_object(&after) {
            return Err(GraphError::no_such(name));
        }
        let parent = Some(read?).filter(|parent| !parent.is_empty());
        if before.changed == after.changed && after.changed + TICK < SystemTime::now() {
            let known = Known {
                inode: after.inode,
                changed: after.changed,
                parent: parent.clone(),
            };
            self.lock().insert(name.to_owned(), known);
        }
        Ok(parent)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        // An entry is put in whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
