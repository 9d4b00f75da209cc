//! Three generations of one tree: what is added to the machine's files, and two rounds of changes.
//!
//! Between them they have every kind of object an ordinary user can make, and every way in which
//! one can become another.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use crate::Result;
use crate::demo::At;
use crate::demo::edits::Edits;
use crate::demo::gather::{Gathered, set_attribute};

/// A file whose name is beyond ASCII.
pub(crate) const GREETING: &str = "srv/Grüße/こんにちは.txt";

/// A set-uid file.
pub(crate) const SET_UID: &str = "usr/bin/demo-start";
/// The other names that it has, the last of which becomes a file of its own.
const ITS_NAMES: [&str; 2] = ["usr/bin/demo-stop", "usr/bin/demo-tool"];

/// A file with an extended attribute.
const MARKED: &str = "srv/marked";

const CURRENT: &str = "srv/current";
const EMPTY: &str = "var/empty";

/// Other owners, which only root can keep: nobody, and one that no machine has.
const OWNERS: [u32; 2] = [65_534, 54_321];
/// An owner that no file has before.
const NEW_OWNER: u32 = 54_322;

/// A larger file would make a layer of changes as large as the base.
const SMALL: u64 = 64 << 10;

/// What can be kept here beside what always can.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abilities {
    /// Owners: this is root.
    pub(crate) owners: bool,
    /// Extended attributes of users.
    pub(crate) attributes: bool,
}

/// Adds to the machine's files what they may lack.
pub(crate) fn complete(tree: &Path, gathered: &Gathered, can: Abilities) -> Result {
    add_objects(tree, can).at(tree)?;
    if can.owners {
        for (file, number) in gathered.files.iter().step_by(40).zip(0..) {
            let (file, owner) = (tree.join(file), Some(OWNERS[number % 2]));
            chown(&file, owner, owner).at(&file)?;
        }
    }
    Ok(())
}

fn add_objects(tree: &Path, can: Abilities) -> io::Result<()> {
    for directory in ["srv/Grüße", "usr/bin", "usr/share", "var/tmp", EMPTY] {
        fs::create_dir_all(tree.join(directory))?;
    }
    fs::write(tree.join(GREETING), "Guten Tag, 世界!\n")?;
    let tool = tree.join(SET_UID);
    fs::write(&tool, "#!/bin/sh\nid -u\n")?;
    for name in ITS_NAMES {
        fs::hard_link(&tool, tree.join(name))?;
    }
    fs::write(tree.join(MARKED), "see my attributes\n")?;
    if can.attributes {
        set_attribute(&tree.join(MARKED), "user.origin", b"the first generation")?;
    }
    symlink("../usr/share", tree.join(CURRENT))?;
    symlink("/usr/share", tree.join("srv/absolute"))?;
    symlink("nowhere", tree.join("srv/dangling"))?;
    for (path, mode) in [
        (SET_UID, 0o4755),
        ("var/tmp", 0o1777),
        (EMPTY, 0o700),
        // Whatever the umask is.
        ("", 0o755),
    ] {
        fs::set_permissions(tree.join(path), Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Files to be changed, each of which is handed out once.
#[derive(Debug)]
pub(crate) struct Pool {
    files: Vec<String>,
    leaves: Vec<String>,
}

impl Pool {
    /// Takes the small files, and whole directories of which none is handed out.
    pub(crate) fn new(tree: &Path, gathered: &Gathered) -> Result<Pool> {
        const LEAVES: usize = 4;
        let step = (gathered.leaves.len() / LEAVES).max(1);
        let leaves: Vec<String> = gathered
            .leaves
            .iter()
            .step_by(step)
            .take(LEAVES)
            .cloned()
            .collect();
        if leaves.len() < LEAVES {
            return Err("this machine has too few files for a demonstration".into());
        }
        let mut files = Vec::new();
        for file in &gathered.files {
            let parent = file.rsplit_once('/').map_or("", |(parent, _)| parent);
            let path = tree.join(file);
            let size = fs::metadata(&path).at(&path)?.len();
            if (1..SMALL).contains(&size) && !leaves.iter().any(|leaf| leaf == parent) {
                files.push(file.clone());
            }
        }
        Ok(Pool { files, leaves })
    }

    /// Hands out one of so many files.
    fn one_of(&mut self, many: usize) -> Vec<String> {
        let mut number = 0;
        let out = self.files.extract_if(.., |_| {
            number += 1;
            number % many == 0
        });
        out.collect()
    }

    fn one(&mut self) -> Result<String> {
        Ok(self.files.pop().ok_or("there are too few files")?)
    }

    fn directory(&mut self) -> Result<String> {
        Ok(self.leaves.pop().ok_or("there are too few directories")?)
    }
}

/// The second generation: much is changed a little. Returns a directory that was deleted.
pub(crate) fn update(edits: &mut Edits, pool: &mut Pool, can: Abilities) -> Result<String> {
    for file in pool.one_of(20) {
        edits.append(&file)?;
    }
    for file in pool.one_of(60) {
        edits.change_secretly(&file)?;
    }
    for file in pool.one_of(40) {
        edits.change_mode(&file)?;
    }
    for file in pool.one_of(40) {
        edits.change_time(&file)?;
    }
    if can.owners {
        for file in pool.one_of(80) {
            edits.change_owner(&file, NEW_OWNER)?;
        }
    }
    for file in pool.one_of(30) {
        edits.remove(&file)?;
    }
    let gone = pool.directory()?;
    edits.remove_directory(&gone)?;
    edits.replace_directory(&pool.directory()?, &["first", "second"])?;
    edits.file_to_directory(&pool.one()?)?;
    edits.add_name(&pool.one()?, "srv/another-name")?;
    edits.part(ITS_NAMES[1])?;
    edits.change_link(CURRENT, "../usr/bin")?;
    if can.attributes {
        edits.change_attribute(MARKED, "the second generation")?;
    }
    edits.add_directory("srv/новое")?;
    edits.add("srv/новое/файл", "a new file in a new directory\n")?;
    Ok(gone)
}

/// The third generation: what was deleted comes back, and directories become something else.
pub(crate) fn release(edits: &mut Edits, pool: &mut Pool, gone: &str, can: Abilities) -> Result {
    for file in pool.one_of(50) {
        edits.append(&file)?;
    }
    for file in pool.one_of(50) {
        edits.remove(&file)?;
    }
    edits.add_directory(gone)?;
    edits.add(&format!("{gone}/back"), "deleted, and back again\n")?;
    edits.directory_to_link(&pool.directory()?, "elsewhere")?;
    edits.replace_directory(&pool.directory()?, &["only"])?;
    edits.take_set_uid(ITS_NAMES[1])?;
    edits.append(GREETING)?;
    edits.remove("srv/dangling")?;
    edits.remove_directory(EMPTY)?;
    if can.attributes {
        edits.change_attribute(MARKED, "the third generation")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_handed_out_twice_nor_one_in_a_directory_that_is() -> Result {
        let tree = tempfile::tempdir()?;
        let mut gathered = Gathered::default();
        for leaf in ["a", "b", "c", "d", "e"] {
            fs::create_dir(tree.path().join(leaf))?;
            for number in 0..5 {
                let file = format!("{leaf}/{number}");
                fs::write(tree.path().join(&file), "x")?;
                gathered.files.push(file);
            }
            gathered.leaves.push(leaf.to_owned());
        }
        fs::write(tree.path().join("e/0"), "")?;
        let mut pool = Pool::new(tree.path(), &gathered)?;
        assert_eq!(pool.one()?, "e/4");
        assert_eq!(pool.one_of(2), ["e/2"]);
        assert_eq!(pool.one_of(1), ["e/1", "e/3"]);
        assert!(pool.one().is_err());
        let directories: Result<Vec<String>> = (0..4).map(|_| pool.directory()).collect();
        assert_eq!(directories?, ["d", "c", "b", "a"]);
        Ok(())
    }
}
