//! `layergraph export-layer`: writes what a node changed as a layer.

use layergraph::progress::Task;
use serde::Serialize;

use crate::args;
use crate::args::graph::ExportLayer;
use crate::console::Console;
use crate::output::{JsonPath, Metered, Output, output_file, print_json};
use crate::pack::{sockets, tell_sockets};
use crate::report::Failure;
use crate::store::{Missing, get, root, short, with_graph};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    size: u64,
    exact: bool,
    sockets: Vec<JsonPath>,
}

pub(crate) fn run(
    args: &ExportLayer,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let id = &args.node.id;
    let attempted = || format!("export the layer of {id}");
    with_graph(store, Missing::Fail, console, attempted, |graph| {
        let file = output_file(args.output.as_deref(), json)?;
        let node = get(graph, id)?;
        let mut output = Output::open(file, &[&root(store)?], console)?;
        let exported = {
            let mut teller = console.progress();
            let task = Task {
                action: "Exporting",
                id: short(id).to_owned(),
                total: None,
            };
            let mut out = Metered::new(&mut output, task, &mut teller);
            let exported = graph.tar_layer(&node, &mut out)?;
            out.finish();
            exported
        };
        output.finish()?;
        tell_sockets(&exported.sockets, console);
        if json {
            print_json(&Document {
                size: exported.size,
                exact: exported.exact,
                sockets: sockets(&exported.sockets),
            })?;
        }
        Ok(())
    })
}
