//! The `layergraph` command: layers at a terminal.
//!
//! Results go to stdout, everything else to stderr. Names, arguments, JSON and exit statuses are a
//! contract with scripts: what is there stays.

// But for the module `namespace`, which says why.
#![deny(unsafe_code)]

mod args;
mod assemble;
mod console;
mod export;
mod forest;
mod history;
mod images;
mod info;
mod layers;
mod listing;
mod load;
mod mount;
mod namespace;
mod node;
mod output;
mod pack;
mod place;
mod progress;
mod recipe;
mod register;
mod remove;
mod report;
mod save;
mod size;
mod split;
mod status;
mod store;
mod table;
mod tree;
mod unpack;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};

use crate::args::{Args, Command, Level};
use crate::console::Console;
use crate::report::{Failure, Why};

fn main() -> ExitCode {
    let limited = survive_limits();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return report::usage(&error),
    };
    let level = if args.quiet {
        args.log.min(Level::Warn)
    } else {
        args.log
    };
    if let Command::Unshare(unshare) = &args.command {
        return namespace::run(unshare, &args.store);
    }
    let console = Console::new(level, args.progress);
    match limited.and_then(|()| run(&args, &console)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(args: &Args, console: &Console) -> Result<(), Failure> {
    let Args { store, json, .. } = args;
    let json = *json;
    match &args.command {
        Command::Load(command) => load::run(command, store, json, console),
        Command::Save(command) => save::run(command, store, json, console),
        Command::Images(command) => images::list(command, store, json, console),
        Command::Inspect(command) => images::inspect(command, store, json, console),
        Command::Tag(command) => images::tag(command, store, console),
        Command::Untag(command) => images::untag(command, store, console),
        Command::Rm(command) => images::remove(command, store, json, console),
        Command::Gc(command) => images::collect(command, store, json, console),
        Command::Register(command) => register::run(command, store, json, console),
        Command::Layers(command) => layers::run(command, store, json, console),
        Command::Tree(command) => tree::run(command, store, json, console),
        Command::History(command) => history::run(command, store, json, console),
        Command::RawJson(command) => node::raw_json(command, store, console),
        Command::Digest(command) => node::print_or_set_digest(command, store, json, console),
        Command::Changes(command) => node::changes(command, store, json, console),
        Command::DiffSize(command) => node::diff_size(command, store, json, console),
        Command::ExportLayer(command) => export::run(command, store, json, console),
        Command::RmLayer(command) => remove::run(command, store, json, console),
        Command::Mount(command) => mount::run(command, store, json, console),
        Command::Unmount(command) => mount::unmount(command, store, console),
        Command::Info(_) => info::run(store, json, console),
        Command::Unpack(command) => unpack::run(command, json, console),
        Command::Pack(command) => pack::run(command, json, console),
        Command::Split(command) => split::run(command, json, console),
        Command::Assemble(command) => assemble::run(command, json, console),
        Command::Listing(command) => listing::run(command, json),
        // It ends as its program does.
        Command::Unshare(_) => Ok(()),
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
        why: Why::System(io::Error::from(errno)).into(),
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
