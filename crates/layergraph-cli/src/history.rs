//! `layergraph history`: how an image came about.

use std::time::SystemTime;

use layergraph::archive::{CompareOptions, changes};
use layergraph::{Graph, GraphError, Image, Node, NodeId, Store};
use serde::Serialize;

use crate::args;
use crate::args::graph::History;
use crate::console::Console;
use crate::forest::{created, said};
use crate::output::print_json;
use crate::report::{Failure, Why};
use crate::size::human;
use crate::store::{self, Missing, named, short, with_store};
use crate::table::Table;

/// A layer of the history as `--json` prints it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    /// Nothing for a step that made no layer.
    id: Option<NodeId>,
    created: Option<String>,
    created_by: Option<String>,
    size: i64,
    comment: Option<&'a str>,
    empty_layer: Option<bool>,
}

pub(crate) fn run(
    args: &History,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let attempted = || format!("show the history of {}", args.name);
    with_store(store, Missing::Fail, console, attempted, |store| {
        if let Some(image) = named(store, &args.name)? {
            return of_image(store, &image, json);
        }
        let graph = store.graph();
        let node = graph.get(&store::node_or_image(store, &args.name)?.to_string())?;
        let mut nodes = Vec::new();
        let walked = graph.walk_history(&node, |node| {
            nodes.push(node.clone());
            Ok::<(), GraphError>(())
        });
        // What is there is shown, also where a parent is missing.
        if json {
            let document = |node| document(graph, node, console);
            print_json(&nodes.iter().map(document).collect::<Vec<_>>())?;
        } else {
            print_table(&nodes)?;
        }
        Ok(walked?)
    })
}

/// Shows what the config of an image says of its steps.
fn of_image(store: &Store, image: &Image, json: bool) -> Result<(), Why> {
    let config = store.config(image)?;
    let mut chains = image.chains.iter();
    let mut steps = Vec::new();
    for step in &config.value().history {
        let chain = if step.empty_layer {
            None
        } else {
            chains.next()
        };
        let size = chain.map_or(Ok(None), |chain| store.layer_size(chain))?;
        steps.push(Document {
            id: chain.map_or(Ok(None), |chain| store.node_of(chain))?,
            created: step.created.clone(),
            created_by: step.created_by.clone(),
            size: i64::try_from(size.unwrap_or(0)).unwrap_or(i64::MAX),
            comment: step.comment.as_deref().and_then(said),
            empty_layer: Some(step.empty_layer),
        });
    }
    steps.reverse();
    if json {
        return print_json(&steps);
    }
    let mut table = Table::new(TITLES);
    for step in steps {
        table.row([
            step.id
                .map_or_else(String::new, |id| short(&id.to_string()).to_owned()),
            step.created.unwrap_or_default(),
            human(step.size),
            step.created_by.unwrap_or_default(),
            step.comment.unwrap_or_default().to_owned(),
        ]);
    }
    table.print()
}

const TITLES: [&str; 5] = ["ID", "CREATED", "SIZE", "CREATED BY", "COMMENT"];

fn print_table(nodes: &[Node]) -> Result<(), Why> {
    let mut table = Table::new(TITLES);
    for node in nodes {
        table.row([
            short(&node.id().to_string()).to_owned(),
            created(node).unwrap_or_default(),
            human(node.size()),
            created_by(node).unwrap_or_default(),
            node.image().comment.clone(),
        ]);
    }
    table.print()
}

fn document<'a>(graph: &Graph, node: &'a Node, console: &Console) -> Document<'a> {
    let is_empty = is_empty(graph, node);
    if let Err(why) = &is_empty {
        console.warn(&format!("compare node {} with its parent", node.id()), why);
    }
    Document {
        id: Some(node.id()),
        created: created(node),
        created_by: created_by(node),
        size: node.size(),
        comment: said(&node.image().comment),
        empty_layer: is_empty.ok(),
    }
}

/// Returns the command that made the layer, in one line.
fn created_by(node: &Node) -> Option<String> {
    let command = node.image().container_config.cmd.as_deref()?;
    Some(command.join(" ")).filter(|command| !command.is_empty())
}

/// Tells whether a node has no layer of its own: whether it changed nothing.
///
/// A layer with a byte of content in it changes something, and one without cannot change the
/// content of a file. So trees are compared only where the size is 0, and no file is read but what
/// was made in the last two seconds. (A node that was registered without a layer, but with a size
/// in its JSON, counts as having one.)
fn is_empty(graph: &Graph, node: &Node) -> Result<bool, Why> {
    if node.size() > 0 {
        return Ok(false);
    }
    let upper = graph.view(&node.id())?;
    let lower = match graph.parent(node)? {
        Some(parent) => Some(graph.view(&parent.id())?),
        None => None,
    };
    let mut options = CompareOptions::default();
    options.equal_at = Some(SystemTime::now());
    Ok(changes(&upper, lower.as_ref(), &options)?.is_empty())
}
