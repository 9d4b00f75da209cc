//! `agree`: the layers of an image, unpacked here and by umoci, make the same tree.
//!
//! Each layer is registered in a new store with the driver overlay, the uppermost one is mounted to
//! be read, and what is there is listed. `umoci unpack` makes a tree of the same image, which is
//! listed as well. A listing has all that a layer says of an object but one thing: when a directory
//! was modified. Tools differ in that where only a part of a path is in a layer, or a whiteout; so
//! it is compared by itself, and what differs is told and is no failure.

mod layout;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use layergraph::archive::{Ownership, View, listing};
use layergraph::digest::Verifier;
use layergraph::driver::MountOptions;
use layergraph::fs::{Dir, Durability};
use layergraph::{DriverChoice, Graph, NewNode, NodeId, StoreOptions};

use crate::Result;
use crate::workspace::check_status;

use self::layout::Layout;

/// Compares the two trees of an image, given as umoci takes it: `LAYOUT[:TAG]`.
pub(crate) fn run(image: &str) -> Result {
    let agreement = compare(image)?;
    agreement.tell();
    if agreement.differences.is_empty() {
        Ok(())
    } else {
        Err(format!("agree: {} differences", agreement.differences.len()).into())
    }
}

/// What came of a comparison.
#[derive(Debug)]
struct Agreement {
    image: String,
    layers: usize,
    objects: usize,
    /// Lines of only one of the two listings.
    differences: Vec<String>,
    /// Directories that were modified at different times.
    times: Vec<String>,
}

fn compare(image: &str) -> Result<Agreement> {
    let layout = Layout::open(image)?;
    let home = tempfile::tempdir()?;
    let graph = StoreOptions::new()
        .driver(DriverChoice::Named("overlay".to_owned()))
        .ownership(Ownership::Preserve)
        .durability(Durability::None)
        .open_graph(&home.path().join("store"))?;
    let top = register(&graph, &layout)?;
    let mounted = Tree::new(&graph, top, &home.path().join("mounted"))?;
    let bundle = home.path().join("bundle");
    check_status(
        Command::new("umoci")
            .args(["unpack", "--keep-dirlinks", "--image"])
            .arg(&layout.name)
            .arg(&bundle)
            .stdout(Stdio::null()),
    )?;
    let theirs = bundle.join("rootfs");
    let (own_lines, their_lines) = (lines(&mounted.target)?, lines(&theirs)?);
    let agreement = Agreement {
        image: layout.name,
        layers: layout.layers.len(),
        objects: own_lines.len(),
        differences: differences(&own_lines, &their_lines),
        times: differences(&times(&mounted.target)?, &times(&theirs)?),
    };
    mounted.end()?;
    Ok(agreement)
}

/// Registers the layers, each on top of the one before, and returns the uppermost node.
fn register(graph: &Graph, layout: &Layout) -> Result<NodeId> {
    let mut new = NewNode::default();
    for layer in &layout.layers {
        let file = File::open(layout.blob(layer))?;
        let mut blob = Verifier::new(layer.digest, Some(layer.size), file);
        let node = graph.create(&new, Some(&mut blob))?;
        blob.finish()?;
        new.parent = Some(node.id());
    }
    Ok(new.parent.ok_or("the image has no layers")?)
}

/// The tree of a node at a place of its own.
struct Tree<'a> {
    graph: &'a Graph,
    target: PathBuf,
    is_mounted: bool,
}

impl Tree<'_> {
    fn new<'a>(graph: &'a Graph, node: NodeId, target: &Path) -> Result<Tree<'a>> {
        fs::create_dir(target)?;
        // To be read only.
        let target = graph.mount(&node, &MountOptions::at(target))?;
        Ok(Tree {
            graph,
            target,
            is_mounted: true,
        })
    }

    fn end(mut self) -> Result {
        self.is_mounted = false;
        Ok(self.graph.unmount_at(&self.target)?)
    }
}

impl Drop for Tree<'_> {
    fn drop(&mut self) {
        if self.is_mounted {
            // Another error is told.
            let _ = self.graph.unmount_at(&self.target);
        }
    }
}

/// Lists a tree, by path.
fn lines(tree: &Path) -> Result<BTreeMap<String, String>> {
    let mut text = Vec::new();
    listing(&View::new(Dir::open(tree)?), &mut text)?;
    let text = String::from_utf8(text)?;
    let line = |line: &str| {
        line.split_once('\t')
            .map(|(path, rest)| (path.into(), rest.into()))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// Lists when each directory of a tree was modified, by path.
fn times(tree: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut left = vec![tree.to_owned()];
    while let Some(directory) = left.pop() {
        let metadata = fs::metadata(&directory)?;
        let path = directory.strip_prefix(tree).unwrap_or(&directory);
        let time = format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec());
        found.insert(format!("/{}", path.display()), time);
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Returns a line for each path of which the two do not say the same.
fn differences(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> Vec<String> {
    const NOTHING: &str = "nothing";
    let of_ours = ours.keys();
    let of_theirs = theirs.keys().filter(|path| !ours.contains_key(*path));
    let line = |path: &String| {
        let said = |all: &BTreeMap<String, String>| all.get(path).cloned();
        let (own, other) = (said(ours), said(theirs));
        (own != other).then(|| {
            let [own, other] = [own, other].map(|said| said.unwrap_or_else(|| NOTHING.to_owned()));
            format!("{path}: {own}; umoci: {other}")
        })
    };
    of_ours.chain(of_theirs).filter_map(line).collect()
}

impl Agreement {
    fn tell(&self) {
        let Agreement {
            image,
            layers,
            objects,
            differences,
            times,
        } = self;
        println!("{image}: {layers} layers, {objects} objects");
        println!("{} differences", differences.len());
        for line in differences {
            println!("  {line}");
        }
        println!("{} directories modified at other times", times.len());
        for line in times {
            println!("  {line}");
        }
    }
}
