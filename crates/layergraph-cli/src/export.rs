//! `layergraph export-layer`: writes what a node changed as a layer.

use std::io::{self, Write};

use layergraph::progress::{Meter, Task};

use crate::args;
use crate::args::graph::ExportLayer;
use crate::console::Console;
use crate::output::Output;
use crate::pack::{output_file, tell};
use crate::report::Failure;
use crate::store::{Missing, get, root, with_graph};

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
        let packed = {
            let mut teller = console.progress();
            let task = Task {
                action: "Exporting",
                id: id.chars().take(12).collect(),
                total: None,
            };
            let mut out = Metered {
                out: &mut output,
                meter: Meter::new(task, &mut teller),
            };
            let packed = graph.tar_layer(&node, &mut out)?;
            out.meter.finish();
            packed
        };
        output.finish()?;
        tell(&packed, json, console)
    })
}

/// Counts what is written.
struct Metered<'a> {
    out: &'a mut Output,
    meter: Meter<'a>,
}

impl Write for Metered<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.meter.advance(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
