//! Random operations on two graphs of one store, against a model in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Deref;

use layergraph_core::{DeleteOptions, Graph, GraphErrorKind};
use layergraph_digest::parse_checksum;
use layergraph_image::NodeId;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::kept;
use crate::support::{Store, files_of, forced, image, layer};

/// Ids that share a few digits, many, or none.
const IDS: [[u8; 32]; 6] = {
    let mut ids = [
        [0xaa; 32], [0xaa; 32], [0xab; 32], [0xc0; 32], [0xc0; 32], [0x12; 32],
    ];
    ids[1][10] = 0xab;
    ids[4][31] = 0xc1;
    ids
};

fn id(number: usize) -> NodeId {
    NodeId::from_bytes(IDS[number])
}

#[derive(Debug, Clone)]
enum Entry {
    File(&'static str, &'static str),
    Whiteout(&'static str),
}

#[derive(Debug, Clone)]
enum Operation {
    Register(usize, Option<usize>, Option<Vec<Entry>>),
    Delete(usize, usize, bool),
    DeleteAll(Vec<(usize, usize)>, bool),
    Get(usize, usize),
    SetDigest(usize),
    /// Removes the size that is written down, so that it has to be computed.
    ForgetSize(usize),
    Reopen,
}

type Tree = BTreeMap<&'static str, &'static str>;

#[derive(Debug, Clone)]
struct Node {
    parent: Option<usize>,
    tree: Tree,
    size: i64,
    has_digest: bool,
}

/// What is to be in the store.
#[derive(Debug, Default)]
struct Model {
    nodes: BTreeMap<usize, Node>,
    /// The trees that outlived their nodes because others need them, each with what is below it.
    trees: BTreeMap<usize, Option<usize>>,
}

impl Deref for Model {
    type Target = BTreeMap<usize, Node>;

    fn deref(&self) -> &Self::Target {
        &self.nodes
    }
}

impl Model {
    /// Tells whether the tree of `number` is one on which others are built.
    fn is_needed(&self, number: usize) -> bool {
        let nodes = self.nodes.values().map(|node| node.parent);
        let mut all = nodes.chain(self.trees.values().copied());
        kept::INDEPENDENT && all.any(|parent| parent == Some(number))
    }

    fn remove(&mut self, number: usize) {
        let node = self.nodes.remove(&number).expect("it was there");
        if self.is_needed(number) {
            self.trees.insert(number, node.parent);
        }
        let free = |model: &Model| {
            let mut trees = model.trees.keys().copied();
            trees.find(|tree| !model.is_needed(*tree))
        };
        while let Some(tree) = free(self) {
            self.trees.remove(&tree);
        }
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    let number = || 0..IDS.len();
    let name = || proptest::sample::select(vec!["a", "b", "c"]);
    let content = proptest::sample::select(vec!["", "x", "yy"]);
    let entry = prop_oneof![
        3 => (name(), content).prop_map(|(name, text)| Entry::File(name, text)),
        1 => name().prop_map(Entry::Whiteout),
    ];
    let layer = proptest::option::weighted(0.8, vec(entry, 0..4));
    let parent = proptest::option::weighted(0.7, number());
    prop_oneof![
        6 => (number(), parent, layer)
            .prop_map(|(id, parent, layer)| Operation::Register(id, parent, layer)),
        3 => (number(), 1..=64_usize, any::<bool>())
            .prop_map(|(id, digits, force)| Operation::Delete(id, digits, force)),
        1 => (vec((number(), 1..=64_usize), 0..4), any::<bool>())
            .prop_map(|(names, force)| Operation::DeleteAll(names, force)),
        3 => (number(), 1..=64_usize).prop_map(|(id, digits)| Operation::Get(id, digits)),
        1 => number().prop_map(Operation::SetDigest),
        1 => number().prop_map(Operation::ForgetSize),
        1 => Just(Operation::Reopen),
    ]
}

/// Applies a layer as the image-spec has it: whiteouts remove what is below.
fn applied(below: Option<&Node>, entries: &[Entry]) -> (Tree, i64) {
    let mut tree = below.map(|node| node.tree.clone()).unwrap_or_default();
    let mut size = 0;
    for entry in entries {
        if let Entry::Whiteout(name) = entry {
            tree.remove(name);
        }
    }
    for entry in entries {
        if let Entry::File(name, text) = entry {
            tree.insert(name, text);
            size += i64::try_from(text.len()).expect("a short text");
        }
    }
    (tree, size)
}

fn written(entries: &[Entry]) -> Vec<u8> {
    let lines: Vec<String> = entries
        .iter()
        .map(|entry| match entry {
            Entry::File(name, text) => format!("{name} = {text}"),
            Entry::Whiteout(name) => format!(".wh.{name}"),
        })
        .collect();
    layer(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What the layer of a node changes, if there is something to compare with.
fn changes(model: &Model, node: &Node) -> Option<(Vec<String>, i64)> {
    let below = match node.parent {
        Some(parent) => model.get(&parent)?.tree.clone(),
        None => Tree::new(),
    };
    let mut lines = BTreeMap::new();
    let mut size = 0;
    for (name, text) in &node.tree {
        let letter = match below.get(name) {
            Some(old) if old == text => continue,
            Some(_) => 'C',
            None => 'A',
        };
        size += i64::try_from(text.len()).expect("a short text");
        lines.insert(*name, format!("{letter} /{name}"));
    }
    for name in below.keys().filter(|name| !node.tree.contains_key(*name)) {
        lines.insert(name, format!("D /{name}"));
    }
    Some((lines.into_values().collect(), size))
}

/// Finds by prefix, as whoever goes through all ids would.
fn find(model: &Model, prefix: &str) -> Result<usize, GraphErrorKind> {
    let mut found = model
        .keys()
        .filter(|&&number| id(number).to_string().starts_with(prefix));
    match (found.next(), found.next()) {
        (None, _) => Err(GraphErrorKind::NotFound),
        (Some(&number), None) => Ok(number),
        _ => Err(GraphErrorKind::Ambiguous),
    }
}

fn children(model: &Model, number: usize) -> Vec<NodeId> {
    let children = model.iter().filter(|(_, node)| node.parent == Some(number));
    let mut children: Vec<NodeId> = children.map(|(&child, _)| id(child)).collect();
    children.sort();
    children
}

/// Tells whether the history of `from` leads to `number`.
fn leads_to(model: &Model, from: usize, number: usize) -> bool {
    let parent = |number: &usize| model.get(number).and_then(|node| node.parent);
    std::iter::successors(Some(from), parent).any(|ancestor| ancestor == number)
}

fn perform(store: &Store, graph: &Graph, model: &mut Model, operation: &Operation) {
    match operation {
        Operation::Register(number, parent, entries) => {
            let described = image(&id(*number), parent.map(id).as_ref());
            let tar = entries.as_deref().map(written);
            let result = match &tar {
                Some(tar) => graph.register(&described, Some(&mut &tar[..])),
                None => graph.register(&described, None),
            };
            let below = parent.and_then(|parent| model.get(&parent));
            let expected = if model.contains_key(number) {
                Err(GraphErrorKind::AlreadyExists)
            } else if parent.is_some() && below.is_none() {
                Err(GraphErrorKind::NotFound)
            } else if parent.is_some_and(|parent| leads_to(model, parent, *number)) {
                Err(GraphErrorKind::Circle)
            } else if model.is_needed(*number) {
                // Its old tree stays as long as that.
                Err(GraphErrorKind::InUse)
            } else {
                Ok(())
            };
            assert_eq!(result.map(drop).map_err(|error| error.kind()), expected);
            if expected.is_ok() {
                let (tree, size) = applied(below, entries.as_deref().unwrap_or_default());
                let (parent, has_digest) = (*parent, false);
                model.nodes.insert(
                    *number,
                    Node {
                        parent,
                        tree,
                        size,
                        has_digest,
                    },
                );
            }
        }
        Operation::Delete(number, digits, force) => {
            let prefix = &id(*number).to_string()[..*digits];
            let found = find(model, prefix);
            let expected = match found {
                Ok(number) if !force && model.is_needed(number) => Err(GraphErrorKind::InUse),
                Ok(number) if !force && !children(model, number).is_empty() => {
                    Err(GraphErrorKind::InUse)
                }
                found => found,
            };
            let deleted = graph.delete(prefix, options(*force));
            if let Ok(deleted) = &deleted {
                assert!(deleted.leftover.is_none());
            }
            let deleted = deleted
                .map(|deleted| deleted.id)
                .map_err(|error| error.kind());
            assert_eq!(deleted, expected.map(|number| id(number).to_string()));
            if let Ok(number) = expected {
                model.remove(number);
            }
        }
        Operation::DeleteAll(names, force) => delete_all(graph, model, names, *force),
        Operation::Get(number, digits) => {
            let prefix = &id(*number).to_string()[..*digits];
            let found = graph
                .get(prefix)
                .map(|node| node.id())
                .map_err(|error| error.kind());
            assert_eq!(found, find(model, prefix).map(id), "{prefix}");
        }
        Operation::SetDigest(number) => {
            let digest = parse_checksum("sha256:ab").expect("a checksum");
            let set = graph.set_digest(&id(*number), &digest);
            assert_eq!(set.is_ok(), model.contains_key(number));
            if let Some(node) = model.nodes.get_mut(number) {
                node.has_digest = true;
            }
        }
        Operation::ForgetSize(number) => {
            let computed = model.get(number).and_then(|node| changes(model, node));
            if let Some((_, size)) = computed {
                let file = store.node(&id(*number)).join("layersize");
                fs::remove_file(&file).expect("a node has one");
                let node = graph.get(&id(*number).to_string()).expect("it is there");
                assert_eq!(node.size(), size);
                assert_eq!(
                    fs::read(file).expect("it was written"),
                    size.to_string().into_bytes()
                );
                let node = model.nodes.get_mut(number);
                node.expect("it was just there").size = size;
            }
        }
        Operation::Reopen => {}
    }
}

fn options(force: bool) -> DeleteOptions {
    if force {
        forced()
    } else {
        DeleteOptions::default()
    }
}

fn delete_all(graph: &Graph, model: &mut Model, names: &[(usize, usize)], force: bool) {
    let prefixes: Vec<String> = names
        .iter()
        .map(|&(number, digits)| id(number).to_string()[..digits].to_owned())
        .collect();
    let found: Result<BTreeSet<usize>, GraphErrorKind> =
        prefixes.iter().map(|prefix| find(model, prefix)).collect();
    let expected = found.and_then(|numbers| {
        let mut children = numbers.iter().flat_map(|number| children(model, *number));
        let is_named = |child: &NodeId| numbers.iter().any(|number| id(*number) == *child);
        if force || children.all(|child| is_named(&child)) {
            Ok(numbers)
        } else {
            Err(GraphErrorKind::InUse)
        }
    });
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    let deleted = graph.delete_all(&prefixes, options(force));
    let Ok(numbers) = expected else {
        let kind = deleted.map_err(|error| error.kind()).map(drop);
        assert_eq!(kind, expected.map(drop));
        return;
    };
    let all = deleted.expect("they may go");
    if let Some(failed) = &all.failed {
        // What others need is not always a node's any more.
        assert!(!force && !model.trees.is_empty(), "{all:?}");
        assert_eq!(failed.kind(), GraphErrorKind::InUse, "{all:?}");
    }
    let is_whole = all.failed.is_none();
    let mut order = Vec::new();
    for deleted in all.deleted {
        assert!(deleted.leftover.is_none(), "{deleted:?}");
        let number = numbers
            .iter()
            .find(|number| id(**number).to_string() == deleted.id);
        order.push(*number.expect("it was named"));
    }
    assert!(order.len() == numbers.len() || !is_whole);
    assert_eq!(
        order.iter().collect::<BTreeSet<_>>().len(),
        order.len(),
        "each goes once"
    );
    for number in order {
        // Of those that were named, nobody builds on it any more.
        let child = children(model, number);
        let is_left = |child: &NodeId| numbers.iter().any(|number| id(*number) == *child);
        assert!(!child.iter().any(is_left), "{number} went before its child");
        model.remove(number);
    }
}

fn check(store: &Store, graph: &Graph, model: &Model) {
    let nodes = graph.map().expect("it can be listed");
    assert!(nodes.broken.is_empty(), "{:?}", nodes.broken);
    let mut ids: Vec<NodeId> = model.keys().map(|&number| id(number)).collect();
    ids.sort();
    assert!(nodes.by_id.keys().eq(&ids));
    let by_parent: BTreeMap<NodeId, Vec<NodeId>> = model
        .keys()
        .map(|&number| (id(number), children(model, number)))
        .filter(|(_, children)| !children.is_empty())
        .collect();
    assert_eq!(graph.by_parent().expect("it can be listed"), by_parent);
    let heads = graph.heads().expect("it can be listed");
    assert!(
        heads
            .keys()
            .eq(ids.iter().filter(|id| !by_parent.contains_key(id)))
    );

    for (&number, expected) in &model.nodes {
        let node = &nodes.by_id[&id(number)];
        assert_eq!(node.size(), expected.size);
        let parent = expected.parent.map(|parent| id(parent).to_string());
        assert_eq!(node.parent(), parent.as_deref());
        assert_eq!(graph.digest(&node.id()).is_ok(), expected.has_digest);
        let tree = files_of(graph, &node.id());
        let expected_tree = expected.tree.iter();
        assert!(
            tree.iter()
                .map(|(a, b)| (&**a, &**b))
                .eq(expected_tree.map(|(a, b)| (*a, *b)))
        );
        // The root of a tree is listed where it belongs to an ordinary user.
        let listed = graph.changes(node).ok().map(|list| {
            let lines = list.iter().map(ToString::to_string);
            lines.filter(|line| line != "C /").collect::<Vec<_>>()
        });
        assert_eq!(listed, changes(model, expected).map(|(lines, _)| lines));
    }
    assert!(store.unfinished().is_empty());
    let trees = graph.driver().list().expect("it can be listed");
    assert_eq!(trees.len(), model.len() + model.trees.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn two_graphs_of_one_store_are_what_a_map_is(
        operations in vec((operation(), 0..2_usize), 1..24)
    ) {
        let store = Store::in_memory()?;
        let mut graphs = [store.open(), store.open()];
        let mut model = Model::default();
        for (operation, number) in &operations {
            if let Operation::Reopen = operation {
                graphs[*number] = store.open();
            }
            perform(&store, &graphs[*number], &mut model, operation);
            check(&store, &graphs[1 - number], &model);
        }
        for graph in &graphs {
            check(&store, graph, &model);
        }
    }
}
