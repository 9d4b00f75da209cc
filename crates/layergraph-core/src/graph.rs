//! The graph: opening it, and reading nodes.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use layergraph_archive::{Limits, View};
use layergraph_digest::Checksum;
use layergraph_driver::{Driver, LayerId, MountOptions};
use layergraph_fs::{Dir, Durability, FileKind};
use layergraph_image::NodeId;

use crate::error::{Attempted, of_store};
use crate::index::Index;
use crate::node::Node;
use crate::parents::Parents;
use crate::root::{GRAPH, PRIVATE, open_root};
use crate::{GraphError, GraphErrorKind, Result, files, lock};

/// Where nodes are made, in the graph's directory.
pub(crate) const STAGING: &str = "_tmp";

/// How a graph is kept.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GraphOptions {
    /// Whether what was registered or removed survives a power loss when the call has returned.
    /// The [driver](layergraph_driver::DriverOptions) has an option of its own for its trees.
    pub durability: Durability,
    /// What a layer may cost that is registered. To the memory for records of directories comes
    /// what its decoder does not need of the default for that
    /// ([`DecodeOptions::memory`](layergraph_archive::codec::DecodeOptions::memory)).
    pub limits: Limits,
    /// What is done before a first layer is made.
    pub before_layers: BeforeLayers,
}

/// Something that whoever opens a graph wants to have done before a layer is made in it, such as
/// writing down how the store was made.
#[derive(Clone, Default)]
pub struct BeforeLayers(Option<Arc<Act>>);

type Act = dyn Fn() -> std::result::Result<(), Box<dyn Error + Send + Sync>> + Send + Sync;

impl BeforeLayers {
    /// Takes what is to be done. It is done before each layer, and so may be done more than once.
    pub fn new(
        act: impl Fn() -> std::result::Result<(), Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> BeforeLayers {
        BeforeLayers(Some(Arc::new(act)))
    }

    pub(crate) fn act(&self) -> Result<()> {
        let done = self.0.as_ref().map_or(Ok(()), |act| act());
        done.map_err(|cause| {
            let text = "cannot prepare the store for layers";
            GraphError::new(GraphErrorKind::Failed, text).because(cause)
        })
    }
}

impl fmt::Debug for BeforeLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BeforeLayers")
            .field(&self.0.is_some())
            .finish()
    }
}

/// A graph of layers on disk. See the [crate](crate).
#[derive(Debug)]
pub struct Graph {
    /// The store's root, which holds the lock.
    pub(crate) root: Dir,
    /// The directory of nodes.
    pub(crate) dir: Dir,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) options: GraphOptions,
    pub(crate) index: Index,
    pub(crate) parents: Parents,
    unswept: Option<GraphError>,
}

/// All nodes, and what cannot be read as one.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Nodes {
    /// The nodes, by id.
    pub by_id: BTreeMap<NodeId, Node>,
    /// What has a name in the graph and a tree, but is no whole node, sorted by name.
    pub broken: Vec<BrokenNode>,
}

/// Something that should be a node.
#[derive(Debug)]
#[non_exhaustive]
pub struct BrokenNode {
    /// Its name in the graph's directory, by which it can be deleted.
    pub name: String,
    /// Why it cannot be read.
    pub error: GraphError,
}

impl Graph {
    /// Opens the graph of the store at `path`, with the driver that keeps its trees. The root and
    /// the graph's directory are made if they are missing, with mode 0700; see [`open_root`].
    ///
    /// What processes that are gone left half made is removed; see [`unswept`](Graph::unswept).
    pub fn open(path: &Path, driver: Arc<dyn Driver>, options: &GraphOptions) -> Result<Graph> {
        let root = open_root(path)?;
        let dir = root.ensure_dir(OsStr::new(GRAPH), PRIVATE);
        let dir = dir.map_err(|error| {
            of_store(
                format!("cannot open the graph in {}", path.display()),
                error,
            )
        })?;
        let mut graph = Graph {
            root,
            dir,
            driver,
            options: options.clone(),
            index: Index::default(),
            parents: Parents::default(),
            unswept: None,
        };
        graph.unswept = graph.sweep().err();
        graph.index.ask(&graph.dir, &*graph.driver, |_| ())?;
        Ok(graph)
    }

    /// Returns the driver that keeps the trees.
    ///
    /// It is there to be looked at. What is staged, committed or removed by it takes no lock and
    /// leaves no node: that is for [`register`](Graph::register) and [`delete`](Graph::delete).
    pub fn driver(&self) -> &Arc<dyn Driver> {
        &self.driver
    }

    /// Returns why the [sweep](Graph::sweep) at opening was not complete, if it was not. The graph
    /// works all the same.
    pub fn unswept(&self) -> Option<&GraphError> {
        self.unswept.as_ref()
    }

    /// Returns the node whose id is, or alone begins with, `name`.
    ///
    /// A node without a size gets it from its changes, and that is written down for the next time
    /// if the disk lets it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](GraphErrorKind::NotFound), [`Ambiguous`](GraphErrorKind::Ambiguous), or
    /// [`Damaged`](GraphErrorKind::Damaged) if what is there is no whole node.
    pub fn get(&self, name: &str) -> Result<Node> {
        let id = self.resolve(name).map_err(GraphError::not_found)?;
        match self.load(&id) {
            // It went between the two steps: look once more, by what is there now.
            Err(error) if error.kind() == GraphErrorKind::NotFound => {
                self.index.forget();
                let id = self.resolve(name).map_err(GraphError::not_found)?;
                self.load(&id).map_err(|error| match error.kind() {
                    GraphErrorKind::NotFound => error.not_found(),
                    _ => error,
                })
            }
            result => result,
        }
    }

    /// Tells whether [`get`](Graph::get) would return a node: also for a unique prefix, but not for
    /// a node that cannot be read.
    ///
    /// # Errors
    ///
    /// Only if it could not be looked.
    pub fn exists(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            Ok(_) => Ok(true),
            Err(error) if error.means_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns all nodes. One that cannot be read is told beside them and hides no other.
    pub fn map(&self) -> Result<Nodes> {
        let names = self.names()?;
        let mut nodes = Nodes::default();
        for (name, loaded) in in_parallel(names, |name| self.load(name)) {
            match loaded {
                Ok(node) => drop(nodes.by_id.insert(node.id(), node)),
                // It went meanwhile.
                Err(error) if error.kind() == GraphErrorKind::NotFound => {}
                Err(error) => nodes.broken.push(BrokenNode { name, error }),
            }
        }
        Ok(nodes)
    }

    /// Returns the JSON of a node in its exact bytes, with the line feed at its end.
    pub fn raw_json(&self, id: &NodeId) -> Result<Vec<u8>> {
        let id = id.to_string();
        let read = self.node_dir(&id).and_then(|dir| {
            files::read_json(&dir).or_else(|error| Err(self.unless_it_went(&dir, &id, error)?))
        });
        read.map_err(|error| {
            let text = format!("Failed to read json for image {id}");
            GraphError::new(error.kind(), text).because(error)
        })
    }

    /// Writes the digest of a node's layer down. What it says is not checked.
    ///
    /// # Errors
    ///
    /// [`NotFound`](GraphErrorKind::NotFound) if there is no such node. After an error the digest
    /// is the old one, unless it was the last sync that failed: then it is the new one, and may not
    /// survive a power loss.
    pub fn set_digest(&self, id: &NodeId, digest: &Checksum) -> Result<()> {
        let id = id.to_string();
        let _locks = lock::lock(&self.root, &id, None)?;
        let dir = self.node_dir(&id).map_err(|error| {
            let text = files::storing_digest(&self.dir.path().join(&id));
            GraphError::new(error.kind(), text).because(error)
        })?;
        files::write_checksum(&self.staging()?, &dir, digest, self.options.durability)
    }

    /// Returns the digest that was [set](Graph::set_digest) for a node.
    ///
    /// # Errors
    ///
    /// [`NotFound`](GraphErrorKind::NotFound) if there is no such node or none was set,
    /// [`Damaged`](GraphErrorKind::Damaged) if what is written down is no digest by the rules of
    /// 2015.
    pub fn digest(&self, id: &NodeId) -> Result<Checksum> {
        match self.node_dir(&id.to_string()) {
            Err(error) if error.kind() == GraphErrorKind::NotFound => Err(files::no_checksum()),
            Err(error) => Err(error),
            Ok(dir) => files::read_checksum(&dir),
        }
    }

    /// Returns what was [written down](crate::PreparedLayer::mark) of a node when it was prepared;
    /// nothing if there is no such node, or it was registered.
    ///
    /// Nobody can register a node with a mark, so it tells whose node it is.
    pub fn mark(&self, id: &NodeId) -> Result<Option<Vec<u8>>> {
        /// More than any mark has, in bytes.
        const MAX_MARK: u64 = 64 << 10;
        let name = id.to_string();
        let dir = match self.node_dir(&name) {
            Err(error) if error.kind() == GraphErrorKind::NotFound => return Ok(None),
            result => result?,
        };
        match dir.read_file(OsStr::new(files::MARK), MAX_MARK) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            result => result
                .map(Some)
                .attempted(|| format!("cannot read the mark of image {id}")),
        }
    }

    /// Returns the tree of a node, to be read without a mount.
    pub fn view(&self, id: &NodeId) -> Result<View> {
        self.driver
            .view(&LayerId::from(*id))
            .attempted(|| format!("cannot read image {id}"))
    }

    /// Makes the tree of a node available under a path, which is returned; see
    /// [`Driver::mount`].
    ///
    /// # Errors
    ///
    /// [`NotFound`](GraphErrorKind::NotFound) if the driver has no tree of that id,
    /// [`NotSupported`](GraphErrorKind::NotSupported) if it cannot mount so. Nothing is mounted
    /// then.
    pub fn mount(&self, id: &NodeId, options: &MountOptions) -> Result<PathBuf> {
        self.driver
            .mount(&LayerId::from(*id), options)
            .attempted(|| format!("cannot mount image {id}"))
    }

    /// Ends one mount of a node's tree; see [`Driver::unmount`].
    ///
    /// # Errors
    ///
    /// [`NotFound`](GraphErrorKind::NotFound) if the driver has no tree of that id. That there is a
    /// node is not asked for: a tree can be unmounted whose node is broken.
    pub fn unmount(&self, id: &NodeId) -> Result<()> {
        let unmounted = || format!("cannot unmount image {id}");
        let layer = LayerId::from(*id);
        if !self.driver.exists(&layer).attempted(unmounted)? {
            return Err(GraphError::no_such(layer.as_str()));
        }
        self.driver.unmount(&layer).attempted(unmounted)
    }

    /// Ends the mount at `target`, which [`mount`](Graph::mount) was given; see
    /// [`Driver::unmount_at`].
    ///
    /// # Errors
    ///
    /// [`NotFound`](GraphErrorKind::NotFound) if nothing of the graph is mounted there,
    /// [`InUse`](GraphErrorKind::InUse) while somebody uses it.
    pub fn unmount_at(&self, target: &Path) -> Result<()> {
        self.driver
            .unmount_at(target)
            .attempted(|| format!("cannot unmount {}", target.display()))
    }

    /// Returns the name in the graph that is, or alone begins with, `name`.
    pub(crate) fn resolve(&self, name: &str) -> Result<String> {
        let found = self
            .index
            .ask(&self.dir, &*self.driver, |names| names.get(name))?;
        found.map_err(|error| GraphError::lookup(&error))
    }

    /// Returns the whole name of a parent, which may be written down as a prefix of a node's id.
    ///
    /// A layer of the driver that has exactly this name, such as that of a container, comes first.
    pub(crate) fn parent_name(&self, name: &str) -> Result<String> {
        if NodeId::parse(name).is_ok() {
            return Ok(name.to_owned());
        }
        if let Ok(layer) = name.parse::<LayerId>() {
            let exists = self.driver.exists(&layer);
            if exists.attempted(|| format!("cannot look for image {name}"))? {
                return Ok(name.to_owned());
            }
        }
        self.resolve(name)
    }

    /// Lists the names of all nodes.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        self.index.forget();
        self.index
            .ask(&self.dir, &*self.driver, |names| names.iter().collect())
    }

    /// Tells whether there is a node of this whole name: a directory, and a tree.
    pub(crate) fn is_present(&self, id: &LayerId) -> Result<bool> {
        let looked = || format!("cannot look for image {id}");
        let found = self.dir.find(id.as_name()).attempted(looked)?;
        Ok(
            found.is_some_and(|metadata| metadata.kind == FileKind::Directory)
                && self.driver.exists(id).attempted(looked)?,
        )
    }

    /// Opens the directory of a node.
    pub(crate) fn node_dir(&self, id: &str) -> Result<Dir> {
        match self.dir.find_dir(OsStr::new(id)) {
            Ok(found) => found.ok_or_else(|| GraphError::no_such(id)),
            Err(error) => Err(of_store(format!("cannot open image {id}"), error)),
        }
    }

    /// Opens the directory in which nodes are made, which is made if it is missing.
    pub(crate) fn staging(&self) -> Result<Dir> {
        let staging = self.dir.ensure_dir(OsStr::new(STAGING), PRIVATE);
        staging.map_err(|error| {
            let path = self.dir.path().display();
            of_store(format!("cannot make {path}/{STAGING}"), error)
        })
    }

    /// Reads the node of this whole name.
    pub(crate) fn load(&self, name: &str) -> Result<Node> {
        let dir = self.node_dir(name)?;
        let read = files::read(&dir, name);
        let (id, mut image) = match read {
            Ok((id, image)) if image.size >= 0 => return Ok(Node::new(id, image)),
            // A node that goes loses its files one by one.
            Ok(_) if !self.is_at(&dir, name)? => return Err(GraphError::no_such(name)),
            Ok(read) => read,
            Err(error) => return Err(self.unless_it_went(&dir, name, error)?),
        };
        image.size = match self.measure(&id, &image.parent) {
            Ok(size) => size,
            Err(error) => return Err(self.unless_it_went(&dir, name, error)?),
        };
        match self.write_size_down(&dir, name, image.size) {
            Err(error) if error.is_about_writing() => {}
            result => result?,
        }
        Ok(Node::new(id, image))
    }

    /// Finds out the size of a node that has none written down.
    fn measure(&self, id: &NodeId, parent: &str) -> Result<i64> {
        let changes = self.changes_of(id, parent).map_err(|error| {
            let kind = match error.kind() {
                // The node is there: it is its tree or its parent that is not.
                GraphErrorKind::NotFound => GraphErrorKind::Damaged,
                kind => kind,
            };
            let text = format!("unable to calculate size of image id \"{id}\"");
            GraphError::new(kind, text).because(error)
        })?;
        let size = layergraph_driver::naive::diff_size(&changes);
        Ok(i64::try_from(size).unwrap_or(i64::MAX))
    }

    /// Writes a size down for the next time, unless somebody is about to change the node.
    fn write_size_down(&self, dir: &Dir, name: &str, size: i64) -> Result<()> {
        let Some(_locks) = lock::try_lock(&self.root, name)? else {
            return Ok(());
        };
        if self.is_at(dir, name)? {
            files::write_size(&self.staging()?, dir, size, self.options.durability)?;
        }
        Ok(())
    }
}

/// Does something with many names, in as many threads as there are processors.
pub(crate) fn in_parallel<T: Send>(
    names: Vec<String>,
    work: impl Fn(&str) -> T + Sync,
) -> Vec<(String, T)> {
    /// Fewer are not worth a thread.
    const SHARE: usize = 64;
    let work = |name: String| {
        let done = work(&name);
        (name, done)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = names.len().div_ceil(threads).max(SHARE);
    if names.len() <= share {
        return names.into_iter().map(work).collect();
    }
    thread::scope(|scope| {
        let shares: Vec<_> = names
            .chunks(share)
            .map(|names| {
                let do_share = || names.iter().cloned().map(work).collect::<Vec<_>>();
                // Where no more threads may be started, this one does the share.
                thread::Builder::new()
                    .spawn_scoped(scope, do_share)
                    .map_err(|_| do_share())
            })
            .collect();
        shares
            .into_iter()
            .flat_map(|share| match share {
                Ok(thread) => thread.join().expect("the work does not panic"),
                Err(done) => done,
            })
            .collect()
    })
}
