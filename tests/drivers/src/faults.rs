//! A layer's beginning and end, with a fault at each call that changes the disk (R50, R55): it is
//! whole or not there, and what is left over a sweep removes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use layergraph_driver::{Driver, DriverError, DriverErrorKind, StagedLayer};
use layergraph_fs::faults::{Fault, FaultLog};
use rustix::io::Errno;

use crate::{Result, id};

/// What a driver said.
pub type Answer = std::result::Result<(), DriverError>;

/// A store with a layer `base`, and with everything that a driver makes once. Each fault gets a new
/// one.
pub trait Scene: Sized {
    /// The driver of the store.
    fn driver(&self) -> &dyn Driver;

    /// Stages a layer with changes on `base`, to be called `child`.
    ///
    /// # Errors
    ///
    /// What the driver says.
    fn stage(&self) -> Result<Box<dyn StagedLayer>>;

    /// Lists the tree of the child.
    ///
    /// # Errors
    ///
    /// What the driver says.
    fn child(&self) -> Result<Vec<String>>;

    /// Checks that all layers are whole, the child as `expected`, and returns whether it is there.
    ///
    /// # Errors
    ///
    /// What the driver says.
    fn is_whole(&self, expected: &[String], when: &str) -> Result<bool>;

    /// The names in the store, as far as they do not change from one store to the next.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn names(&self) -> Result<BTreeSet<PathBuf>>;

    /// Sweeps, and checks that then the store has these names.
    ///
    /// # Errors
    ///
    /// What the driver says.
    fn assert_swept(&self, expected: &BTreeSet<PathBuf>, when: &str) -> Result;
}

/// The faults that are tried at each call, and whether the program dies of them.
pub fn faults() -> [(Fault, bool); 4] {
    let fail = |errno: Errno| (Fault::Fail(errno.raw_os_error()), false);
    [
        fail(Errno::IO),
        fail(Errno::NOSPC),
        (Fault::Crash, true),
        (Fault::Tear, true),
    ]
}

/// Does `work` in a new scene, with the fault at the call number `at`, if there is one.
///
/// # Errors
///
/// The scene cannot be made or prepared.
pub fn during<S, T>(
    new: impl Fn() -> Result<S>,
    prepare: impl FnOnce(&S) -> Result<T>,
    work: impl FnOnce(&S, T) -> Answer,
    fault: Option<(usize, Fault)>,
) -> Result<(S, Answer, FaultLog)> {
    let scene = new()?;
    let prepared = prepare(&scene)?;
    let log = FaultLog::new();
    if let Some((at, fault)) = fault {
        log.inject(at, fault);
    }
    let answer = log.during(|| work(&scene, prepared));
    Ok((scene, answer, log))
}

/// Commits what was staged as the child.
///
/// # Errors
///
/// What the driver says.
pub fn commit<S>(_: &S, staged: Box<dyn StagedLayer>) -> Answer {
    staged.commit(&id("child"), Some(&id("base")))
}

fn remove<S: Scene>(scene: &S, (): ()) -> Answer {
    scene.driver().remove(&id("child"))
}

/// Checks that a commit with a fault at any call leaves a whole layer or none.
///
/// # Errors
///
/// What the driver says without a fault.
///
/// # Panics
///
/// If it leaves anything else, or makes fewer calls than `least`.
pub fn check_commits<S: Scene>(new: impl Fn() -> Result<S>, least: usize) -> Result {
    let before = new()?.names()?;
    let (good, answer, log) = during(&new, S::stage, commit, None)?;
    answer?;
    let (child, after) = (good.child()?, good.names()?);
    assert!(log.calls().len() >= least, "{:?}", log.calls());
    for at in 0..log.calls().len() {
        for (fault, is_deadly) in faults() {
            let fault = (at, fault);
            let (scene, answer, log) = during(&new, S::stage, commit, Some(fault))?;
            let when = format!("{fault:?} at {:?}", log.calls()[at]);
            let is_there = scene.is_whole(&child, &when)?;
            if !is_deadly {
                assert_eq!(answer.is_ok(), is_there, "{when}: {answer:?}");
            }
            scene.assert_swept(if is_there { &after } else { &before }, &when)?;
            if !is_there {
                // What has failed is in nobody's way.
                commit(&scene, scene.stage()?)?;
                assert_eq!(scene.child()?, child, "{when}");
            }
        }
    }
    Ok(())
}

/// Checks that a removal with a fault at any call leaves a whole layer or none.
///
/// # Errors
///
/// What the driver says without a fault.
///
/// # Panics
///
/// If it leaves anything else.
pub fn check_removals<S: Scene>(new: impl Fn() -> Result<S>) -> Result {
    let prepare = |scene: &S| -> Result { Ok(commit(scene, scene.stage()?)?) };
    let gone = new()?.names()?;
    let (good, answer, _) = during(&new, prepare, |_, ()| Ok(()), None)?;
    answer?;
    let (child, there) = (good.child()?, good.names()?);
    let (swept, answer, log) = during(&new, prepare, remove, None)?;
    answer?;
    assert_eq!(swept.names()?, gone, "nothing is left for a sweep");
    for at in 0..log.calls().len() {
        for (fault, is_deadly) in faults() {
            let fault = (at, fault);
            let (scene, answer, log) = during(&new, prepare, remove, Some(fault))?;
            let when = format!("{fault:?} at {:?}", log.calls()[at]);
            assert!(answer.is_err() || !is_deadly, "{when}");
            let is_there = scene.is_whole(&child, &when)?;
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
    Ok(())
}
