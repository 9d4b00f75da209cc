//! Untrusted paths, resolved inside a directory as after `chroot(2)`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::dir::{HERE, listed_or_passed};
use crate::sys::{At, look};
use crate::trail::Trail;
use crate::{Dir, FileKind, FsError, Result};

/// How many links one path may pass through, as for the kernel (`path_resolution(7)`).
const MAX_LINKS: usize = 40;
/// How long a path or a link's target may be, with the NUL that ends it for the kernel.
const PATH_MAX: usize = 4096;
/// How many resolved directories are remembered.
const CACHED: usize = 128;
/// How often a resolution that lost a race with a rename is tried again.
const RETRIES: usize = 64;

/// A directory that the paths given to it cannot leave (R1).
///
/// A path means what it would mean to a process with this root (`chroot(2)`): links are followed,
/// absolute ones from this directory, and `..` stops at it. A path without links is resolved by
/// `openat2(2)` with `RESOLVE_IN_ROOT`; one with links, and any where the kernel has no such call,
/// is walked step by step. Because directories are held by handle, both stay inside while somebody
/// swaps directories and links in the tree. The magic links of `/proc`, if one is mounted inside,
/// are taken for links with the text they show.
///
/// The [path](Dir::path) of a directory that a root opens is that of the root followed by the names
/// that lead to it without links and `..`.
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

    /// Opens the directory that `path` leads to; an empty path leads to the root.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `ENOTDIR`, `EACCES` and `ENAMETOOLONG` as the kernel gives them, `ELOOP` after too
    /// many links.
    pub fn directory(&mut self, path: &[u8]) -> Result<Arc<Dir>> {
        if let Some(dir) = self.cache.get(path) {
            return Ok(Arc::clone(dir));
        }
        let dir = match self.open_in_one_call(path)? {
            Some(dir) => Arc::new(dir),
            None => Walk::new(&self.dir, path)?.run::<FsError>(None)?,
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
                let dir = Walk::new(&self.dir, path)?.run(Some(make))?;
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

    /// Opens the directory without walking; returns nothing where the path has to be walked.
    fn open_in_one_call(&mut self, path: &[u8]) -> Result<Option<Dir>> {
        if !self.in_one_call {
            return Ok(None);
        }
        // With the links left to the walk, the names in the path are those of the directories.
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let name = OsStr::from_bytes(if path.is_empty() { b"/" } else { path });
        let at = place(&self.dir, path);
        let open = |flags: OFlags| {
            look("openat2", at, || {
                rustix::fs::openat2(&self.dir, name, flags, Mode::empty(), inside)
            })
        };
        for _ in 0..RETRIES {
            match listed_or_passed(open) {
                Ok(fd) => return Ok(Some(Dir::from_fd(fd, self.lexical_path(path)))),
                // Something was renamed, and the kernel is not sure that `..` stayed inside.
                Err(error) if error.is(Errno::AGAIN) => {}
                Err(error) if error.is(Errno::LOOP) => return Ok(None),
                // A sandbox may answer EPERM for a call it does not know.
                Err(error) if error.is(Errno::NOSYS) || error.is(Errno::PERM) => {
                    self.in_one_call = false;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The path of the directory that a path without links leads to.
    fn lexical_path(&self, path: &[u8]) -> PathBuf {
        let components = components(path);
        let mut names = Vec::new();
        for component in components.iter().rev() {
            if component == b".." {
                names.pop();
            } else if component != HERE.as_bytes() {
                names.push(OsStr::from_bytes(component));
            }
        }
        let mut path = self.dir.path().to_owned();
        path.extend(names);
        path
    }
}

/// A path that is resolved one component at a time.
struct Walk<'a> {
    root: &'a Arc<Dir>,
    /// The directories from the root down to here: `..` goes back by handle, so that a directory
    /// that moved meanwhile leads nowhere new.
    trail: Trail<()>,
    /// What is still to be resolved, the next component last.
    left: Vec<Vec<u8>>,
    links: usize,
    races: usize,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Arc<Dir>, path: &[u8]) -> Result<Walk<'a>> {
        if path.len() >= PATH_MAX {
            return Err(place(root, path).error("openat", Errno::NAMETOOLONG));
        }
        Ok(Walk {
            root,
            trail: Trail::with_whole_paths(root.try_clone()?, ()),
            left: components(path),
            links: 0,
            races: 0,
        })
    }

    /// Resolves the path; with `make`, missing directories are made.
    fn run<E: From<FsError>>(
        mut self,
        mut make: Option<&mut MakeDirectory<'_, E>>,
    ) -> Result<Arc<Dir>, E> {
        while let Some(component) = self.left.pop() {
            if component == b".." {
                self.go_up()?;
                continue;
            }
            if component == HERE.as_bytes() {
                self.search_here()?;
                continue;
            }
            let name = OsStr::from_bytes(&component);
            match self.trail.here().open_dir(name) {
                Ok(dir) => self.enter(name, dir)?,
                Err(error) if error.is(Errno::NOTDIR) || error.is(Errno::LOOP) => {
                    self.follow(name, error)?;
                }
                Err(error) if error.is(Errno::NOENT) => {
                    let Some(make) = make.as_mut() else {
                        return Err(error.into());
                    };
                    let here = self.trail.here();
                    make(here, name)?;
                    let dir = here.open_dir(name)?;
                    self.enter(name, dir)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if self.trail.depth() == 0 {
            return Ok(Arc::clone(self.root));
        }
        Ok(Arc::new(self.trail.into_here().0))
    }

    fn enter(&mut self, name: &OsStr, dir: Dir) -> Result<()> {
        let path = self.trail.here().path().join(name);
        self.trail.enter(name.to_owned(), dir.with_path(path), ())
    }

    fn go_up(&mut self) -> Result<()> {
        self.search_here()?;
        self.trail.leave()?;
        Ok(())
    }

    /// Checks that the directory may be searched. For the kernel `.` and `..` are looked up like
    /// any name, although handles would do without.
    fn search_here(&self) -> Result<()> {
        self.trail.here().pass(OsStr::new(HERE)).map(drop)
    }

    /// Goes on with the target of the link `name`, which could not be opened because of `error`.
    fn follow(&mut self, name: &OsStr, error: FsError) -> Result<()> {
        let here = self.trail.here();
        let target = match here.read_link(name) {
            Ok(target) => target,
            // No link: a directory that was exchanged for one just now, or another object.
            Err(other) if other.is(Errno::INVAL) => {
                let kind = here.metadata(name)?.kind;
                self.races += 1;
                if self.races > RETRIES || !matches!(kind, FileKind::Directory | FileKind::Symlink)
                {
                    return Err(error);
                }
                self.left.push(name.as_bytes().to_vec());
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(here.plain("openat", name)?.error("openat", Errno::LOOP));
        }
        if target.as_bytes().starts_with(b"/") {
            self.trail = Trail::with_whole_paths(self.root.try_clone()?, ());
        }
        self.left.extend(components(target.as_bytes()));
        Ok(())
    }
}

/// Where a call for `path` acts. An absolute path is one from the root.
fn place<'a>(root: &'a Dir, path: &'a [u8]) -> At<'a> {
    let slashes = path.iter().take_while(|&&byte| byte == b'/').count();
    At {
        dir: root.path(),
        name: OsStr::from_bytes(&path[slashes..]),
    }
}

/// Splits a path into its components, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.rsplit(|&byte| byte == b'/')
        .filter(|component| !component.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}
