//! Every step of a layer's life, with a fault at each call that changes the disk (R50, R55): a
//! layer is whole or not there, and what is left over a sweep removes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use layergraph_driver::conformance::assert_swept;
use layergraph_driver::{Driver, DriverErrorKind, MountOptions, StagedLayer};
use layergraph_driver_tests::faults::{
    Answer, Scene, check_commits, check_removals, commit, during, faults,
};
use layergraph_fs::Durability;
use layergraph_fs::faults::{Call, Fault, FaultLog};
use layergraph_tests::{Scratch, names, require};
use rustix::io::Errno;

use crate::support::{Result, Store, apply, assert_refused, id, layer, to_change};

/// A store with a layer `base` that another is built on, and everything a driver makes once.
struct OverlayScene {
    store: Store,
}

impl OverlayScene {
    fn new() -> Result<OverlayScene> {
        let store = Store::at(Scratch::in_memory()?, Durability::Full)?;
        store.commit("warm", None, &layer(&[])?)?;
        store.driver.remove(&id("warm"))?;
        let base = [(0o755, "d/"), (0o644, "d/f = 1")];
        store.commit("base", None, &layer(&base)?)?;
        store.commit("sibling", Some("base"), &layer(&[])?)?;
        Ok(OverlayScene { store })
    }
}

impl Scene for OverlayScene {
    fn driver(&self) -> &dyn Driver {
        &self.store.driver
    }

    fn stage(&self) -> Result<Box<dyn StagedLayer>> {
        let staged = self.store.driver.stage(Some(&id("base")))?;
        let change = [(0o755, "d/"), (0o600, "d/f = 4"), (0o644, "new = 3")];
        apply(&layer(&change)?, &*staged)?;
        Ok(staged)
    }

    fn child(&self) -> Result<Vec<String>> {
        self.store.listing("child")
    }

    fn is_whole(&self, expected: &[String], when: &str) -> Result<bool> {
        if !self.store.driver.exists(&id("child"))? {
            return Ok(false);
        }
        assert_eq!(self.child()?, expected, "{when}");
        Ok(true)
    }

    fn names(&self) -> Result<BTreeSet<PathBuf>> {
        let links = fs::read_dir(self.store.home("l"))?.count();
        let root = self.store.root();
        let files = self.store.files()?.into_iter();
        let names = files.map(|path| path.strip_prefix(root).map(Path::to_owned).unwrap_or(path));
        let short = Path::new("overlay/l");
        let mut names: BTreeSet<PathBuf> =
            names.filter(|name| name.parent() != Some(short)).collect();
        // Each has another short name in another store.
        names.insert(PathBuf::from(format!("{links} short names")));
        Ok(names)
    }

    fn assert_swept(&self, expected: &BTreeSet<PathBuf>, when: &str) -> Result {
        // At least once, so that the second finds what is to stay.
        self.store.driver.sweep()?;
        let files = self.store.files()?;
        assert_swept(&self.store.driver, self.store.root(), &files, when)?;
        assert_eq!(self.names()?, *expected, "{when}");
        Ok(())
    }
}

#[test]
fn r50_r55_a_commit_with_a_fault_at_any_call_leaves_a_whole_layer_or_none() -> Result {
    check_commits(OverlayScene::new, 10)
}

/// A layer that nothing is built on in the end can be changed, unless the program died.
#[test]
fn r55_a_commit_that_fails_seals_no_parent() -> Result {
    let on_sibling = |scene: &OverlayScene, ()| -> Answer {
        let staged = scene.store.driver.stage(None)?;
        staged.commit(&id("child"), Some(&id("sibling")))
    };
    let (_, answer, log) = during(OverlayScene::new, |_| Ok(()), on_sibling, None)?;
    answer?;
    for at in 0..log.calls().len() {
        let fault = (at, Fault::Fail(Errno::IO.raw_os_error()));
        let (scene, answer, log) = during(OverlayScene::new, |_| Ok(()), on_sibling, Some(fault))?;
        let is_sealed = scene.store.home("sibling/committed").exists();
        assert_eq!(is_sealed, answer.is_ok(), "at {:?}", log.calls()[at]);
    }
    Ok(())
}

#[test]
fn r50_r55_a_removal_with_a_fault_at_any_call_leaves_a_whole_layer_or_none() -> Result {
    check_removals(OverlayScene::new)
}

/// A mount that fails is not there, and has no record; after a crash it has one or is not there.
#[test]
fn r55_a_mount_with_a_fault_at_any_call_is_recorded_or_not_there() -> Result {
    require!(overlay_mount);
    let scene = OverlayScene::new()?;
    let store = &scene.store;
    store.commit("child", Some("base"), &layer(&[])?)?;
    let child = id("child");
    let warm = store.driver.mount(&child, &to_change())?;
    store.driver.unmount(&child)?;
    let target = store.target("target")?;
    for (options, path) in [(to_change(), &warm), (MountOptions::at(&target), &target)] {
        let end = || match options.target {
            Some(_) => store.driver.unmount_at(path),
            None => store.driver.unmount(&child),
        };
        let log = FaultLog::new();
        log.during(|| store.driver.mount(&child, &options))?;
        end()?;
        for at in 0..log.calls().len() {
            for (fault, is_deadly) in faults() {
                let log = FaultLog::new();
                log.inject(at, fault);
                let answer = log.during(|| store.driver.mount(&child, &options));
                let when = format!("{fault:?} at {:?}: {answer:?}", log.calls()[at]);
                assert!(answer.is_err(), "{when}");
                store.driver.sweep()?;
                let is_there = !store.mounted().is_empty();
                assert!(is_deadly || !is_there, "{when}");
                let is_recorded = !names(&store.home(".mounts"))?.is_empty();
                assert_eq!(is_recorded, is_there, "{when}");
                if is_there {
                    let refused = store.driver.remove(&child);
                    assert_refused(refused, DriverErrorKind::InUse);
                    end()?;
                }
            }
        }
    }
    Ok(())
}

/// What a layer holds, and the short name by which those on top of it name it, is synced before it
/// has its own name, and that before the commit returns.
#[test]
fn r50_r52_a_commit_is_durable_when_it_returns() -> Result {
    let scene = OverlayScene::new()?;
    let staged = scene.stage()?;
    let log = FaultLog::new();
    log.during(|| commit(&scene, staged))?;
    let calls = log.calls();
    let landed = calls.iter().position(|call| call.name == "renameat2");
    let (before, after) = calls.split_at(landed.ok_or("a commit renames")?);
    let syncs = |calls: &[Call], path: &Path| {
        let at = |call: &Call| call.name == "fsync" && call.path == path;
        calls.iter().any(at)
    };
    assert!(
        before.iter().any(|call| call.name == "syncfs"),
        "{before:?}"
    );
    assert!(syncs(before, &scene.store.home("l")), "{before:?}");
    assert!(syncs(after, &scene.store.home("")), "{after:?}");
    Ok(())
}
