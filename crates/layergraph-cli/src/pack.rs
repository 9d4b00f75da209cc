//! `layergraph pack`: writes a tree, or what has changed in it, as a layer.

use std::path::{Path, PathBuf};

use layergraph::archive::{CompareOptions, View, changes, pack};
use serde::Serialize;

use crate::args;
use crate::console::Console;
use crate::output::{JsonPath, Output, output_file, print_json};
use crate::place::open_dir;
use crate::report::{Failure, Why};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    entries: u64,
    size: u64,
    sockets: Vec<JsonPath>,
}

pub(crate) fn run(args: &args::Pack, json: bool, console: &Console) -> Result<(), Failure> {
    attempt(args, json, console).map_err(|why| Failure {
        attempted: match &args.against {
            Some(lower) => format!("pack {} against {}", args.dir.display(), lower.display()),
            None => format!("pack {}", args.dir.display()),
        },
        hint: why.hint(),
        why: why.into(),
    })
}

fn attempt(args: &args::Pack, json: bool, console: &Console) -> Result<(), Why> {
    let file = output_file(args.output.as_deref(), json)?;
    let consequence = "what has no recorded owner is packed as root's";
    let ownership = console.ownership(&args.ownership, consequence);
    let open = |path: &Path| -> Result<View, Why> {
        Ok(View::new(open_dir(path)?).with_ownership(ownership.clone()))
    };
    let tree = open(&args.dir)?;
    let lower = args.against.as_deref().map(open).transpose()?;
    let trees: Vec<&Path> = [Some(&args.dir), args.against.as_ref()]
        .into_iter()
        .flatten()
        .map(AsRef::as_ref)
        .collect();
    let mut output = Output::open(file, &trees, console)?;

    let changes = changes(&tree, lower.as_ref(), &CompareOptions::default())?;
    let packed = pack(&tree, &changes, &mut output)?;
    output.finish()?;

    tell_sockets(&packed.sockets, console);
    if json {
        print_json(&Document {
            entries: packed.entries,
            size: packed.size,
            sockets: sockets(&packed.sockets),
        })?;
    }
    Ok(())
}

/// Says which sockets were left out.
pub(crate) fn tell_sockets(left_out: &[PathBuf], console: &Console) {
    for socket in left_out {
        console.note(&format!("left out the socket {}", socket.display()));
    }
}

/// Makes the paths of sockets fit for JSON.
pub(crate) fn sockets(left_out: &[PathBuf]) -> Vec<JsonPath> {
    left_out
        .iter()
        .map(|path| JsonPath::in_tree(path))
        .collect()
}
