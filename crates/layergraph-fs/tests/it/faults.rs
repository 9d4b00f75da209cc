//! Every operation, with a fault at each of its calls (R50, R55, R57).
//!
//! A good run says which calls there are. Then each of them fails or is where the program dies, and
//! what is then on the disk is the state before or the state after, never something between.

mod copying;
mod exchanges;

use std::fs;
use std::path::{Path, PathBuf};

use layergraph_fs::faults::{Call, Fault, FaultLog};
use layergraph_fs::{
    AtomicFile, Dir, Durability, FsError, RenameMode, Staging, copy_tree, remove_tree,
    replace_by_copy, sweep, write_atomic,
};
use rustix::io::Errno;

use crate::processes::{as_ordinary_user, settled};
use crate::support::{Home, Result, Tree, assert_same, difference, os, untimed};

/// Nothing, or what was left over although the operation is done.
type Outcome = layergraph_fs::Result<Option<FsError>>;

/// An operation that leads from one state to another in one step.
struct Case {
    name: &'static str,
    prepare: fn(&Home) -> Result,
    work: fn(&Dir) -> Outcome,
    lacking: &'static [&'static str],
    /// Whether an error after the step leaves the new state.
    is_final: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "a file is written",
        prepare: |_| Ok(()),
        work: |dir| done(write_atomic(dir, os("f"), 0o640, b"new", Durability::Full)),
        lacking: &[],
        is_final: true,
    },
    Case {
        name: "a file is replaced",
        prepare: |home| Ok(home.file("f", "old").map(|_| ())?),
        work: |dir| done(write_atomic(dir, os("f"), 0o640, b"new", Durability::Full)),
        lacking: &[],
        is_final: true,
    },
    Case {
        name: "a file is replaced in many pieces, not durably",
        prepare: |home| Ok(home.file("f", "old").map(|_| ())?),
        work: replace_in_pieces,
        lacking: &[],
        is_final: true,
    },
    Case {
        name: "a directory is published",
        prepare: |_| Ok(()),
        work: |dir| publish(dir, RenameMode::NoReplace, Durability::Full),
        lacking: &[],
        is_final: false,
    },
    Case {
        name: "a directory is published where syncfs is lacking",
        prepare: |_| Ok(()),
        work: |dir| publish(dir, RenameMode::NoReplace, Durability::Full),
        lacking: &["syncfs"],
        is_final: false,
    },
    Case {
        name: "a directory takes the place of an empty one",
        prepare: |home| Ok(home.directory("tree").map(|_| ())?),
        work: |dir| publish(dir, RenameMode::Replace, Durability::Full),
        lacking: &["syncfs"],
        is_final: true,
    },
    Case {
        name: "a directory is exchanged, not durably",
        prepare: old_tree,
        work: |dir| publish(dir, RenameMode::Exchange, Durability::None),
        lacking: &[],
        is_final: false,
    },
    Case {
        name: "a directory is exchanged",
        prepare: old_tree,
        work: |dir| publish(dir, RenameMode::Exchange, Durability::Full),
        lacking: &["syncfs"],
        is_final: false,
    },
    Case {
        name: "a directory takes the place of a link",
        prepare: |home| Ok(home.link("tree", "elsewhere")?),
        work: |dir| publish(dir, RenameMode::Exchange, Durability::Full),
        lacking: &[],
        is_final: false,
    },
    Case {
        name: "an entry is published",
        prepare: |_| Ok(()),
        work: |dir| publish_entry(dir, RenameMode::NoReplace),
        lacking: &[],
        is_final: false,
    },
    Case {
        name: "an entry is exchanged",
        prepare: old_tree,
        work: |dir| publish_entry(dir, RenameMode::Exchange),
        lacking: &["syncfs"],
        is_final: false,
    },
    Case {
        name: "a file is published in the place of another",
        prepare: |home| Ok(home.file("f", "old").map(|_| ())?),
        work: |dir| {
            let staging = Staging::new(dir)?;
            let mut file = staging.dir().create_file(os("x"), 0o600)?;
            file.write_all(b"new")?;
            let (name, to) = (os("x"), os("f"));
            let published =
                staging.publish_entry(name, dir, to, RenameMode::Replace, Durability::Full)?;
            Ok(published.leftover)
        },
        lacking: &[],
        is_final: true,
    },
    Case {
        name: "a copy is published",
        prepare: old_tree,
        work: |dir| {
            let staging = Staging::new(dir)?;
            copy_tree(dir, os("tree"), staging.dir(), os("copy"))?;
            let (name, to) = (os("copy"), os("copy"));
            let published =
                staging.publish_entry(name, dir, to, RenameMode::NoReplace, Durability::Full)?;
            Ok(published.leftover)
        },
        lacking: &[],
        is_final: false,
    },
    Case {
        name: "a hard link is broken",
        prepare: |home| {
            home.file("f", "content")?;
            Ok(fs::hard_link(home.path("f"), home.path("g"))?)
        },
        work: |dir| done(replace_by_copy(dir, os("g"))),
        lacking: &["ioctl_ficlone", "copy_file_range"],
        is_final: true,
    },
];

fn done(result: layergraph_fs::Result<()>) -> Outcome {
    result.map(|()| None)
}

fn old_tree(home: &Home) -> Result {
    home.file("tree/old/f", "old")?;
    fs::hard_link(home.path("tree/old/f"), home.path("tree/g"))?;
    home.link("tree/l", "old")?;
    home.dir.set_xattr(os("tree"), os("user.key"), b"value")?;
    Ok(home.set_mode("tree/old", 0o750)?)
}

fn replace_in_pieces(dir: &Dir) -> Outcome {
    let mut file = AtomicFile::create(dir, os("f"), 0o600)?;
    for piece in [&b"this "[..], b"is ", b"new"] {
        let write = std::io::Write::write_all(&mut file, piece);
        write.map_err(|error| error.downcast::<FsError>().expect("it says where"))?;
    }
    done(file.commit(Durability::None))
}

fn new_tree(dir: &Dir) -> layergraph_fs::Result<()> {
    dir.make_dir(os("d"), 0o755)?;
    let below = dir.open_dir(os("d"))?;
    below.create_file(os("f"), 0o600)?.write_all(b"new")?;
    below.make_symlink(os("l"), os("f"))?;
    dir.make_hard_link(os("h"), &below, os("f"))?;
    dir.set_mode(os("."), 0o755)
}

fn publish(home: &Dir, mode: RenameMode, durability: Durability) -> Outcome {
    let staging = Staging::new(home)?;
    new_tree(staging.dir())?;
    Ok(staging
        .publish(home, os("tree"), mode, durability)?
        .leftover)
}

fn publish_entry(home: &Dir, mode: RenameMode) -> Outcome {
    let staging = Staging::new(home)?;
    staging.dir().make_dir(os("t"), 0o700)?;
    new_tree(&staging.dir().open_dir(os("t"))?)?;
    let published = staging.publish_entry(os("t"), home, os("tree"), mode, Durability::Full)?;
    Ok(published.leftover)
}

fn publish_read_only(home: &Dir, mode: RenameMode) -> Outcome {
    let staging = Staging::new(home)?;
    staging.dir().make_dir(os("t"), 0o700)?;
    let tree = staging.dir().open_dir(os("t"))?;
    new_tree(&tree)?;
    tree.set_mode(os("."), 0o500)?;
    let published = staging.publish_entry(os("t"), home, os("tree"), mode, Durability::Full)?;
    Ok(published.leftover)
}

/// A run of a case.
struct Run {
    home: Home,
    before: Tree,
    outcome: Outcome,
    calls: Vec<Call>,
}

impl Run {
    fn state(&self) -> std::io::Result<Tree> {
        untimed(self.home.top())
    }

    fn sweep(&self) -> layergraph_fs::Result<usize> {
        settled(|| sweep(&self.home.dir))
    }
}

impl Case {
    fn run(&self, faults: impl IntoIterator<Item = (usize, Fault)>) -> Result<Run> {
        let home = Home::in_memory()?;
        (self.prepare)(&home)?;
        let before = untimed(home.top())?;
        let log = FaultLog::new();
        for call in self.lacking {
            log.lack(call);
        }
        for (at, fault) in faults {
            log.inject(at, fault);
        }
        let outcome = log.during(|| (self.work)(&home.dir));
        let calls = log.calls();
        Ok(Run {
            home,
            before,
            outcome,
            calls,
        })
    }

    /// Runs `law` with the number of each call; `new` is the state after a good run, and `step` the
    /// number of the call that leads to it.
    fn at_each_call(&self, mut law: impl FnMut(usize, &Good) -> Result) -> Result {
        let run = self.run([])?;
        assert!(
            matches!(run.outcome, Ok(None)),
            "{}: {:?}",
            self.name,
            run.outcome
        );
        let step = run.calls.iter().position(|call| call.name == "renameat2");
        let new = run.state()?;
        remove_tree(&run.home.dir, os("tree"))?;
        let good = Good {
            new,
            step: step.expect("each case renames"),
            calls: run.calls,
        };
        for at in 0..good.calls.len() {
            law(at, &good)?;
        }
        Ok(())
    }
}

/// What a good run of a case was like.
struct Good {
    new: Tree,
    step: usize,
    calls: Vec<Call>,
}

impl Good {
    fn is_sync(&self, at: usize) -> bool {
        is_sync(&self.calls[at])
    }
}

/// Checks which call failed, on what, and why.
#[track_caller]
fn assert_names(error: &FsError, call: &str, path: &Path, errno: Errno) {
    assert_eq!(
        (error.call(), error.path(), error.errno()),
        (call, path, Some(errno.raw_os_error()))
    );
    let text = error.to_string();
    let rest = text.strip_prefix(&format!("{call} {}", path.display()));
    let rest = rest.expect("it begins with the call and the path");
    assert_eq!(rest.is_empty(), !error.is_published(), "{text}");
}

fn is_sync(call: &Call) -> bool {
    matches!(call.name, "fsync" | "syncfs")
}

fn fail(errno: Errno) -> Fault {
    Fault::Fail(errno.raw_os_error())
}

#[test]
fn r55_an_error_at_any_call_leaves_the_old_state_or_the_new_and_names_the_call() -> Result {
    for case in CASES {
        case.at_each_call(|at, good| {
            for errno in [Errno::NOSPC, Errno::IO] {
                let run = case.run([(at, fail(errno))])?;
                let call = &run.calls[at];
                let when = format!("{}: {errno} of {call:?} ({at})", case.name);
                assert_eq!(call.name, good.calls[at].name, "{when}");
                let is_done = run.outcome.is_ok() || (case.is_final && at > good.step);
                match &run.outcome {
                    Ok(Some(error)) | Err(error) => {
                        assert_names(error, call.name, &call.path, errno);
                    }
                    Ok(None) => panic!("{when}: nobody was told"),
                }
                if !is_done {
                    assert_same(&run.before, &run.state()?, &when);
                }
                run.sweep()?;
                let expected = if is_done { &good.new } else { &run.before };
                assert_same(expected, &run.state()?, &format!("{when}, swept"));
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// To move a directory to another parent its owner has to be able to write to it.
#[test]
fn r55_a_read_only_directory_of_an_ordinary_user_has_its_mode_again_after_an_error() -> Result {
    as_ordinary_user!();
    let cases = [
        Case {
            name: "a read-only directory is published",
            prepare: |_| Ok(()),
            work: |dir| publish_read_only(dir, RenameMode::NoReplace),
            lacking: &["syncfs"],
            is_final: false,
        },
        Case {
            name: "a read-only directory is exchanged for another",
            prepare: |home| {
                old_tree(home)?;
                Ok(home.set_mode("tree", 0o500)?)
            },
            work: |dir| publish_read_only(dir, RenameMode::Exchange),
            lacking: &["syncfs"],
            is_final: false,
        },
    ];
    for case in &cases {
        case.at_each_call(|at, good| {
            let run = case.run([(at, fail(Errno::IO))])?;
            let when = format!("{}: error of {:?} ({at})", case.name, run.calls[at]);
            if run.outcome.is_err() {
                assert_same(&run.before, &run.state()?, &when);
            }
            run.sweep()?;
            if run.outcome.is_ok() {
                assert_same(&good.new, &run.state()?, &when);
            }
            // The home itself could not be removed with a read-only directory in it.
            remove_tree(&run.home.dir, os("tree"))?;
            Ok(())
        })?;
    }
    Ok(())
}

/// Then what an operation would tidy up stays too, and a sweep is needed.
#[test]
fn r55_errors_from_any_call_on_leave_what_a_sweep_removes() -> Result {
    for case in CASES {
        case.at_each_call(|at, good| {
            let run = case.run((at..at + 100).map(|at| (at, fail(Errno::IO))))?;
            let call = &run.calls[at];
            let when = format!("{}: errors from {call:?} ({at}) on", case.name);
            match &run.outcome {
                Ok(Some(error)) | Err(error) => {
                    assert_names(error, call.name, &call.path, Errno::IO);
                }
                Ok(None) => panic!("{when}: nobody was told"),
            }
            run.sweep()?;
            // A step that could not be taken back is done.
            let expected = if at > good.step {
                &good.new
            } else {
                &run.before
            };
            assert_same(expected, &run.state()?, &when);
            assert_eq!(run.sweep()?, 0, "{when}: something is left");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_signal_at_any_call_changes_nothing_unless_it_interrupts_a_sync() -> Result {
    for case in CASES {
        case.at_each_call(|at, good| {
            let run = case.run([(at, fail(Errno::INTR))])?;
            let when = format!("{}: signal at {:?}", case.name, good.calls[at]);
            if good.is_sync(at) {
                let error = run.outcome.as_ref().expect_err(&when);
                let call = &run.calls[at];
                assert_names(error, call.name, &call.path, Errno::INTR);
            } else {
                assert!(matches!(run.outcome, Ok(None)), "{when}: {:?}", run.outcome);
                assert_same(&good.new, &run.state()?, &when);
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn r57_a_sync_that_failed_is_the_last_one() -> Result {
    for case in CASES {
        case.at_each_call(|at, good| {
            if good.is_sync(at) {
                let run = case.run([(at, fail(Errno::IO))])?;
                let when = format!("{}: {:?}", case.name, run.calls[at]);
                assert!(run.outcome.is_err(), "{when}");
                assert!(
                    !run.calls[at + 1..].iter().any(is_sync),
                    "{when}: synced again"
                );
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn r50_death_at_any_call_leaves_one_of_the_states_and_what_a_sweep_removes() -> Result {
    for case in CASES {
        for fault in [Fault::Crash, Fault::Tear] {
            case.at_each_call(|at, good| {
                let run = case.run([(at, fault)])?;
                let when = format!("{}: {fault:?} at {:?} ({at})", case.name, good.calls[at]);
                assert_eq!(run.calls.len(), at + 1, "{when}: it went on");
                run.sweep()?;
                let expected = if at > good.step {
                    &good.new
                } else {
                    &run.before
                };
                assert_same(expected, &run.state()?, &when);
                assert_eq!(run.sweep()?, 0, "{when}: something is left");
                // A dead one's leftovers are in nobody's way.
                let again = (case.work)(&run.home.dir);
                if at <= good.step {
                    assert!(matches!(again, Ok(None)), "{when}: {again:?}");
                    assert_same(&good.new, &run.state()?, &when);
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

#[test]
fn r50_content_is_synced_before_the_rename_and_the_directory_after() -> Result {
    for case in CASES {
        let run = case.run([])?;
        let step = run.calls.iter().position(|call| call.name == "renameat2");
        let (before_calls, after_calls) = run.calls.split_at(step.expect("each case renames"));
        let synced = |calls: &[Call]| -> Vec<_> {
            let calls = calls.iter().filter(|call| is_sync(call));
            calls.map(|call| call.path.clone()).collect()
        };
        let (before, after) = (synced(before_calls), synced(after_calls));
        if case.name.ends_with("not durably") || case.name == "a hard link is broken" {
            assert!(before.is_empty() && after.is_empty(), "{}", case.name);
        } else {
            // The renamed object, or the private directory that it is in.
            let home = run.home.top().to_owned();
            let renamed = &after_calls[0].path;
            let is_synced = |path: &PathBuf| *path != home && renamed.starts_with(path);
            assert!(before.iter().any(is_synced), "{}: {before:?}", case.name);
            assert!(after.contains(&home), "{}: {after:?}", case.name);
        }
    }
    Ok(())
}

/// Where the file system cannot be synced as a whole, each file and directory is.
#[test]
fn r52_without_syncfs_every_file_and_directory_is_synced_before_the_rename() -> Result {
    let home = Home::in_memory()?;
    let log = FaultLog::new();
    log.lack("syncfs");
    log.during(|| publish(&home.dir, RenameMode::NoReplace, Durability::Full))?;
    let calls = log.calls();
    let made = calls.iter().find(|call| call.name == "mkdirat");
    let top = &made.expect("the staging directory is made").path;
    let step = calls.iter().position(|call| call.name == "renameat2");
    let mut synced: Vec<_> = calls[..step.expect("it renames")]
        .iter()
        .filter(|call| call.name == "fsync")
        .map(|call| call.path.strip_prefix(top).expect("it is in the tree"))
        .map(|path| path.to_str().expect("a plain path"))
        .collect();
    let position = |path: &str| synced.iter().position(|synced| *synced == path);
    // A directory after what is in it.
    assert!(
        position("d/f") < position("d") && position("d") < position(""),
        "{synced:?}"
    );
    synced.sort_unstable();
    assert_eq!(synced, ["", "d", "d/f", "h"]);
    Ok(())
}

#[test]
fn r55_a_removal_that_fails_at_any_call_names_it_and_a_second_one_removes_the_rest() -> Result {
    let mut at = 0;
    loop {
        let home = Home::in_memory()?;
        for path in ["tree/a/f", "tree/a/b/f", "tree/c/f", "tree/g", "beside"] {
            home.file(path, path)?;
        }
        let before = untimed(home.top())?;
        let log = FaultLog::new();
        log.inject(at, fail(Errno::IO));
        let removed = log.during(|| remove_tree(&home.dir, os("tree")));
        let calls = log.calls();
        let Some(call) = calls.get(at) else {
            removed?;
            break;
        };
        assert_names(
            &removed.expect_err("it fails"),
            call.name,
            &call.path,
            Errno::IO,
        );
        let rest = untimed(home.top())?;
        let mut expected = before;
        expected.retain(|path, _| rest.contains_key(path));
        assert_eq!(difference(&expected, &rest), None);
        remove_tree(&home.dir, os("tree"))?;
        assert_eq!(home.names()?, ["beside"]);
        at += 1;
    }
    assert_eq!(at, 8, "each object is removed by one call");
    Ok(())
}

#[test]
fn a_signal_does_not_interrupt_removing_or_copying() -> Result {
    let mut at = 0;
    loop {
        let home = Home::in_memory()?;
        old_tree(&home)?;
        let before = untimed(&home.path("tree"))?;
        let log = FaultLog::new();
        log.inject(at, fail(Errno::INTR));
        log.during(|| {
            copy_tree(&home.dir, os("tree"), &home.dir, os("copy"))?;
            remove_tree(&home.dir, os("tree"))
        })?;
        assert_eq!(home.names()?, ["copy"]);
        assert_same(&before, &untimed(&home.path("copy"))?, "the copy");
        if at >= log.calls().len() {
            return Ok(());
        }
        at += 1;
    }
}

#[test]
fn r34_a_sweep_goes_on_after_an_error_and_tells_the_first() -> Result {
    let home = Home::in_memory()?;
    for digit in '0'..='3' {
        home.file(
            &format!(".layergraph-{}", digit.to_string().repeat(16)),
            "left",
        )?;
    }
    let log = FaultLog::new();
    log.inject(1, fail(Errno::IO));
    log.inject(2, fail(Errno::NOSPC));
    let error = settled(|| log.during(|| sweep(&home.dir))).expect_err("two fail");
    let calls = log.calls();
    assert_names(&error, "unlinkat", &calls[1].path, Errno::IO);
    assert_eq!(calls.len(), 4);
    assert_eq!(home.names()?.len(), 2);
    assert_eq!(settled(|| sweep(&home.dir))?, 2);
    Ok(())
}

/// A call that is made but for its fault is named as its manual page has it.
#[test]
fn each_changing_call_of_a_directory_passes_the_log() -> Result {
    type Work = fn(&Dir) -> layergraph_fs::Result<()>;
    let works: &[(&str, Work)] = &[
        ("mkdirat", |dir| dir.make_dir(os("x"), 0o700)),
        ("openat", |dir| dir.create_file(os("x"), 0o600).map(|_| ())),
        ("symlinkat", |dir| dir.make_symlink(os("x"), os("f"))),
        ("linkat", |dir| dir.make_hard_link(os("x"), dir, os("f"))),
        ("mknodat", |dir| {
            let kind = layergraph_fs::FileKind::Fifo;
            dir.make_node(os("x"), kind, 0o600, layergraph_fs::Device::default())
        }),
        ("renameat2", |dir| {
            dir.rename(os("f"), dir, os("x"), RenameMode::NoReplace)
        }),
        ("unlinkat", |dir| dir.remove_file(os("f"))),
        ("unlinkat", |dir| dir.remove_dir(os("d"))),
        ("fchownat", |dir| dir.set_owner(os("f"), 1, 1)),
        ("fchmodat", |dir| dir.set_mode(os("f"), 0o777)),
        ("fchmod", |dir| dir.set_mode(os("."), 0o777)),
        ("utimensat", |dir| dir.set_times(os("f"), None, None)),
        ("futimens", |dir| dir.set_times(os("."), None, None)),
        ("setxattr", |dir| dir.set_xattr(os("f"), os("user.x"), b"x")),
        ("removexattr", |dir| {
            dir.remove_xattr(os("f"), os("user.key"))
        }),
        ("fsync", Dir::sync),
        ("syncfs", Dir::sync_filesystem),
        ("openat", |dir| {
            layergraph_fs::LockFile::open(dir, os("x")).map(|_| ())
        }),
    ];
    for (name, work) in works {
        let home = Home::in_memory()?;
        home.file("f", "content")?;
        home.directory("d")?;
        home.dir.set_xattr(os("f"), os("user.key"), b"value")?;
        let before = untimed(home.top())?;
        let log = FaultLog::new();
        log.inject(0, fail(Errno::NOSPC));
        let error = log.during(|| work(&home.dir)).expect_err(name);
        let calls = log.calls();
        assert_names(&error, name, &calls[0].path, Errno::NOSPC);
        assert_eq!(calls.len(), 1, "{name}");
        assert_same(&before, &untimed(home.top())?, name);
    }
    Ok(())
}
