//! A layer is what it was when it was committed, whatever becomes of those around it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use layergraph_fs::Dir;
use layergraph_tar::{Kind, NewMember};

use super::lab::{Fallible, Lab, apply, changes_of, id, stage};
use super::layer::{Layer, moment};
use super::{Kept, Outcome};
use crate::{DriverErrorKind, OpenDriver};

const BASE: [&str; 5] = ["d/", "d/f = of the base", "g => d/f", "h = also", "l -> h"];

/// A child stays as it is while siblings of it are made and removed.
pub fn a_child_does_not_change_with_its_siblings(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    lab.layer("base", None, &BASE)?;
    lab.layer("child", Some("base"), &["d/f = of the child", ".wh.h"])?;
    let trees = [lab.tree("base")?, lab.tree("child")?];
    for round in 0..2 {
        lab.layer(
            "sibling",
            Some("base"),
            &["d/f = of the sibling", ".wh.g", "h = x"],
        )?;
        lab.layer("nephew", Some("sibling"), &[".wh.d"])?;
        assert_eq!([lab.tree("base")?, lab.tree("child")?], trees, "{round}");
        lab.driver.remove(&id("nephew"))?;
        lab.driver.remove(&id("sibling"))?;
        assert_eq!([lab.tree("base")?, lab.tree("child")?], trees, "{round}");
    }
    assert_eq!(lab.list()?, ["base", "child"]);
    Ok(Kept)
}

/// The path by which the file system leads to what a handle is on.
fn path_of(dir: &Dir) -> PathBuf {
    format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd()).into()
}

/// Nothing that is done in a child reaches its parent: not even what is written into a file in
/// place, or said about it, if the driver shows the parent's files in the staged layer.
pub fn a_parent_is_unaffected_by_its_children(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    lab.layer("base", None, &BASE)?;
    let tree = lab.tree("base")?;
    let staged = stage(&*lab.driver, Some("base"))?;
    let entries = [
        "d/f = other",
        "h = longer than it was",
        "g/",
        "g/f = 1",
        ".wh.l",
    ];
    apply(&*lab.driver, &*staged, &Layer::of(&entries)?)?;
    assert_eq!(lab.tree("base")?, tree);
    staged.commit(&id("child"), Some(&id("base")))?;
    assert_eq!(lab.tree("base")?, tree);

    if !lab.driver.capabilities().independent {
        let staged = stage(&*lab.driver, Some("base"))?;
        let path = path_of(staged.dir()).join("d/f");
        OpenOptions::new()
            .append(true)
            .open(&path)?
            .write_all(b", written in place")?;
        let d = staged.dir().open_dir("d".as_ref())?;
        d.set_mode("f".as_ref(), 0o4711)?;
        d.set_xattr("f".as_ref(), "user.key".as_ref(), b"value")?;
        d.set_times(
            "f".as_ref(),
            None,
            Some(moment() + std::time::Duration::from_secs(1)),
        )?;
        staged.dir().set_mode(".".as_ref(), 0o700)?;
        assert_eq!(lab.tree("base")?, tree);
        staged.commit(&id("other"), Some(&id("base")))?;
        assert_eq!(lab.tree("base")?, tree);
        assert_ne!(lab.tree("other")?, tree);
    }
    lab.driver.remove(&id("child"))?;
    assert_eq!(lab.tree("base")?, tree);
    Ok(Kept)
}

/// A hard link in a layer to a file of the parent, stated with another owner, mode and time,
/// changes the two names in the layer and not the parent. (One driver of the original made a file
/// of the parent set-uid by this.)
pub fn a_hard_link_with_other_metadata_leaves_the_parent_alone(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    lab.layer("base", None, &["f = data", "other => f"])?;
    lab.layer("sibling", Some("base"), &["s = 1"])?;
    let trees = [lab.tree("base")?, lab.tree("sibling")?];

    let mut layer = Layer::new()?;
    let entry = NewMember {
        link: b"f",
        mode: 0o4711,
        uid: 77,
        gid: 78,
        mtime: moment() + std::time::Duration::from_secs(999),
        ..layer.member("h", Kind::HardLink)
    };
    layer.add(&entry, b"")?;
    let staged = stage(&*lab.driver, Some("base"))?;
    apply(&*lab.driver, &*staged, &layer.finish()?)?;
    staged.commit(&id("child"), Some(&id("base")))?;

    assert_eq!([lab.tree("base")?, lab.tree("sibling")?], trees);
    let child = lab.tree("child")?;
    let line = |name: &str| -> Vec<String> {
        let found = child
            .iter()
            .find(|line| line.starts_with(&format!("{name}\t")));
        let fields = found.map(|line| line.split('\t').map(str::to_owned).collect());
        fields.expect("the child has it")
    };
    for name in ["f", "h"] {
        assert_eq!(line(name)[2..4], ["4711", "77:78"], "{name}");
    }
    assert_eq!(line("h")[6], "f");
    // It parts the two from the third name, which is as it was.
    assert_ne!(line("other")[2], "4711");
    assert_eq!(line("other")[6], "-");
    let changed = changes_of(&*lab.driver, "child", Some("base"))?;
    assert_eq!(changed[..2], ["C /f", "A /h"]);
    Ok(Kept)
}

/// Removing a layer that others are built on is refused as in use and changes nothing, or leaves
/// those others whole.
pub fn a_child_outlives_its_parent_or_the_removal_is_refused(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    lab.layer("base", None, &BASE)?;
    lab.layer("child", Some("base"), &["d/f = of the child"])?;
    lab.layer("grandchild", Some("child"), &[".wh.h"])?;
    let trees =
        |names: [&str; 2]| -> Fallible<_> { Ok([lab.tree(names[0])?, lab.tree(names[1])?]) };
    let others = trees(["base", "grandchild"])?;
    match lab.driver.remove(&id("child")) {
        Ok(()) => assert_eq!(lab.list()?, ["base", "grandchild"]),
        Err(error) => {
            assert_eq!(error.kind(), DriverErrorKind::InUse, "{error:?}");
            assert_eq!(lab.list()?, ["base", "child", "grandchild"]);
        }
    }
    assert_eq!(trees(["base", "grandchild"])?, others);
    lab.layer("next", Some("grandchild"), &["n = 1"])?;
    assert_eq!(
        changes_of(&*lab.driver, "next", Some("grandchild"))?,
        ["A /n"]
    );
    Ok(Kept)
}
