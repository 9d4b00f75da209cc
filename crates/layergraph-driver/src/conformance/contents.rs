//! What a driver says of the contents of layers: deep ones, sizes, and exact lists of changes.

use std::ffi::OsStr;
use std::fs;

use layergraph_tar::{Kind, NewMember};

use super::lab::{Fallible, Lab, apply, changes_of, id, stage, text_of};
use super::layer::Layer;
use super::{Kept, Outcome, Skipped};
use crate::{OpenDriver, naive};

/// How many files one law has open at most.
const OPEN_FILES: u64 = 4096;

/// Returns how many files this process may have open (`getrlimit(2)`).
fn open_files() -> Fallible<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    match soft.ok_or("it has no line of open files")? {
        "unlimited" => Ok(u64::MAX),
        number => Ok(number.parse()?),
    }
}

/// Files of 500 layers, as many as the kernel mounts, are read through the uppermost one.
///
/// Skipped where this process may not have some thousand files open.
pub fn five_hundred_layers_are_read(open: OpenDriver) -> Outcome {
    const LAYERS: usize = 500;
    let limit = open_files()?;
    if limit < OPEN_FILES {
        let reason = format!("{limit} open files are allowed, and {OPEN_FILES} are needed");
        return Ok(Skipped(reason));
    }
    let lab = Lab::new(open)?;
    let name = |layer: usize| format!("layer-{layer}");
    // Few of them have a file of their own, as some drivers copy all that there is each time.
    let is_marked = |layer: usize| layer.is_multiple_of(100) || layer + 1 == LAYERS;
    for layer in 0..LAYERS {
        let parent = layer.checked_sub(1).map(name);
        let is_independent = lab.driver.capabilities().independent;
        let staged_on = parent.clone().filter(|_| !is_independent);
        let staged = stage(&*lab.driver, staged_on.as_deref())?;
        let put = |name: &str| -> Fallible {
            let name = OsStr::new(name);
            if staged.dir().find(name)?.is_some() {
                staged.dir().remove_file(name)?;
            }
            let mut file = staged.dir().create_file(name, 0o644)?;
            Ok(file.write_all(layer.to_string().as_bytes())?)
        };
        put("top")?;
        if is_marked(layer) {
            put(&format!("file-{layer}"))?;
        }
        staged.commit(&id(&name(layer)), parent.as_deref().map(id).as_ref())?;
    }
    let view = lab.driver.view(&id(&name(LAYERS - 1)))?;
    let root = view.root()?;
    let read = |name: &str| text_of(&root, name);
    let marked: Vec<usize> = (0..LAYERS).filter(|layer| is_marked(*layer)).collect();
    assert_eq!(root.entries()?.len(), marked.len() + 1);
    for layer in marked {
        assert_eq!(read(&format!("file-{layer}"))?, layer.to_string());
    }
    assert_eq!(read("top")?, (LAYERS - 1).to_string());
    let changes = changes_of(&*lab.driver, &name(LAYERS - 1), Some(&name(LAYERS - 2)))?;
    assert_eq!(changes, ["A /file-499", "C /top"]);
    Ok(Kept)
}

/// The size that applying a layer on nothing finds is that of the layer's changes. (Links count in
/// the one and not in the other, as in 2015, so there are none in it.)
pub fn a_bottom_layer_has_the_size_of_its_changes(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    let long = "x".repeat(100_000);
    for (name, lines) in [
        ("empty", vec![]),
        (
            "no bytes",
            vec!["d/".to_owned(), "d/e/".to_owned(), "d/f".to_owned()],
        ),
        (
            "some",
            vec![
                "f = 1".to_owned(),
                "d/".to_owned(),
                "d/f = 22".to_owned(),
                "d/g".to_owned(),
                format!("d/long = {long}"),
                // Nothing is below, so this removes nothing.
                ".wh.gone".to_owned(),
            ],
        ),
    ] {
        let layer_id = id(&name.replace(' ', "-"));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let staged = stage(&*lab.driver, None)?;
        let unpacked = apply(&*lab.driver, &*staged, &Layer::of(&lines)?)?;
        staged.commit(&layer_id, None)?;
        let changes = lab.driver.changes(&layer_id, None)?;
        assert_eq!(unpacked.size, naive::diff_size(&changes), "{name}");
        let text = lines.iter().filter_map(|line| line.split_once(" = "));
        let bytes: usize = text.map(|(_, text)| text.len()).sum();
        assert_eq!(unpacked.size, bytes as u64, "{name}");
    }
    Ok(Kept)
}

/// Objects that become of another type or get other metadata are listed, directories that were
/// made anew are compared with those before, and what a layer states once more as it was is not
/// listed.
pub fn change_lists_are_exact(open: OpenDriver) -> Outcome {
    let lab = Lab::new(open)?;
    changed(&lab)?;
    let check = |upper: &str, lower: &str, expected: &str| -> Fallible {
        let found = changes_of(&*lab.driver, upper, Some(lower))?;
        assert_eq!(found.join(", "), expected, "{upper} on {lower}");
        Ok(())
    };
    check(
        "upper",
        "base",
        "C /d, D /d/g, A /d/n, C /dir-to-file, C /file-to-dir, A /file-to-dir/y, C /file-to-link, \
         D /gone, C /l, C /mode, C /o, D /o/b",
    )?;
    check(
        "base",
        "upper",
        "C /d, A /d/g, D /d/n, C /dir-to-file, A /dir-to-file/x, C /file-to-dir, C /file-to-link, \
         A /gone, A /gone/x, C /l, C /mode, C /o, A /o/b",
    )?;
    // The new name parts a file from the other name it had (U8 in docs/compatibility.md).
    check("sibling", "base", "A /further, C /one")?;
    check(
        "upper",
        "sibling",
        "C /d, D /d/g, A /d/n, C /dir-to-file, C /file-to-dir, A /file-to-dir/y, C /file-to-link, \
         D /further, D /gone, C /l, C /mode, C /o, D /o/b, C /one, C /other",
    )?;
    Ok(Kept)
}

/// Makes a layer `base`, and on it `upper` and `sibling`.
fn changed(lab: &Lab) -> Fallible {
    let base = [
        "as-it-was = 1",
        "d/",
        "d/f = 1",
        "d/g = 2",
        "dir-to-file/",
        "dir-to-file/x = 1",
        "file-to-dir = 1",
        "file-to-link = target",
        "gone/",
        "gone/x = 1",
        "l -> a",
        "mode = 1",
        "o/",
        "o/a = 1",
        "o/b = 2",
        "one = 1",
        "other => one",
    ];
    lab.layer("base", None, &base)?;
    let mut layer = Layer::new()?;
    for line in [
        "as-it-was = 1",
        "d/.wh.g",
        "d/n = 3",
        "dir-to-file = 1",
        "file-to-dir/",
        "file-to-dir/y = 1",
        "file-to-link -> target",
        ".wh.gone",
        "l -> b",
        "o/",
        "o/.wh..wh..opq",
        "o/a = 1",
    ] {
        layer.line(line)?;
    }
    let mode = NewMember {
        mode: 0o600,
        ..layer.member("mode", Kind::File)
    };
    layer.add(&mode, b"1")?;
    let staged = stage(&*lab.driver, Some("base"))?;
    apply(&*lab.driver, &*staged, &layer.finish()?)?;
    staged.commit(&id("upper"), Some(&id("base")))?;
    lab.layer("sibling", Some("base"), &["d/g = 2", "further => one"])?;
    Ok(())
}
