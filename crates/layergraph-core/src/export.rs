//! What a node changed, as a list and as a layer.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use layergraph_archive::Change;
use layergraph_archive::recipe::{AssembleError, RecipeError, assemble};
use layergraph_driver::{InvalidLayerId, LayerId, naive};
use layergraph_fs::{FsError, NewFile, Staging};
use layergraph_image::NodeId;

use crate::error::{Attempted, of_store};
use crate::files::RECIPE;
use crate::graph::Graph;
use crate::node::Node;
use crate::progress::{Meter, Progress, Task};
use crate::{GraphError, GraphErrorKind, Result};

/// What is done while a layer is written to a temporary file.
const BUFFERING: &str = "Buffering to disk";

/// What was written of a node's layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Exported {
    /// How long it is, in bytes.
    pub size: u64,
    /// Whether it is the layer that was registered, byte for byte.
    pub exact: bool,
    /// The sockets among the changes, which a layer cannot hold, where it was packed.
    pub sockets: Vec<PathBuf>,
}

impl Graph {
    /// Lists what a node changed of its parent's tree, sorted by path.
    pub fn changes(&self, node: &Node) -> Result<Vec<Change>> {
        self.changes_of(&node.id(), node.parent().unwrap_or_default())
    }

    /// Lists what makes the tree of `node` of that of `against`.
    pub fn changes_against(&self, node: &Node, against: &Node) -> Result<Vec<Change>> {
        let (upper, lower) = (LayerId::from(node.id()), LayerId::from(against.id()));
        let compared = || format!("cannot compare image {upper} with {lower}");
        self.read_whole(&[&upper, &lower], compared, || {
            self.driver
                .changes(&upper, Some(&lower))
                .attempted(compared)
        })
    }

    pub(crate) fn changes_of(&self, id: &NodeId, parent: &str) -> Result<Vec<Change>> {
        let compared = || format!("cannot find the changes of image {id}");
        let id = LayerId::from(*id);
        if parent.is_empty() {
            return self.read_whole(&[&id], compared, || {
                self.driver.changes(&id, None).attempted(compared)
            });
        }
        let parent = self
            .parent_tree(parent)
            .map_err(|error| GraphError::new(error.kind(), compared()).because(error))?;
        self.read_whole(&[&id, &parent], compared, || {
            self.driver.changes(&id, Some(&parent)).attempted(compared)
        })
    }

    /// Returns the layer of a parent, which may be written down as a prefix of a node's id.
    fn parent_tree(&self, parent: &str) -> Result<LayerId> {
        let name = match self.parent_name(parent) {
            Err(error) if error.means_absent() => parent.to_owned(),
            result => result?,
        };
        name.parse().map_err(|error: InvalidLayerId| {
            GraphError::new(GraphErrorKind::InvalidId, error.to_string())
        })
    }

    /// Returns the bytes in the files and links that a node added or modified.
    pub fn diff_size(&self, node: &Node) -> Result<u64> {
        self.changes(node).map(|changes| naive::diff_size(&changes))
    }

    /// Writes the layer of a node, an uncompressed tar.
    ///
    /// It is the tar that was registered, byte for byte, where the node has its recipe, as it has
    /// since layergraph or Docker 1.8 registered it with a layer. Else what the node changed of its
    /// parent's tree is packed.
    ///
    /// # Errors
    ///
    /// [`Damaged`](GraphErrorKind::Damaged) if the recipe cannot be read, or the tree does not hold
    /// what it did. After an error what was written is incomplete.
    pub fn tar_layer(&self, node: &Node, out: &mut dyn Write) -> Result<Exported> {
        let failed = || format!("cannot export the layer of image {}", node.id());
        let id = LayerId::from(node.id());
        self.read_whole(&[&id], failed, || {
            if let Some(recipe) = self.recipe(id.as_str())? {
                let tree = self.driver.view(&id).attempted(failed)?;
                let assembled = assemble(recipe, &tree, out).map_err(|error| {
                    GraphError::new(kind_of_assembling(&error), failed()).because(error)
                })?;
                return Ok(Exported {
                    size: assembled.size,
                    exact: true,
                    sockets: Vec::new(),
                });
            }
            let changes = self.changes(node)?;
            let packed = naive::pack(&*self.driver, &id, &changes, out).attempted(failed)?;
            let packed = packed.map_err(|error| {
                GraphError::new(GraphErrorKind::Failed, failed()).because(error)
            })?;
            Ok(Exported {
                size: packed.size,
                exact: false,
                sockets: packed.sockets,
            })
        })
    }

    /// Opens the recipe of a node's layer, if there is one.
    fn recipe(&self, id: &str) -> Result<Option<File>> {
        match self.node_dir(id)?.open_file(OsStr::new(RECIPE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let text = format!("cannot read the recipe of image {id}");
                Err(of_store(text, error))
            }
            Ok(file) => Ok(Some(file)),
        }
    }

    /// Writes the layer of the node whose id is, or alone begins with, `name` to a temporary file,
    /// and tells `progress` how far it has come.
    ///
    /// The file has no name, so it is gone when it is dropped, however the process ends.
    pub fn temp_layer_archive(
        &self,
        name: &str,
        progress: &mut (dyn Progress + Send),
    ) -> Result<TempArchive> {
        let node = self.get(name)?;
        let made = || format!("cannot buffer the layer of image {}", node.id());
        let staging = Staging::new(&self.staging()?).attempted(made)?;
        let layer = OsStr::new("layer.tar");
        let file = staging.dir().create_file(layer, 0o600).attempted(made)?;
        let task = Task {
            action: BUFFERING,
            id: String::from_utf8_lossy(layergraph_image::truncate_id(name.as_bytes())).into(),
            total: None,
        };
        let mut out = MeteredFile {
            file,
            meter: Meter::new(task, progress),
        };
        let exported = self.tar_layer(&node, &mut out)?;
        out.meter.finish();
        let file = staging.dir().open_file(layer).attempted(made)?;
        staging.discard().attempted(made)?;
        Ok(TempArchive {
            file,
            size: exported.size,
        })
    }
}

/// Tells a tree that does not hold what it did from calls that failed.
fn kind_of_assembling(error: &AssembleError) -> GraphErrorKind {
    let source = match error {
        AssembleError::Write(_) => return GraphErrorKind::Failed,
        AssembleError::Open { source, .. }
        | AssembleError::Read { source, .. }
        | AssembleError::Recipe(RecipeError::Read(source)) => source,
        _ => return GraphErrorKind::Damaged,
    };
    let of_fs = |source: &io::Error| -> Option<i32> {
        source.get_ref()?.downcast_ref::<FsError>()?.errno()
    };
    match source.raw_os_error().or_else(|| of_fs(source)) {
        // EIO is what a damaged disk says.
        Some(_) => GraphErrorKind::Failed,
        None => GraphErrorKind::Damaged,
    }
}

struct MeteredFile<'a> {
    file: NewFile,
    meter: Meter<'a>,
}

impl Write for MeteredFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.meter.advance(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A layer in a temporary file, to be read from its beginning.
#[derive(Debug)]
pub struct TempArchive {
    file: File,
    size: u64,
}

impl TempArchive {
    /// Returns how long it is, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for TempArchive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}
