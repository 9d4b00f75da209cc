//! Places to work in, and trees as they look from outside of the crate.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use layergraph_fs::Dir;
use tempfile::TempDir;

pub(crate) type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

/// A name, or the key of an attribute.
pub(crate) fn os(text: &str) -> &OsStr {
    OsStr::new(text)
}

/// An error number that rustix gives a name.
pub(crate) fn errno<T: Debug>(result: layergraph_fs::Result<T>) -> rustix::io::Errno {
    let error = result.expect_err("this is to fail");
    let errno = error.errno().expect("the kernel gave the reason");
    rustix::io::Errno::from_raw_os_error(errno)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Tells other threads, when it is dropped, that it is over; a panic drops it too.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Returns whether this process may search directories whatever their mode, as root may unless it
/// has lost that power.
pub(crate) fn searches_all() -> io::Result<bool> {
    let home = Home::new()?;
    home.file("d/f", "")?;
    home.set_mode("d", 0)?;
    let found = fs::metadata(home.path("d/f"));
    home.set_mode("d", 0o700)?;
    Ok(found.is_ok())
}

/// A private directory, with nothing in it.
pub(crate) struct Home {
    directory: TempDir,
    pub(crate) dir: Dir,
}

impl Home {
    pub(crate) fn new() -> io::Result<Home> {
        Home::of(tempfile::tempdir()?)
    }

    /// In memory, where a sync costs nothing.
    pub(crate) fn in_memory() -> io::Result<Home> {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Home::of(TempDir::new_in(memory)?)
        } else {
            Home::new()
        }
    }

    fn of(directory: TempDir) -> io::Result<Home> {
        let dir = Dir::open(directory.path())?;
        Ok(Home { directory, dir })
    }

    pub(crate) fn top(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.top().join(path)
    }

    /// Writes a file, after its parents were made.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> io::Result<PathBuf> {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it is below the home"))?;
        fs::write(&path, content)?;
        Ok(path)
    }

    /// Makes a directory, after its parents were made, and opens it.
    pub(crate) fn directory(&self, path: &str) -> io::Result<Dir> {
        fs::create_dir_all(self.path(path))?;
        Ok(Dir::open(&self.path(path))?)
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> io::Result<()> {
        std::os::unix::fs::symlink(target, self.path(path))
    }

    pub(crate) fn set_mode(&self, path: &str, mode: u32) -> io::Result<()> {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode))
    }

    /// The names in it, sorted.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        layergraph_tests::names(self.top())
    }
}

/// What can be seen of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) accessed: (i64, i64),
    pub(crate) modified: (i64, i64),
    pub(crate) device: u64,
    /// The first path in the tree that leads to the same object.
    pub(crate) first_name: PathBuf,
    /// The content of a file, the target of a link.
    pub(crate) content: Vec<u8>,
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
}

/// All objects of a tree, itself under the empty path.
pub(crate) type Tree = BTreeMap<PathBuf, Object>;

/// Looks at a tree, by paths and without the crate under test.
pub(crate) fn tree(top: &Path) -> io::Result<Tree> {
    let mut seen = HashMap::new();
    let mut tree = Tree::new();
    let mut left = vec![PathBuf::new()];
    while let Some(path) = left.pop() {
        let full = if path.as_os_str().is_empty() {
            top.to_owned()
        } else {
            top.join(&path)
        };
        let object = object(&full, &path, &mut seen)?;
        if object.kind == 'd' {
            let mut names = Vec::new();
            for entry in fs::read_dir(&full)? {
                names.push(path.join(entry?.file_name()));
            }
            // The first one is to be taken next.
            names.sort_by(|a, b| b.cmp(a));
            left.extend(names);
        }
        tree.insert(path, object);
    }
    Ok(tree)
}

fn object(full: &Path, path: &Path, seen: &mut HashMap<(u64, u64), PathBuf>) -> io::Result<Object> {
    let metadata = fs::symlink_metadata(full)?;
    let file_type = metadata.file_type();
    let (kind, content) = match () {
        () if file_type.is_dir() => ('d', Vec::new()),
        () if file_type.is_file() => ('f', fs::read(full)?),
        () if file_type.is_symlink() => ('l', fs::read_link(full)?.as_os_str().as_bytes().to_vec()),
        () if file_type.is_char_device() => ('c', Vec::new()),
        () if file_type.is_block_device() => ('b', Vec::new()),
        () if file_type.is_fifo() => ('p', Vec::new()),
        () => ('s', Vec::new()),
    };
    let id = (metadata.dev(), metadata.ino());
    Ok(Object {
        kind,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        accessed: (metadata.atime(), metadata.atime_nsec()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        device: metadata.rdev(),
        first_name: seen.entry(id).or_insert_with(|| path.to_owned()).clone(),
        content,
        xattrs: xattrs(full)?,
    })
}

/// The extended attributes of an object, which may be a link.
pub(crate) fn xattrs(path: &Path) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        result => result?,
    };
    let mut xattrs = BTreeMap::new();
    for key in names[..length].split(|&byte| byte == 0) {
        if !key.is_empty() {
            let key = OsStr::from_bytes(key);
            let mut value = vec![0; 64 * 1024];
            let length = rustix::fs::lgetxattr(path, key, &mut value)?;
            value.truncate(length);
            xattrs.insert(key.to_owned(), value);
        }
    }
    Ok(xattrs)
}

/// Looks at a tree without the times, which depend on when the test runs.
pub(crate) fn untimed(top: &Path) -> io::Result<Tree> {
    let mut tree = tree(top)?;
    for object in tree.values_mut() {
        object.accessed = (0, 0);
        object.modified = (0, 0);
    }
    Ok(tree)
}

/// The difference of two trees in a few words, if there is one.
pub(crate) fn difference(expected: &Tree, actual: &Tree) -> Option<String> {
    let all = expected.keys().chain(actual.keys());
    let mut lines: Vec<String> = all
        .filter(|path| expected.get(*path) != actual.get(*path))
        .map(|path| {
            let (expected, actual) = (expected.get(path), actual.get(path));
            format!("{}: {expected:?} became {actual:?}", path.display())
        })
        .collect();
    lines.dedup();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Checks that two trees are the same in all that is seen of them.
#[track_caller]
pub(crate) fn assert_same(expected: &Tree, actual: &Tree, when: &str) {
    if let Some(difference) = difference(expected, actual) {
        panic!("{when}: {difference}");
    }
}
