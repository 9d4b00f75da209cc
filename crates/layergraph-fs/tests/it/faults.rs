//! Every operation, with a fault at each of its calls (R50, R55, R57).
//!
//! A good run says which calls there are. Then each of them fails or is where the program dies, and
//! what is then on the disk is the state before or the state after, never something between.

mod calls;
mod cases;
mod copying;
mod exchanges;
mod syncs;

use std::path::Path;
use std::thread;
use std::time::Duration;

use layergraph_fs::faults::{Call, Fault, FaultLog};
use layergraph_fs::{Dir, FsError, RenameMode, remove_tree, sweep};
use rustix::io::Errno;

use self::cases::{CASES, old_tree, publish_read_only};
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

    /// Checks that the error of the call number `at` was told.
    #[track_caller]
    fn assert_told(&self, at: usize, errno: Errno, when: &str) {
        match &self.outcome {
            Ok(Some(error)) | Err(error) => assert_names(error, &self.calls[at], errno),
            Ok(None) => panic!("{when}: nobody was told"),
        }
    }

    /// Sweeps, and checks that this leaves the new state, or the old one, and nothing else.
    #[track_caller]
    fn assert_swept(&self, good: &Good, is_new: bool, when: &str) -> Result {
        let expected = if is_new { &good.new } else { &self.before };
        for _ in 0..1000 {
            self.sweep()?;
            if difference(expected, &self.state()?).is_none() {
                break;
            }
            // A child process that another test starts holds copies of all locks until it executes.
            thread::sleep(Duration::from_millis(1));
        }
        assert_same(expected, &self.state()?, &format!("{when}, swept"));
        assert_eq!(self.sweep()?, 0, "{when}: something is left");
        Ok(())
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

    fn good(&self) -> Result<Good> {
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
        Ok(Good {
            new,
            step: step.expect("each case renames"),
            calls: run.calls,
        })
    }
}

/// Tries `law` with the number of each call of each case.
fn at_each_call<'a>(
    cases: impl IntoIterator<Item = &'a Case>,
    mut law: impl FnMut(&Case, usize, &Good) -> Result,
) -> Result {
    for case in cases {
        let good = case.good()?;
        for at in 0..good.calls.len() {
            law(case, at, &good)?;
        }
    }
    Ok(())
}

/// What a good run of a case was like.
struct Good {
    /// The state after it.
    new: Tree,
    /// The number of the call that led there.
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
fn assert_names(error: &FsError, call: &Call, errno: Errno) {
    let (name, path): (_, &Path) = (call.name, &call.path);
    assert_eq!(
        (error.call(), error.path(), error.errno()),
        (name, path, Some(errno.raw_os_error()))
    );
    let text = error.to_string();
    let rest = text.strip_prefix(&format!("{name} {}", path.display()));
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
    at_each_call(CASES, |case, at, good| {
        for errno in [Errno::NOSPC, Errno::IO] {
            let run = case.run([(at, fail(errno))])?;
            let call = &run.calls[at];
            let when = format!("{}: {errno} of {call:?} ({at})", case.name);
            assert_eq!(call.name, good.calls[at].name, "{when}");
            run.assert_told(at, errno, &when);
            let is_done = run.outcome.is_ok() || (case.is_final && at > good.step);
            if !is_done {
                assert_same(&run.before, &run.state()?, &when);
            }
            run.assert_swept(good, is_done, &when)?;
        }
        Ok(())
    })
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
    at_each_call(&cases, |case, at, good| {
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
    })
}

/// Then what an operation would tidy up stays too, and a sweep is needed.
#[test]
fn r55_errors_from_any_call_on_leave_what_a_sweep_removes() -> Result {
    at_each_call(CASES, |case, at, good| {
        let run = case.run((at..at + 100).map(|at| (at, fail(Errno::IO))))?;
        let when = format!("{}: errors from {:?} ({at}) on", case.name, run.calls[at]);
        run.assert_told(at, Errno::IO, &when);
        // A step that could not be taken back is done.
        run.assert_swept(good, at > good.step, &when)
    })
}

#[test]
fn a_signal_at_any_call_changes_nothing_unless_it_interrupts_a_sync() -> Result {
    at_each_call(CASES, |case, at, good| {
        let run = case.run([(at, fail(Errno::INTR))])?;
        let when = format!("{}: signal at {:?}", case.name, good.calls[at]);
        if good.is_sync(at) {
            let error = run.outcome.as_ref().expect_err(&when);
            assert_names(error, &run.calls[at], Errno::INTR);
        } else {
            assert!(matches!(run.outcome, Ok(None)), "{when}: {:?}", run.outcome);
            assert_same(&good.new, &run.state()?, &when);
        }
        Ok(())
    })
}

#[test]
fn r50_death_at_any_call_leaves_one_of_the_states_and_what_a_sweep_removes() -> Result {
    at_each_call(CASES, |case, at, good| {
        for fault in [Fault::Crash, Fault::Tear] {
            let run = case.run([(at, fault)])?;
            let when = format!("{}: {fault:?} at {:?} ({at})", case.name, good.calls[at]);
            assert_eq!(run.calls.len(), at + 1, "{when}: it went on");
            run.assert_swept(good, at > good.step, &when)?;
            // A dead one's leftovers are in nobody's way.
            let again = (case.work)(&run.home.dir);
            if at <= good.step {
                assert!(matches!(again, Ok(None)), "{when}: {again:?}");
                assert_same(&good.new, &run.state()?, &when);
            }
        }
        Ok(())
    })
}
