//! Stores to work in, layers of a few words, and how a store looks from outside.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use layergraph_archive::{Entry, listing};
use layergraph_core::{DeleteOptions, Graph, GraphErrorKind, GraphOptions};
use layergraph_driver::{Driver, DriverOptions, LayerId};
use layergraph_fs::Durability;
use layergraph_image::NodeId;
use layergraph_image::v1::Image;
use layergraph_tar::{Kind, NewMember, Writer};
use layergraph_tests::Scratch;

use crate::kept;

pub(crate) type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

/// The root of a store, in a temporary directory.
pub(crate) struct Store {
    _directory: Scratch,
    root: PathBuf,
}

impl Store {
    pub(crate) fn new() -> io::Result<Store> {
        Store::of(Scratch::new()?)
    }

    /// In memory, where nothing waits for a disk.
    pub(crate) fn in_memory() -> io::Result<Store> {
        Store::of(Scratch::in_memory()?)
    }

    fn of(directory: Scratch) -> io::Result<Store> {
        let root = directory.path().join("store");
        fs::create_dir(&root)?;
        Ok(Store {
            _directory: directory,
            root,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(crate) fn open(&self) -> Graph {
        open(&self.root)
    }

    /// The files of a node.
    pub(crate) fn node(&self, id: &NodeId) -> PathBuf {
        self.root.join("graph").join(id.to_string())
    }

    /// Lets a node name another parent.
    pub(crate) fn set_parent(&self, id: &NodeId, parent: &str) -> Result {
        let (node, aside) = (self.node(id), self.root.with_extension("json"));
        let mut image = Image::decode(&fs::read(node.join("json"))?)?;
        parent.clone_into(&mut image.parent);
        // What is written beside it and renamed changes the directory, as an editor would: a file
        // that is overwritten in its place could be taken for the one that was read before.
        fs::write(&aside, image.encode())?;
        fs::rename(aside, node.join("json"))?;
        Ok(())
    }

    /// Everything that the driver has of a node.
    pub(crate) fn tree(&self, id: &NodeId) -> PathBuf {
        kept::layer(&self.root, &id.to_string())
    }

    /// The files of a node's layer.
    pub(crate) fn files(&self, id: &NodeId) -> PathBuf {
        kept::files(&self.root, &id.to_string())
    }

    /// Makes an empty layer that is no node, as that of a container.
    pub(crate) fn plant(&self, id: &str) -> Result {
        let staged = open_driver(&self.root).stage(None)?;
        Ok(staged.commit(&id.parse()?, None)?)
    }

    /// Everything in the store that is not there in an empty one already.
    pub(crate) fn contents(&self) -> Contents {
        contents(&self.root)
    }

    /// What is being made or removed, or was left so.
    pub(crate) fn unfinished(&self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        let driver = self.path(kept::NAME);
        for place in [
            self.path("graph/_tmp"),
            driver.join(".staging"),
            driver.join(".trash"),
        ] {
            let Ok(entries) = fs::read_dir(place) else {
                continue;
            };
            left.extend(entries.map(|entry| entry.expect("a readable directory").path()));
        }
        // Of a tree that others need, a note that it is to go is no unfinished work.
        left.retain(|path| !needed(path));
        left
    }
}

/// Tells whether something in the staging directory is the note of a tree that others need.
fn needed(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b"needed-")
}

/// Opens the driver that the tests run with.
pub(crate) fn open_driver(root: &Path) -> Arc<dyn Driver> {
    let mut options = DriverOptions::default();
    options.durability = Durability::None;
    (kept::OPEN)(root, &options).expect("it works in temporary directories")
}

pub(crate) fn open(root: &Path) -> Graph {
    open_with(root, open_driver(root))
}

/// Opens a store in which something may be left that cannot be swept.
pub(crate) fn try_open(root: &Path, driver: Arc<dyn Driver>) -> layergraph_core::Result<Graph> {
    let mut options = GraphOptions::default();
    options.durability = Durability::None;
    Graph::open(root, driver, &options)
}

pub(crate) fn open_with(root: &Path, driver: Arc<dyn Driver>) -> Graph {
    let graph = try_open(root, driver).expect("a store that can be opened");
    assert!(graph.unswept().is_none(), "{:?}", graph.unswept());
    graph
}

/// The kind of the error, where there has to be one.
pub(crate) fn kind<T: std::fmt::Debug>(
    result: std::result::Result<T, layergraph_core::GraphError>,
) -> GraphErrorKind {
    result.expect_err("it cannot be").kind()
}

pub(crate) fn forced() -> DeleteOptions {
    let mut options = DeleteOptions::default();
    options.force = true;
    options
}

/// The id number `number`: ids of numbers below 256 share their first 62 digits.
pub(crate) fn id(number: u8) -> NodeId {
    let mut bytes = [0xab; 32];
    bytes[31] = number;
    NodeId::from_bytes(bytes)
}

/// An id that shares no digit with those of [`id`], and begins with `0` and this one.
pub(crate) fn other_id(digit: u8) -> NodeId {
    NodeId::from_bytes([digit; 32])
}

pub(crate) fn image(id: &NodeId, parent: Option<&NodeId>) -> Image {
    Image {
        id: id.to_string(),
        parent: parent.map(ToString::to_string).unwrap_or_default(),
        ..Image::default()
    }
}

pub(crate) fn layer_id(id: &NodeId) -> LayerId {
    LayerId::from(*id)
}

/// Registers a node with one file in its layer, which is called as the id ends.
pub(crate) fn register(graph: &Graph, id: &NodeId, parent: Option<&NodeId>) -> Result {
    let name = id.to_string();
    let tar = layer(&[&format!("f-{} = {name}", &name[60..])]);
    graph.register(&image(id, parent), Some(&mut &tar[..]))?;
    Ok(())
}

/// Registers nodes by their numbers, each with its parent.
pub(crate) fn register_all(graph: &Graph, nodes: &[(u8, Option<u8>)]) -> Result {
    for (number, parent) in nodes {
        register(graph, &id(*number), parent.map(id).as_ref())?;
    }
    Ok(())
}

/// Registers `id(1)`, and on it `other_id(7)`, which it returns.
pub(crate) fn register_apart(graph: &Graph) -> Result<NodeId> {
    let other = other_id(7);
    register(graph, &id(1), None)?;
    register(graph, &other, Some(&id(1)))?;
    Ok(other)
}

/// When all objects of a described layer were modified.
pub(crate) fn moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5)
}

/// Writes a layer of lines: `d/` a directory, `f = text` a file, `.wh.f` a whiteout.
pub(crate) fn layer(lines: &[&str]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for line in lines {
        let (path, text) = line.split_once(" = ").unwrap_or((line, ""));
        let kind = if path.ends_with('/') {
            Kind::Directory
        } else {
            Kind::File
        };
        let member = NewMember {
            mode: if kind == Kind::File { 0o644 } else { 0o755 },
            uid: me().0,
            gid: me().1,
            mtime: moment(),
            size: text.len() as u64,
            ..NewMember::new(path.as_bytes(), kind)
        };
        writer
            .append(&member, text.as_bytes())
            .expect("a member that can be written");
    }
    writer.finish().expect("a vector takes it")
}

/// Who runs the tests: what is made by them belongs to these.
pub(crate) fn me() -> (u32, u32) {
    let metadata = fs::metadata("/proc/self").expect("it is this process");
    (metadata.uid(), metadata.gid())
}

/// Reads some bytes, and then fails.
pub(crate) struct FailsAfter<'a>(pub(crate) &'a [u8], pub(crate) usize);

impl Read for FailsAfter<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1 == 0 {
            return Err(io::Error::other("the source is gone"));
        }
        let length = buffer.len().min(self.1);
        let read = self.0.read(&mut buffer[..length])?;
        self.1 -= read;
        Ok(read)
    }
}

/// Does something once, when the layer is read.
pub(crate) struct Meanwhile<'a, F> {
    pub(crate) tar: &'a [u8],
    pub(crate) act: Option<F>,
}

impl<F: FnOnce()> Read for Meanwhile<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(act) = self.act.take() {
            act();
        }
        self.tar.read(buffer)
    }
}

/// The canonical listing of a node's tree.
pub(crate) fn listing_of(graph: &Graph, id: &NodeId) -> String {
    let mut text = Vec::new();
    let view = graph.view(id).expect("the node has a tree");
    listing(&view, &mut text).expect("the tree can be read");
    String::from_utf8(text).expect("a listing is ASCII")
}

/// The files in the root of a node's tree, with their contents.
pub(crate) fn files_of(graph: &Graph, id: &NodeId) -> BTreeMap<String, String> {
    let view = graph.view(id).expect("the node has a tree");
    let root = view.root().expect("a readable directory");
    let read = |entry: &Entry| {
        let mut text = String::new();
        let mut file = root.open_file(entry).expect("a file");
        file.read_to_string(&mut text).expect("text");
        let name = entry.name().to_os_string().into_string();
        (name.expect("a name of ours"), text)
    };
    let entries = root.entries().expect("a readable directory");
    entries.iter().map(read).collect()
}

/// By path: the kind, the mode, and the content of a file.
pub(crate) type Contents = BTreeMap<PathBuf, (char, u32, Vec<u8>)>;

/// What a store has as soon as anything was done in it.
const FURNITURE: &[&str] = &["graph", "graph/_tmp", "lock"];

fn contents(root: &Path) -> Contents {
    let mut contents = everything(root);
    let furniture = FURNITURE.iter().chain(kept::FURNITURE);
    contents.retain(|path, _| !furniture.clone().any(|name| path == Path::new(name)));
    kept::settle(root, &mut contents);
    contents
}

/// All that is in a directory.
pub(crate) fn everything(root: &Path) -> Contents {
    let mut contents = Contents::new();
    let mut left = vec![PathBuf::new()];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(root.join(&path)).expect("a readable directory") {
            let path = path.join(entry.expect("a readable directory").file_name());
            let full = root.join(&path);
            let metadata = fs::symlink_metadata(&full).expect("it was just listed");
            let (kind, content) = if metadata.is_dir() {
                left.push(path.clone());
                ('d', Vec::new())
            } else if metadata.is_file() {
                ('f', fs::read(&full).expect("it was just listed"))
            } else {
                ('o', Vec::new())
            };
            let mode = metadata.permissions().mode() & 0o7777;
            contents.insert(path, (kind, mode, content));
        }
    }
    contents
}
