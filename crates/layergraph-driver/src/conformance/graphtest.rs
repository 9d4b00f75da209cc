//! The original's own tests of its drivers (`graphdriver/graphtest`), by their names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use layergraph_fs::FileKind;
use layergraph_tar::{Kind, NewMember};

use super::lab::{Fallible, Lab, apply, changes_of, id, stage, text_of};
use super::layer::Layer;
use super::{Kept, Outcome};
use crate::{OpenDriver, naive};

/// An empty layer exists; its tree is an empty directory with mode 0755 that belongs to root.
pub fn create_empty(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    let empty = id("empty");
    stage(&*lab.driver, None)?.commit(&empty, None)?;
    assert!(lab.driver.exists(&empty)?);
    let view = lab.driver.view(&empty)?;
    let root = view.root()?;
    let metadata = root.metadata();
    assert_eq!(
        (metadata.mode, metadata.uid, metadata.gid),
        (0o755, 0, 0),
        "mode {:o}",
        metadata.mode
    );
    assert_eq!(root.entries()?.len(), 0);
    assert_eq!(changes_of(&*lab.driver, "empty", None)?, [""; 0]);
    Ok(Kept)
}

/// A layer with a sticky directory of another owner and a set-uid file that nobody may read.
fn base(lab: &Lab) -> Fallible {
    let mut layer = Layer::new()?;
    let mut add = |name, kind, mode, (uid, gid), data| {
        let member = NewMember {
            mode,
            uid,
            gid,
            ..layer.member(name, kind)
        };
        layer.add(&member, data)
    };
    add("a subdir", Kind::Directory, 0o1705, (1, 2), b"")?;
    add("a file", Kind::File, 0o4222, (0, 0), b"Some data")?;
    let staged = stage(&*lab.driver, None)?;
    apply(&*lab.driver, &*staged, &layer.finish()?)?;
    Ok(staged.commit(&id("Base"), None)?)
}

fn assert_base(lab: &Lab, name: &str) -> Fallible {
    let view = lab.driver.view(&id(name))?;
    let entries = view.root()?.entries()?;
    let found: Vec<_> = entries
        .iter()
        .map(|entry| {
            let it = entry.metadata();
            let owner = (it.uid, it.gid);
            (entry.name().as_bytes(), it.kind, it.mode, owner)
        })
        .collect();
    assert_eq!(
        found,
        [
            (&b"a file"[..], FileKind::File, 0o4222, (0, 0)),
            (b"a subdir", FileKind::Directory, 0o1705, (1, 2)),
        ]
    );
    Ok(())
}

/// Modes with their sticky and set-uid bits, and owners, are those that were given.
pub fn create_base(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    base(&lab)?;
    assert_base(&lab, "Base")?;
    Ok(Kept)
}

/// A child in which nothing was changed shows the same as its parent.
pub fn create_snap(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    base(&lab)?;
    stage(&*lab.driver, Some("Base"))?.commit(&id("Snap"), Some(&id("Base")))?;
    assert_base(&lab, "Snap")?;
    assert_eq!(lab.tree("Snap")?, lab.tree("Base")?);
    assert_eq!(changes_of(&*lab.driver, "Snap", Some("Base"))?, [""; 0]);
    Ok(Kept)
}

/// Files of all of 128 layers are read through the uppermost one, and where several layers have a
/// file it is that of the uppermost.
pub fn deep_layer_read(open: OpenDriver) -> Outcome {
    const LAYERS: usize = 128;
    let lab = Lab::new(open)?;
    let name = |layer: usize| format!("layer-{layer}");
    for layer in 0..LAYERS {
        let parent = layer.checked_sub(1).map(name);
        let (own, shared) = (
            format!("file-{layer:03} = {layer}"),
            format!("top = {layer}"),
        );
        lab.layer(&name(layer), parent.as_deref(), &[&own, &shared])?;
    }
    let view = lab.driver.view(&id(&name(LAYERS - 1)))?;
    let root = view.root()?;
    assert_eq!(root.entries()?.len(), LAYERS + 1);
    let read = |name: &str| text_of(&root, name);
    for layer in 0..LAYERS {
        assert_eq!(read(&format!("file-{layer:03}"))?, layer.to_string());
    }
    assert_eq!(read("top")?, (LAYERS - 1).to_string());
    Ok(Kept)
}

/// What the changes of a layer are packed to makes of its parent the same tree again. The size that
/// unpacking finds is the one that the changes say.
pub fn diff_apply(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    let files: Vec<String> = (0..100)
        .map(|file| format!("dir{}/file{file} = content of {file}", file % 3))
        .collect();
    let mut lines = vec![
        "dir0/",
        "dir1/",
        "dir2/",
        "dir2/deep/",
        "dir2/deep/file = x",
    ];
    lines.extend(files.iter().map(String::as_str));
    lab.layer("base", None, &lines)?;
    let upper = [
        "dir0/file3 = changed",
        "dir0/.wh.file6",
        "dir1/new = new",
        ".wh.dir2",
    ];
    lab.layer("upper", Some("base"), &upper)?;

    let (base, upper) = (id("base"), id("upper"));
    let changes = lab.driver.changes(&upper, Some(&base))?;
    let mut tar = Vec::new();
    let packed = naive::pack(&*lab.driver, &upper, &changes, &mut tar)??;
    let staged = lab.driver.stage(Some(&base))?;
    let unpacked = apply(&*lab.driver, &*staged, &tar)?;
    staged.commit(&id("again"), Some(&base))?;

    assert_eq!(lab.tree("again")?, lab.tree("upper")?);
    assert_eq!(unpacked.size, naive::diff_size(&changes));
    assert_eq!(unpacked.entries, packed.entries);
    let view = lab.driver.view(&id("again"))?;
    let root = view.root()?;
    assert!(root.entry(OsStr::new("dir2"))?.is_none(), "it was deleted");
    Ok(Kept)
}

/// The changes of a layer are exactly what was changed in it.
pub fn changes(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    let base = [
        "bin/",
        "bin/sh = #!",
        "bin/link -> sh",
        "etc/",
        "etc/hosts = 1",
        "etc/same = 2",
        "old/",
        "old/file = 3",
    ];
    lab.layer("base", None, &base)?;
    let upper = [
        "bin/link -> bash",
        "etc/hosts = 4",
        ".wh.old",
        "new/",
        "new/file = 5",
        "top = 6",
    ];
    lab.layer("upper", Some("base"), &upper)?;
    let check = |upper: &str, lower: Option<&str>, expected: &str| -> Fallible {
        let found = changes_of(&*lab.driver, upper, lower)?;
        assert_eq!(found.join(", "), expected, "{upper} on {lower:?}");
        Ok(())
    };
    check(
        "upper",
        Some("base"),
        "C /bin, C /bin/link, C /etc, C /etc/hosts, A /new, A /new/file, D /old, A /top",
    )?;
    check(
        "base",
        Some("upper"),
        "C /bin, C /bin/link, C /etc, C /etc/hosts, D /new, A /old, A /old/file, D /top",
    )?;
    check(
        "base",
        None,
        "A /bin, A /bin/link, A /bin/sh, A /etc, A /etc/hosts, A /etc/same, A /old, A /old/file",
    )?;
    check("base", Some("base"), "")?;
    Ok(Kept)
}
