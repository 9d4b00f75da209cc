//! What the demo verifies: that trees are equal, and that nothing is left of what was refused.
//!
//! Trees are compared by their listings, which have everything in them that a layer can state.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::Result;
use crate::demo::At;
use crate::demo::screen::{Size, grouped, say, size};
use crate::demo::shell::{STORE, Shell};
use crate::same::is_same;

/// A layer of the store, and what it has to be.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) id: String,
    /// What it is called here.
    pub(crate) name: String,
    /// The file that was registered.
    pub(crate) file: String,
    /// The listing of the directory that it was made from, if it was made here.
    pub(crate) source: Option<Listing>,
}

/// The listing of a tree.
#[derive(Debug, PartialEq)]
pub(crate) struct Listing(String);

impl Layer {
    /// Returns as much of the id as lists show.
    pub(crate) fn short(&self) -> &str {
        &self.id[..12]
    }
}

impl Listing {
    /// Lists a directory.
    pub(crate) fn of(shell: &mut Shell, dir: &str) -> Result<Listing> {
        // To an ordinary user the store shows the owners and modes that it has recorded.
        let ownership = if shell.is_root { "preserve" } else { "squash" };
        let ran = shell.quietly(&["listing", "--ownership", ownership, dir])?;
        let listing = Listing(ran.text());
        shell.took("list a tree, every byte hashed", listing.size(), ran.time);
        Ok(listing)
    }

    /// Returns how many objects there are, without the root.
    pub(crate) fn objects(&self) -> usize {
        self.0.lines().count().saturating_sub(1)
    }

    /// Adds up the files.
    pub(crate) fn size(&self) -> Size {
        let mut size = Size::default();
        for line in self.0.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            if let ["f", _, _, content, ..] = fields.get(1..).unwrap_or_default() {
                let bytes = content.split(':').next().and_then(|size| size.parse().ok());
                size.files += 1;
                size.bytes += bytes.unwrap_or(0);
            }
        }
        size
    }

    /// Fails if two trees differ, with the first line that does.
    fn check_equal(&self, what: &str, other: &Listing, others: &str) -> Result {
        if self == other {
            return Ok(());
        }
        let (mut mine, mut theirs) = (self.0.lines(), other.0.lines());
        let (a, b) = loop {
            match (mine.next(), theirs.next()) {
                (Some(a), Some(b)) if a == b => {}
                (a, b) => break (a.unwrap_or("no more"), b.unwrap_or("no more")),
            }
        };
        Err(format!("{what} differs from {others}:\n  {a}\n  {b}").into())
    }
}

/// Exports each layer, lowest first, and applies it on what those before it made: that has to be
/// the tree of the layer in the store, and the tree that the layer was made from.
pub(crate) fn check_round_trip(shell: &mut Shell, layers: &[Layer]) -> Result {
    const APPLIED: &str = "applied";
    const ORIGINAL: &str = "original";
    for (layer, number) in layers.iter().zip(1..) {
        // One command line stands for those of many layers.
        let lines = layers.len() <= 3 || number == 1;
        let exported = format!("exported-{number}.tar");
        let args = ["export-layer", layer.short(), "-o", &exported];
        run(shell, lines, "export a layer", &args, &exported)?;
        if !is_same(&shell.path(&layer.file), &shell.path(&exported))? {
            let name = &layer.name;
            return Err(format!("{name} comes out as another layer than it went in").into());
        }
        let args = ["unpack", &exported, APPLIED];
        run(shell, lines, "apply a layer", &args, &exported)?;
        let applied = Listing::of(shell, APPLIED)?;
        let what = format!("the tree of {} as exported", layer.name);

        let path = shell.mount(layer.short(), false)?;
        let stored = Listing::of(shell, &path)?;
        shell.unmount(&path, false)?;
        applied.check_equal(&what, &stored, "that of the store")?;

        let also = if let Some(source) = &layer.source {
            applied.check_equal(&what, source, "the one it was made from")?;
            "and the directory it was made from"
        } else {
            let args = ["unpack", &layer.file, ORIGINAL];
            run(shell, lines, "apply a layer", &args, &layer.file)?;
            let original = Listing::of(shell, ORIGINAL)?;
            applied.check_equal(&what, &original, "that of the layers as they came")?;
            "and the layers as they came"
        };
        let objects = grouped(applied.objects());
        let name = &layer.name;
        shell.verify(&format!(
            "{name}: to the byte what went in; all {objects} objects equal the store's {also}"
        ));
        fs::remove_file(shell.path(&exported))?;
    }
    Ok(())
}

/// Runs a command that reads or writes a layer in `file`.
fn run(shell: &mut Shell, shown: bool, step: &'static str, args: &[&str], file: &str) -> Result {
    let ran = if shown {
        shell.run(args, 2)?
    } else {
        shell.quietly(args)?
    };
    let bytes = shell.size_of(file)?;
    shell.took(step, Size { files: 0, bytes }, ran.time);
    Ok(())
}

/// Shows that a layer that others build on stays, that the top one goes, and that of a damaged one
/// nothing stays.
pub(crate) fn check_refusals(shell: &mut Shell, layers: &[Layer]) -> Result {
    let [lower @ .., top] = layers else {
        return Err("there are no layers".into());
    };
    if let Some(base) = lower.first() {
        shell.screen.step(
            "Delete",
            "What others build on stays. What nothing builds on goes, with its files.",
        );
        shell.refused(6, &["rm-layer", base.short()])?;
    } else {
        shell
            .screen
            .step("Delete", "What nothing builds on goes, with its files.");
    }
    let ran = shell.run(&["rm-layer", top.short()], 3)?;
    shell.took("delete a layer", Size::default(), ran.time);
    shell.refused(3, &["raw-json", top.short()])?;
    let left: Vec<PathBuf> = files(&shell.path(STORE))?
        .into_iter()
        .filter(|path| path.to_string_lossy().contains(&top.id))
        .collect();
    if let Some(path) = left.first() {
        return Err(format!("{} is left of a deleted layer", path.display()).into());
    }
    shell.verify("no file of it is left in the store");

    check_damaged(shell, layers)
}

/// Shows that a damaged layer is refused, and that the store is as if it had never come.
fn check_damaged(shell: &mut Shell, layers: &[Layer]) -> Result {
    const DAMAGED: &str = "damaged";
    /// Of a smaller one, two thirds may be all that it has.
    const ENOUGH: u64 = 64 << 10;
    let mut largest = (ENOUGH, None);
    for layer in layers {
        let size = shell.size_of(&layer.file)?;
        if size > largest.0 {
            largest = (size, Some(layer));
        }
    }
    let (bytes, Some(layer)) = largest else {
        say("(No layer is large enough to be damaged in the middle.)");
        return Ok(());
    };
    let why = format!(
        "A copy of {} ({}), whose last third is overwritten as by a failing disk. Two \
         thirds of its files are made before that shows, and then none may be there.",
        layer.name,
        size(bytes)
    );
    shell.screen.step("A damaged layer", &why);
    let damaged = shell.path(DAMAGED);
    fs::copy(shell.path(&layer.file), &damaged).at(&damaged)?;
    spoil(&damaged).at(&damaged)?;
    let before = files(&shell.path(STORE))?;
    shell.refused(7, &["register", DAMAGED])?;
    let after = files(&shell.path(STORE))?;
    if let Some(path) = before.symmetric_difference(&after).next() {
        let path = path.display();
        return Err(format!("{path} is not as before the damaged layer was refused").into());
    }
    let count = grouped(after.len());
    shell.verify(&format!(
        "the store has the same {count} files and directories as before"
    ));
    Ok(())
}

/// Overwrites the last third of a file.
///
/// All of it to the end, so that neither the end of the member that the damage begins in, nor an
/// end marker or checksum, is what it was, in whatever codec.
fn spoil(file: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(file)?;
    let size = file.metadata()?.len();
    let from = size / 3 * 2;
    file.seek(SeekFrom::Start(from))?;
    let junk = vec![0xff; 64 << 10];
    let mut left = size - from;
    while left > 0 {
        let part = usize::try_from(left).map_or(junk.len(), |left| left.min(junk.len()));
        file.write_all(&junk[..part])?;
        left -= part as u64;
    }
    Ok(())
}

/// Returns everything in a directory.
fn files(directory: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = ".\td\t0755\t0:0\t-\t-\t-\t-\n\
        a\tf\t0644\t0:0\t5:2cf2\t0.0\t-\t-\n\
        b\tl\t-\t0:0\ta\t0.0\t-\t-\n\
        c\tf\t4755\t0:0\t7:486e\t0.0\t-\t-\n";

    #[test]
    fn a_listing_tells_objects_files_and_bytes() {
        let listing = Listing(LISTING.to_owned());
        assert_eq!(listing.objects(), 3);
        assert_eq!(
            listing.size(),
            Size {
                files: 2,
                bytes: 12
            }
        );
    }

    #[test]
    fn trees_that_differ_are_told_apart_by_the_first_line_that_does() {
        let check = |ours: &str, theirs: &str| {
            let (ours, theirs) = (Listing(ours.to_owned()), Listing(theirs.to_owned()));
            ours.check_equal("one", &theirs, "two")
                .map_err(|error| error.to_string())
        };
        assert_eq!(check("a\nb\n", "a\nb\n"), Ok(()));
        for (ours, theirs, line) in [
            ("a\nb\n", "a\nc\n", "\n  b\n  c"),
            ("a\n", "a\nc\n", "\n  no more\n  c"),
            ("a\nb\n", "a\n", "\n  b\n  no more"),
        ] {
            let expected = format!("one differs from two:{line}");
            assert_eq!(check(ours, theirs), Err(expected));
        }
    }

    #[test]
    fn a_spoilt_file_keeps_its_size_and_its_first_two_thirds() -> Result {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("x");
        fs::write(&file, vec![0; 200_000])?;
        spoil(&file)?;
        let expected = [vec![0; 133_332], vec![0xff; 66_668]].concat();
        assert!(fs::read(&file)? == expected);
        Ok(())
    }
}
