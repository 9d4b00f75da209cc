//! `cargo xtask TASK`: the chores of this workspace, in Rust, so that they need nothing but cargo.
//!
//! Each task is one module; what several of them need stands in [`workspace`] and [`source`].

#![forbid(unsafe_code)]

mod absent;
mod agree;
mod ci;
mod corpus;
mod demo;
mod fuzz;
mod layers;
mod manifests;
mod race;
mod requirements;
mod same;
mod source;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo xtask TASK

  demo [--keep] [--dir DIR] [--command PATH]
                             makes layers of this machine's files, goes through everything that
                             the command does with them, verifies it, and ends with timings
  demo --image PATH […]      the same with the layers of an image: a docker-archive, an OCI layout
  demo --as-user             as root: the demo as an ordinary user
  test [--no-skips] [ARG…]   all tests; ARGs go to `cargo test`; lists what was skipped
  test --as-user [ARG…]      as root: tests that depend on the user once more, as an ordinary one;
                             ARGs go to the test executables
  fuzz [TARGET] [--stable] [--runs N | --seconds N]
                             fuzzes one property or each, a minute long unless told otherwise;
                             --stable does without cargo-fuzz
  fuzz --archives N          takes as many random archives apart and puts them together again
  fuzz TARGET [--stable] FILE…
                             runs inputs that were found
  ci                         everything that must hold before a change lands
  layers                     who imports whom, and what is absent on purpose
  tidy                       lengths, leftovers, manifests, links, the table of requirements
  corpus [DIR]               unpacks a directory of odd archives and compares with other tools;
                             without DIR that of LAYERGRAPH_CORPUS
  agree --image LAYOUT[:TAG]
                             as root: compares the tree that an image of an OCI layout makes here
                             with the one that umoci makes of it
  race [--seconds N | --flips N] [--dir DIR]
                             works on a tree while others swap its directories for links that lead
                             out of it (20 s)
  race --as-user […]         as root: the same as an ordinary user
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["demo", "--as-user"] => demo::run_as_user(),
        ["demo", rest @ ..] => demo::run(rest),
        ["test", "--as-user", rest @ ..] => test::run_as_user(rest),
        ["test", rest @ ..] => test::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["ci"] => ci::run(),
        ["layers"] => layers::run(),
        ["tidy"] => tidy::run(),
        ["race", "--as-user", rest @ ..] => race::run_as_user(rest),
        ["race", rest @ ..] => race::run(rest),
        ["agree", "--image", image] => agree::run(image),
        ["corpus"] => corpus::run(std::env::var_os("LAYERGRAPH_CORPUS").map(Into::into)),
        ["corpus", directory] => corpus::run(Some(directory.into())),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
