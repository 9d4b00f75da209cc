//! What do the changes of a few files cost in a large tree?
//!
//! A tree of 70,000 files in 3,500 directories, as one layer and spread over eight, and 100
//! changed files in a layer on top. They are looked for in the layer on top, and, to compare with,
//! in all there is, as if the layers below were others. A third figure is the least that looking at
//! both trees can take: each directory of each is listed, and for each name lstat(2) is called.
//!
//! `cargo bench -p layergraph-benches --bench changes`; with `-- --test` each thing is done once,
//! on a small tree.

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use criterion::{Criterion, criterion_group, criterion_main};
use layergraph::archive::{Change, CompareOptions, Dialect, View, changes};
use layergraph::fs::Dir;

/// How many files there are in how many directories; fewer in a debug build, which measures nothing
/// anyway.
const FILES: usize = if cfg!(debug_assertions) { 700 } else { 70_000 };
const DIRECTORIES: usize = FILES / 20;
/// How many are changed.
const CHANGED: usize = FILES / 700;

/// Returns the path of a file in a layer, and makes its directory.
fn place(layer: &Path, file: usize) -> io::Result<PathBuf> {
    let directory = file % DIRECTORIES;
    let directory = layer.join(format!("usr/share/{:02}/{directory:04}", directory % 50));
    fs::create_dir_all(&directory)?;
    Ok(directory.join(format!("file-{file}")))
}

/// Makes the layers, the uppermost first.
fn make(home: &Path, below: usize) -> io::Result<Vec<PathBuf>> {
    let mut layers = vec![home.join("top")];
    layers.extend((0..below).map(|layer| home.join(format!("below-{layer}"))));
    for file in 0..FILES {
        let layer = &layers[1 + file % below];
        fs::write(place(layer, file)?, format!("text of {file}"))?;
    }
    for file in (0..CHANGED).map(|number| number * (FILES / CHANGED + 1)) {
        fs::write(place(&layers[0], file)?, format!("else in {file}"))?;
    }
    Ok(layers)
}

fn union(layers: &[PathBuf]) -> View {
    let dirs = layers.iter().map(|layer| Dir::open(layer));
    let dirs: Result<Vec<Dir>, _> = dirs.collect();
    View::union(dirs.expect("the layers are there"), Dialect::Overlay)
}

fn list(upper: &View, lower: &View) -> Vec<Change> {
    let changes = changes(upper, Some(lower), &CompareOptions::default());
    changes.expect("trees that can be read")
}

/// Lists all directories of the layers, and looks at all that is in them. Returns how much it is.
fn look_at_all(layers: &[PathBuf]) -> io::Result<usize> {
    let mut directories = layers.to_vec();
    let mut count = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            count += 1;
            if entry.metadata()?.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(count)
}

fn few_changes(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("changes of {CHANGED} files over {FILES}"));
    group.sample_size(10);
    for below in [1, 8] {
        let home = tempfile::tempdir().expect("a directory");
        let layers = make(home.path(), below).expect("a place for the layers");
        let (upper, lower) = (union(&layers), union(&layers[1..]));
        let empty = home.path().join("empty");
        fs::create_dir(&empty).expect("a new directory");
        let other = union(&[&layers[1..], &[empty]].concat());
        assert_eq!(list(&upper, &lower), list(&upper, &other));
        group.bench_function(format!("on {below}, the layer on top"), |bench| {
            bench.iter(|| list(&upper, &lower));
        });
        group.bench_function(format!("on {below}, all there is"), |bench| {
            bench.iter(|| list(&upper, &other));
        });
        group.bench_function(format!("on {below}, a look at both trees"), |bench| {
            let look = |layers| look_at_all(layers).expect("they can be read");
            bench.iter(|| look(&layers) + look(&layers[1..]));
        });
    }
}

criterion_group!(benches, few_changes);
criterion_main!(benches);
