//! The arguments of the commands on the graph of layers.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use layergraph::NodeId;
use layergraph::image::Timestamp;

/// Add a node to the graph, with a layer or without one.
///
/// The store is made if it is missing. The id of the new node is printed. After an error nothing
/// of the node is left.
///
/// With --json, the result is an object: `id`, `parent` and `size`.
#[derive(Debug, Args)]
pub(crate) struct Register {
    /// The id of the new node, 64 hex digits; a random one if not given.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<NodeId>,

    /// The node to build on: its id, or the beginning of it.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) parent: Option<String>,

    /// What there is to say about it.
    #[arg(long, value_name = "TEXT", conflicts_with = "image_json")]
    pub(crate) comment: Option<String>,

    /// Who made it.
    #[arg(long, value_name = "NAME", conflicts_with = "image_json")]
    pub(crate) author: Option<String>,

    /// When it was made, as 2015-06-01T12:00:00Z; now if not given.
    #[arg(long, value_name = "TIME", conflicts_with = "image_json")]
    pub(crate) created: Option<Timestamp>,

    /// The whole image JSON, as Docker had it in 2015. What --id and --parent say must be in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) image_json: Option<PathBuf>,

    /// A tar file, plain or packed by gzip, zstd, xz or bzip2; `-` for stdin. Without it the node
    /// has the tree of its parent.
    #[arg(value_name = "LAYER")]
    pub(crate) layer: Option<PathBuf>,
}

/// List the nodes.
///
/// What cannot be read as a node is told on stderr and hides no other.
///
/// With --json, the result is an array of objects, by id: `id`, `parent`, `created`, `size`,
/// `comment`, `author`, `digest`, and `children`, an array of ids.
#[derive(Debug, Args)]
pub(crate) struct Layers {
    /// Only nodes that no other builds on.
    #[arg(long)]
    pub(crate) heads: bool,
}

/// Draw the nodes as trees, each below its parent.
///
/// The virtual size of a node is that of its layer and of all below it.
///
/// With --json, the result is an array of the nodes without a parent, as objects: `id`, `parent`,
/// `created`, `size`, `virtual_size`, `comment`, and `children`, an array of such objects.
#[derive(Debug, Args)]
pub(crate) struct Tree {
    /// Print a graph for dot(1), of graphviz.
    #[arg(long, conflicts_with = "json")]
    pub(crate) dot: bool,
}

/// Show how an image came about, from its last layer down to the base.
///
/// With --json, the result is an array of objects: `id`, `created`, `created_by`, `size`,
/// `comment` and `empty_layer`.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// An id, or the beginning of one.
    #[arg(value_name = "ID-OR-NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
}

/// Print the JSON of a node, in its exact bytes.
#[derive(Debug, Args)]
pub(crate) struct RawJson {
    #[command(flatten)]
    pub(crate) node: NodeArg,
}

/// Print the digest of a node's layer, or set it.
///
/// What is set is written down and not checked. Where none is set, nothing is printed.
///
/// With --json, the result is an object with the `digest`, or with null.
#[derive(Debug, Args)]
pub(crate) struct Digest {
    #[command(flatten)]
    pub(crate) node: NodeArg,

    /// The digest to set, such as sha256: and 64 hex digits.
    #[arg(value_name = "DIGEST")]
    pub(crate) digest: Option<layergraph::digest::Digest>,
}

/// List what a node changed of its parent's tree, sorted by path.
///
/// A line is `A` (added), `C` (changed) or `D` (deleted), and the path. Unusual bytes in it are
/// written \xHH.
///
/// With --json, the result is an array of objects: `kind` and `path`.
#[derive(Debug, Args)]
pub(crate) struct Changes {
    #[command(flatten)]
    pub(crate) node: NodeArg,

    /// Compare with the tree of this node, instead of the parent's.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) against: Option<String>,
}

/// Print how many bytes there are in what a node changed.
///
/// With --json, the result is an object with the `size`.
#[derive(Debug, Args)]
pub(crate) struct DiffSize {
    #[command(flatten)]
    pub(crate) node: NodeArg,
}

/// Write what a node changed as a layer, a plain tar.
///
/// With --json and -o, the result is an object: the numbers `entries` and `size`, and in `sockets`
/// an object with the `path` of each socket, which a layer cannot hold.
#[derive(Debug, Args)]
pub(crate) struct ExportLayer {
    #[command(flatten)]
    pub(crate) node: NodeArg,

    /// Where to, instead of stdout; `-` is stdout as well. FILE appears, or is replaced, only when
    /// the whole layer is written. It must not be in the store.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Remove nodes, broken ones too.
///
/// All ids are looked up before anything is removed. A node that others build on is removed with
/// these or not at all, unless --force is given. What was removed is printed.
///
/// With --json, the result is an object with the array `removed`.
#[derive(Debug, Args)]
pub(crate) struct RmLayer {
    /// Remove nodes that others build on, too. These stay, without a parent.
    #[arg(long, short)]
    pub(crate) force: bool,

    /// Ids, or the beginnings of ids.
    #[arg(value_name = "ID", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) ids: Vec<String>,
}

/// Make the tree of a node available, and print its path.
///
/// It is to be read only, until `unmount`: as often as it was mounted in the store. An ordinary
/// user may mount in a user namespace; see `unshare`. With the driver vfs nothing is mounted: the
/// path is where the tree is, and what is changed there is changed in the store.
///
/// With --json, the result is an object with the `path`.
#[derive(Debug, Args)]
pub(crate) struct Mount {
    /// An id, or the beginning of one.
    #[arg(value_name = "NAME-OR-ID-OR-BRANCH", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,

    /// Where to, instead of a place in the store.
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
}

/// End what `mount` began.
#[derive(Debug, Args)]
pub(crate) struct Unmount {
    /// The path that was printed.
    #[arg(value_name = "PATH-OR-BRANCH")]
    pub(crate) path: PathBuf,
}

/// Tell how the store was made, and what there is for a driver at its place.
///
/// To find that out, files are written and overlays mounted in a directory that is made in the
/// store, or if there is none in the nearest directory above, and is gone afterwards. No store is
/// made.
///
/// With --json, the result is an object: `root`, `version`, `features`, `driver`, `ownership`,
/// `whiteouts` and `nodes` of the store, `probed`, which is where it was tried, and `probe`, an
/// object of what was found.
#[derive(Debug, Args)]
pub(crate) struct Info {}

/// Which node.
#[derive(Debug, Args)]
pub(crate) struct NodeArg {
    /// The id of the node, or the beginning of it.
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,
}
