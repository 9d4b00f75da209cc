//! `layergraph listing`: prints a tree, one line an object.

use std::io::{BufWriter, Write};

use layergraph::archive::{View, listing};

use crate::args;
use crate::output::stdout;
use crate::place::open_dir;
use crate::report::{Failure, Why};

pub(crate) fn run(args: &args::Listing, json: bool) -> Result<(), Failure> {
    attempt(args, json).map_err(|why| Failure {
        attempted: format!("list {}", args.dir.display()),
        hint: why.hint(),
        why: why.into(),
    })
}

fn attempt(args: &args::Listing, json: bool) -> Result<(), Why> {
    if json {
        return Err(Why::Usage("a listing has no JSON form"));
    }
    // What a tree has is listed as it is, whoever lists it, unless he says more of it.
    let ownership = args.ownership.0.clone().unwrap_or_default();
    let tree = View::new(open_dir(&args.dir)?).with_ownership(ownership);
    let mut out = BufWriter::with_capacity(64 << 10, stdout()?);
    listing(&tree, &mut out)?;
    out.flush().map_err(Why::Output)
}
