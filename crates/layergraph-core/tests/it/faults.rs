//! Each change of a graph, with a fault at every call that changes the disk (R50, R55): what was
//! to change has changed or not, whole, and nothing else is left when the store is opened again.

use std::fs;
use std::thread;
use std::time::Duration;

use layergraph_core::{DeleteOptions, Graph, GraphErrorKind, GraphOptions};
use layergraph_digest::parse_checksum;
use layergraph_driver::DriverOptions;
use layergraph_fs::Durability;
use layergraph_fs::faults::{Fault, FaultLog};
use rustix::io::Errno;

use crate::kept;
use crate::support::{Contents, Result, Store, id, register, register_all};

/// What the work answered: whether something is left over.
type Answer = layergraph_core::Result<bool>;

/// `1 <- 2 <- 3`, with full durability, in memory, where a sync costs nothing.
fn store() -> Result<(Store, Graph)> {
    let store = Store::in_memory()?;
    let mut options = DriverOptions::default();
    options.durability = Durability::Full;
    let driver = (kept::OPEN)(store.root(), &options)?;
    let graph = Graph::open(store.root(), driver, &GraphOptions::default())?;
    register_all(&graph, &[(1, None), (2, Some(1)), (3, Some(2))])?;
    // What is made once is there.
    register(&graph, &id(9), None)?;
    graph.delete(&id(9).to_string(), DeleteOptions::default())?;
    Ok((store, graph))
}

/// Opens the store and tells what is in it; nothing half made may be.
fn swept(store: &Store, when: &str) -> Contents {
    for _ in 0..1000 {
        drop(store.open());
        if store.unfinished().is_empty() {
            return store.contents();
        }
        // A child process that another test starts holds copies of all locks until it executes.
        thread::sleep(Duration::from_millis(1));
    }
    panic!("{when}: {:?}", store.unfinished());
}

fn run(
    prepare: impl Fn(&Store, &Graph) -> Result,
    work: impl Fn(&Graph) -> Answer,
    fault: Option<(usize, Fault)>,
) -> Result<(Store, Contents, Answer, FaultLog)> {
    let (store, graph) = store()?;
    prepare(&store, &graph)?;
    let before = store.contents();
    let log = FaultLog::new();
    if let Some((at, fault)) = fault {
        log.inject(at, fault);
    }
    let answer = log.during(|| work(&graph));
    Ok((store, before, answer, log))
}

/// Checks `work` with each fault at each call. An error changes nothing, unless `is_final`
/// tells that it came when all was done.
fn check(
    prepare: impl Fn(&Store, &Graph) -> Result,
    work: impl Fn(&Graph) -> Answer,
    calls: usize,
    is_final: impl Fn(&str) -> bool,
) -> Result {
    let (good, _, answer, log) = run(&prepare, &work, None)?;
    assert!(!answer?, "nothing is left over");
    let after = good.contents();
    assert!(log.calls().len() >= calls, "{:?}", log.calls());
    let fail = |errno: Errno| Fault::Fail(errno.raw_os_error());
    for (at, call) in log.calls().iter().enumerate() {
        for fault in [
            fail(Errno::IO),
            fail(Errno::NOSPC),
            Fault::Crash,
            Fault::Tear,
        ] {
            let (store, before, answer, _) = run(&prepare, &work, Some((at, fault)))?;
            let when = format!("{fault:?} at call {at}, {call:?}");
            let found = swept(&store, &when);
            match (&answer, fault) {
                (Ok(_), _) => assert!(found == after, "{when}"),
                (Err(_), Fault::Fail(_)) if !is_final(call.name) => {
                    assert!(found == before, "{when}: {answer:?}");
                }
                (Err(_), _) => assert!(found == before || found == after, "{when}: {answer:?}"),
            }
        }
    }
    Ok(())
}

/// Registers a fourth node.
fn register_fourth(graph: &Graph) -> Answer {
    match register(graph, &id(4), Some(&id(2))) {
        Ok(()) => Ok(false),
        Err(error) => Err(*error.downcast().expect("an error of the graph")),
    }
}

#[test]
fn r50_r55_a_register_with_a_fault_at_any_call_makes_a_whole_node_or_none() -> Result {
    check(|_, _| Ok(()), register_fourth, 20, |_| false)
}

#[test]
fn p2_what_stood_in_the_place_of_a_node_that_cannot_be_made_stays() -> Result {
    let stale = |store: &Store, _: &Graph| {
        fs::create_dir(store.node(&id(4)))?;
        Ok(fs::write(
            store.node(&id(4)).join("json"),
            "of another driver",
        )?)
    };
    let (good, _, answer, log) = run(stale, register_fourth, None)?;
    answer?;
    let after = good.contents();
    for (at, call) in log.calls().iter().enumerate() {
        let fault = Fault::Fail(Errno::IO.raw_os_error());
        let (store, before, answer, _) = run(stale, register_fourth, Some((at, fault)))?;
        let when = format!("call {at}, {call:?}");
        let found = swept(&store, &when);
        let expected = if answer.is_ok() { &after } else { &before };
        assert!(found == *expected, "{when}: {answer:?}");
    }
    Ok(())
}

#[test]
fn r50_r55_a_delete_with_a_fault_at_any_call_leaves_a_whole_node_or_none() -> Result {
    let delete = |graph: &Graph| {
        let deleted = graph.delete(&id(3).to_string(), DeleteOptions::default())?;
        Ok(deleted.leftover.is_some())
    };
    check(|_, _| Ok(()), delete, 8, |_| false)
}

#[test]
fn r50_a_digest_that_is_set_with_a_fault_at_any_call_is_the_new_one_or_the_old_one() -> Result {
    let set = |text: &'static str| {
        move |graph: &Graph| {
            let digest = parse_checksum(text).expect("a checksum");
            graph.set_digest(&id(2), &digest).map(|()| false)
        }
    };
    let is_sync = |call: &str| call == "fsync" || call == "syncfs";
    check(|_, _| Ok(()), set("sha256:ab"), 5, is_sync)?;
    let prepare = |_: &Store, graph: &Graph| Ok(set("sha256:ab")(graph).map(drop)?);
    check(prepare, set("sha256:cd"), 5, is_sync)
}

#[test]
fn a_size_that_cannot_be_written_down_is_an_error_only_where_the_disk_is_broken() -> Result {
    let forget = |store: &Store, _: &Graph| {
        let size = store.node(&id(3)).join("layersize");
        Ok(fs::remove_file(size)?)
    };
    let get = |graph: &Graph| {
        let node = graph.get(&id(3).to_string())?;
        assert_eq!(node.size(), 64);
        Ok(false)
    };
    let (store, before, answer, log) = run(forget, get, None)?;
    answer?;
    let after = store.contents();
    assert!(after != before && log.calls().len() >= 5);
    let faults = [
        (Errno::IO, true),
        (Errno::NOSPC, false),
        (Errno::ROFS, false),
        (Errno::DQUOT, false),
    ];
    for (at, call) in log.calls().iter().enumerate() {
        for (errno, is_error) in faults {
            let fault = Fault::Fail(errno.raw_os_error());
            let (store, before, answer, _) = run(forget, get, Some((at, fault)))?;
            let when = format!("{errno:?} at {call:?}: {answer:?}");
            if let Err(error) = &answer {
                assert!(is_error, "{when}");
                assert_eq!(error.kind(), GraphErrorKind::Failed, "{when}");
            }
            let found = swept(&store, &when);
            assert!(found == before || found == after, "{when}");
        }
    }
    Ok(())
}
