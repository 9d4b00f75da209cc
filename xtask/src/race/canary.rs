//! The directory that all links lead to, and the check that it is as it was.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::tells::{DIRECTORY_MODE, FILE_MODE, MARKER, MOMENT};
use crate::Result;

/// Where the attackers put what they take out of the tree: within the canary, so that `..` of a
/// directory that was taken out leads into it.
pub(crate) const LURES: &str = "lures";

/// How the names begin that the attackers give there.
pub(crate) const LURE: &str = "lure-";

/// A directory in which nothing may change.
#[derive(Debug)]
pub(crate) struct Canary {
    path: PathBuf,
    before: State,
}

/// All objects by path, each with what can be seen of it but the time of access.
type State = BTreeMap<PathBuf, Facts>;

type Facts = Vec<(&'static str, Vec<u8>)>;

impl Canary {
    /// Makes one at `path` with the names that are in the trees, so that a way that leads there
    /// instead of into a tree goes on.
    pub(crate) fn new(path: &Path, trees: &[&Path]) -> Result<Canary> {
        fs::create_dir(path)?;
        for tree in trees {
            mirror(tree, path)?;
        }
        mark(path)?;
        fs::create_dir(path.join(LURES))?;
        set_time(path)?;
        let mut canary = Canary {
            path: path.to_owned(),
            before: State::new(),
        };
        canary.before = canary.state()?;
        Ok(canary)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn lures(&self) -> PathBuf {
        self.path.join(LURES)
    }

    /// Returns the device and inode of each object of it.
    pub(crate) fn objects(&self) -> io::Result<HashSet<(u64, u64)>> {
        let paths = self.before.keys().map(|path| self.path.join(path));
        let ids = paths.map(|path| {
            let metadata = fs::symlink_metadata(path)?;
            Ok((metadata.dev(), metadata.ino()))
        });
        ids.collect()
    }

    /// Returns what is not as it was.
    pub(crate) fn differences(&self) -> io::Result<Vec<String>> {
        let now = self.state()?;
        let mut found = Vec::new();
        for (path, before) in &self.before {
            let shown = self.path.join(path);
            let shown = shown.display();
            let Some(after) = now.get(path) else {
                found.push(format!("{shown}: is gone"));
                continue;
            };
            for ((what, before), (_, after)) in before.iter().zip(after) {
                if before != after {
                    let (before, after) = (before.escape_ascii(), after.escape_ascii());
                    found.push(format!("{shown}: its {what} was {before} and is {after}"));
                }
            }
        }
        let new = now.keys().filter(|path| !self.before.contains_key(*path));
        found.extend(new.map(|path| format!("{}: is new", self.path.join(path).display())));
        for entry in fs::read_dir(self.lures())? {
            let name = entry?.file_name();
            if !name.as_bytes().starts_with(LURE.as_bytes()) {
                let name = self.lures().join(name);
                found.push(format!("{}: is new", name.display()));
            }
        }
        Ok(found)
    }

    fn state(&self) -> io::Result<State> {
        let mut state = State::new();
        let mut left = vec![PathBuf::new()];
        while let Some(path) = left.pop() {
            let full = self.path.join(&path);
            state.insert(path.clone(), facts(&full)?);
            if fs::symlink_metadata(&full)?.is_dir() {
                for entry in fs::read_dir(&full)? {
                    let name = entry?.file_name();
                    if !path.as_os_str().is_empty() || name != LURES {
                        left.push(path.join(name));
                    }
                }
            }
        }
        Ok(state)
    }
}

/// Makes in `canary` what is missing of the names in `tree`; files have the same sizes.
fn mirror(tree: &Path, canary: &Path) -> Result {
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let (from, to) = (entry.path(), canary.join(entry.file_name()));
        if metadata.is_dir() {
            if !to.is_dir() {
                fs::create_dir(&to)?;
            }
            mirror(&from, &to)?;
        } else if metadata.is_file() && !to.exists() {
            let size = usize::try_from(metadata.len())?.max(MARKER.len());
            let content: Vec<u8> = MARKER.bytes().cycle().take(size).collect();
            fs::write(to, content)?;
        }
    }
    Ok(())
}

/// Gives a directory, and all in it, what tells them.
fn mark(directory: &Path) -> Result {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            mark(&path)?;
        } else {
            set(&path, FILE_MODE)?;
        }
    }
    let named = directory.join(MARKER);
    fs::write(&named, MARKER)?;
    set(&named, FILE_MODE)?;
    symlink(MARKER, directory.join(format!("{MARKER}-link")))?;
    set(directory, DIRECTORY_MODE)
}

fn set(path: &Path, mode: u32) -> Result {
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    rustix::fs::setxattr(path, "user.canary", MARKER.as_bytes(), XattrFlags::empty())
        .map_err(|error| format!("{}: no attributes: {error}", path.display()))?;
    set_time(path)
}

fn set_time(path: &Path) -> Result {
    let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(MOMENT.unsigned_abs());
    Ok(File::open(path)?.set_modified(moment)?)
}

fn facts(path: &Path) -> io::Result<Facts> {
    let metadata = fs::symlink_metadata(path)?;
    let content = if metadata.is_file() {
        fs::read(path)?
    } else if metadata.is_symlink() {
        fs::read_link(path)?.into_os_string().into_vec()
    } else {
        Vec::new()
    };
    let time = |seconds: i64, nanos: i64| format!("{seconds}.{nanos:09}");
    let owner = format!("{}:{}", metadata.uid(), metadata.gid());
    let (changed, nanos) = (metadata.ctime(), metadata.ctime_nsec());
    Ok(vec![
        ("mode", format!("{:o}", metadata.mode()).into()),
        ("owner", owner.into()),
        ("number of names", metadata.nlink().to_string().into()),
        ("inode", metadata.ino().to_string().into()),
        ("size", metadata.size().to_string().into()),
        ("time", time(metadata.mtime(), metadata.mtime_nsec()).into()),
        ("ctime", time(changed, nanos).into()),
        ("content", content),
        ("attributes", xattrs(path)?.join(&b' ')),
    ])
}

/// Returns the extended attributes of an object, which may be a link, as `name=value`.
pub(crate) fn xattrs(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut names = [0; 4096];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Err(Errno::OPNOTSUPP) => 0,
        result => result?,
    };
    let mut found = Vec::new();
    for name in names[..length].split(|&byte| byte == 0) {
        if !name.is_empty() {
            let mut value = [0; 4096];
            let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value)?;
            found.push([name, b"=", &value[..length]].concat());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Checks that one thing that is done to a canary with a directory `d` and a file `d/f` is
    /// found.
    #[track_caller]
    fn check_found(what: &str, act: impl FnOnce(&Path) -> io::Result<()>) {
        let place = tempfile::tempdir().expect("a temporary directory");
        let tree = place.path().join("tree");
        fs::create_dir_all(tree.join("d")).expect("it is ours");
        fs::write(tree.join("d/f"), "inside the tree, and so long").expect("it is ours");
        let path = place.path().join("canary");
        let canary = Canary::new(&path, &[&tree]).expect("it is ours");
        let nothing = canary.differences().expect("all is there");
        assert_eq!(nothing, Vec::<String>::new());
        // A clock that stands still between two ticks.
        std::thread::sleep(Duration::from_millis(20));
        act(&path).expect("it is ours");
        let found = canary.differences().expect("all is there");
        assert!(found.iter().any(|line| line.contains(what)), "{found:?}");
    }

    #[test]
    fn content_is_missed_though_size_and_time_are_as_before() {
        check_found("content", |canary| {
            let file = File::options().write(true).open(canary.join("d/f"))?;
            let moment = file.metadata()?.modified()?;
            (&file).write_all(b"x")?;
            file.set_modified(moment)
        });
    }

    #[test]
    fn metadata_is_missed_though_it_is_put_back() {
        check_found("ctime", |canary| {
            let file = canary.join("d/f");
            fs::set_permissions(&file, Permissions::from_mode(0o777))?;
            fs::set_permissions(&file, Permissions::from_mode(FILE_MODE))
        });
        check_found("attributes", |canary| {
            Ok(rustix::fs::removexattr(canary.join("d"), "user.canary")?)
        });
        check_found("time", |canary| {
            File::open(canary.join("d"))?.set_modified(SystemTime::now())
        });
    }

    #[test]
    fn names_are_missed_and_found() {
        check_found("is gone", |canary| fs::remove_file(canary.join("d/f")));
        check_found("is new", |canary| fs::create_dir(canary.join("d/g")));
        check_found("number of names", |canary| {
            fs::hard_link(canary.join("d/f"), canary.join("../tree/f"))
        });
        check_found("is new", |canary| {
            fs::write(canary.join(LURES).join("f"), "")
        });
    }
}
