//! A tree of files of this machine, for want of an image that every machine has.
//!
//! What is copied is what anybody may read, up to a limit; without set-uid bits, and writable to
//! its owner so that the demo can change it.

use std::collections::HashMap;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use crate::Result;
use crate::demo::At;
use crate::demo::screen::Size;
use crate::workspace;

/// What is wanted of a source: so that all of a machine's kinds of files are there, each may give
/// so many files and bytes.
struct Source {
    from: PathBuf,
    /// Where it goes in the tree.
    to: &'static str,
    limit: Size,
}

/// With fewer files than this, what is there of Rust is taken as well.
const ENOUGH: usize = 2_500;

/// What all sources together may give.
const LIMIT: Size = Size {
    files: 6_000,
    bytes: 80_000_000,
};

/// A larger file is left out: it would be most of the tree.
const FILE_LIMIT: u64 = 8_000_000;

/// What was gathered. Paths are from the root of the tree.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// The files that can be changed: those with one name.
    pub(crate) files: Vec<String>,
    /// The directories with nothing but such files in them.
    pub(crate) leaves: Vec<String>,
    pub(crate) size: Size,
    /// Where files come from.
    pub(crate) sources: Vec<String>,
}

/// Copies files of this machine into the directory `tree`, with their owners if `owners`.
pub(crate) fn gather(tree: &Path, owners: bool) -> Result<Gathered> {
    let mut gathering = Gathering::new(tree, owners)?;
    for source in system() {
        gathering.source(&source)?;
    }
    for source in rust() {
        if gathering.gathered.size.files >= ENOUGH {
            break;
        }
        gathering.source(&source)?;
    }
    Ok(gathering.gathered)
}

/// Where every distribution keeps its files.
fn system() -> impl Iterator<Item = Source> {
    const MEGABYTE: u64 = 1_000_000;
    [
        ("/usr/bin", "usr/bin", 300, 15 * MEGABYTE),
        ("/usr/include", "usr/include", 1_500, 15 * MEGABYTE),
        ("/usr/lib", "usr/lib", 2_000, 25 * MEGABYTE),
        ("/usr/share", "usr/share", 2_200, 15 * MEGABYTE),
    ]
    .into_iter()
    .map(|(from, to, files, bytes)| Source {
        from: from.into(),
        to,
        limit: Size { files, bytes },
    })
}

/// What a machine has that runs this: a toolchain, sources of crates, this project.
fn rust() -> impl Iterator<Item = Source> {
    let home = |variable: &str, name: &str| {
        let home = env::var_os("HOME").map(|home| Path::new(&home).join(name));
        env::var_os(variable).map(PathBuf::from).or(home)
    };
    let cargo = home("CARGO_HOME", ".cargo").map(|cargo| cargo.join("registry/src"));
    let rustup = home("RUSTUP_HOME", ".rustup").map(|rustup| rustup.join("toolchains"));
    [
        (cargo, "opt/crates"),
        (rustup, "opt/toolchains"),
        (Some(workspace::root().to_owned()), "opt/layergraph"),
    ]
    .into_iter()
    .filter_map(|(from, to)| {
        let limit = Size {
            files: 3_000,
            bytes: 40_000_000,
        };
        from.map(|from| Source { from, to, limit })
    })
}

struct Gathering<'a> {
    tree: &'a Path,
    owners: bool,
    gathered: Gathered,
    /// What there may be when the source is done.
    limit: Size,
    /// The first copy of a file that has several names.
    copies: HashMap<(u64, u64), PathBuf>,
    /// The tree itself, which may be in a source.
    inode: (u64, u64),
}

impl Gathering<'_> {
    fn new(tree: &Path, owners: bool) -> io::Result<Gathering<'_>> {
        Ok(Gathering {
            tree,
            owners,
            gathered: Gathered::default(),
            limit: Size::default(),
            copies: HashMap::new(),
            inode: inode(&fs::metadata(tree)?),
        })
    }

    fn source(&mut self, source: &Source) -> Result {
        let before = self.gathered.size;
        self.limit = Size {
            files: LIMIT.files.min(before.files + source.limit.files),
            bytes: LIMIT.bytes.min(before.bytes + source.limit.bytes),
        };
        let Ok(metadata) = fs::metadata(&source.from) else {
            return Ok(());
        };
        let to = self.tree.join(source.to);
        fs::create_dir_all(&to).at(&to)?;
        self.directory(&source.from, source.to, &metadata)?;
        if self.gathered.size.files > before.files {
            self.gathered
                .sources
                .push(source.from.display().to_string());
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let size = self.gathered.size;
        size.files >= self.limit.files || size.bytes >= self.limit.bytes
    }

    /// Copies what is in a directory into one of the tree, which is there.
    fn directory(&mut self, from: &Path, to: &str, metadata: &Metadata) -> Result {
        let mut entries: Vec<DirEntry> = match fs::read_dir(from) {
            Ok(entries) => entries.filter_map(std::result::Result::ok).collect(),
            // It went meanwhile, or is not for us.
            Err(_) => return Ok(()),
        };
        entries.sort_by_key(DirEntry::file_name);
        let files_before = self.gathered.files.len();
        let (mut taken, mut has_directories) = (0, false);
        for entry in entries {
            if self.is_full() {
                break;
            }
            // Names that a layer cannot hold, and directories of builds and of histories.
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_wanted(name)) else {
                continue;
            };
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let path = format!("{to}/{name}");
            if inode(&metadata) == self.inode {
                continue;
            }
            if metadata.is_dir() {
                let copy = self.tree.join(&path);
                fs::create_dir(&copy).at(&copy)?;
                self.directory(&entry.path(), &path, &metadata)?;
                has_directories = true;
            } else if metadata.is_symlink() {
                if let Ok(target) = fs::read_link(entry.path()) {
                    let copy = self.tree.join(&path);
                    symlink(target, &copy).at(&copy)?;
                    taken += 1;
                }
            } else if self.file(&entry.path(), &path, &metadata)? {
                taken += 1;
            }
        }
        let files = self.gathered.files.len() - files_before;
        if !has_directories && files == taken && (4..=60).contains(&files) {
            self.gathered.leaves.push(to.to_owned());
        }
        let copy = self.tree.join(to);
        self.attributes(metadata, &copy, 0o700).at(&copy)
    }

    /// Copies a file, and returns whether it is one for this tree.
    fn file(&mut self, from: &Path, to: &str, metadata: &Metadata) -> Result<bool> {
        let readable = metadata.mode() & 0o004 != 0;
        if !metadata.is_file() || !readable || metadata.len() > FILE_LIMIT {
            return Ok(false);
        }
        let path = self.tree.join(to);
        if let Some(first) = self.copies.get(&inode(metadata)) {
            fs::hard_link(first, &path).at(&path)?;
            self.gathered.size.files += 1;
            return Ok(true);
        }
        // It may have gone, or a security module may keep it from us.
        let Ok(mut source) = File::open(from) else {
            return Ok(false);
        };
        let mut copy = File::create(&path).at(&path)?;
        self.gathered.size.bytes += io::copy(&mut source, &mut copy).at(&path)?;
        self.gathered.size.files += 1;
        self.attributes(metadata, &path, 0o600).at(&path)?;
        copy.set_modified(metadata.modified()?).at(&path)?;
        if metadata.nlink() > 1 {
            self.copies.insert(inode(metadata), path);
        } else {
            self.gathered.files.push(to.to_owned());
        }
        Ok(true)
    }

    fn attributes(&self, of: &Metadata, to: &Path, at_least: u32) -> io::Result<()> {
        if self.owners {
            lchown(to, Some(of.uid()), Some(of.gid()))?;
        }
        fs::set_permissions(to, Permissions::from_mode(of.mode() & 0o777 | at_least))
    }
}

fn inode(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn is_wanted(name: &str) -> bool {
    !name.starts_with(".wh.") && name != ".git" && name != "target"
}

/// Returns whether the file system of a directory keeps extended attributes of users.
pub(crate) fn keeps_attributes(directory: &Path) -> io::Result<bool> {
    match set_attribute(directory, "user.layergraph.probe", b"1") {
        Ok(()) => {
            rustix::fs::removexattr(directory, "user.layergraph.probe")?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets an extended attribute.
pub(crate) fn set_attribute(path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    let flags = rustix::fs::XattrFlags::empty();
    Ok(rustix::fs::setxattr(path, OsStr::new(name), value, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather_from(source: &Path, tree: &Path, limit: Size) -> Result<Gathered> {
        let mut gathering = Gathering::new(tree, false)?;
        gathering.source(&Source {
            from: source.to_owned(),
            to: "usr/x",
            limit,
        })?;
        Ok(gathering.gathered)
    }

    const PLENTY: Size = Size {
        files: 100,
        bytes: 1_000,
    };

    #[test]
    fn names_modes_and_times_are_kept_and_set_uid_bits_are_not() -> Result {
        let (source, tree) = (tempfile::tempdir()?, tempfile::tempdir()?);
        for (name, mode) in [
            ("a", 0o4755),
            ("b", 0o444),
            ("secret", 0o640),
            (".wh.c", 0o644),
        ] {
            let path = source.path().join(name);
            fs::write(&path, name)?;
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
        fs::hard_link(source.path().join("a"), source.path().join("a2"))?;
        symlink("nowhere", source.path().join("link"))?;
        let gathered = gather_from(source.path(), tree.path(), PLENTY)?;

        assert_eq!(gathered.files, ["usr/x/b"]);
        assert_eq!(gathered.leaves, Vec::<String>::new());
        assert_eq!(gathered.size, Size { files: 3, bytes: 2 });
        let metadata = |name: &str| fs::symlink_metadata(tree.path().join("usr/x").join(name));
        let (a, a2, b) = (metadata("a")?, metadata("a2")?, metadata("b")?);
        assert_eq!((a.mode() & 0o7777, b.mode() & 0o7777), (0o755, 0o644));
        assert_eq!(a.ino(), a2.ino());
        assert_eq!(
            b.modified()?,
            fs::metadata(source.path().join("b"))?.modified()?
        );
        assert!(metadata("link")?.is_symlink());
        assert!(metadata("secret").is_err() && metadata(".wh.c").is_err());
        Ok(())
    }

    #[test]
    fn no_more_is_taken_than_is_wanted() -> Result {
        let (source, tree) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::create_dir(source.path().join("leaf"))?;
        for number in 0..10 {
            fs::write(source.path().join(format!("leaf/{number}")), "0123456789")?;
        }
        let all = gather_from(source.path(), tree.path(), PLENTY)?;
        assert_eq!(
            all.size,
            Size {
                files: 10,
                bytes: 100
            }
        );
        assert_eq!(all.leaves, ["usr/x/leaf"]);
        for (files, bytes, expected) in [(3, 1_000, 3), (100, 50, 5), (0, 0, 0)] {
            let tree = tempfile::tempdir()?;
            let some = gather_from(source.path(), tree.path(), Size { files, bytes })?;
            assert_eq!(some.size.files, expected);
        }
        Ok(())
    }

    #[test]
    fn a_directory_with_another_in_it_is_no_leaf_whatever_that_one_holds() -> Result {
        let (source, tree) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::create_dir_all(source.path().join("outer/inner"))?;
        for file in ["1", "2", "3", "4", "inner/1"] {
            fs::write(source.path().join("outer").join(file), file)?;
        }
        let all = gather_from(source.path(), tree.path(), PLENTY)?;
        assert_eq!(all.size.files, 5);
        assert_eq!(all.leaves, Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn a_tree_in_its_source_is_not_copied_into_itself() -> Result {
        let source = tempfile::tempdir()?;
        let tree = source.path().join("tree");
        fs::create_dir(&tree)?;
        fs::write(source.path().join("a"), "a")?;
        gather_from(source.path(), &tree, PLENTY)?;
        assert!(tree.join("usr/x/a").exists());
        assert!(!tree.join("usr/x/tree").exists());
        Ok(())
    }
}
