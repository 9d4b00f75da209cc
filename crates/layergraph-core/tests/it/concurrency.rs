//! Many threads and processes on one store.
//!
//! Each registers, reads and deletes nodes at random, and they share ids and parents. What each
//! layer holds is marked with a token that no other has, so that halves and mixtures are seen. The
//! operations that succeeded are logged; those on one id exclude each other, so the log tells what
//! has to be there at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use layergraph_archive::{Change, ChangeKind};
use layergraph_core::{DeleteOptions, Graph, GraphError, GraphErrorKind};
use layergraph_digest::parse_checksum;
use layergraph_image::NodeId;
use rustix::time::{ClockId, clock_gettime};

use crate::laws::forced;
use crate::processes::{self, Partner, say};
use crate::support::{Result, Store, id, image, layer, open};

/// Ids of nodes that have a layer, and any of these as parent.
const LAYERED: u8 = 6;
/// Ids of all nodes; the rest is bare: no layer, no parent, and a size that has to be computed.
const ALL: u8 = 8;
/// How many files each layer has.
const FILES: usize = 4;
/// The length of a token.
const TOKEN: usize = 12;

/// One operation that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    id: u8,
    /// What was registered, or nothing if it was deleted.
    token: Option<String>,
    start: i64,
    end: i64,
}

impl Done {
    fn line(&self) -> String {
        let Done {
            id,
            token,
            start,
            end,
        } = self;
        let token = token.as_deref().unwrap_or("-");
        format!("done {id} {token} {start} {end}")
    }

    fn parse(line: &str) -> Option<Done> {
        let mut words = line.strip_prefix("done ")?.split(' ');
        let mut word = || words.next().expect("a line of four words");
        Some(Done {
            id: word().parse().expect("a number"),
            token: Some(word().to_owned()).filter(|token| token != "-"),
            start: word().parse().expect("a number"),
            end: word().parse().expect("a number"),
        })
    }
}

/// Nanoseconds of a clock that all processes share, and that nobody sets.
fn now() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// A generator of numbers (xorshift), so that each run is another mixture of the same operations.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u8) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u8::try_from(self.0 % u64::from(limit)).expect("it is below a byte")
    }
}

struct Worker<'a> {
    graph: &'a Graph,
    number: usize,
    numbers: Numbers,
    log: &'a (dyn Fn(Done) + Sync),
}

impl<'a> Worker<'a> {
    fn new(graph: &'a Graph, number: usize, log: &'a (dyn Fn(Done) + Sync)) -> Worker<'a> {
        let numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ ((number as u64 + 1) << 32));
        Worker {
            graph,
            number,
            numbers,
            log,
        }
    }

    fn work(&mut self, operations: usize) {
        for operation in 0..operations {
            let number = self.numbers.below(ALL);
            match self.numbers.below(8) {
                0..=2 => self.register(number, operation),
                3 | 4 => self.delete(number),
                5 => self.read(number),
                6 => self.list(),
                _ => self.set_digest(number),
            }
        }
    }

    fn register(&mut self, number: u8, operation: usize) {
        let token = format!("{:03}-{operation:08}", self.number);
        let parent = (number < LAYERED && self.numbers.below(4) > 0)
            .then(|| id(self.numbers.below(LAYERED)));
        let mut described = image(&id(number), parent.as_ref());
        described.comment.clone_from(&token);
        described.size = -1;
        let start = now();
        let result = if number < LAYERED {
            let tar = written(number, &token);
            self.graph.register(&described, Some(&mut &tar[..]))
        } else {
            self.graph.register(&described, None)
        };
        let end = now();
        match result {
            Ok(_) => (self.log)(Done {
                id: number,
                token: Some(token),
                start,
                end,
            }),
            Err(error) => {
                use GraphErrorKind::{AlreadyExists, NotFound};
                let is_expected = match error.kind() {
                    AlreadyExists => true,
                    NotFound => parent.is_some(),
                    _ => false,
                };
                assert!(is_expected, "{error:?}");
            }
        }
    }

    fn delete(&mut self, number: u8) {
        let force = self.numbers.below(2) == 0;
        let options = if force {
            forced()
        } else {
            DeleteOptions::default()
        };
        let start = now();
        let result = self.graph.delete(&id(number).to_string(), options);
        let end = now();
        match result {
            Ok(deleted) => {
                assert!(deleted.leftover.is_none(), "{deleted:?}");
                (self.log)(Done {
                    id: number,
                    token: None,
                    start,
                    end,
                });
            }
            Err(error) => {
                use GraphErrorKind::{InUse, NotFound};
                let kinds: &[_] = if force {
                    &[NotFound]
                } else {
                    &[NotFound, InUse]
                };
                assert!(kinds.contains(&error.kind()), "{error:?}");
            }
        }
    }

    fn read(&mut self, number: u8) {
        let node = match self.graph.get(&id(number).to_string()) {
            Ok(node) => node,
            Err(error) => {
                assert_eq!(error.kind(), GraphErrorKind::NotFound, "{error:?}");
                return;
            }
        };
        assert_eq!(node.image().comment.len(), TOKEN);
        let whole = if number < LAYERED { FILES * TOKEN } else { 0 };
        assert_eq!(node.size(), i64::try_from(whole).expect("a small number"));
        match self.graph.changes(&node) {
            Ok(changes) => check_changes(number, &changes),
            Err(error) => assert_eq!(error.kind(), GraphErrorKind::NotFound, "{error:?}"),
        }
    }

    fn list(&mut self) {
        let nodes = self.graph.map().expect("it can be listed");
        assert!(nodes.broken.is_empty(), "{:?}", nodes.broken);
        self.graph.heads().expect("it can be listed");
    }

    fn set_digest(&mut self, number: u8) {
        let digest = parse_checksum("sha256:ab").expect("a checksum");
        if let Err(error) = self.graph.set_digest(&id(number), &digest) {
            assert_eq!(error.kind(), GraphErrorKind::NotFound, "{error:?}");
        }
    }
}

/// Checks that of each layer all files are listed in the same way, or none.
///
/// The parent may have been made anew since, on top of this very node, so that nothing is sure of
/// its own files but that they are there.
fn check_changes(number: u8, changes: &[Change]) {
    for layer in 0..LAYERED {
        let names = names(layer);
        let listed: Vec<ChangeKind> = changes
            .iter()
            .filter(|change| names.iter().any(|name| change.path == Path::new(name)))
            .map(|change| change.kind)
            .collect();
        let is_whole = listed.is_empty() || listed == [listed[0]; FILES];
        assert!(is_whole, "{layer}: {changes:?}");
        let is_gone = listed.contains(&ChangeKind::Deleted);
        assert!(layer != number || !is_gone, "{number}: {changes:?}");
    }
    // The root of a tree is listed where it belongs to an ordinary user.
    let is_bare = changes.iter().all(|change| change.path == Path::new(""));
    assert!(number < LAYERED || is_bare, "{changes:?}");
}

/// The names of the files in a layer.
fn names(number: u8) -> [String; FILES] {
    std::array::from_fn(|file| format!("f{number}-{file}"))
}

fn written(number: u8, token: &str) -> Vec<u8> {
    let lines = names(number).map(|name| format!("{name} = {token}"));
    layer(&lines.each_ref().map(String::as_str))
}

/// Checks that each node is whole, and returns the tokens.
fn check_nodes(store: &Store, graph: &Graph) -> BTreeMap<u8, String> {
    let nodes = graph.map().expect("it can be listed");
    assert!(nodes.broken.is_empty(), "{:?}", nodes.broken);
    let mut tokens = BTreeMap::new();
    for node in nodes.by_id.values() {
        let number = node.id().as_bytes()[31];
        let token = node.image().comment.clone();
        let mut tree: BTreeMap<u8, Vec<(String, String)>> = BTreeMap::new();
        for entry in fs::read_dir(store.tree(&node.id())).expect("a node has a tree") {
            let entry = entry.expect("a readable directory");
            let name = entry.file_name().into_string().expect("a name of ours");
            let layer = name[1..2].parse().expect("a name of ours");
            let text = fs::read_to_string(entry.path()).expect("a file of ours");
            tree.entry(layer).or_default().push((name, text));
        }
        // The files of each layer in it are those of one registration, and none is missing.
        for (layer, files) in &mut tree {
            files.sort();
            let token = if *layer == number {
                &token
            } else {
                &files[0].1
            };
            let whole = names(*layer).map(|name| (name, token.clone()));
            assert_eq!(files[..], whole, "in the tree of {number}");
        }
        assert_eq!(tree.contains_key(&number), number < LAYERED);
        for file in fs::read_dir(store.node(&node.id())).expect("a node has files") {
            let name = file.expect("a readable directory").file_name();
            assert!(
                ["json", "layersize", "checksum"]
                    .iter()
                    .any(|file| name == *file),
                "{}",
                name.display()
            );
        }
        tokens.insert(number, token);
    }
    tokens
}

/// Checks the store against what was done.
fn check_end(store: &Store, done: &[Done]) {
    let graph = store.open();
    let tokens = check_nodes(store, &graph);
    assert!(store.unfinished().is_empty(), "{:?}", store.unfinished());
    let count = |number, registered| {
        let same = |done: &&Done| done.id == number && done.token.is_some() == registered;
        done.iter().filter(same).count()
    };
    for number in 0..ALL {
        let (registered, deleted) = (count(number, true), count(number, false));
        assert!(
            registered > 0 && deleted > 0,
            "{number}: {registered} and {deleted}"
        );
        let token = tokens.get(&number);
        assert_eq!(
            registered,
            deleted + usize::from(token.is_some()),
            "{number}"
        );
        // The operation whose result is there was the last: none began after its end.
        let of_id = || done.iter().filter(|done| done.id == number);
        let mut results = of_id().filter(|done| done.token.as_ref() == token);
        let is_last = |last: &Done| of_id().all(|done| done.start <= last.end);
        assert!(results.any(is_last), "{number}: {token:?}");
    }
    check_trees(store, &tokens);
}

/// Checks that there is a tree for each node, and no other.
fn check_trees(store: &Store, tokens: &BTreeMap<u8, String>) {
    let trees = fs::read_dir(store.path("vfs/dir")).expect("the driver's directory");
    let trees: BTreeSet<String> = trees
        .map(|entry| {
            entry
                .expect("a readable directory")
                .file_name()
                .into_string()
                .expect("an id")
        })
        .collect();
    let expected: BTreeSet<String> = tokens
        .keys()
        .map(|number| id(*number).to_string())
        .collect();
    assert_eq!(trees, expected);
}

#[test]
fn p7_threads_leave_what_their_last_operations_made() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    let done = Mutex::new(Vec::new());
    let log = |operation| {
        done.lock()
            .expect("nobody panics while it logs")
            .push(operation);
    };
    thread::scope(|scope| {
        for number in 0..16 {
            let mut worker = Worker::new(&graph, number, &log);
            scope.spawn(move || worker.work(60));
        }
    });
    drop(graph);
    check_end(&store, &done.into_inner()?);
    Ok(())
}

#[test]
fn p7_a_node_that_comes_and_goes_is_read_whole_or_not_at_all() -> Result {
    // A size that is stated differs from the one that would be computed if its file were missed;
    // one that has to be computed is written down while the node may go.
    for (stated, size) in [(7, 7), (-1, 0)] {
        let store = Store::in_memory()?;
        let (graph, other) = (store.open(), store.open());
        let mut described = image(&id(1), None);
        described.size = stated;
        let whole = id(1).to_string();
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..400 {
                    other.register(&described, None).expect("it is free");
                    let deleted = other.delete(&whole, DeleteOptions::default());
                    let leftover = deleted.expect("it is there").leftover;
                    assert!(leftover.is_none(), "{leftover:?}");
                }
                is_done.store(true, Ordering::SeqCst);
            });
            while !is_done.load(Ordering::SeqCst) {
                let absent = |error: GraphError| {
                    assert_eq!(error.kind(), GraphErrorKind::NotFound, "{error:?}");
                };
                match graph.get(&whole) {
                    Ok(node) => assert_eq!(node.size(), size),
                    Err(error) => absent(error),
                }
                graph.raw_json(&id(1)).map_or_else(absent, |_| ());
                let nodes = graph.map().expect("it can be listed");
                assert!(nodes.broken.is_empty(), "{:?}", nodes.broken);
            }
        });
        assert!(store.unfinished().is_empty(), "{:?}", store.unfinished());
    }
    Ok(())
}

/// What a partner process does: it works and logs.
fn partner(root: &Path, operations: usize) -> Result {
    let graph = open(root);
    processes::ready_until_told()?;
    let number = usize::try_from(std::process::id())? % 1000;
    let log = |done: Done| say(&done.line()).expect("somebody listens");
    Worker::new(&graph, number, &log).work(operations);
    Ok(())
}

fn start_partners(store: &Store, test: &str, count: usize) -> Result<Vec<Partner>> {
    let start = |_| Partner::start(test, store.root());
    let mut partners: Vec<Partner> = (0..count).map(start).collect::<std::io::Result<_>>()?;
    for partner in &mut partners {
        partner.wait_ready()?;
    }
    for partner in &mut partners {
        partner.tell();
    }
    Ok(partners)
}

#[test]
fn p7_processes_leave_what_their_last_operations_made() -> Result {
    if let Some(root) = processes::partner_home() {
        return partner(&root, 100);
    }
    let store = Store::in_memory()?;
    store.open();
    let mut done = Vec::new();
    for partner in start_partners(&store, &processes::this_test!(), 8)? {
        let said = partner.finish()?;
        done.extend(said.iter().filter_map(|line| Done::parse(line)));
    }
    check_end(&store, &done);
    Ok(())
}

#[test]
fn p1_processes_that_are_killed_leave_no_damage_and_nobody_waiting() -> Result {
    if let Some(root) = processes::partner_home() {
        return partner(&root, 200);
    }
    let store = Store::in_memory()?;
    store.open();
    let mut partners = start_partners(&store, &processes::this_test!(), 8)?;
    // Those that are killed are at work: each has said something already.
    for partner in partners.drain(..5) {
        let mut partner = partner;
        partner.wait_line("done ")?;
        partner.kill()?;
        check_nodes_while_others_work(&store);
    }
    for partner in partners {
        partner.finish()?;
    }
    let graph = store.open();
    assert!(store.unfinished().is_empty(), "{:?}", store.unfinished());
    check_nodes(&store, &graph);
    // Trees without node may be left, and are nobody's hindrance.
    for number in 0..ALL {
        let whole = id(number).to_string();
        if graph.exists(&whole)? {
            graph.delete(&whole, forced())?;
        }
        let mut described = image(&id(number), None);
        "999-99999999".clone_into(&mut described.comment);
        let tar = written(number, &described.comment);
        let layer: Option<&mut dyn std::io::Read> = if number < LAYERED {
            Some(&mut &tar[..])
        } else {
            None
        };
        graph.register(&described, layer)?;
    }
    let tokens = check_nodes(&store, &graph);
    assert_eq!(tokens.len(), usize::from(ALL));
    check_trees(&store, &tokens);
    Ok(())
}

fn check_nodes_while_others_work(store: &Store) {
    let graph = store.open();
    let nodes = graph.map().expect("it can be listed");
    assert!(nodes.broken.is_empty(), "{:?}", nodes.broken);
}

/// Ids that a log names, as the graph knows them.
#[test]
fn a_log_line_says_what_was_done() {
    for token in [None, Some("001-00000002".to_owned())] {
        let done = Done {
            id: 3,
            token,
            start: 4,
            end: 5,
        };
        assert_eq!(Done::parse(&done.line()), Some(done));
    }
    assert_eq!(Done::parse("running 1 test"), None);
    assert!(NodeId::parse(id(7).to_string()).is_ok());
}
