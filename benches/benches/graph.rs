//! What does a graph of ten thousand nodes cost to open, to list, and to ask?
//!
//! Makes a store with the driver vfs, in chains of ten nodes with the JSON of an ordinary image
//! and hardly any files, since the trees are not what is measured. Then opens it, lists all nodes,
//! finds the heads, and gets nodes by twelve digits.
//!
//! `cargo bench -p layergraph-benches --bench graph` takes about two minutes, most of it to make
//! the store; with `-- --test` each thing is done once, on a small one.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use layergraph::archive::Ownership;
use layergraph::fs::Durability;
use layergraph::image::v1::{Config, Image};
use layergraph::{Graph, StoreOptions};
use layergraph_benches::Random;

/// How many nodes there are; fewer in a debug build, which measures nothing anyway.
const NODES: usize = if cfg!(debug_assertions) { 100 } else { 10_000 };

/// How many nodes build on each other.
const CHAIN: usize = 10;

fn open(root: &Path) -> Graph {
    StoreOptions::new()
        .ownership(Ownership::Squash)
        .durability(Durability::None)
        .open_graph(root)
        .expect("the store opens")
}

/// Registers the nodes, and returns their ids.
fn fill(graph: &Graph) -> Vec<String> {
    let mut random = Random::new(3);
    let mut ids: Vec<String> = Vec::new();
    for at in 0..NODES {
        let parent = if at % CHAIN == 0 { None } else { ids.last() };
        let image = Image {
            id: random.next_id(),
            parent: parent.cloned().unwrap_or_default(),
            comment: "a layer".to_owned(),
            author: "A. Uthor <author@example.org>".to_owned(),
            docker_version: "1.8.0".to_owned(),
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            config: Some(Config {
                env: Some(vec![
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/bin:/bin".to_owned(),
                ]),
                cmd: Some(vec![
                    "/bin/sh".to_owned(),
                    "-c".to_owned(),
                    "sleep 1".to_owned(),
                ]),
                ..Config::default()
            }),
            ..Image::default()
        };
        graph.register(&image, None).expect("the node is new");
        ids.push(image.id);
    }
    ids
}

fn graph(c: &mut Criterion) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let root = home.path();
    let ids = fill(&open(root));
    // The times by which a listing is trusted have to be a moment old.
    std::thread::sleep(Duration::from_millis(300));

    let mut group = c.benchmark_group(format!("graph of {NODES} nodes"));
    group.sample_size(20);
    group.bench_function("open", |b| b.iter(|| open(black_box(root))));
    let graph = open(root);
    group.bench_function("map", |b| {
        b.iter(|| {
            let nodes = graph.map().expect("it is read");
            assert_eq!(nodes.by_id.len(), NODES);
            nodes
        });
    });
    group.bench_function("open and map", |b| {
        b.iter(|| open(black_box(root)).map().expect("it is read"));
    });
    group.bench_function("heads", |b| b.iter(|| graph.heads().expect("it is read")));
    let mut prefixes = ids.iter().map(|id| &id[..12]).cycle();
    group.sample_size(100);
    group.bench_function("get by 12 digits", |b| {
        b.iter(|| {
            prefixes
                .next()
                .map(|prefix| graph.get(black_box(prefix)).expect("it is there"))
        });
    });
    group.finish();
}

criterion_group!(benches, graph);
criterion_main!(benches);
