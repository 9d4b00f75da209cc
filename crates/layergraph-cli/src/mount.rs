//! `layergraph mount` and `unmount`: trees of nodes under a path.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use layergraph::driver::{Access, MountOptions};
use layergraph::{GraphErrorKind, NodeId};

use crate::args;
use crate::args::graph::{Mount, Unmount};
use crate::console::Console;
use crate::output::{JsonPath, print_bytes, print_json};
use crate::place::argument;
use crate::report::{Failure, Why};
use crate::store::{self, Missing, with_graph};

pub(crate) fn run(
    args: &Mount,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let attempted = || match &args.path {
        Some(path) => format!("mount {} at {}", args.name, path.display()),
        None => format!("mount {}", args.name),
    };
    let mounted = with_graph(store, Missing::Fail, console, attempted, |graph| {
        let node = graph.get(&args.name)?;
        let mut options = MountOptions::default();
        options.access = Access::ReadOnly;
        options.target.clone_from(&args.path);
        let path = graph.mount(&node.id(), &options)?;
        if json {
            print_json(&JsonPath::in_tree(&path))
        } else {
            let mut line = path.as_os_str().as_bytes().to_owned();
            line.push(b'\n');
            print_bytes(&line)
        }
    });
    mounted.map_err(|mut failure| {
        if failure.why.is_of_graph(GraphErrorKind::NotSupported) && args.path.is_some() {
            let hint = "leave out PATH: the tree has a path of its own, which is printed";
            failure.hint = Some(hint.to_owned());
        }
        failure
    })
}

pub(crate) fn unmount(
    args: &Unmount,
    store: &args::Store,
    console: &Console,
) -> Result<(), Failure> {
    let path = &args.path;
    let attempted = || format!("unmount {}", path.display());
    with_graph(store, Missing::Fail, console, attempted, |graph| {
        let id = mounted(path, &store::root(store)?)?;
        graph.unmount(&id).map_err(|error| match error.kind() {
            GraphErrorKind::NotFound => Why::NotMounted,
            _ => Why::Graph(error),
        })
    })
}

/// Returns the node whose tree is at the path: a driver's own places are in the store, and named
/// by ids.
fn mounted(path: &Path, root: &Path) -> Result<NodeId, Why> {
    let real = |path| fs::canonicalize(path).map_err(|error| argument("realpath", path, error));
    let (path, root) = (real(path)?, real(root)?);
    let place = path.strip_prefix(&root).unwrap_or(Path::new(""));
    let mut names = place.components().map(|name| name.as_os_str().as_bytes());
    let id = names.find_map(|name| NodeId::parse(name).ok());
    id.ok_or(Why::NotMounted)
}
