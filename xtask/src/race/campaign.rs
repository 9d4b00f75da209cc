//! The campaign: operations in turn, attackers all the time, and a look at the canary each round.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::attack::{Chance, attack, open_lures};
use super::ground::Ground;
use super::operations::{Operation, Round};
use crate::Result;

/// When a campaign is over, unless something escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// After this time.
    Time(Duration),
    /// After so many swaps, by all attackers.
    Flips(u64),
}

/// What came of a campaign.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Of each operation, in their order.
    pub(crate) tallies: Vec<Tally>,
    pub(crate) flips: u64,
    pub(crate) time: Duration,
    /// What escaped, and in which operation.
    pub(crate) escape: Option<(&'static str, Vec<String>)>,
}

/// How often an operation was run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) name: &'static str,
    pub(crate) rounds: u64,
    /// Of which it failed, because somebody else worked in the tree.
    pub(crate) failed: u64,
    /// Swaps while it ran.
    pub(crate) flips: u64,
    /// How long it took, with all that belongs to a round.
    pub(crate) time: Duration,
}

/// Runs `operations` in the empty directory `base` until it is over or something escapes.
pub(crate) fn run(
    base: &Path,
    operations: &[Operation],
    attackers: u32,
    until: Until,
) -> Result<Outcome> {
    // The attackers go through no link.
    let ground = Ground::new(&fs::canonicalize(base)?)?;
    let lures = open_lures(&ground)?;
    thread::scope(|scope| {
        let _end = End(&ground);
        for number in 0..attackers {
            let (ground, lures) = (&ground, &lures);
            scope.spawn(move || attack(ground, lures, number));
        }
        rounds(&ground, operations, until)
    })
}

/// Sends the attackers home, after a panic too.
struct End<'a>(&'a Ground);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn rounds(ground: &Ground, operations: &[Operation], until: Until) -> Result<Outcome> {
    let start = Instant::now();
    let tally = |operation: &Operation| Tally {
        name: operation.name,
        rounds: 0,
        failed: 0,
        flips: 0,
        time: Duration::ZERO,
    };
    let mut outcome = Outcome {
        tallies: operations.iter().map(tally).collect(),
        flips: 0,
        time: Duration::ZERO,
        escape: None,
    };
    let mut chance = Chance::new(u32::MAX);
    while outcome.escape.is_none() {
        // Each gets as much time as the others; one that has had none is first.
        let pairs = operations.iter().zip(&mut outcome.tallies);
        let Some((operation, tally)) = pairs.min_by_key(|(_, tally)| tally.time) else {
            break;
        };
        let is_over = match until {
            Until::Time(time) => start.elapsed() >= time,
            Until::Flips(flips) => ground.flips.load(Ordering::Relaxed) >= flips,
        };
        if is_over && tally.rounds > 0 {
            break;
        }
        // A quarter of the places.
        let focus = chance.next() & chance.next();
        ground.focus.store(focus, Ordering::Relaxed);
        let found = round(ground, operation, tally)?;
        if !found.is_empty() {
            outcome.escape = Some((operation.name, found));
        }
    }
    outcome.flips = ground.flips.load(Ordering::Relaxed);
    outcome.time = start.elapsed();
    Ok(outcome)
}

/// Runs an operation once, and returns what escaped.
fn round(ground: &Ground, operation: &Operation, tally: &mut Tally) -> Result<Vec<String>> {
    let start = Instant::now();
    let quiet = ground.quiet();
    let (tree, recipes) = ground.lay_out(operation.start)?;
    let mut round = Round {
        ground,
        tree,
        recipes,
        output: Vec::new(),
    };
    let before = ground.flips.load(Ordering::Relaxed);
    drop(quiet);
    let result = (operation.run)(&mut round);
    let quiet = ground.quiet();
    tally.rounds += 1;
    tally.failed += u64::from(result.is_err());
    tally.flips += ground.flips.load(Ordering::Relaxed) - before;
    let found = ground.escapes(&round.output)?;
    if !found.is_empty() {
        // Nobody touches the evidence.
        ground.end();
    }
    drop(quiet);
    tally.time += start.elapsed();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd};
    use std::path::PathBuf;

    use super::super::canary::LURES;
    use super::super::ground::{Start, TREE};
    use super::super::operations::OPERATIONS;
    use super::*;

    /// More than enough for the slowest machine.
    const LONG: Until = Until::Time(Duration::from_secs(60));

    fn operation(run: fn(&mut Round<'_>) -> Result) -> Operation {
        Operation {
            name: "naive",
            start: Start::Both,
            run,
        }
    }

    fn swapped(round: &Round<'_>) -> PathBuf {
        round.ground.arena.path().join(TREE).join("a/swap")
    }

    /// Runs one operation in memory, where swaps are fastest.
    fn run_one(run: fn(&mut Round<'_>) -> Result, until: Until) -> Result<Outcome> {
        let base = super::super::place(None)?;
        super::run(base.path(), &[operation(run)], 2, until)
    }

    /// Checks that the campaign finds that an operation escapes, and what is said of it.
    #[track_caller]
    fn check_escape(run: fn(&mut Round<'_>) -> Result, expected: &str) {
        let outcome = run_one(run, LONG).expect("the campaign is run");
        let (_, found) = outcome.escape.expect("it escapes");
        let is_expected = found.iter().any(|line| line.contains(expected));
        assert!(is_expected, "{found:?}");
    }

    /// Makes many attempts, so that it takes few rounds on a machine that has other things to do.
    /// Returns what came of the last: one fails when the directory is a link, or away.
    fn repeat(mut attempt: impl FnMut() -> Result) -> Result {
        let mut last = Ok(());
        for _ in 0..500 {
            last = attempt();
            thread::yield_now();
        }
        last
    }

    #[test]
    fn r4_a_naive_unpack_of_one_file_is_found_as_an_escape() {
        check_escape(
            |round| {
                let directory = swapped(round);
                repeat(|| {
                    // Looks before it leaps, as in CVE-2018-15664.
                    if fs::symlink_metadata(&directory)?.is_dir() {
                        fs::write(directory.join("new"), "of the layer")?;
                    }
                    Ok(())
                })
            },
            "new: is new",
        );
    }

    #[test]
    fn r4_a_naive_read_of_one_file_is_found_as_an_escape() {
        check_escape(
            |round| {
                let directory = swapped(round);
                repeat(|| {
                    if fs::symlink_metadata(&directory)?.is_dir() {
                        round.output.extend(fs::read(directory.join("f"))?);
                    }
                    Ok(())
                })
            },
            "the output: has the marker",
        );
    }

    #[test]
    fn r4_a_naive_removal_is_found_as_an_escape() {
        check_escape(
            |round| {
                let directory = swapped(round).join("below");
                repeat(|| {
                    if fs::symlink_metadata(&directory)?.is_dir() {
                        fs::remove_file(directory.join("f"))?;
                    }
                    Ok(())
                })
            },
            "f: is gone",
        );
    }

    #[test]
    fn r4_a_way_back_by_dots_is_found_as_an_escape() {
        check_escape(
            |round| {
                repeat(|| {
                    let inside = round.tree.open_dir("a".as_ref())?;
                    // By handle, but `..` is where the directory is now: among the lures.
                    let handle = inside.as_fd().as_raw_fd();
                    let file = format!("/proc/self/fd/{handle}/../new");
                    Ok(fs::write(file, "of the layer")?)
                })
            },
            &format!("{LURES}/new: is new"),
        );
    }

    #[test]
    fn attackers_alone_change_nothing_outside() -> Result {
        let outcome = run_one(
            |_| {
                thread::sleep(Duration::from_millis(5));
                Ok(())
            },
            Until::Flips(20_000),
        )?;
        assert_eq!(outcome.escape, None);
        assert!(outcome.flips >= 20_000);
        Ok(())
    }

    #[test]
    fn r4_nothing_escapes_in_any_operation_and_each_meets_swaps() -> Result {
        let base = super::super::place(None)?;
        let outcome = super::run(base.path(), OPERATIONS, 2, Until::Flips(20_000))?;
        assert_eq!(outcome.escape, None);
        for tally in outcome.tallies {
            assert!(tally.rounds > 0 && tally.flips > 0, "{tally:?}");
        }
        Ok(())
    }
}
