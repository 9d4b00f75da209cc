//! What is synced, and in which order (R50, R52, R57).

use std::path::PathBuf;

use layergraph_fs::faults::{Call, FaultLog};
use layergraph_fs::{Durability, RenameMode};
use rustix::io::Errno;

use super::cases::{CASES, publish, publish_after_other};
use super::{at_each_call, fail, is_sync};
use crate::support::{Home, Result};

#[test]
fn r57_a_sync_that_failed_is_the_last_one() -> Result {
    at_each_call(CASES, |case, at, good| {
        if good.is_sync(at) {
            let run = case.run([(at, fail(Errno::IO))])?;
            let when = format!("{}: {:?}", case.name, run.calls[at]);
            assert!(run.outcome.is_err(), "{when}");
            let is_again = run.calls[at + 1..].iter().any(is_sync);
            assert!(!is_again, "{when}: synced again");
        }
        Ok(())
    })
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

/// Then it costs nothing: whoever syncs the file system has synced it.
#[test]
fn r52_what_is_synced_with_a_tree_is_synced_after_it_and_before_the_rename() -> Result {
    let home = Home::in_memory()?;
    home.directory("other")?;
    let log = FaultLog::new();
    log.during(|| publish_after_other(&home.dir))?;
    let calls = log.calls();
    let at = |name: &str| calls.iter().position(|call| call.name == name);
    let other = home.top().join("other");
    let synced = calls
        .iter()
        .position(|call| is_sync(call) && call.path == other);
    assert!(
        at("syncfs") < synced && synced < at("renameat2"),
        "{calls:?}"
    );
    assert!(at("syncfs").is_some(), "{calls:?}");
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
