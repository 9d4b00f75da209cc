//! `layergraph rm-layer`: removes nodes.

use std::collections::BTreeSet;

use layergraph::truncindex::LookupError;
use layergraph::{DeleteOptions, Graph, NodeId};
use serde::Serialize;

use crate::args;
use crate::args::graph::RmLayer;
use crate::console::Console;
use crate::forest::Forest;
use crate::output::{print_json, print_line};
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
        let forest = Forest::read(graph)?;
        let mut named = BTreeSet::new();
        for id in &args.ids {
            named.insert(resolve(&forest, id)?);
        }
        if !args.force {
            refuse_parents(&forest, &named)?;
        }
        let mut removed = Vec::new();
        let result = remove(
            graph,
            &in_order(&forest, named),
            args.force,
            console,
            &mut removed,
        );
        // What is gone is told, also where something else could not go.
        if json {
            print_json(&Document { removed: &removed })?;
        } else {
            for id in &removed {
                print_line(id)?;
            }
        }
        result
    })
}

/// Returns the name that is, or alone begins with, `text`; also one of a broken node.
fn resolve(forest: &Forest, text: &str) -> Result<String, Why> {
    forest.names.get(text).map_err(|error| match error {
        LookupError::NotFound { .. } if !may_begin_an_id(text) => Why::NoId {
            text: text.to_owned(),
        },
        error => Why::Lookup(error),
    })
}

/// Refuses to remove a node that another one builds on that stays.
fn refuse_parents(forest: &Forest, named: &BTreeSet<String>) -> Result<(), Why> {
    for name in named {
        let Ok(id) = NodeId::parse(name) else {
            continue;
        };
        let stays = |child: &&NodeId| !named.contains(&child.to_string());
        if let Some(child) = forest.children(&id).iter().find(stays) {
            return Err(Why::HasChildren { id, child: *child });
        }
    }
    Ok(())
}

/// Sorts names so that each node comes before its parent.
fn in_order(forest: &Forest, mut named: BTreeSet<String>) -> Vec<String> {
    let children_first = forest.parents_first().into_iter().rev();
    let mut order: Vec<String> = children_first
        .map(|id| id.to_string())
        .filter(|name| named.remove(name))
        .collect();
    // What cannot be read has no place among the others.
    order.extend(named);
    order
}

fn remove(
    graph: &Graph,
    names: &[String],
    force: bool,
    console: &Console,
    removed: &mut Vec<String>,
) -> Result<(), Why> {
    let mut options = DeleteOptions::default();
    options.force = force;
    for name in names {
        let deleted = graph.delete(name, options)?;
        if let Some(error) = &deleted.leftover {
            console.warn(&format!("files of {} are left", deleted.id), error);
        }
        removed.push(deleted.id);
    }
    Ok(())
}
