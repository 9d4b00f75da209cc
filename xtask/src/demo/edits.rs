//! Changes to a tree, each written down as the store has to report it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::Result;
use crate::demo::At;
use crate::demo::gather::set_attribute;

/// A change as `changes --json` reports it.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    pub(crate) kind: char,
    pub(crate) path: String,
}

/// Changes what is in a directory.
#[derive(Debug)]
pub(crate) struct Edits {
    tree: PathBuf,
    /// By path from the root, whether it was added, changed or deleted: `A`, `C`, `D`.
    expected: BTreeMap<String, char>,
    /// What was done, and how often.
    done: Vec<(&'static str, usize)>,
}

impl Edits {
    pub(crate) fn new(tree: PathBuf) -> Edits {
        Edits {
            tree,
            expected: BTreeMap::new(),
            done: Vec::new(),
        }
    }

    /// Does something to a path, and writes down what.
    fn edit(
        &mut self,
        kind: char,
        path: &str,
        what: &'static str,
        act: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result {
        self.expect(kind, path);
        match self.done.iter_mut().find(|(done, _)| *done == what) {
            Some((_, count)) => *count += 1,
            None => self.done.push((what, 1)),
        }
        let path = self.tree.join(path);
        act(&path).at(&path)
    }

    /// Writes down what becomes of a path. What was there and is made anew is changed.
    fn expect(&mut self, kind: char, path: &str) {
        let path = format!("/{path}");
        let kind = match self.expected.get(&path) {
            Some('D') if kind == 'A' => 'C',
            _ => kind,
        };
        self.expected.insert(path, kind);
    }

    /// Prints what was done.
    pub(crate) fn summary(&self) -> String {
        let done = self.done.iter();
        let parts: Vec<String> = done
            .map(|(what, count)| format!("{what} ({count})"))
            .collect();
        parts.join(", ")
    }

    /// Returns how many changes were written down.
    pub(crate) fn len(&self) -> usize {
        self.expected.len()
    }

    /// Adds a new file.
    pub(crate) fn add(&mut self, path: &str, content: &str) -> Result {
        self.edit('A', path, "new file", |path| fs::write(path, content))
    }

    /// Adds a directory.
    pub(crate) fn add_directory(&mut self, path: &str) -> Result {
        self.edit('A', path, "new directory", |path| fs::create_dir(path))
    }

    /// Adds a line at the end of a file.
    pub(crate) fn append(&mut self, path: &str) -> Result {
        self.edit('C', path, "new content", |path| {
            let mut file = OpenOptions::new().append(true).open(path)?;
            file.write_all(b"one more line\n")
        })
    }

    /// Changes the first byte of a file, and nothing that stat(2) would tell but the time of the
    /// inode.
    pub(crate) fn change_secretly(&mut self, path: &str) -> Result {
        let what = "new content with the old size and time";
        self.edit('C', path, what, |path| {
            let mut file = OpenOptions::new().read(true).write(true).open(path)?;
            let modified = file.metadata()?.modified()?;
            let mut byte = [0];
            file.read_exact(&mut byte)?;
            file.rewind()?;
            file.write_all(&[!byte[0]])?;
            file.set_modified(modified)
        })
    }

    /// Gives others the right to read, or takes it.
    pub(crate) fn change_mode(&mut self, path: &str) -> Result {
        self.edit('C', path, "another mode", |path| toggle(path, 0o004))
    }

    /// Takes the set-uid bit of a file.
    pub(crate) fn take_set_uid(&mut self, path: &str) -> Result {
        let what = "no set-uid bit";
        self.edit('C', path, what, |path| toggle(path, 0o4000))
    }

    /// Makes a file an hour older.
    pub(crate) fn change_time(&mut self, path: &str) -> Result {
        self.edit('C', path, "another time", |path| {
            let file = File::open(path)?;
            let modified = file.metadata()?.modified()?;
            file.set_modified(modified - Duration::from_secs(3600))
        })
    }

    /// Gives a file to another owner, which only root may.
    pub(crate) fn change_owner(&mut self, path: &str, owner: u32) -> Result {
        self.edit('C', path, "another owner", |path| {
            chown(path, Some(owner), Some(owner))
        })
    }

    /// Sets an extended attribute.
    pub(crate) fn change_attribute(&mut self, path: &str, value: &str) -> Result {
        self.edit('C', path, "another attribute", |path| {
            set_attribute(path, "user.origin", value.as_bytes())
        })
    }

    /// Points a symbolic link elsewhere.
    pub(crate) fn change_link(&mut self, path: &str, target: &str) -> Result {
        self.edit('C', path, "symbolic link pointing elsewhere", |path| {
            fs::remove_file(path)?;
            symlink(target, path)
        })
    }

    /// Gives a file one more name.
    pub(crate) fn add_name(&mut self, path: &str, new: &str) -> Result {
        let old = self.tree.join(path);
        self.edit('A', new, "new hard link", |new| fs::hard_link(old, new))
    }

    /// Makes the last of the names of a file a file of its own, equal to it.
    ///
    /// The last, because the first of the names may be taken for the one that stayed: then the
    /// others would be reported.
    pub(crate) fn part(&mut self, path: &str) -> Result {
        self.edit('C', path, "hard link parted", |path| {
            let content = fs::read(path)?;
            let metadata = fs::metadata(path)?;
            fs::remove_file(path)?;
            fs::write(path, content)?;
            fs::set_permissions(path, Permissions::from_mode(metadata.mode() & 0o7777))?;
            File::open(path)?.set_modified(metadata.modified()?)
        })
    }

    pub(crate) fn remove(&mut self, path: &str) -> Result {
        self.edit('D', path, "file deleted", |path| fs::remove_file(path))
    }

    pub(crate) fn remove_directory(&mut self, path: &str) -> Result {
        self.edit('D', path, "directory deleted", |path| {
            fs::remove_dir_all(path)
        })
    }

    /// Puts another directory in the place of one, with these files in it.
    pub(crate) fn replace_directory(&mut self, path: &str, files: &[&str]) -> Result {
        let directory = self.tree.join(path);
        for entry in fs::read_dir(&directory).at(&directory)? {
            let name = entry?.file_name();
            let name = name.to_str().ok_or("a name that is not UTF-8")?;
            self.expect('D', &format!("{path}/{name}"));
        }
        for file in files {
            self.expect('A', &format!("{path}/{file}"));
        }
        self.edit('C', path, "directory replaced", |path| {
            fs::remove_dir_all(path)?;
            fs::create_dir(path)?;
            let mut files = files.iter();
            files.try_for_each(|file| fs::write(path.join(file), "of the new directory\n"))
        })
    }

    /// Puts a symbolic link in the place of a directory.
    pub(crate) fn directory_to_link(&mut self, path: &str, target: &str) -> Result {
        self.edit('C', path, "directory now a symbolic link", |path| {
            fs::remove_dir_all(path)?;
            symlink(target, path)
        })
    }

    /// Puts a directory in the place of a file.
    pub(crate) fn file_to_directory(&mut self, path: &str) -> Result {
        self.expect('A', &format!("{path}/inside"));
        self.edit('C', path, "file now a directory", |path| {
            fs::remove_file(path)?;
            fs::create_dir(path)?;
            fs::write(path.join("inside"), "a file was here\n")
        })
    }

    /// Checks that what the store reports is what was done. Beside it only directories may be
    /// reported, as those in which something changed, and the other names of files that were.
    pub(crate) fn check(&self, reported: &[Change]) -> Result {
        let mut missing = self.expected.clone();
        for Change { kind, path } in reported {
            match missing.remove(path) {
                Some(expected) if expected == *kind => {}
                Some(expected) => {
                    return Err(format!("`{kind} {path}`: it should be {expected}").into());
                }
                None if *kind == 'C' && may_follow(&self.tree, path)? => {}
                None => return Err(format!("`{kind} {path}`: nothing was done to it").into()),
            }
        }
        match missing.first_key_value() {
            None => Ok(()),
            Some((path, kind)) => Err(format!("`{kind} {path}` is not reported").into()),
        }
    }
}

/// Gives a file these bits of its mode, or takes them.
fn toggle(path: &Path, bits: u32) -> io::Result<()> {
    let mode = fs::metadata(path)?.mode() & 0o7777;
    fs::set_permissions(path, Permissions::from_mode(mode ^ bits))
}

/// Returns whether a path may be reported because something else changed.
fn may_follow(tree: &Path, path: &str) -> Result<bool> {
    let path = tree.join(path.trim_start_matches('/'));
    let metadata = fs::symlink_metadata(&path).at(&path)?;
    Ok(metadata.is_dir() || metadata.nlink() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits() -> io::Result<(tempfile::TempDir, Edits)> {
        let tree = tempfile::tempdir()?;
        fs::create_dir(tree.path().join("d"))?;
        for name in ["a", "b", "d/x", "d/y"] {
            fs::write(tree.path().join(name), name)?;
        }
        let edits = Edits::new(tree.path().to_owned());
        Ok((tree, edits))
    }

    fn reported(changes: &[(char, &str)]) -> Vec<Change> {
        let change = |(kind, path): &(char, &str)| Change {
            kind: *kind,
            path: (*path).to_owned(),
        };
        changes.iter().map(change).collect()
    }

    #[test]
    fn changes_are_reported_or_the_check_fails() -> Result {
        let (_tree, mut edits) = edits()?;
        edits.append("a")?;
        edits.remove("d/x")?;
        edits.add("c", "")?;
        assert_eq!(edits.len(), 3);
        let check = |all: &[(char, &str)]| {
            let checked = edits.check(&reported(all));
            checked.map_err(|error| error.to_string())
        };
        let all = [('C', "/a"), ('A', "/c"), ('C', "/d"), ('D', "/d/x")];
        assert_eq!(check(&all), Ok(()));
        for (reported, error) in [
            (&all[..3], "`D /d/x` is not reported"),
            (&[('A', "/a")], "`A /a`: it should be C"),
            (&[('C', "/b")], "`C /b`: nothing was done to it"),
            (&[('D', "/d")], "`D /d`: nothing was done to it"),
        ] {
            assert_eq!(check(reported), Err(error.to_owned()));
        }
        Ok(())
    }

    #[test]
    fn a_replaced_directory_has_its_old_names_deleted_and_its_new_ones_added() -> Result {
        let (tree, mut edits) = edits()?;
        edits.replace_directory("d", &["y", "z"])?;
        let all = [('C', "/d"), ('D', "/d/x"), ('C', "/d/y"), ('A', "/d/z")];
        edits.check(&reported(&all))?;
        assert_eq!(fs::read_dir(tree.path().join("d"))?.count(), 2);
        Ok(())
    }

    #[test]
    fn a_secret_change_keeps_size_and_time() -> Result {
        let (tree, mut edits) = edits()?;
        let file = tree.path().join("a");
        let before = fs::metadata(&file)?;
        edits.change_secretly("a")?;
        let after = fs::metadata(&file)?;
        assert_eq!(
            (before.len(), before.modified()?),
            (after.len(), after.modified()?)
        );
        assert_ne!(fs::read(&file)?, b"a");
        Ok(())
    }
}
