//! The story of layers made here: three generations of a tree of this machine's files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use crate::Result;
use crate::demo::edits::{Change, Edits};
use crate::demo::gather::{Gathered, gather, keeps_attributes};
use crate::demo::generations::{self, Abilities, GREETING, Pool, SET_UID};
use crate::demo::laws::{Layer, Listing, check_refusals, check_round_trip};
use crate::demo::screen::{Size, grouped, say, size};
use crate::demo::shell::Shell;

/// The tree that layers are made of.
const TREE: &str = "tree";

/// Fewer files are a small demonstration.
const WANTED: usize = 2_000;

/// Ids begin with these; two of them alike.
const BASE: &str = "ba5e";
const UPDATE: &str = "1a7e1";
const RELEASE: &str = "1a7e2";
const BOTH: &str = "1a7e";
const NONE: &str = "dead";

/// Tells the story.
pub(crate) fn run(shell: &mut Shell) -> Result {
    let gathered = begin(shell)?;
    let mut pool = Pool::new(&shell.path(TREE), &gathered)?;
    let can = abilities(shell)?;

    shell.screen.step(
        "Three generations, each a layer",
        "A layer holds what changed since its parent. It is packed by comparing the directory with \
         the parent's tree, and registered on top of it.",
    );
    let mut layers = vec![generation(shell, "base", BASE, None, false)?];
    let mut edits = Vec::new();

    let mut second = Edits::new(shell.path(TREE));
    let gone = generations::update(&mut second, &mut pool, can)?;
    say(&format!("Now the tree changes: {}.", second.summary()));
    layers.push(generation(shell, "update", UPDATE, Some(BASE), true)?);
    edits.push((check_changes(shell, &layers[1], &second)?, second));

    let mut third = Edits::new(shell.path(TREE));
    generations::release(&mut third, &mut pool, &gone, can)?;
    say(&format!("And once more: {}.", third.summary()));
    layers.push(generation(shell, "release", RELEASE, Some(UPDATE), false)?);
    edits.push((check_changes(shell, &layers[2], &third)?, third));

    look(shell)?;
    show_changes(shell, &layers, &edits)?;
    read_through_mount(shell)?;
    shell.screen.step(
        "Exported and applied again",
        "Each layer has to come out byte for byte, and, applied on its parent's tree, to make its own tree exactly: \
         content, modes, owners, times in nanoseconds, attributes, hard links.",
    );
    check_round_trip(shell, &layers)?;
    digest(shell, &layers[1])?;
    check_refusals(shell, &layers)
}

fn abilities(shell: &Shell) -> Result<Abilities> {
    Ok(Abilities {
        owners: shell.is_root,
        attributes: keeps_attributes(&shell.path(TREE))?,
    })
}

/// Makes the tree of the first generation.
fn begin(shell: &mut Shell) -> Result<Gathered> {
    let tree = shell.path(TREE);
    fs::create_dir(&tree)?;
    let can = abilities(shell)?;
    shell.screen.step(
        "A tree of this machine's files",
        "Real files make real layers: odd names, links, small files by the thousand.",
    );
    let start = Instant::now();
    let gathered = gather(&tree, can.owners)?;
    generations::complete(&tree, &gathered, can)?;
    let Size { files, bytes } = gathered.size;
    shell.took("copy files of this machine", gathered.size, start.elapsed());
    say(&format!(
        "{} files, {}, of {}.",
        grouped(files),
        size(bytes),
        gathered.sources.join(", ")
    ));
    if files < WANTED {
        say(&format!(
            "{} were wanted: this machine has no more.",
            grouped(WANTED)
        ));
    }
    let mut also = vec![
        "a set-uid file with three names",
        "symbolic links",
        "an empty directory",
        "names beyond ASCII",
    ];
    also.extend(can.attributes.then_some("an extended attribute"));
    also.extend(can.owners.then_some("other owners, as this is root"));
    say(&format!("Also there: {}.", also.join(", ")));
    Ok(gathered)
}

/// Packs the tree as it is now, against that of `parent`, and registers the layer.
fn generation(
    shell: &mut Shell,
    name: &str,
    id: &str,
    parent: Option<&str>,
    compressed: bool,
) -> Result<Layer> {
    let source = Listing::of(shell, TREE)?;
    let mut file = format!("{name}.tar");
    let ran = match parent {
        None => shell.run(&["pack", TREE, "-o", &file], 1)?,
        Some(parent) => {
            let below = shell.mount(parent, true)?;
            let ran = shell.run(&["pack", TREE, "--against", &below, "-o", &file], 1)?;
            shell.unmount(&below, true)?;
            ran
        }
    };
    let step = if parent.is_some() {
        "compare two trees and pack"
    } else {
        "pack a tree"
    };
    shell.took(step, source.size(), ran.time);
    let packed = shell.size_of(&file)?;
    if compressed {
        shell.other("gzip", &[&file])?;
        file.push_str(".gz");
    }
    let whole_id = format!("{id:0<64}");
    let comment = format!("the {name} of the demo");
    let mut args = vec!["register", "--id", &whole_id, "--comment", &comment];
    args.extend(parent.iter().flat_map(|parent| ["--parent", parent]));
    args.push(&file);
    let ran = shell.run(&args, 1)?;
    if !ran.text().contains(&whole_id) {
        return Err(format!("register does not print the id: {:?}", ran.text()).into());
    }
    shell.took("register a layer on its parent", source.size(), ran.time);
    let stored = shell.size_of(&file)?;
    let compressed = if compressed {
        format!(", {} by gzip", size(stored))
    } else {
        String::new()
    };
    say(&format!("{name}: a layer of {}{compressed}.", size(packed)));
    Ok(Layer {
        id: whole_id,
        name: name.to_owned(),
        file,
        source: Some(source),
    })
}

/// Asks what a layer changed, which has to be what was done to the tree.
fn check_changes(shell: &mut Shell, layer: &Layer, edits: &Edits) -> Result<Vec<Change>> {
    let ran = shell.quietly(&["changes", "--json", &layer.id])?;
    let source = layer.source.as_ref().map(Listing::size).unwrap_or_default();
    shell.took("compare a layer with its parent", source, ran.time);
    let changes: Vec<Change> = serde_json::from_slice(&ran.stdout)?;
    let checked = edits.check(&changes);
    checked.map_err(|error| format!("changes of {}: {error}", layer.name))?;
    Ok(changes)
}

/// Shows what is in the store.
fn look(shell: &mut Shell) -> Result {
    shell.screen.step(
        "What the store holds",
        "Layers form a graph, each above its parent.",
    );
    let ran = shell.run(&["layers"], 6)?;
    shell.took("list the layers", Size::default(), ran.time);
    shell.run(&["tree"], 6)?;
    shell.run(&["history", RELEASE], 6)?;
    shell.run(&["raw-json", RELEASE], 1)?;

    shell.screen.step(
        "Found by the first digits of an id",
        "As many as only one layer has are enough. What several have, or none, is an error of its \
         own, so that a script can tell them apart.",
    );
    let ran = shell.run(&["diff-size", UPDATE], 1)?;
    shell.took("compare a layer with its parent", Size::default(), ran.time);
    shell.refused(4, &["diff-size", BOTH])?;
    shell.refused(3, &["diff-size", NONE])?;
    Ok(())
}

fn show_changes(shell: &mut Shell, layers: &[Layer], edits: &[(Vec<Change>, Edits)]) -> Result {
    shell.screen.step(
        "What each generation changed",
        "A is added, C changed, D deleted. A directory counts as changed when something in it did.",
    );
    for (layer, (changes, edits)) in layers.iter().skip(1).zip(edits) {
        shell.run(&["changes", layer.short()], 5)?;
        let count = |kind| changes.iter().filter(|change| change.kind == kind).count();
        let (added, changed, deleted) = (count('A'), count('C'), count('D'));
        let done = grouped(edits.len());
        shell.verify(&format!(
            "{}: {added} A, {changed} C, {deleted} D: all {done} changes that were made, and no other",
            layer.name
        ));
    }
    Ok(())
}

fn read_through_mount(shell: &mut Shell) -> Result {
    shell.screen.step(
        "A layer as a file tree",
        "Mounted, a layer and all below it are one tree that any program can read.",
    );
    let mounted = shell.mount(RELEASE, true)?;
    let file = format!("{mounted}/{GREETING}");
    let content = shell.other("cat", &[&file])?;
    shell.screen.output(&content, 3);
    let expected = fs::read_to_string(shell.path(TREE).join(GREETING))?;
    if content != expected {
        return Err(format!("{file} reads {content:?}, not {expected:?}").into());
    }
    shell.verify("the file reads as it was written");
    let tool = fs::metadata(shell.path(&mounted).join(SET_UID))?;
    if shell.is_root && tool.mode() & 0o7777 != 0o4755 {
        return Err(format!("{SET_UID} has mode {:o}", tool.mode()).into());
    }
    shell.unmount(&mounted, true)
}

/// Sets a digest and reads it.
fn digest(shell: &mut Shell, layer: &Layer) -> Result {
    shell.screen.step(
        "A digest",
        "What a layer's bytes hash to is kept beside it, so that a registry can be asked for them.",
    );
    let sum = shell.other("sha256sum", &[&layer.file])?;
    shell.screen.output(&sum, 1);
    let hex = sum.split_whitespace().next().unwrap_or_default();
    let digest = format!("sha256:{hex}");
    shell.run(&["digest", UPDATE, &digest], 1)?;
    let ran = shell.run(&["digest", UPDATE], 1)?;
    if ran.text().trim_end() != digest {
        return Err(format!("the digest reads {:?}, not {digest}", ran.text()).into());
    }
    shell.verify("it reads as it was set");
    Ok(())
}
