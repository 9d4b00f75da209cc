//! Untrusted paths, resolved inside a directory as after `chroot(2)`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::sys::At;
use crate::{Dir, FsError, Result};

/// How many links one path may pass through, as for the kernel (`path_resolution(7)`).
const MAX_LINKS: usize = 40;
/// How deep the step-by-step walk goes; each level holds a handle open.
const MAX_DEPTH: usize = 512;
/// How many resolved directories are remembered.
const CACHED: usize = 128;
/// How often a resolution that lost a race with a rename is tried again.
const RETRIES: usize = 64;

/// A directory that the paths given to it cannot leave.
///
/// Links are followed, absolute ones from this directory, and `..` stops at it, as with
/// `RESOLVE_IN_ROOT` of `openat2(2)`. A path without links is resolved by that call; one with
/// links,
/// and any where the kernel has no such call, is walked step by step. Because directories are held
/// by handle, this is also true while somebody swaps directories and links in the tree.
///
/// Resolved directories are remembered. Whoever removes, renames or replaces a directory or a link
/// below the root calls [`forget`](Root::forget).
#[derive(Debug)]
pub struct Root {
    dir: Arc<Dir>,
    cache: HashMap<Vec<u8>, Arc<Dir>>,
    /// False once the kernel has said that it has no `openat2(2)`.
    in_one_call: bool,
}

/// Makes a missing directory `name` in a directory: see [`Root::directory_or_make`].
pub type MakeDirectory<'a, E> = dyn FnMut(&Dir, &OsStr) -> Result<(), E> + 'a;

impl Root {
    /// Takes `dir` as the root of the paths to come.
    pub fn new(dir: Dir) -> Root {
        Root {
            dir: Arc::new(dir),
            cache: HashMap::new(),
            in_one_call: true,
        }
    }

    /// Takes `dir` as the root, and walks every path step by step, as on a kernel without
    /// `openat2(2)`.
    pub fn without_openat2(dir: Dir) -> Root {
        Root {
            in_one_call: false,
            ..Root::new(dir)
        }
    }

    /// Returns the root directory itself.
    pub fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// Forgets the remembered directories, because the tree has changed.
    pub fn forget(&mut self) {
        self.cache.clear();
    }

    /// Opens the directory that `path` leads to.
    ///
    /// # Errors
    ///
    /// `ENOENT` and `ENOTDIR` as the kernel gives them, `ELOOP` after too many links.
    pub fn directory(&mut self, path: &[u8]) -> Result<Arc<Dir>> {
        if let Some(dir) = self.cache.get(path) {
            return Ok(Arc::clone(dir));
        }
        let dir = match self.open_in_one_call(path) {
            // Paths with links in them are walked, so that each directory is known by its own path.
            Err(error) if !self.in_one_call || error.is(Errno::AGAIN) || error.is(Errno::LOOP) => {
                walk::<FsError>(&self.dir, path, None)?
            }
            result => Arc::new(result?),
        };
        self.remember(path, &dir);
        Ok(dir)
    }

    /// Opens the directory that `path` leads to, after `make` has made each directory that is
    /// missing.
    ///
    /// A link whose target is missing gets its target made, inside the root. `make` is called
    /// with the directory that lacks the name, parents first; directories made before an error
    /// stay.
    pub fn directory_or_make<E: From<FsError>>(
        &mut self,
        path: &[u8],
        make: &mut MakeDirectory<'_, E>,
    ) -> Result<Arc<Dir>, E> {
        match self.directory(path) {
            Err(error) if error.is(Errno::NOENT) => {
                let dir = walk(&self.dir, path, Some(make))?;
                self.remember(path, &dir);
                Ok(dir)
            }
            result => Ok(result?),
        }
    }

    fn remember(&mut self, path: &[u8], dir: &Arc<Dir>) {
        // Archives list a directory's content together: remembering a few is enough, and emptying a
        // full memory is simpler than choosing.
        if self.cache.len() >= CACHED {
            self.cache.clear();
        }
        self.cache.insert(path.to_vec(), Arc::clone(dir));
    }

    fn open_in_one_call(&mut self, path: &[u8]) -> Result<Dir> {
        let name = OsStr::from_bytes(if path.is_empty() { b"." } else { path });
        let at = At {
            dir: self.dir.path(),
            name,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let mut result = Err(if self.in_one_call {
            Errno::AGAIN
        } else {
            Errno::NOSYS
        });
        for _ in 0..if self.in_one_call { RETRIES } else { 0 } {
            result = rustix::fs::openat2(&self.dir, name, flags, Mode::empty(), inside);
            if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        // A sandbox may answer EPERM for a call it does not know.
        if matches!(result, Err(Errno::NOSYS | Errno::PERM)) {
            self.in_one_call = false;
        }
        let fd = result.map_err(|errno| at.error("openat2", errno))?;
        Ok(Dir::from_fd(fd, self.dir.path().join(strip_root(path))))
    }
}

fn strip_root(path: &[u8]) -> &OsStr {
    let start = path
        .iter()
        .position(|&byte| byte != b'/')
        .unwrap_or(path.len());
    OsStr::from_bytes(&path[start..])
}

/// Resolves `path` one component at a time; with `make`, missing directories are made.
fn walk<E: From<FsError>>(
    root: &Arc<Dir>,
    path: &[u8],
    mut make: Option<&mut MakeDirectory<'_, E>>,
) -> Result<Arc<Dir>, E> {
    let mut todo: Vec<Vec<u8>> = components(path);
    // The directories from the root down to here: `..` goes back by handle, so that a directory
    // that moved meanwhile leads nowhere new.
    let mut below: Vec<Arc<Dir>> = Vec::new();
    let mut links = 0;
    while let Some(component) = todo.pop() {
        if component == b".." {
            below.pop();
            continue;
        }
        let here = Arc::clone(below.last().unwrap_or(root));
        let name = OsStr::from_bytes(&component);
        let at = At {
            dir: here.path(),
            name,
        };
        let fail = |errno| at.error("openat", errno);
        match here.open_dir(name) {
            Ok(dir) if below.len() < MAX_DEPTH => below.push(Arc::new(dir)),
            Ok(_) => return Err(fail(Errno::NAMETOOLONG).into()),
            Err(error) if error.is(Errno::NOTDIR) || error.is(Errno::LOOP) => {
                let target = match here.read_link(name) {
                    Ok(target) => target,
                    Err(other) if other.is(Errno::INVAL) => return Err(error.into()),
                    Err(other) => return Err(other.into()),
                };
                links += 1;
                if links > MAX_LINKS {
                    return Err(fail(Errno::LOOP).into());
                }
                if target.as_bytes().starts_with(b"/") {
                    below.clear();
                }
                todo.extend(components(target.as_bytes()));
            }
            Err(error) if error.is(Errno::NOENT) => {
                let Some(make) = make.as_mut() else {
                    return Err(error.into());
                };
                make(&here, name)?;
                below.push(Arc::new(here.open_dir(name)?));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(below.pop().unwrap_or_else(|| Arc::clone(root)))
}

/// Splits a path into its components, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.rsplit(|&byte| byte == b'/')
        .filter(|component| !component.is_empty() && *component != b".")
        .map(<[u8]>::to_vec)
        .collect()
}
