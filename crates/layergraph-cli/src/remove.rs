//! `layergraph rm-layer`: removes nodes.

use layergraph::{DeleteOptions, Graph, GraphError, GraphErrorKind};
use serde::Serialize;

use crate::args;
use crate::args::graph::RmLayer;
use crate::console::Console;
use crate::output::{escaped, print_bytes, print_json};
use crate::report::{Failure, Why};
use crate::store::{Missing, may_begin_an_id, with_graph};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    removed: &'a [String],
}

pub(crate) fn run(
    args: &RmLayer,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let attempted = || format!("remove {}", args.ids.join(", "));
    with_graph(store, Missing::Fail, console, attempted, |graph| {
        let ids: Vec<&str> = args.ids.iter().map(String::as_str).collect();
        let mut options = DeleteOptions::default();
        options.force = args.force;
        let all = graph.delete_all(&ids, options);
        let all = all.map_err(|error| of_names(graph, &ids, error))?;
        let mut removed = Vec::new();
        for deleted in all.deleted {
            if let Some(error) = &deleted.leftover {
                console.warn(&format!("files of {} are left", deleted.id), error);
            }
            removed.push(deleted.id);
        }
        // What is gone is told, also where something else could not go.
        let printed = print(&removed, json);
        printed.map_err(|why| why.though(|| format!("removed {}", removed.join(", "))))?;
        all.failed.map_or(Ok(()), |error| Err(error.into()))
    })
}

fn print(removed: &[String], json: bool) -> Result<(), Why> {
    if json {
        return print_json(&Document { removed });
    }
    let lines: String = removed
        .iter()
        .map(|id| escaped(id.as_bytes()) + "\n")
        .collect();
    print_bytes(lines.as_bytes())
}

/// Tells a name that cannot begin an id from one that no node has.
fn of_names(graph: &Graph, names: &[&str], error: GraphError) -> Why {
    let is_none = |name: &&&str| {
        let found = || graph.get(name).map_err(|error| error.kind());
        !may_begin_an_id(name) && matches!(found(), Err(GraphErrorKind::NotFound))
    };
    match names.iter().find(is_none) {
        Some(name) if error.kind() == GraphErrorKind::NotFound => Why::NoId {
            text: (*name).to_owned(),
        },
        _ => Why::Graph(error),
    }
}
