//! The store that a command works on: where it is, and what an id means in it.

use std::env;
use std::path::{Path, PathBuf};

use layergraph::{
    Graph, GraphErrorKind, Image, ImageName, Node, NodeId, Store, StoreErrorKind, StoreOptions,
};
use nix::unistd::Uid;

use crate::args;
use crate::console::Console;
use crate::namespace;
use crate::report::{Failure, Why};

/// The variable that names the store where no option does.
pub(crate) const ROOT: &str = "LAYERGRAPH_ROOT";

/// Whether a store that is missing is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    Fail,
}

/// Opens the graph of the store, and says what was not right about it.
pub(crate) fn open(args: &args::Store, missing: Missing, console: &Console) -> Result<Graph, Why> {
    let graph = options(args, missing).open_graph(&root(args)?)?;
    if let Some(error) = graph.unswept() {
        console.warn("remove what killed runs left", error);
    }
    Ok(graph)
}

/// Opens the graph and does something with it; `attempted` says what, if that fails.
pub(crate) fn with_graph(
    args: &args::Store,
    missing: Missing,
    console: &Console,
    attempted: impl FnOnce() -> String,
    act: impl FnOnce(&Graph) -> Result<(), Why>,
) -> Result<(), Failure> {
    let done = open(args, missing, console).and_then(|graph| act(&graph));
    done.map_err(|why| Failure {
        attempted: attempted(),
        hint: why.hint(),
        why: why.into(),
    })
}

/// Opens the store and does something with it; `attempted` says what, if that fails.
pub(crate) fn with_store(
    args: &args::Store,
    missing: Missing,
    console: &Console,
    attempted: impl FnOnce() -> String,
    act: impl FnOnce(&Store) -> Result<(), Why>,
) -> Result<(), Failure> {
    let open = || -> Result<Store, Why> {
        let store = options(args, missing).open(&root(args)?)?;
        if let Some(error) = store.graph().unswept() {
            console.warn("remove what killed runs left", error);
        }
        Ok(store)
    };
    let done = open().and_then(|store| act(&store));
    done.map_err(|why| Failure {
        attempted: attempted(),
        hint: why.hint(),
        why: why.into(),
    })
}

fn options(args: &args::Store, missing: Missing) -> StoreOptions {
    StoreOptions::new()
        .driver(args.driver.into())
        .create(missing == Missing::Make)
}

/// Returns where the store is.
pub(crate) fn root(args: &args::Store) -> Result<PathBuf, Why> {
    if let Some(root) = &args.root {
        return Ok(root.clone());
    }
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(root) = variable(ROOT) {
        return Ok(root.into());
    }
    if Uid::effective().is_root() && namespace::is_initial() {
        return Ok("/var/lib/layergraph".into());
    }
    // As the XDG Base Directory Specification has it, which ignores relative paths.
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/share")))
        .map(|data| data.join("layergraph"))
        .ok_or(Why::Usage("no store is named: give --root DIR"))
}

/// Returns the node that an argument means.
pub(crate) fn get(graph: &Graph, id: &str) -> Result<Node, Why> {
    graph.get(id).map_err(|error| match error.kind() {
        GraphErrorKind::NotFound if !may_begin_an_id(id) => Why::NoId {
            text: id.to_owned(),
        },
        _ => Why::Graph(error),
    })
}

/// Returns the image that an argument names. One that could be an id is taken for a name only if an
/// image has it.
pub(crate) fn named(store: &Store, text: &str) -> Result<Option<Image>, Why> {
    let Ok(name) = text.parse::<ImageName>() else {
        return Ok(None);
    };
    match store.resolve(text) {
        Ok(manifest) if store.names_of(&manifest)?.contains(&name) => Ok(Some(store.image(text)?)),
        // It is the beginning of a digest.
        Ok(_) => Ok(None),
        Err(error) => match error.kind() {
            StoreErrorKind::NotFound | StoreErrorKind::Ambiguous | StoreErrorKind::InvalidName => {
                Ok(None)
            }
            _ => Err(error.into()),
        },
    }
}

/// Returns the node that an argument means: by the name of an image, by its own id, or by the id of
/// an image.
pub(crate) fn node_or_image(store: &Store, text: &str) -> Result<NodeId, Why> {
    let of_image = |image: &Image| store.node(image)?.ok_or(Why::NoTree);
    if let Some(image) = named(store, text)? {
        return of_image(&image);
    }
    let missing = match store.graph().get(text) {
        Ok(node) => return Ok(node.id()),
        Err(error) if error.kind() == GraphErrorKind::NotFound => error,
        Err(error) => return Err(error.into()),
    };
    match store.image(text) {
        Ok(image) => of_image(&image),
        Err(error) if error.kind() == StoreErrorKind::InvalidName => Err(missing.into()),
        Err(error) if error.kind() == StoreErrorKind::NotFound => Err(missing.into()),
        Err(error) => Err(error.into()),
    }
}

/// Tells whether ids could begin so.
pub(crate) fn may_begin_an_id(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// How many digits of an id people are shown, if no others begin so.
pub(crate) const SHORT: usize = 12;

/// Returns the beginning of an id, as people are shown it where it only has to be recognized.
pub(crate) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// Prints where something is that is about the whole store.
pub(crate) fn shown_root(args: &args::Store) -> String {
    let root = root(args).unwrap_or_default();
    let root: &Path = &root;
    root.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_begin_with_lower_case_hex_digits() {
        let whole = "0".repeat(64);
        for text in ["0", "c0ffee", &whole] {
            assert!(may_begin_an_id(text), "{text}");
        }
        let longer = "0".repeat(65);
        for text in ["C0FFEE", "coffee", "a b", "é", &longer] {
            assert!(!may_begin_an_id(text), "{text}");
        }
    }
}
