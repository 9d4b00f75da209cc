//! What is asked about one node: `raw-json`, `digest`, `changes`, `diff-size`.

use std::os::unix::ffi::OsStrExt;

use layergraph::archive::Change;
use layergraph::digest::parse_checksum;
use serde::Serialize;

use crate::args;
use crate::args::graph::{Changes, DiffSize, Digest, RawJson};
use crate::console::Console;
use crate::layers::digest;
use crate::output::{JsonPath, escaped, print_bytes, print_json, print_line};
use crate::report::{Failure, Why};
use crate::store::{Missing, get, with_graph};

pub(crate) fn raw_json(
    args: &RawJson,
    store: &args::Store,
    console: &Console,
) -> Result<(), Failure> {
    let id = &args.node.id;
    let attempted = || format!("print the JSON of {id}");
    with_graph(store, Missing::Fail, console, attempted, |graph| {
        let node = get(graph, id)?;
        print_bytes(&graph.raw_json(&node.id())?)
    })
}

/// What `digest --json` prints.
#[derive(Debug, Serialize)]
struct DigestDocument {
    digest: Option<String>,
}

pub(crate) fn print_or_set_digest(
    args: &Digest,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let id = &args.node.id;
    let attempted = || match args.digest {
        Some(_) => format!("set the digest of {id}"),
        None => format!("print the digest of {id}"),
    };
    with_graph(store, Missing::Fail, console, attempted, |graph| {
        let node = get(graph, id)?;
        if let Some(digest) = &args.digest {
            // Whatever is a digest is a checksum of 2015 as well.
            let checksum = parse_checksum(&digest.to_string()).map_err(Why::Checksum)?;
            graph.set_digest(&node.id(), &checksum)?;
        }
        let digest = digest(graph, &node.id())?;
        match digest {
            digest if json => print_json(&DigestDocument { digest }),
            _ if args.digest.is_some() => Ok(()),
            Some(digest) => print_line(&digest),
            None => {
                console.note(&format!("no digest is set for {}", node.id()));
                Ok(())
            }
        }
    })
}

/// A change as `--json` prints it.
#[derive(Debug, Serialize)]
struct ChangeDocument {
    kind: String,
    #[serde(flatten)]
    path: JsonPath,
}

pub(crate) fn changes(
    args: &Changes,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let id = &args.node.id;
    let attempted = || match &args.against {
        Some(other) => format!("compare {id} with {other}"),
        None => format!("list the changes of {id}"),
    };
    with_graph(store, Missing::Fail, console, attempted, |graph| {
        let node = get(graph, id)?;
        let changes = match &args.against {
            Some(other) => graph.changes_against(&node, &get(graph, other)?)?,
            None => graph.changes(&node)?,
        };
        if json {
            let document = |change: &Change| ChangeDocument {
                kind: change.kind.to_string(),
                path: JsonPath::in_tree(&change.path),
            };
            return print_json(&changes.iter().map(document).collect::<Vec<_>>());
        }
        let mut text = String::new();
        for Change { kind, path, .. } in &changes {
            text.push_str(&kind.to_string());
            text.push_str(" /");
            text.push_str(&escaped(path.as_os_str().as_bytes()));
            text.push('\n');
        }
        print_bytes(text.as_bytes())
    })
}

/// What `diff-size --json` prints.
#[derive(Debug, Serialize)]
struct SizeDocument {
    size: u64,
}

pub(crate) fn diff_size(
    args: &DiffSize,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let id = &args.node.id;
    let attempted = || format!("add up the changes of {id}");
    with_graph(store, Missing::Fail, console, attempted, |graph| {
        let size = graph.diff_size(&get(graph, id)?)?;
        if json {
            print_json(&SizeDocument { size })
        } else {
            print_line(&size.to_string())
        }
    })
}
