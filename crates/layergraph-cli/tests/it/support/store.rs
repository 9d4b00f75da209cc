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
    driver: &'static str,
}

impl Store {
    pub(crate) fn new() -> io::Result<Store> {
        Store::with_driver("auto")
    }

    /// One that a certain driver keeps the trees of.
    pub(crate) fn with_driver(driver: &'static str) -> io::Result<Store> {
        let home = Home::new()?;
        Ok(Store { home, driver })
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.home.path("store")
    }

    /// A command line on this store.
    pub(crate) fn command(&self, args: &[Arg<'_>]) -> Command {
        let mut command = layergraph(&[&"--root", &self.root()]);
        command.args(["--driver", self.driver]).args(args);
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

impl Drop for Store {
    /// Unmounts what a test has left mounted, so that the store can be removed.
    fn drop(&mut self) {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let home = self.home.path("");
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for place in places.filter(|place| std::path::Path::new(place).starts_with(&home)) {
            let _ = Command::new("umount").arg(place).status();
        }
    }
}
