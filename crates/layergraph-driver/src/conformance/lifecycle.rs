//! How layers begin, are found, and end.

use std::sync::Arc;
use std::thread;

use layergraph_archive::View;
use layergraph_fs::{Dir, Durability};

use super::lab::{Fallible, Lab, apply, assert_refused, commit, describe, id, list, stage, tree};
use super::layer::Layer;
use super::{Kept, Outcome, Skipped};
use crate::{DriverErrorKind, DriverOptions, MountOptions, OpenDriver};

/// A staged layer that is dropped is not listed, and leaves nothing that a sweep does not remove.
pub fn a_dropped_staging_leaves_nothing(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    lab.layer("base", None, &["etc/", "etc/hosts = 1"])?;
    drop(stage(&*lab.driver, None)?);
    lab.assert_swept(&lab.files()?)?;
    let before = lab.files()?;
    for parent in [None, Some("base")] {
        let staged = stage(&*lab.driver, parent)?;
        apply(&*lab.driver, &*staged, &Layer::of(&["new/", "new/f = 2"])?)?;
        assert_eq!(lab.list()?, ["base"]);
        drop(staged);
        assert_eq!(lab.list()?, ["base"]);
        lab.assert_swept(&before)?;
    }
    Ok(Kept)
}

/// Committing under an id that a layer has is refused, leaves that layer as it is, and leaves
/// nothing of the other.
pub fn a_taken_id_is_refused_and_harms_nothing(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    lab.layer("base", None, &["f = 1"])?;
    lab.layer("taken", Some("base"), &["etc/", "etc/hosts = 2"])?;
    lab.assert_swept(&lab.files()?)?;
    let (tree, files) = (lab.tree("taken")?, lab.files()?);
    for parent in [None, Some("base"), Some("taken")] {
        let staged = stage(&*lab.driver, parent)?;
        apply(
            &*lab.driver,
            &*staged,
            &Layer::of(&["etc/", "etc/hosts = 3"])?,
        )?;
        let committed = staged.commit(&id("taken"), parent.map(id).as_ref());
        assert_refused(committed, DriverErrorKind::AlreadyExists);
        assert_eq!(lab.tree("taken")?, tree);
        assert_eq!(lab.list()?, ["base", "taken"]);
        lab.assert_swept(&files)?;
    }
    Ok(Kept)
}

/// A layer on a parent that is not there is refused, and no trace is left of it. (The original left
/// an empty directory, which then counted as a layer.)
pub fn a_missing_parent_is_refused_and_leaves_nothing(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    let missing = || {
        let staged = stage(&*lab.driver, Some("missing"));
        assert_refused(staged, DriverErrorKind::NotFound);
    };
    missing();
    assert_eq!(lab.list()?, [""; 0]);
    lab.layer("base", None, &["f = 1"])?;
    lab.assert_swept(&lab.files()?)?;
    let before = lab.files()?;
    missing();
    assert_eq!(lab.list()?, ["base"]);
    assert!(!lab.driver.exists(&id("missing"))?);
    lab.assert_swept(&before)?;
    Ok(Kept)
}

/// The list is sorted by id, and holds what is committed and nothing that is staged.
pub fn the_list_is_sorted_and_has_nothing_staged(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    assert_eq!(lab.list()?, [""; 0]);
    for name in ["b", "a-init", "c0ffee", "a", "Z", "10", "9"] {
        lab.layer(name, None, &["f = 1"])?;
    }
    let staged = [stage(&*lab.driver, None)?, stage(&*lab.driver, Some("a"))?];
    assert_eq!(lab.list()?, ["10", "9", "Z", "a", "a-init", "b", "c0ffee"]);
    drop(staged);
    for name in ["a", "10"] {
        lab.driver.remove(&id(name))?;
    }
    assert_eq!(lab.list()?, ["9", "Z", "a-init", "b", "c0ffee"]);
    Ok(Kept)
}

/// Whatever is asked of a layer that is not there, the answer is that it is not there.
pub fn what_is_missing_is_not_found(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    let (driver, missing) = (&lab.driver, id("missing"));
    let check = || -> Fallible {
        let kind = DriverErrorKind::NotFound;
        assert!(!driver.exists(&missing)?);
        assert_refused(driver.remove(&missing), kind);
        assert_refused(driver.stage(Some(&missing)), kind);
        assert_refused(driver.layers(&missing), kind);
        assert_refused(driver.view(&missing), kind);
        assert_refused(driver.changes(&missing, None), kind);
        assert_refused(driver.mount(&missing, &MountOptions::default()), kind);
        Ok(())
    };
    check()?;
    lab.layer("there", None, &[])?;
    check()?;
    assert_refused(
        driver.changes(&id("there"), Some(&missing)),
        DriverErrorKind::NotFound,
    );
    lab.layer("missing", None, &["f = 1"])?;
    driver.remove(&missing)?;
    check()?;
    Ok(Kept)
}

/// A layer that was removed is gone with all its files, and its id may be used again.
pub fn a_removed_id_can_be_used_again(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    // What a driver makes once for all layers, it has made then.
    lab.layer("a", None, &["d/", "d/f = 1"])?;
    lab.driver.remove(&id("a"))?;
    lab.assert_swept(&lab.files()?)?;
    let before = lab.files()?;
    lab.layer("a", None, &["./", "d/", "d/f = 2", "d/g = 3"])?;
    let tree = lab.tree("a")?;
    lab.driver.remove(&id("a"))?;
    assert!(!lab.driver.exists(&id("a"))?);
    lab.assert_swept(&before)?;
    lab.layer("a", None, &["./", "d/", "d/f = 2", "d/g = 3"])?;
    assert_eq!(lab.tree("a")?, tree);
    Ok(Kept)
}

/// A driver that is opened again on the same root shows the same layers.
pub fn a_reopened_store_shows_the_same_layers(open: OpenDriver) -> Outcome {
    let mut lab = Lab::new(open)?;
    lab.options = DriverOptions {
        durability: Durability::Full,
        ..lab.options
    };
    lab.driver = lab.open_again()?;
    lab.layer("base", None, &["f = 1", "g => f"])?;
    lab.layer("child", Some("base"), &["d/", "d/f = 2"])?;
    let trees = [lab.tree("base")?, lab.tree("child")?];
    lab.driver = lab.open_again()?;
    assert_eq!(lab.list()?, ["base", "child"]);
    assert_eq!([lab.tree("base")?, lab.tree("child")?], trees);
    lab.layer("grandchild", Some("child"), &[".wh.f"])?;
    assert_eq!(lab.list()?, ["base", "child", "grandchild"]);
    Ok(Kept)
}

/// Two drivers on one root see what the other commits and removes.
pub fn two_drivers_see_each_others_layers(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    let (one, other) = (&*lab.driver, &*lab.open_again()?);
    commit(one, "base", None, &["f = 1"])?;
    assert_eq!(list(other)?, ["base"]);
    commit(other, "child", Some("base"), &["g = 2"])?;
    assert_eq!(list(one)?, ["base", "child"]);
    assert_eq!(tree(one, "child")?, tree(other, "child")?);
    let staged = stage(one, None)?;
    let committed = {
        commit(other, "late", None, &["h = 3"])?;
        staged.commit(&id("late"), None)
    };
    assert_refused(committed, DriverErrorKind::AlreadyExists);
    one.remove(&id("child"))?;
    assert!(!other.exists(&id("child"))?);
    assert_refused(other.view(&id("child")), DriverErrorKind::NotFound);
    Ok(Kept)
}

/// Threads may use a driver at once. Of those that want the same id one gets it, the others are
/// told.
pub fn threads_commit_at_once(open: OpenDriver) -> Outcome {
    const THREADS: usize = 8;
    let lab = Lab::new(open)?;
    lab.layer("base", None, &["f = 1"])?;
    let results = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let driver = Arc::clone(&lab.driver);
                scope.spawn(move || -> Fallible<bool> {
                    let own = format!("own-{thread}");
                    commit(&*driver, &own, Some("base"), &[&format!("{own} = 2")])?;
                    let staged = stage(&*driver, Some(&own))?;
                    let committed = staged.commit(&id("wanted"), Some(&id(&own)));
                    Ok(committed
                        .inspect_err(|error| {
                            assert_eq!(error.kind(), DriverErrorKind::AlreadyExists, "{error:?}");
                        })
                        .is_ok())
                })
            })
            .collect();
        let joined = threads.into_iter().map(|it| it.join().expect("no panic"));
        joined.collect::<Fallible<Vec<bool>>>()
    })?;
    assert_eq!(results.iter().filter(|won| **won).count(), 1);
    assert_eq!(lab.list()?.len(), THREADS + 2);
    let winner = results.iter().position(|won| *won).unwrap_or_default();
    assert_eq!(lab.tree("wanted")?, lab.tree(&format!("own-{winner}"))?);
    Ok(Kept)
}

/// What is seen under a mount is what is read without one; mounts are counted, and there is nothing
/// wrong with an unmount too many.
pub fn the_mounted_tree_is_the_viewed_one(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    lab.layer("base", None, &["d/", "d/f = 1", "g => d/f", "old = 2"])?;
    lab.layer("child", Some("base"), &[".wh.old", "l -> d/f"])?;
    lab.driver.unmount(&id("child"))?;
    for name in ["base", "child"] {
        let options = MountOptions::default();
        let path = match lab.driver.mount(&id(name), &options) {
            Err(error) if error.is_unusable_here() => return Ok(Skipped(error.to_string())),
            result => result?,
        };
        assert_eq!(lab.driver.mount(&id(name), &options)?, path);
        lab.driver.unmount(&id(name))?;
        let mounted = View::new(Dir::open(&path)?).with_ownership(lab.driver.ownership());
        assert_eq!(describe(&mounted)?, lab.tree(name)?);
        drop(mounted);
        lab.driver.unmount(&id(name))?;
        lab.driver.unmount(&id(name))?;
    }
    lab.driver.unmount(&id("nothing"))?;
    // What was mounted can be removed.
    lab.driver.remove(&id("child"))?;
    lab.driver.remove(&id("base"))?;
    Ok(Kept)
}

/// A driver does with staged layers what its capabilities say: it shows the parent's tree in them
/// and insists on that parent, or it takes changes alone and any parent afterwards.
pub fn staging_is_as_the_capabilities_say(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    lab.layer("base", None, &["d/", "d/f = 1"])?;
    lab.layer("other", None, &["o = 2"])?;
    let before = lab.files()?;
    let staged = stage(&*lab.driver, Some("base"))?;
    let seen = staged.dir().sorted_names()?;
    if lab.driver.capabilities().independent {
        assert!(seen.is_empty(), "{seen:?}");
        drop(staged);
        let staged = stage(&*lab.driver, None)?;
        apply(&*lab.driver, &*staged, &Layer::of(&["g = 3"])?)?;
        staged.commit(&id("late"), Some(&id("base")))?;
        lab.layer("early", Some("base"), &["g = 3"])?;
        assert_eq!(lab.tree("late")?, lab.tree("early")?);
        return Ok(Kept);
    }
    assert_eq!(seen, ["d"]);
    drop(staged);
    for (staged_on, committed_on) in [
        (Some("base"), None),
        (None, Some("base")),
        (Some("base"), Some("other")),
    ] {
        let staged = stage(&*lab.driver, staged_on)?;
        let committed = staged.commit(&id("child"), committed_on.map(id).as_ref());
        assert_refused(committed, DriverErrorKind::NotSupported);
        assert_eq!(lab.list()?, ["base", "other"]);
        lab.assert_swept(&before)?;
    }
    Ok(Kept)
}
