//! `layergraph layers`: lists the nodes.

use layergraph::{Graph, GraphErrorKind, NodeId};
use serde::Serialize;

use crate::args;
use crate::args::graph::Layers;
use crate::console::Console;
use crate::forest::{Forest, created, said, with_forest};
use crate::output::print_json;
use crate::report::{Failure, Why};
use crate::size::human;
use crate::store::shown_root;
use crate::table::Table;

/// A node as `--json` prints it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    id: NodeId,
    parent: Option<String>,
    created: Option<String>,
    size: i64,
    comment: Option<&'a str>,
    author: Option<&'a str>,
    digest: Option<String>,
    children: &'a [NodeId],
}

pub(crate) fn run(
    args: &Layers,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let attempted = || format!("list the nodes of {}", shown_root(store));
    with_forest(store, console, attempted, |graph, forest| {
        if json {
            return print_json(&documents(args, graph, forest, console));
        }
        let mut table = Table::new(["ID", "PARENT", "CREATED", "SIZE", "COMMENT"]);
        for id in listed(args, forest) {
            let node = &forest.nodes.by_id[&id];
            let id = id.to_string();
            let parent = forest.parent(node).unwrap_or_default();
            table.row([
                forest.short(&id).to_owned(),
                forest.short(&parent).to_owned(),
                created(node).unwrap_or_default(),
                human(node.size()),
                node.image().comment.clone(),
            ]);
        }
        table.print()
    })
}

fn listed(args: &Layers, forest: &Forest) -> Vec<NodeId> {
    let ids = forest.nodes.by_id.keys().copied();
    ids.filter(|id| !args.heads || forest.children(id).is_empty())
        .collect()
}

fn documents<'a>(
    args: &Layers,
    graph: &Graph,
    forest: &'a Forest,
    console: &Console,
) -> Vec<Document<'a>> {
    let document = |id: NodeId| {
        let node = &forest.nodes.by_id[&id];
        Document {
            id,
            parent: forest.parent(node),
            created: created(node),
            size: node.size(),
            comment: said(&node.image().comment),
            author: said(&node.image().author),
            digest: digest(graph, &id).unwrap_or_else(|why| {
                console.warn(&format!("digest of node {id}"), &why);
                None
            }),
            children: forest.children(&id),
        }
    };
    listed(args, forest).into_iter().map(document).collect()
}

/// Returns the digest of a node, if one is set.
pub(crate) fn digest(graph: &Graph, id: &NodeId) -> Result<Option<String>, Why> {
    match graph.digest(id) {
        Ok(digest) => Ok(Some(digest.as_str().to_owned())),
        Err(error) if error.kind() == GraphErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
