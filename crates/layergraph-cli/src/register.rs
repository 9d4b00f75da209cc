//! `layergraph register`: adds a node.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use layergraph::image::v1::{Image, MAX_BYTES};
use layergraph::progress::{ProgressReader, Task};
use layergraph::{Graph, NewNode, Node, NodeId};
use serde::Serialize;

use crate::args;
use crate::args::graph::Register;
use crate::console::Console;
use crate::output::{print_json, print_line};
use crate::place::argument;
use crate::report::{Failure, Why};
use crate::store::{self, Missing, short};
use crate::unpack::open_layer;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    id: NodeId,
    parent: Option<&'a str>,
    size: i64,
}

pub(crate) fn run(
    args: &Register,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    attempt(args, store, json, console).map_err(|why| Failure {
        attempted: match &args.id {
            Some(id) => format!("register {id}"),
            None => "register a node".to_owned(),
        },
        hint: why.hint(),
        why: why.into(),
    })
}

fn attempt(args: &Register, store: &args::Store, json: bool, console: &Console) -> Result<(), Why> {
    // What is wrong with the arguments shows before there is a store.
    let image = args.image_json.as_deref().map(read_image).transpose()?;
    if let (Some(id), Some(image)) = (args.id, &image)
        && id.to_string() != image.id
    {
        return Err(Why::Usage("the image JSON has another id than --id"));
    }
    let layer = args.layer.as_deref().map(open_layer).transpose()?;
    // A parent is in a store that is there.
    let has_parent =
        args.parent.is_some() || image.as_ref().is_some_and(|it| !it.parent.is_empty());
    let missing = if has_parent {
        Missing::Fail
    } else {
        Missing::Make
    };
    let graph = store::open(store, missing, console)?;
    let parent = match &args.parent {
        Some(parent) => Some(store::get(&graph, parent)?.id()),
        None => None,
    };
    let new = match image {
        Some(image) => {
            if parent.is_some_and(|parent| parent.to_string() != image.parent) {
                return Err(Why::Usage(
                    "the image JSON has another parent than --parent",
                ));
            }
            New::Image(Box::new(image))
        }
        None => New::Node(Box::new(describe(args, parent)?)),
    };
    let node = register(&graph, &new, layer, console)?;
    let printed = if json {
        print_json(&Document {
            id: node.id(),
            parent: node.parent(),
            size: node.size(),
        })
    } else {
        print_line(&node.id().to_string())
    };
    printed.map_err(|why| why.though(|| format!("registered {}", node.id())))
}

/// What is to be registered.
enum New {
    Node(Box<NewNode>),
    Image(Box<Image>),
}

fn describe(args: &Register, parent: Option<NodeId>) -> Result<NewNode, Why> {
    let mut new = NewNode::default();
    // Drawn here, so that progress can name it.
    new.id = Some(
        args.id
            .map_or_else(NodeId::random, Ok)
            .map_err(Why::System)?,
    );
    new.parent = parent;
    new.comment = args.comment.clone().unwrap_or_default();
    new.author = args.author.clone().unwrap_or_default();
    new.created = args.created;
    Ok(new)
}

fn register(graph: &Graph, new: &New, layer: Option<File>, console: &Console) -> Result<Node, Why> {
    let mut teller = console.progress();
    let add = |layer: Option<&mut (dyn Read + Send)>| match new {
        New::Node(new) => graph.create(new, layer),
        New::Image(image) => graph.register(image, layer),
    };
    let Some(layer) = layer else {
        return Ok(add(None)?);
    };
    let id = match new {
        New::Node(new) => new.id.map_or_else(String::new, |id| id.to_string()),
        New::Image(image) => image.id.clone(),
    };
    let metadata = layer.metadata().map_err(Why::Layer)?;
    let task = Task {
        action: "Registering",
        id: short(&id).to_owned(),
        total: metadata.is_file().then_some(metadata.len()),
    };
    let mut layer = ProgressReader::new(layer, task, &mut teller);
    let node = add(Some(&mut layer))?;
    layer.close();
    Ok(node)
}

/// Reads an image JSON, and sees to it that its id is one.
fn read_image(path: &Path) -> Result<Image, Why> {
    let mut text = Vec::new();
    File::open(path)
        .map_err(|error| argument("open", path, error))?
        // A byte more than is taken, so that a longer one is refused.
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|error| argument("read", path, error))?;
    let refused = |source: Box<dyn std::error::Error + Send + Sync>| Why::ImageJson {
        path: path.to_owned(),
        source,
    };
    let image = Image::decode(&text).map_err(|error| refused(error.into()))?;
    image.node_id().map_err(|error| refused(error.into()))?;
    Ok(image)
}
