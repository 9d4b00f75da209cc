//! Every step of a layer's life, with a fault at each call that changes the disk (R50, R55): a
//! layer is whole or not there, and what is left over a sweep removes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use layergraph_driver::conformance::assert_swept;
use layergraph_driver::{Driver, StagedLayer};
use layergraph_driver_tests::faults::{
    Scene, check_commits, check_removals, commit, during, faults,
};
use layergraph_fs::Durability;
use layergraph_fs::faults::FaultLog;
use layergraph_tests::Scratch;

use crate::support::{Result, Store, apply, id, layer, listing_of};

/// A store with a layer `base`, and everything a driver makes once.
struct VfsScene {
    store: Store,
    /// The mode of the trees' root directories.
    root_mode: u32,
    /// The tree of `base`.
    base: Vec<String>,
}

impl VfsScene {
    fn new(root_mode: u32) -> Result<VfsScene> {
        // In memory, where a sync costs nothing.
        let store = Store::at(Scratch::in_memory()?, Durability::Full)?;
        store.commit("warm", None, &layer(&[])?)?;
        store.driver.remove(&id("warm"))?;
        let base = [
            (root_mode, "./"),
            (0o555, "d/"),
            (0o444, "d/f = 1"),
            (0o755, "e/"),
            (0o644, "e/g = 2"),
        ];
        store.commit("base", None, &layer(&base)?)?;
        let base = listing_of(&store.tree("base"))?;
        Ok(VfsScene {
            store,
            root_mode,
            base,
        })
    }

    /// Checks a tree.
    ///
    /// A root directory that its owner may not write to has to let him, for the moment of a rename:
    /// a process that dies just then leaves it so.
    fn assert_tree(&self, name: &str, expected: &[String], when: &str) -> Result {
        let mut found = listing_of(&self.store.tree(name))?;
        if self.root_mode & 0o200 == 0 {
            found[0] = found[0].replace("\t0755\t", "\t0555\t");
        }
        assert_eq!(found, expected, "{name}: {when}");
        Ok(())
    }
}

impl Scene for VfsScene {
    fn driver(&self) -> &dyn Driver {
        &self.store.driver
    }

    fn stage(&self) -> Result<Box<dyn StagedLayer>> {
        let staged = self.store.driver.stage(Some(&id("base")))?;
        let change = [(0o644, "e/new = 3"), (0o600, "e/g = 4")];
        apply(&layer(&change)?, &*staged)?;
        Ok(staged)
    }

    fn child(&self) -> Result<Vec<String>> {
        listing_of(&self.store.tree("child"))
    }

    fn is_whole(&self, expected: &[String], when: &str) -> Result<bool> {
        self.assert_tree("base", &self.base, when)?;
        let is_there = self.store.driver.exists(&id("child"))?;
        if is_there {
            self.assert_tree("child", expected, when)?;
        }
        Ok(is_there)
    }

    fn names(&self) -> Result<BTreeSet<PathBuf>> {
        let root = self.store.root();
        let files = self.store.files()?.into_iter();
        Ok(files
            .map(|path| path.strip_prefix(root).map(Path::to_owned).unwrap_or(path))
            .collect())
    }

    fn assert_swept(&self, expected: &BTreeSet<PathBuf>, when: &str) -> Result {
        let root = self.store.root();
        let expected = expected.iter().map(|name| root.join(name)).collect();
        assert_swept(&self.store.driver, root, &expected, when)?;
        Ok(())
    }
}

#[test]
fn r50_r55_a_commit_with_a_fault_at_any_call_leaves_a_whole_layer_or_none() -> Result {
    for root_mode in [0o755, 0o555] {
        check_commits(|| VfsScene::new(root_mode), 5)?;
    }
    Ok(())
}

#[test]
fn r50_r55_a_removal_with_a_fault_at_any_call_leaves_a_whole_layer_or_none() -> Result {
    for root_mode in [0o755, 0o555] {
        check_removals(|| VfsScene::new(root_mode))?;
    }
    Ok(())
}

/// Staging changes nothing that anybody sees, wherever it ends.
#[test]
fn r50_r55_a_staging_with_a_fault_at_any_call_leaves_nothing() -> Result {
    let begin = |scene: &VfsScene, ()| scene.store.driver.stage(Some(&id("base"))).map(drop);
    for root_mode in [0o755, 0o555] {
        let new = || VfsScene::new(root_mode);
        let before = new()?.names()?;
        let (good, answer, log) = during(new, |_| Ok(()), begin, None)?;
        answer?;
        assert_eq!(good.names()?, before);
        for at in 0..log.calls().len() {
            for (fault, _) in faults() {
                let fault = (at, fault);
                let (scene, _, log) = during(new, |_| Ok(()), begin, Some(fault))?;
                let when = format!("{fault:?} at {:?}", log.calls()[at]);
                scene.assert_tree("base", &scene.base, &when)?;
                assert_eq!(scene.store.driver.list()?, [id("base")], "{when}");
                scene.assert_swept(&before, &when)?;
            }
        }
    }
    Ok(())
}

/// What a layer holds is synced before it has its name, and the name before the commit returns; the
/// same goes for the directories that the first layer of a store needs.
#[test]
fn r52_a_commit_is_durable_when_it_returns() -> Result {
    let scene = VfsScene::new(0o755)?;
    let staged = scene.stage()?;
    let log = FaultLog::new();
    log.during(|| commit(&scene, staged))?;
    let calls = log.calls();
    let landed = calls.iter().position(|call| call.name == "renameat2");
    let (before, after) = calls.split_at(landed.ok_or("a commit renames")?);
    let is_sync = |name: &str| matches!(name, "fsync" | "syncfs");
    assert!(before.iter().any(|call| is_sync(call.name)), "{before:?}");
    let trees = scene.store.root().join("vfs/dir");
    let synced = |calls: &[layergraph_fs::faults::Call], path: &Path| {
        calls
            .iter()
            .any(|call| call.name == "fsync" && call.path.starts_with(path))
    };
    assert!(synced(after, &trees), "{after:?}");

    let store = Store::at(Scratch::new()?, Durability::Full)?;
    let log = FaultLog::new();
    log.during(|| store.driver.stage(None))?;
    for path in [store.root(), &store.root().join("vfs")] {
        assert!(
            synced(&log.calls(), path),
            "{}: {:?}",
            path.display(),
            log.calls()
        );
    }
    Ok(())
}
