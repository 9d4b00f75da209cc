//! `layergraph assemble`: makes the layer again that a recipe was made of.

use std::path::Path;

use layergraph::archive::View;
use layergraph::archive::recipe::assemble;
use layergraph::progress::Task;
use serde::Serialize;

use crate::args;
use crate::console::Console;
use crate::output::{Metered, Output, output_file, print_json};
use crate::place::{open_dir, refuse_same};
use crate::report::{Failure, Why};
use crate::unpack::open_layer;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    size: u64,
}

pub(crate) fn run(args: &args::Assemble, json: bool, console: &Console) -> Result<(), Failure> {
    attempt(args, json, console).map_err(|why| Failure {
        attempted: format!(
            "assemble {} with {}",
            args.recipe.display(),
            args.dir.display()
        ),
        hint: why.hint(),
        why: why.into(),
    })
}

fn attempt(args: &args::Assemble, json: bool, console: &Console) -> Result<(), Why> {
    let file = output_file(args.output.as_deref(), json)?;
    let recipe = open_layer(&args.recipe)?;
    if let Some(file) = file {
        refuse_same(file, &recipe)?;
    }
    let tree = View::new(open_dir(&args.dir)?);
    let trees: [&Path; 1] = [&args.dir];
    let mut output = Output::open(file, &trees, console)?;
    let task = Task {
        action: "Assembling",
        id: String::new(),
        total: None,
    };
    let mut teller = console.progress();
    let mut out = Metered::new(&mut output, task, &mut teller);
    let assembled = assemble(recipe, &tree, &mut out)?;
    out.finish();
    output.finish()?;
    if json {
        print_json(&Document {
            size: assembled.size,
        })?;
    }
    Ok(())
}
