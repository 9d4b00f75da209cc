//! Untrusted paths, resolved inside a directory as after `chroot(2)`.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::dir::{HERE, listed_or_passed};
use crate::sys::{At, look};
use crate::trail::Trail;
use crate::{Dir, FileKind, FsError, Result};

/// How many links one path may pass through, as for the kernel (`path_resolution(7)`).
const MAX_LINKS: usize = 40;
/// How many components one path may have, those of the links it passes through included. For the
/// kernel there may be 40 times as many, and each costs a call here.
const MAX_COMPONENTS: usize = 4096;
/// How long a path or a link's target may be, with the NUL that ends it for the kernel.
const PATH_MAX: usize = 4096;
/// How many resolved paths are remembered.
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
/// What paths lead to is remembered. Whoever removes, renames or replaces a directory or a link
/// below the root calls [`forget`](Root::forget). Whoever makes one where nothing was, or a
/// directory in the place of something else, need not.
///
/// # Limitations
///
/// A path that has more than 4,096 components together with the links it passes through is refused
/// with `ELOOP`, where the kernel would go on. It is longer than any path without links can be, and
/// takes links made for the purpose.
#[derive(Debug)]
pub struct Root {
    dir: Arc<Dir>,
    cache: HashMap<Vec<u8>, Known>,
    /// False once the kernel has said that it has no `openat2(2)`.
    in_one_call: bool,
    /// How many components were walked.
    steps: u64,
}

/// What a path leads to.
#[derive(Debug)]
enum Known {
    Directory(Arc<Dir>),
    Nowhere(Nowhere),
}

/// Why a path that had to be walked leads nowhere.
#[derive(Debug)]
struct Nowhere {
    /// Where the name that is missing or no directory would be: a look tells whether it still is.
    /// Nothing where the path leads in circles, which takes another link to change.
    place: Option<(Arc<Dir>, OsString)>,
    call: &'static str,
    path: PathBuf,
    errno: Errno,
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
            steps: 0,
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

    /// Forgets what paths lead to, because the tree has changed.
    pub fn forget(&mut self) {
        self.cache.clear();
    }

    /// Returns how many components all paths had so far that were walked step by step, with those
    /// of the links they passed through: each has cost a few calls.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Opens the directory that `path` leads to; an empty path leads to the root.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `ENOTDIR`, `EACCES` and `ENAMETOOLONG` as the kernel gives them, `ELOOP` after too
    /// many links or components.
    pub fn directory(&mut self, path: &[u8]) -> Result<Arc<Dir>> {
        match self.cache.get(path) {
            Some(Known::Directory(dir)) => return Ok(Arc::clone(dir)),
            Some(Known::Nowhere(nowhere)) if nowhere.still()? => return Err(nowhere.error()),
            _ => {}
        }
        if let Some(dir) = self.open_in_one_call(path)? {
            return Ok(self.remember(path, Arc::new(dir)));
        }
        self.walk(path)
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
            Err(error) if error.is(Errno::NOENT) => {}
            result => return Ok(result?),
        }
        // Archives put one thing after another into a directory far down: what is missing is begun
        // from what is there, not from the root.
        for count in (0..).map(|doublings| 1 << doublings) {
            let Some((above, names)) = split_names(path, count) else {
                break;
            };
            if let Some(above) = self.find(above)? {
                if let Some(dir) = make_below(above, &names, make)? {
                    return Ok(self.remember(path, dir));
                }
                break;
            }
        }
        if let Some((above, names)) = split_names(path, 1) {
            let above = self.walk_and_make(above, make)?;
            if let Some(dir) = make_below(above, &names, make)? {
                return Ok(self.remember(path, dir));
            }
        }
        self.walk_and_make(path, make)
    }

    /// Opens the directory that `path` leads to, if that takes no walk.
    fn find(&mut self, path: &[u8]) -> Result<Option<Arc<Dir>>> {
        match self.cache.get(path) {
            Some(Known::Directory(dir)) => return Ok(Some(Arc::clone(dir))),
            Some(Known::Nowhere(_)) => return Ok(None),
            None => {}
        }
        match self.open_in_one_call(path) {
            Ok(Some(dir)) => Ok(Some(self.remember(path, Arc::new(dir)))),
            Ok(None) => Ok(None),
            Err(error) if error.leads_nowhere() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn walk(&mut self, path: &[u8]) -> Result<Arc<Dir>> {
        let mut walk = Walk::new(&self.dir, path)?;
        let done = walk.run::<FsError>(None);
        self.steps += walk.components as u64;
        match done {
            Ok(()) => {
                let dir = walk.end();
                Ok(self.remember(path, dir))
            }
            Err(error) => {
                if let Some(nowhere) = walk.nowhere(&error) {
                    self.remember_that(path, Known::Nowhere(nowhere));
                }
                Err(error)
            }
        }
    }

    fn walk_and_make<E: From<FsError>>(
        &mut self,
        path: &[u8],
        make: &mut MakeDirectory<'_, E>,
    ) -> Result<Arc<Dir>, E> {
        let mut walk = Walk::new(&self.dir, path)?;
        let done = walk.run(Some(make));
        self.steps += walk.components as u64;
        done?;
        let dir = walk.end();
        Ok(self.remember(path, dir))
    }

    fn remember(&mut self, path: &[u8], dir: Arc<Dir>) -> Arc<Dir> {
        self.remember_that(path, Known::Directory(Arc::clone(&dir)));
        dir
    }

    fn remember_that(&mut self, path: &[u8], known: Known) {
        // Archives list a directory's content together: remembering a few is enough, and emptying a
        // full memory is simpler than choosing.
        if self.cache.len() >= CACHED {
            self.cache.clear();
        }
        self.cache.insert(path.to_vec(), known);
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

impl Nowhere {
    /// Returns whether the name is missing, or no directory, as it was.
    fn still(&self) -> Result<bool> {
        let Some((dir, name)) = &self.place else {
            return Ok(true);
        };
        Ok(match dir.find(name)? {
            None => self.errno == Errno::NOENT,
            Some(found) => {
                let leads_on = matches!(found.kind, FileKind::Directory | FileKind::Symlink);
                self.errno == Errno::NOTDIR && !leads_on
            }
        })
    }

    fn error(&self) -> FsError {
        FsError::new(self.call, &self.path, self.errno.into())
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
    /// The component that is being resolved.
    component: Vec<u8>,
    /// How many there were, and are left.
    components: usize,
    links: usize,
    races: usize,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Arc<Dir>, path: &[u8]) -> Result<Walk<'a>> {
        if path.len() >= PATH_MAX {
            return Err(place(root, path).error("openat", Errno::NAMETOOLONG));
        }
        let left = components(path);
        Ok(Walk {
            root,
            trail: Trail::new(root.try_clone()?, ()),
            components: left.len(),
            left,
            component: Vec::new(),
            links: 0,
            races: 0,
        })
    }

    /// Resolves the path; with `make`, missing directories are made.
    fn run<E: From<FsError>>(
        &mut self,
        mut make: Option<&mut MakeDirectory<'_, E>>,
    ) -> Result<(), E> {
        while let Some(component) = self.left.pop() {
            self.component = component;
            if self.component == b".." {
                self.search_here()?;
                self.trail.leave()?;
                continue;
            }
            if self.component == HERE.as_bytes() {
                // What follows is looked up in the same directory.
                if self.left.is_empty() {
                    self.search_here()?;
                }
                continue;
            }
            let name = OsStr::from_bytes(&self.component);
            match self.trail.here().open_dir(name) {
                Ok(dir) => self.trail.enter(name.to_owned(), dir, ())?,
                Err(error) if error.is(Errno::NOTDIR) || error.is(Errno::LOOP) => {
                    self.follow(error)?;
                }
                Err(error) if error.is(Errno::NOENT) => {
                    let Some(make) = make.as_mut() else {
                        return Err(error.into());
                    };
                    self.trail.show_whole_path();
                    let here = self.trail.here();
                    make(here, name)?;
                    let dir = here.open_dir(name)?;
                    self.trail.enter(name.to_owned(), dir, ())?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Returns the directory that the path has led to.
    fn end(mut self) -> Arc<Dir> {
        if self.trail.depth() == 0 {
            return Arc::clone(self.root);
        }
        self.trail.show_whole_path();
        Arc::new(self.trail.into_here().0)
    }

    /// Returns why the path leads nowhere, if it does according to `error`.
    fn nowhere(self, error: &FsError) -> Option<Nowhere> {
        let errno = error.errno().filter(|_| error.leads_nowhere())?;
        let errno = Errno::from_raw_os_error(errno);
        let place = (errno != Errno::LOOP).then(|| {
            let here = Arc::new(self.trail.into_here().0);
            (here, OsString::from_vec(self.component))
        });
        Some(Nowhere {
            place,
            call: error.call(),
            path: error.path().to_owned(),
            errno,
        })
    }

    /// Checks that the directory may be searched. For the kernel `.` and `..` are looked up like
    /// any name, although handles would do without.
    fn search_here(&self) -> Result<()> {
        let here = self.trail.here();
        look("fstatat", here.here(), || {
            rustix::fs::statat(here, HERE, AtFlags::SYMLINK_NOFOLLOW)
        })
        .map(drop)
    }

    /// Goes on with the target of the link that the component names, which could not be opened
    /// because of `error`.
    fn follow(&mut self, error: FsError) -> Result<()> {
        let (here, name) = (self.trail.here(), OsStr::from_bytes(&self.component));
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
                self.left.push(self.component.clone());
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        let target_components = components(target.as_bytes());
        self.links += 1;
        self.components += target_components.len();
        if self.links > MAX_LINKS || self.components > MAX_COMPONENTS {
            return Err(here.plain("openat", name)?.error("openat", Errno::LOOP));
        }
        if target.as_bytes().starts_with(b"/") {
            self.trail = Trail::new(self.root.try_clone()?, ());
        }
        self.left.extend(target_components);
        Ok(())
    }
}

/// Opens what `names` lead to from `above`, after `make` has made what is missing; nothing where
/// one of them is a link.
fn make_below<E: From<FsError>>(
    above: Arc<Dir>,
    names: &[&OsStr],
    make: &mut MakeDirectory<'_, E>,
) -> Result<Option<Arc<Dir>>, E> {
    let mut here = above;
    for name in names {
        let mut below = match here.open_dir(name) {
            Err(error) if error.is(Errno::NOENT) => {
                make(&here, name)?;
                here.open_dir(name)?
            }
            Err(error) if error.is(Errno::NOTDIR) || error.is(Errno::LOOP) => return Ok(None),
            result => result?,
        };
        below.set_path(here.path().join(name));
        here = Arc::new(below);
    }
    Ok(Some(here))
}

/// Splits the last `count` names off a path; nothing where there are fewer, or other components
/// among them.
fn split_names(path: &[u8], count: usize) -> Option<(&[u8], Vec<&OsStr>)> {
    let mut above = without_last_slashes(path);
    let mut names = Vec::with_capacity(count);
    while names.len() < count {
        let start = above
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |at| at + 1);
        let name = &above[start..];
        if [&b""[..], HERE.as_bytes(), b".."].contains(&name) {
            return None;
        }
        names.push(OsStr::from_bytes(name));
        above = without_last_slashes(&above[..start]);
    }
    names.reverse();
    Some((above, names))
}

fn without_last_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&byte| byte != b'/');
    &path[..end.map_or(0, |at| at + 1)]
}

/// Where a call for `path` acts. An absolute path is one from the root.
fn place<'a>(root: &'a Dir, path: &'a [u8]) -> At<'a> {
    let slashes = path.iter().take_while(|&&byte| byte == b'/').count();
    At {
        dir: root.path(),
        name: OsStr::from_bytes(&path[slashes..]),
    }
}

/// Splits a path into its components, the last one first. A `.` before another one says nothing.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.rsplit(|&byte| byte == b'/')
        .filter(|component| !component.is_empty())
        .enumerate()
        .filter(|(at, component)| *at == 0 || *component != HERE.as_bytes())
        .map(|(_, component)| component.to_vec())
        .collect()
}
