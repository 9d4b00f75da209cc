//! `layergraph pack`: writes a tree, or what has changed in it, as a layer.

use std::path::Path;

use layergraph::archive::{CompareOptions, Packed, View, changes, pack};
use serde::Serialize;

use crate::args;
use crate::console::Console;
use crate::output::{JsonPath, Output, print_json};
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
    let ownership = console.ownership(args.ownership, consequence);
    let open = |path: &Path| -> Result<View, Why> {
        Ok(View::new(open_dir(path)?).with_ownership(ownership))
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

    tell(&packed, json, console)
}

/// Returns the file that `-o` names, if it names one, with which `--json` may be given.
pub(crate) fn output_file(output: Option<&Path>, json: bool) -> Result<Option<&Path>, Why> {
    let file = output.filter(|file| *file != Path::new("-"));
    if json && file.is_none() {
        return Err(Why::Usage("--json needs -o FILE: the layer takes stdout"));
    }
    Ok(file)
}

/// Says what was packed.
pub(crate) fn tell(packed: &Packed, json: bool, console: &Console) -> Result<(), Why> {
    for socket in &packed.sockets {
        console.note(&format!("left out the socket {}", socket.display()));
    }
    if json {
        print_json(&Document {
            entries: packed.entries,
            size: packed.size,
            sockets: packed
                .sockets
                .iter()
                .map(|path| JsonPath::in_tree(path))
                .collect(),
        })?;
    }
    Ok(())
}
