//! Exchanges that fail after the step (R55).

use std::sync::atomic::{AtomicBool, Ordering};

use layergraph_fs::faults::FaultLog;
use layergraph_fs::{Durability, FsError, RenameMode, sweep};
use rustix::io::Errno;

use super::cases::{CASES, old_tree, publish};
use super::{assert_names, at_each_call, fail};
use crate::processes::settled;
use crate::support::{Home, Over, Result, assert_same, untimed};

/// Then the new object has the name, and the old one is nobody's to remove but a sweep's.
#[test]
fn r55_a_rename_that_cannot_be_taken_back_is_told_and_nothing_is_lost() -> Result {
    let mut stood = 0;
    let cases = CASES.iter().filter(|case| !case.is_final);
    at_each_call(cases, |case, at, good| {
        if at <= good.step || !good.is_sync(at) {
            return Ok(());
        }
        let run = case.run([(at, fail(Errno::IO)), (at + 1, fail(Errno::IO))])?;
        let when = format!("{}: {:?} and the way back", case.name, run.calls[at]);
        assert_eq!(run.calls[at + 1].name, "renameat2", "{when}");
        let error = run.outcome.as_ref().expect_err(&when);
        assert_names(error, &run.calls[at], Errno::IO);
        assert!(error.is_published(), "{when}");
        let renamed = &run.calls[good.step].path;
        assert!(
            error
                .to_string()
                .contains(renamed.to_str().expect("a plain path"))
        );
        let state = run.state()?;
        for (path, object) in &good.new {
            assert_eq!(state[path].content, object.content, "{when}: {path:?}");
        }
        // What the new state lacks is where the new object was.
        let renamed = renamed.strip_prefix(run.home.top())?;
        for (path, object) in &run.before {
            if good.new.get(path) == Some(object) {
                continue;
            }
            let path = match path.strip_prefix("tree")? {
                top if top.as_os_str().is_empty() => renamed.to_owned(),
                below => renamed.join(below),
            };
            assert_eq!(state[&path].content, object.content, "{when}: {path:?}");
        }
        run.assert_swept(good, true, &when)?;
        stood += 1;
        Ok(())
    })?;
    assert!(stood >= 8, "{stood} syncs");
    Ok(())
}

/// The old object has a temporary name then, and nobody works on it.
#[test]
fn r55_a_sweep_does_not_take_what_an_exchange_may_give_back() -> Result {
    let home = Home::in_memory()?;
    old_tree(&home)?;
    let before = untimed(home.top())?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result {
        let over = Over(&is_over);
        let sweeper = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                sweep(&home.dir)?;
            }
            Ok::<_, FsError>(())
        });
        for _ in 0..300 {
            let log = FaultLog::new();
            // The file system is synced before, the directory after.
            log.lack("fsync");
            let work = || publish(&home.dir, RenameMode::Exchange, Durability::Full);
            let error = settled(|| log.during(work)).expect_err("it fails");
            assert_eq!(error.call(), "fsync");
            assert!(!error.is_published(), "{error}");
        }
        drop(over);
        Ok(sweeper.join().expect("sweeping does not panic")?)
    })?;
    assert_same(&before, &untimed(home.top())?, "given back");
    Ok(())
}
