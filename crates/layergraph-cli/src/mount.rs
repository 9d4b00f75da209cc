//! `layergraph mount` and `unmount`: trees of nodes under a path.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use layergraph::driver::{Access, MountOptions};
use layergraph::{DriverErrorKind, GraphErrorKind, NodeId};

use crate::args;
use crate::args::graph::{Mount, Unmount};
use crate::console::Console;
use crate::output::{JsonPath, print_bytes, print_json};
use crate::place::argument;
use crate::report::{Failure, Why};
use crate::store::{self, Missing, node_or_image, with_graph, with_store};

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
    let mounted = with_store(store, Missing::Fail, console, attempted, |store| {
        let node = node_or_image(store, &args.name)?;
        let mut options = MountOptions::default();
        options.access = Access::ReadOnly;
        options.target = args.path.as_deref().map(real).transpose()?;
        let path = store.graph().mount(&node, &options)?;
        if json {
            print_json(&JsonPath::in_tree(&path))
        } else {
            let mut line = path.as_os_str().as_bytes().to_owned();
            line.push(b'\n');
            print_bytes(&line)
        }
    });
    mounted.map_err(|mut failure| {
        let lacks = failure.why.driver_error() == Some(DriverErrorKind::NotSupported);
        if lacks && args.path.is_some() {
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
        let path = real(path)?;
        let unmounted = match id_in(&path, &real(&store::root(store)?)?) {
            Some(id) => graph.unmount(&id),
            None => graph.unmount_at(&path),
        };
        unmounted.map_err(|error| match error.kind() {
            // A driver that mounts nothing has nothing mounted there.
            GraphErrorKind::NotFound | GraphErrorKind::NotSupported => Why::NotMounted,
            _ => Why::Graph(error),
        })
    })
}

fn real(path: &Path) -> Result<PathBuf, Why> {
    fs::canonicalize(path).map_err(|error| argument("realpath", path, error))
}

/// Returns the node whose tree is at a path, if that is one of the driver's own places:
/// `overlay/<id>/merged` or `vfs/dir/<id>` in the store.
fn id_in(path: &Path, root: &Path) -> Option<NodeId> {
    let place = path.strip_prefix(root).ok()?;
    let names: Vec<&[u8]> = place
        .components()
        .map(|name| name.as_os_str().as_bytes())
        .collect();
    match names[..] {
        [b"overlay", id, b"merged"] | [b"vfs", b"dir", id] => NodeId::parse(id).ok(),
        _ => None,
    }
}
