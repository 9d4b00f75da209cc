//! A store of its own for each test.

use std::io;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{Arg, Home, Said, layergraph, run};

/// An id that begins with these digits and goes on with zeros.
pub(crate) fn id(digits: &str) -> String {
    with_tail(digits, '0')
}

/// An id that begins with these digits and goes on with another one.
pub(crate) fn with_tail(digits: &str, tail: char) -> String {
    let mut id = digits.to_owned();
    while id.len() < 64 {
        id.push(tail);
    }
    id
}

/// A store that nobody made yet, in a directory for other files.
pub(crate) struct Store {
    pub(crate) home: Home,
}

impl Store {
    pub(crate) fn new() -> io::Result<Store> {
        Home::new().map(|home| Store { home })
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.home.path("store")
    }

    /// A command line on this store.
    pub(crate) fn command(&self, args: &[Arg<'_>]) -> Command {
        let mut command = layergraph(&[&"--root", &self.root()]);
        command.args(args);
        command
    }

    /// Runs a command line on this store.
    pub(crate) fn say(&self, args: &[Arg<'_>]) -> io::Result<Said> {
        run(&mut self.command(args))
    }

    /// Runs a command line with `--json`, and gives the document.
    pub(crate) fn json(&self, args: &[Arg<'_>]) -> io::Result<Value> {
        let mut command = self.command(args);
        let said = run(command.arg("--json"))?.done();
        Ok(serde_json::from_slice(&said.stdout)?)
    }

    /// Registers a layer under an id, on a parent unless that is empty.
    pub(crate) fn register(&self, id: &str, parent: &str, layer: &[u8]) -> io::Result<()> {
        let file = self.home.file("registered.tar", layer)?;
        let mut command = self.command(&[&"register", &"--id", &id, &file]);
        if !parent.is_empty() {
            command.args(["--parent", parent]);
        }
        run(&mut command)?.done();
        Ok(())
    }

    /// Breaks a node: its JSON ends in the middle.
    pub(crate) fn break_node(&self, id: &str) -> io::Result<()> {
        let json = self.root().join("graph").join(id).join("json");
        std::fs::write(json, "{\"id\":\"")
    }
}
