//! Every step of a layer's life, with a fault at each call that changes the disk (R50, R55): a
//! layer is whole or not there, and what is left over a sweep removes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use layergraph_driver::conformance::assert_swept;
use layergraph_driver::{Driver, DriverErrorKind, StagedLayer};
use layergraph_fs::Durability;
use layergraph_fs::faults::{Fault, FaultLog};
use layergraph_tests::Scratch;
use rustix::io::Errno;

use crate::support::{Result, Store, apply, id, layer, listing_of};

type Answer = std::result::Result<(), layergraph_driver::DriverError>;

/// A store with a layer `base`, and everything a driver makes once.
struct Scene {
    store: Store,
    /// The mode of the trees' root directories.
    root_mode: u32,
}

impl Scene {
    fn new(root_mode: u32) -> Result<Scene> {
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
        let base = layer(&base)?;
        store.commit("base", None, &base)?;
        Ok(Scene { store, root_mode })
    }

    /// Stages a child with a change.
    fn stage(&self) -> Result<Box<dyn StagedLayer>> {
        let staged = self.store.driver.stage(Some(&id("base")))?;
        apply(
            &layer(&[(0o644, "e/new = 3"), (0o600, "e/g = 4")])?,
            &*staged,
        )?;
        Ok(staged)
    }

    /// Checks that a layer is whole, if it is there, and returns whether it is.
    ///
    /// A root directory that its owner may not write to has to let him, for the moment of a rename:
    /// a process that dies just then leaves it so.
    fn is_whole(&self, name: &str, expected: &[String], when: &str) -> Result<bool> {
        if !self.store.driver.exists(&id(name))? {
            return Ok(false);
        }
        let mut found = listing_of(&self.store.tree(name))?;
        if self.root_mode & 0o200 == 0 {
            found[0] = found[0].replace("\t0755\t", "\t0555\t");
        }
        assert_eq!(found, expected, "{name}: {when}");
        Ok(true)
    }

    fn tree(&self, name: &str) -> Result<Vec<String>> {
        listing_of(&self.store.tree(name))
    }

    /// The names in the store, as far as they do not change from one store to the next.
    fn names(&self) -> Result<BTreeSet<PathBuf>> {
        let root = self.store.root();
        let files = self.store.files()?.into_iter();
        Ok(files
            .map(|path| path.strip_prefix(root).map(Path::to_owned).unwrap_or(path))
            .collect())
    }

    fn assert_swept(&self, names: &BTreeSet<PathBuf>, when: &str) -> Result {
        let root = self.store.root();
        let expected = names.iter().map(|name| root.join(name)).collect();
        assert_swept(&self.store.driver, root, &expected, when)?;
        Ok(())
    }
}

/// The faults that are tried at each call, and whether the program dies of them.
fn faults() -> [(Fault, bool); 4] {
    let fail = |errno: Errno| (Fault::Fail(errno.raw_os_error()), false);
    [
        fail(Errno::IO),
        fail(Errno::NOSPC),
        (Fault::Crash, true),
        (Fault::Tear, true),
    ]
}

/// Does `work` in a new scene, with the fault at the call number `at`, if there is one.
fn run<T>(
    root_mode: u32,
    prepare: impl FnOnce(&Scene) -> Result<T>,
    work: impl FnOnce(&Scene, T) -> Answer,
    fault: Option<(usize, Fault)>,
) -> Result<(Scene, Answer, FaultLog)> {
    let scene = Scene::new(root_mode)?;
    let prepared = prepare(&scene)?;
    let log = FaultLog::new();
    if let Some((at, fault)) = fault {
        log.inject(at, fault);
    }
    let answer = log.during(|| work(&scene, prepared));
    Ok((scene, answer, log))
}

fn commit(_: &Scene, staged: Box<dyn StagedLayer>) -> Answer {
    staged.commit(&id("child"), Some(&id("base")))
}

fn remove(scene: &Scene, (): ()) -> Answer {
    scene.store.driver.remove(&id("child"))
}

#[test]
fn r50_r55_a_commit_with_a_fault_at_any_call_leaves_a_whole_layer_or_none() -> Result {
    for root_mode in [0o755, 0o555] {
        let before = Scene::new(root_mode)?.names()?;
        let (good, answer, log) = run(root_mode, Scene::stage, commit, None)?;
        answer?;
        let (child, base, after) = (good.tree("child")?, good.tree("base")?, good.names()?);
        assert!(log.calls().len() >= 5, "{:?}", log.calls());
        for at in 0..log.calls().len() {
            for (fault, is_deadly) in faults() {
                let fault = (at, fault);
                let (scene, answer, log) = run(root_mode, Scene::stage, commit, Some(fault))?;
                let when = format!("{fault:?} at {:?}", log.calls()[at]);
                let is_there = scene.is_whole("child", &child, &when)?;
                assert!(scene.is_whole("base", &base, &when)?);
                if !is_deadly {
                    assert_eq!(answer.is_ok(), is_there, "{when}: {answer:?}");
                }
                scene.assert_swept(if is_there { &after } else { &before }, &when)?;
                if !is_there {
                    // What has failed is in nobody's way.
                    commit(&scene, scene.stage()?)?;
                    assert_eq!(scene.tree("child")?, child, "{when}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn r50_r55_a_removal_with_a_fault_at_any_call_leaves_a_whole_layer_or_none() -> Result {
    let prepare = |scene: &Scene| -> Result { Ok(commit(scene, scene.stage()?)?) };
    for root_mode in [0o755, 0o555] {
        let gone = Scene::new(root_mode)?.names()?;
        let (good, answer, _) = run(root_mode, prepare, |_, ()| Ok(()), None)?;
        answer?;
        let (child, base, there) = (good.tree("child")?, good.tree("base")?, good.names()?);
        let (swept, answer, log) = run(root_mode, prepare, remove, None)?;
        answer?;
        assert_eq!(swept.names()?, gone, "nothing is left for a sweep");
        for at in 0..log.calls().len() {
            for (fault, is_deadly) in faults() {
                let fault = (at, fault);
                let (scene, answer, log) = run(root_mode, prepare, remove, Some(fault))?;
                let when = format!("{fault:?} at {:?}", log.calls()[at]);
                assert!(answer.is_err() || !is_deadly, "{when}");
                let is_there = scene.is_whole("child", &child, &when)?;
                assert!(scene.is_whole("base", &base, &when)?);
                scene.assert_swept(if is_there { &there } else { &gone }, &when)?;
                match remove(&scene, ()) {
                    Ok(()) => assert!(is_there, "{when}"),
                    Err(error) => {
                        assert_eq!(error.kind(), DriverErrorKind::NotFound, "{when}: {error:?}");
                        assert!(!is_there, "{when}");
                    }
                }
                scene.assert_swept(&gone, &when)?;
            }
        }
    }
    Ok(())
}

/// Staging changes nothing that anybody sees, wherever it ends.
#[test]
fn r50_r55_a_staging_with_a_fault_at_any_call_leaves_nothing() -> Result {
    let begin = |scene: &Scene, ()| scene.store.driver.stage(Some(&id("base"))).map(drop);
    for root_mode in [0o755, 0o555] {
        let before = Scene::new(root_mode)?.names()?;
        let (good, answer, log) = run(root_mode, |_| Ok(()), begin, None)?;
        answer?;
        assert_eq!(good.names()?, before);
        let base = good.tree("base")?;
        for at in 0..log.calls().len() {
            for (fault, _) in faults() {
                let fault = (at, fault);
                let (scene, _, log) = run(root_mode, |_| Ok(()), begin, Some(fault))?;
                let when = format!("{fault:?} at {:?}", log.calls()[at]);
                assert!(scene.is_whole("base", &base, &when)?);
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
    let scene = Scene::new(0o755)?;
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
