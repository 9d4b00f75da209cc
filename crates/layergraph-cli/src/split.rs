//! `layergraph split`: writes the recipe of a layer.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, SeekFrom};

use layergraph::archive::codec::decode;
use layergraph::archive::recipe::{NewRecipe, split};
use layergraph::archive::{ApplyOptions, Ownership, apply};
use serde::Serialize;

use crate::args;
use crate::console::Console;
use crate::output::{output_file, print_json};
use crate::place::refuse_same;
use crate::recipe::RecipeFile;
use crate::report::{Failure, Why};
use crate::unpack::{DECODING, is_stdin, not_applied, open_layer, within_memory};

/// What the tree is called that is made to find out what it has.
const TREE: &str = "tree";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    entries: u64,
}

pub(crate) fn run(args: &args::Split, json: bool, console: &Console) -> Result<(), Failure> {
    attempt(args, json, console).map_err(|why| Failure {
        attempted: if is_stdin(&args.layer) {
            "split stdin".to_owned()
        } else {
            format!("split {}", args.layer.display())
        },
        hint: why.hint(),
        why: why.into(),
    })
}

fn attempt(args: &args::Split, json: bool, console: &Console) -> Result<(), Why> {
    let file = output_file(args.output.as_deref(), json)?;
    let layer = open_layer(&args.layer)?;
    if let Some(file) = file {
        refuse_same(file, &layer)?;
    }
    let recipe = RecipeFile::new(file, &[], console)?;
    let entries = make(layer, recipe.place())?;
    recipe.publish(console)?;
    if json {
        print_json(&Document { entries })?;
    }
    Ok(())
}

/// Makes the recipe, and returns how many entries the layer has.
///
/// A layer in which names could mean several contents is unpacked for it, and so is one that cannot
/// be read twice.
fn make(mut layer: File, recipe: NewRecipe<'_>) -> Result<u64, Why> {
    let NewRecipe { home, name } = recipe;
    if layer.metadata().map_err(Why::Layer)?.is_file() {
        // Who opened stdin may have read of it before.
        let start = layer.stream_position().map_err(Why::Layer)?;
        let mut out = home.create_file(name, 0o600)?;
        let mut plain = decode(&layer, &DECODING).map_err(Why::Layer)?;
        let split = split(&mut plain, &mut out).map_err(Why::Split)?;
        plain.finish().map_err(Why::Layer)?;
        if split.doubtful.is_none() {
            return Ok(split.entries);
        }
        home.remove_file(name)?;
        layer.seek(SeekFrom::Start(start)).map_err(Why::Layer)?;
    }
    let tree = OsStr::new(TREE);
    home.make_dir(tree, 0o700)?;
    let mut options = within_memory(ApplyOptions::default());
    // It is the contents that matter, and anybody can have them.
    options.unpack.ownership = Ownership::Squash;
    options.single_thread = !layer.metadata().map_err(Why::Layer)?.is_file();
    let applied = apply(&mut layer, &home.open_dir(tree)?, Some(recipe), &options);
    Ok(applied.map_err(not_applied)?.unpacked.entries)
}
