//! The `layergraph` command: layers at a terminal.
//!
//! Results go to stdout, everything else to stderr. Names, arguments, JSON and exit statuses are a
//! contract with scripts: what is there stays.

#![forbid(unsafe_code)]

mod args;
mod console;
mod listing;
mod output;
mod pack;
mod place;
mod report;
mod unpack;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};

use crate::args::{Args, Command};
use crate::console::Console;
use crate::report::{Failure, Why};

fn main() -> ExitCode {
    let limited = survive_limits();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return report::usage(&error),
    };
    let console = Console::new(args.quiet);
    match limited.and_then(|()| run(&args, &console)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(args: &Args, console: &Console) -> Result<(), Failure> {
    match &args.command {
        Command::Unpack(command) => unpack::run(command, args.json, console),
        Command::Pack(command) => pack::run(command, args.json, console),
        Command::Listing(command) => listing::run(command, args.json),
    }
}

/// Makes the process's limits errors that can be told, before anything else is done.
fn survive_limits() -> Result<(), Failure> {
    // A file over the limit of its size would end us halfway by a signal. Blocked, that stays
    // pending, and write(2) fails with EFBIG (setrlimit(2)). Threads inherit it.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    let block = |errno: nix::errno::Errno| Failure {
        attempted: "block the signal SIGXFSZ".to_owned(),
        why: Why::System(io::Error::from(errno)),
        hint: None,
    };
    signals.thread_block().map_err(block)?;

    // Trees are walked with handles for each level. The soft limit of open files is low for the
    // sake of select(2), which is not used here. Where it cannot be raised, it stays.
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    Ok(())
}
