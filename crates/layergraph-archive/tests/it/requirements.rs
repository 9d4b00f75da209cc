//! The requirements of unpacking on all sides: hostile links are in the layer itself or in a layer
//! below it, and owners are kept as they are or recorded.
//!
//! Who runs the tests is one more side: root and an ordinary user both do.

mod devices;
mod links;
mod reading;
mod signs;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use layergraph_archive::{Ownership, UnpackError, UnpackOptions, Unpacked};

use crate::sandbox::Sandbox;
use crate::support::Layer;

/// The links of [`links`], of which each one leads out of the tree or to nothing.
const LINKS: &[&str] = &[
    "abs",
    "rel",
    "up",
    "parent",
    "deep/down",
    "one",
    "proc",
    "cwd",
    "file",
    "new",
    "loop",
];

/// Links as a hostile layer has them: absolute and relative, over one another, to a directory, a
/// file and a free name outside, and by way of what the kernel follows without a path.
fn links(outside: &str) -> Vec<String> {
    vec![
        format!("abs -> {outside}"),
        "rel -> ../outside".to_owned(),
        "up -> ../../../../../../../..".to_owned(),
        "parent -> ..".to_owned(),
        "deep/".to_owned(),
        "deep/down -> ../../outside".to_owned(),
        "one -> two".to_owned(),
        format!("two -> {outside}"),
        format!("proc -> /proc/self/root{outside}"),
        "cwd -> /proc/self/cwd".to_owned(),
        format!("file -> {outside}/secret"),
        format!("new -> {outside}/new"),
        "loop -> loop".to_owned(),
    ]
}

/// What became of an attack.
struct Side {
    sandbox: Sandbox,
    ownership: Ownership,
    /// Whether the links are those of a layer below.
    is_below: bool,
    result: Result<Unpacked, UnpackError>,
}

impl Side {
    fn name(&self) -> String {
        let whose = if self.is_below { "below" } else { "its own" };
        format!("links {whose}, {:?}: {:?}", self.ownership, self.result)
    }

    /// What is in the tree.
    fn lines(&self) -> Vec<String> {
        crate::support::lines(&self.sandbox.root())
    }
}

/// Lets a layer attack what is outside, on each side, and checks that nothing there changed.
///
/// `before` says what else is in the tree before the layer comes.
#[track_caller]
fn on_all_sides(before: &[&str], what: &str, attack: impl Fn(&mut Layer)) -> Vec<Side> {
    let mut sides = Vec::new();
    for ownership in [Ownership::Preserve, Ownership::Squash] {
        for is_below in [true, false] {
            let sandbox = Sandbox::new();
            let mut options = UnpackOptions::default();
            options.ownership = ownership.clone();
            let links = links(&sandbox.outside());
            let (mut below, mut layer) = (Layer::new(), Layer::new());
            let whose = if is_below { &mut below } else { &mut layer };
            for line in &links {
                whose.line(line);
            }
            for line in before {
                below.line(line);
            }
            let unpacked = sandbox.check_layer(&below.finish(), &options, what);
            unpacked.expect("links alone do no harm");
            attack(&mut layer);
            let result = sandbox.check_layer(&layer.finish(), &options, what);
            sides.push(Side {
                sandbox,
                ownership: ownership.clone(),
                is_below,
                result,
            });
        }
    }
    sides
}

/// Runs what must end: what opens a pipe waits for another who never comes.
fn within_a_minute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    let result = is_done.recv_timeout(Duration::from_secs(60));
    result.expect("it ends and does not panic")
}
