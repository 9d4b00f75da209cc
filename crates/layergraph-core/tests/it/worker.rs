//! Somebody who registers, reads and deletes nodes at random, and logs what he did.

use std::path::Path;

use layergraph_archive::{Change, ChangeKind};
use layergraph_core::{DeleteOptions, Graph, GraphErrorKind};
use layergraph_digest::parse_checksum;
use rustix::time::{ClockId, clock_gettime};

use crate::kept;
use crate::support::{forced, id, image, layer};

/// Ids of nodes that have a layer, and any of these as parent.
pub(crate) const LAYERED: u8 = 6;
/// Ids of all nodes; the rest is bare: no layer, no parent, and a size that has to be computed.
pub(crate) const ALL: u8 = 8;
/// How many files each layer has.
pub(crate) const FILES: usize = 4;
/// The length of a token.
const TOKEN: usize = 12;

/// One operation that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) id: u8,
    /// What was registered, or nothing if it was deleted.
    pub(crate) token: Option<String>,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Done {
    pub(crate) fn line(&self) -> String {
        let Done {
            id,
            token,
            start,
            end,
        } = self;
        let token = token.as_deref().unwrap_or("-");
        format!("done {id} {token} {start} {end}")
    }

    pub(crate) fn parse(line: &str) -> Option<Done> {
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

pub(crate) struct Worker<'a> {
    graph: &'a Graph,
    number: usize,
    numbers: Numbers,
    log: &'a (dyn Fn(Done) + Sync),
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        graph: &'a Graph,
        number: usize,
        log: &'a (dyn Fn(Done) + Sync),
    ) -> Worker<'a> {
        let numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ ((number as u64 + 1) << 32));
        Worker {
            graph,
            number,
            numbers,
            log,
        }
    }

    pub(crate) fn work(&mut self, operations: usize) {
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
                use GraphErrorKind::{AlreadyExists, Circle, InUse, NotFound};
                let is_expected = match error.kind() {
                    AlreadyExists => true,
                    // Orphans may need the tree that it had.
                    InUse => kept::INDEPENDENT,
                    Circle | NotFound => parent.is_some(),
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
pub(crate) fn names(number: u8) -> [String; FILES] {
    std::array::from_fn(|file| format!("f{number}-{file}"))
}

pub(crate) fn written(number: u8, token: &str) -> Vec<u8> {
    let lines = names(number).map(|name| format!("{name} = {token}"));
    layer(&lines.each_ref().map(String::as_str))
}

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
}
