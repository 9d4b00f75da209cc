//! What does it cost to find one id among a million by its first digits?
//!
//! Builds the index, looks ids up by 12 and by 64 digits, and weighs it; beside it a linear scan of
//! a list and a trie (`patricia_tree`), in the same run on the same ids.
//!
//! `cargo bench -p layergraph-benches --bench truncindex` takes about a minute;
//! with `-- --test` each thing is done once, in a few seconds.

#![forbid(unsafe_code)]

use std::alloc::System;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use layergraph_benches::Random;
use patricia_tree::StringPatriciaSet;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use truncindex::TruncIndex;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many ids there are; fewer in a debug build, which measures nothing anyway.
const IDS: usize = if cfg!(debug_assertions) {
    10_000
} else {
    1_000_000
};

/// How many different ids are looked up: enough that the processor's caches do not hold the way to
/// all of them.
const QUERIES: usize = IDS / 10;

fn ids() -> Vec<String> {
    let mut random = Random::new(1);
    (0..IDS).map(|_| random.next_id()).collect()
}

/// Inserts one by one, the way an index grows in use.
fn insert_each(ids: &[String]) -> TruncIndex {
    let mut index = TruncIndex::new();
    for id in ids {
        index.insert(id).expect("random ids differ");
    }
    index
}

/// Inserts all at once, the way a store that opens makes its index.
fn collect(ids: &[String]) -> TruncIndex {
    ids.iter().collect()
}

fn insert_each_in_trie(ids: &[String]) -> StringPatriciaSet {
    let mut trie = StringPatriciaSet::new();
    for id in ids {
        trie.insert(id);
    }
    trie
}

/// Does with the trie what `TruncIndex::get` does: one id, or none because of none or several.
fn get_in_trie(trie: &StringPatriciaSet, prefix: &str) -> Option<String> {
    only(trie.iter_prefix(prefix))
}

fn get_in_list(ids: &[String], prefix: &str) -> Option<String> {
    only(ids.iter().filter(|id| id.starts_with(prefix)).cloned())
}

fn only<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Prints how many bytes a structure holds for each id, the ids' texts included.
fn weigh<T>(name: &str, build: impl FnOnce() -> T) {
    let region = Region::new(ALLOCATOR);
    let structure = build();
    let change = region.change();
    // Growth and shrinking of a block are in both counts already.
    let held = change.bytes_allocated.checked_sub(change.bytes_deallocated);
    drop(structure);
    match held {
        Some(bytes) => {
            let tenths = bytes * 10 / IDS;
            println!("memory/{name}: {}.{} B/id", tenths / 10, tenths % 10);
        }
        None => println!("memory/{name}: less after than before"),
    }
}

fn memory(_: &mut Criterion) {
    let ids = ids();
    weigh("truncindex, one by one", || insert_each(&ids));
    weigh("truncindex, at once", || collect(&ids));
    weigh("list of strings", || ids.clone());
    weigh("patricia_tree", || insert_each_in_trie(&ids));
}

fn build(c: &mut Criterion) {
    let ids = ids();
    let mut group = c.benchmark_group("build");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    let mut measure = |name: &str, build: &dyn Fn()| {
        group.bench_function(name, |b| b.iter(build));
    };
    measure("truncindex, one by one", &|| {
        drop(black_box(insert_each(&ids)));
    });
    measure("truncindex, at once", &|| {
        drop(black_box(collect(&ids)));
    });
    measure("patricia_tree", &|| {
        drop(black_box(insert_each_in_trie(&ids)));
    });
    group.finish();
}

fn lookup(c: &mut Criterion) {
    let ids = ids();
    let index = insert_each(&ids);
    let trie = insert_each_in_trie(&ids);
    let mut random = Random::new(2);
    // Copies, one behind the other: what a user asks for has just been read, so fetching its text
    // from somewhere in 100 MB must not count as part of the lookup.
    let queries: Vec<String> = (0..QUERIES)
        .map(|_| {
            let at = usize::try_from(random.next_u64() % IDS as u64).expect("less than IDS");
            ids[at].clone()
        })
        .collect();

    for digits in [12, 64] {
        // Before they are compared, all three have to give the same answers.
        for query in queries.iter().take(100) {
            let found = index.get(&query[..digits]).ok();
            assert_eq!(found.as_ref(), Some(query));
            assert_eq!(get_in_trie(&trie, &query[..digits]), found);
            assert_eq!(get_in_list(&ids, &query[..digits]), found);
        }

        let mut group = c.benchmark_group(format!("lookup by {digits} digits"));
        measure(&mut group, "truncindex", &queries, |id| {
            index.get(&id[..digits]).ok()
        });
        measure(&mut group, "patricia_tree", &queries, |id| {
            get_in_trie(&trie, &id[..digits])
        });
        // Milliseconds each, so few of them are enough.
        group.sample_size(10);
        measure(&mut group, "linear scan", &queries, |id| {
            get_in_list(&ids, &id[..digits])
        });
        group.finish();
    }
}

/// Measures one lookup, each time of the next id.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    queries: &[String],
    lookup: impl Fn(&str) -> Option<String>,
) {
    let mut queries = queries.iter().cycle();
    group.bench_function(name, |b| {
        b.iter(|| queries.next().and_then(|id| lookup(black_box(id))));
    });
}

criterion_group!(benches, memory, build, lookup);
criterion_main!(benches);
