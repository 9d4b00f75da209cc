//! `layergraph tree`: draws the nodes below their parents.
//!
//! Chains may be long, so nothing here calls itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use layergraph::{Node, NodeId};
use serde::Serialize;

use crate::args;
use crate::args::graph::Tree;
use crate::console::Console;
use crate::forest::{Forest, created, said, with_forest};
use crate::output::print_bytes;
use crate::report::{Failure, Why, printable};
use crate::size::human;
use crate::store::shown_root;

/// A node as `--json` prints it, but for its children.
#[derive(Debug, Serialize)]
struct Document<'a> {
    id: NodeId,
    parent: Option<String>,
    created: Option<String>,
    size: i64,
    virtual_size: i64,
    comment: Option<&'a str>,
}

pub(crate) fn run(
    args: &Tree,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let attempted = || format!("draw the nodes of {}", shown_root(store));
    with_forest(store, console, attempted, |_, forest| {
        let text = if args.dot {
            dot(forest)
        } else if json {
            nested(forest)?
        } else {
            drawing(forest)
        };
        print_bytes(text.as_bytes())
    })
}

/// A node on the way through the forest.
struct Step<'a> {
    node: &'a Node,
    /// What it and all below it hold.
    virtual_size: i64,
    /// How many are above it.
    depth: usize,
    /// Whether it is the last one of its parent's children, or of the roots.
    is_last: bool,
}

/// Calls `visit` with each node, parents before their children.
fn walk<'a>(forest: &'a Forest, mut visit: impl FnMut(&Step<'a>)) {
    let mut seen = BTreeSet::new();
    let mut next = Vec::new();
    push(&mut next, forest, &forest.roots(), 0, 0);
    while let Some(step) = next.pop() {
        let id = step.node.id();
        // A circle ends where it began.
        if !seen.insert(id) {
            continue;
        }
        visit(&step);
        let children = forest.children(&id);
        push(
            &mut next,
            forest,
            children,
            step.virtual_size,
            step.depth + 1,
        );
    }
}

fn push<'a>(
    next: &mut Vec<Step<'a>>,
    forest: &'a Forest,
    ids: &[NodeId],
    below: i64,
    depth: usize,
) {
    for (place, id) in ids.iter().rev().enumerate() {
        let node = &forest.nodes.by_id[id];
        next.push(Step {
            node,
            virtual_size: below.saturating_add(node.size()),
            depth,
            is_last: place == 0,
        });
    }
}

/// How many levels are drawn by indentation, so that a long chain does not cost the square of its
/// length.
const DRAWN: usize = 100;

/// Draws lines for people, as `docker images --tree` did.
///
/// Below [`DRAWN`] levels, a line begins with its level.
fn drawing(forest: &Forest) -> String {
    let mut text = String::new();
    let mut indents: Vec<&str> = Vec::new();
    walk(forest, |step| {
        indents.truncate(step.depth);
        if step.depth <= DRAWN {
            text.extend(indents.iter().copied());
        } else {
            // A string takes anything.
            let _ = write!(text, "{:>7} ", step.depth);
        }
        let (branch, indent) = if step.is_last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        indents.push(indent);
        let id = step.node.id().to_string();
        text.push_str(branch);
        text.push_str(forest.short(&id));
        text.push_str(" Virtual Size: ");
        text.push_str(&human(step.virtual_size));
        if let Some(comment) = said(&step.node.image().comment) {
            text.push_str("  ");
            text.push_str(&printable(comment));
        }
        text.push('\n');
    });
    text
}

/// Writes a graph in the language of graphviz, as `docker images --viz` did.
fn dot(forest: &Forest) -> String {
    let mut text = String::from("digraph layergraph {\n");
    walk(forest, |step| {
        let id = step.node.id().to_string();
        let edge = match forest.parent(step.node) {
            // The parents of an orphan, and of the first of a circle, are not drawn.
            Some(parent) if step.depth > 0 => format!(" \"{parent}\" -> \"{id}\"\n"),
            _ => format!(" base -> \"{id}\" [style=invis]\n"),
        };
        let (short, size) = (forest.short(&id), human(step.virtual_size));
        let label = format!(" \"{id}\" [label=\"{short}\\n{size}\",shape=box]\n");
        text.push_str(&edge);
        text.push_str(&label);
    });
    text.push_str(" base [style=invisible]\n}\n");
    text
}

/// Writes the nodes as JSON, each with its children in it.
fn nested(forest: &Forest) -> Result<String, Why> {
    let mut text = String::from("[");
    let mut open = 0;
    let mut failed = None;
    walk(forest, |step| {
        let Step { node, .. } = step;
        let document = Document {
            id: node.id(),
            parent: forest.parent(node),
            created: created(node),
            size: node.size(),
            virtual_size: step.virtual_size,
            comment: said(&node.image().comment),
        };
        while open > step.depth {
            text.push_str("]}");
            open -= 1;
        }
        if text.ends_with('}') {
            text.push(',');
        }
        match serde_json::to_string(&document) {
            Ok(object) => text.push_str(object.strip_suffix('}').unwrap_or(&object)),
            Err(error) => failed = Some(error),
        }
        text.push_str(",\"children\":[");
        open += 1;
    });
    text.push_str(&"]}".repeat(open));
    text.push_str("]\n");
    failed.map_or(Ok(text), |error| Err(Why::Output(error.into())))
}
