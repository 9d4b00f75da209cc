//! Finding objects of a view by their paths, as a process whose root is the view would.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use layergraph_fs::{FileKind, FsError};

use super::{Entry, View, ViewDir};

/// How many links a path may lead through, and how many components it may have together with
/// theirs: as many as for [`layergraph_fs::Root`], by which layers are unpacked.
const MAX_LINKS: usize = 40;
const MAX_COMPONENTS: usize = 4096;

/// How many components all paths may have that lead through links, with those of the links: more
/// than it takes to unpack any layer within the default limits.
const MAX_STEPS: u64 = 100_000_000;

/// How many handles on directories stay open; one of a union has a handle for each layer that it is
/// in.
const HANDLES: usize = 128;

/// How many directories above the one at hand are held open for `..`.
const HELD: usize = 16;

/// Finds objects by paths, with the directories of the last paths still open: paths that come one
/// after the other are usually in few directories.
#[derive(Debug)]
pub(crate) struct Finder<'a> {
    view: &'a View,
    /// The directories that paths led to last.
    here: HashMap<Vec<u8>, ViewDir<'a>>,
    /// How many handles they have.
    handles: usize,
    /// How many components all paths had so far that led through links, with those of the links.
    steps: u64,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(view: &'a View) -> Finder<'a> {
        Finder {
            view,
            here: HashMap::new(),
            handles: 0,
            steps: 0,
        }
    }

    /// Looks for `name` in the directory at `path`, which may lead through links; they and `..`
    /// stay in the view. The object itself is not followed. Returns it with its directory.
    pub(crate) fn find(
        &mut self,
        path: &[u8],
        name: &OsStr,
    ) -> Result<Option<(&ViewDir<'a>, Entry)>, FsError> {
        if !self.here.contains_key(path) {
            if self.steps > MAX_STEPS {
                let error = io::Error::other("too many links on the way to the files");
                return Err(FsError::new("openat", OsStr::from_bytes(path), error));
            }
            let Some(dir) = Walk::new(self.view)?.directory(path, &mut self.steps)? else {
                return Ok(None);
            };
            // Emptying a full memory is simpler than choosing.
            self.handles += dir.parts.len();
            if self.handles > HANDLES {
                self.here.clear();
                self.handles = dir.parts.len();
            }
            self.here.insert(path.to_vec(), dir);
        }
        let Some(dir) = self.here.get(path) else {
            return Ok(None);
        };
        Ok(dir.entry(name)?.map(|entry| (dir, entry)))
    }
}

/// Where a path has led to so far.
struct Walk<'a> {
    view: &'a View,
    /// The names of the directories below the root, none of them a link.
    names: Vec<OsString>,
    /// The last of these directories, perhaps with the root before them; never empty.
    held: VecDeque<ViewDir<'a>>,
}

impl<'a> Walk<'a> {
    fn new(view: &'a View) -> Result<Walk<'a>, FsError> {
        Ok(Walk {
            view,
            names: Vec::new(),
            held: VecDeque::from([view.root()?]),
        })
    }

    /// Returns the directory that the path leads to; nothing if it leads to none.
    fn directory(mut self, path: &[u8], steps: &mut u64) -> Result<Option<ViewDir<'a>>, FsError> {
        let mut next = components(path);
        let (mut links, mut count) = (0, next.len());
        while let Some(component) = next.pop() {
            if component == b".." {
                if !self.leave()? {
                    return Ok(None);
                }
                continue;
            }
            let name = OsStr::from_bytes(&component);
            let Some(entry) = self.here().entry(name)? else {
                return Ok(None);
            };
            match entry.metadata().kind {
                FileKind::Directory => {
                    let dir = self.here().open_dir(&entry)?;
                    self.enter(name.to_owned(), dir);
                }
                FileKind::Symlink => {
                    let target = self.here().read_link(&entry)?;
                    let more = components(target.as_bytes());
                    links += 1;
                    count += more.len();
                    *steps += (more.len() + self.names.len()) as u64;
                    if links > MAX_LINKS || count > MAX_COMPONENTS {
                        return Ok(None);
                    }
                    if target.as_bytes().starts_with(b"/") {
                        self = Walk::new(self.view)?;
                    }
                    next.extend(more);
                }
                _ => return Ok(None),
            }
        }
        Ok(self.held.pop_back())
    }

    fn here(&self) -> &ViewDir<'a> {
        &self.held[self.held.len() - 1]
    }

    fn enter(&mut self, name: OsString, dir: ViewDir<'a>) {
        self.names.push(name);
        self.held.push_back(dir);
        if self.held.len() > HELD {
            self.held.pop_front();
        }
    }

    /// Goes up, but not above the root. Returns whether the directory there could still be found.
    fn leave(&mut self) -> Result<bool, FsError> {
        if self.names.pop().is_none() {
            return Ok(true);
        }
        self.held.pop_back();
        if !self.held.is_empty() {
            return Ok(true);
        }
        let names = std::mem::take(&mut self.names);
        self.held.push_back(self.view.root()?);
        for name in names {
            let entry = self.here().entry(&name)?;
            let is_directory = |entry: &Entry| entry.metadata().kind == FileKind::Directory;
            let Some(entry) = entry.filter(is_directory) else {
                return Ok(false);
            };
            let dir = self.here().open_dir(&entry)?;
            self.enter(name, dir);
        }
        Ok(true)
    }
}

/// Returns the components of a path that lead on, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let components = path.rsplit(|&byte| byte == b'/');
    let leading_on = components.filter(|component| !component.is_empty() && *component != b".");
    leading_on.map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use layergraph_fs::Dir;

    use super::*;

    type Result = std::result::Result<(), Box<dyn std::error::Error>>;

    fn is_found(view: &View, path: &str) -> std::result::Result<bool, FsError> {
        let mut finder = Finder::new(view);
        let found = finder.find(path.as_bytes(), OsStr::new("f"))?;
        Ok(found.is_some())
    }

    #[test]
    fn links_lead_within_the_view_and_not_in_circles() -> Result {
        let home = tempfile::tempdir()?;
        let root = home.path().join("root");
        fs::create_dir_all(root.join("a/b"))?;
        fs::write(root.join("a/b/f"), "")?;
        fs::write(home.path().join("f"), "")?;
        for (target, link) in [
            ("/a/b", "absolute"),
            ("a/./b", "relative"),
            ("../../../../a/b", "above"),
            ("..", "out"),
            ("absolute/../b", "twice"),
            ("circle", "circle"),
            ("a/b/f", "file"),
        ] {
            symlink(target, root.join(link))?;
        }
        let view = View::new(Dir::open(&root)?);
        for path in [
            "a/b", "absolute", "relative", "above", "twice", "/a//b/.", "a/b/../b",
        ] {
            assert!(is_found(&view, path)?, "{path}");
        }
        for path in [
            "", "out", "circle", "file", "a", "a/b/f", "nothing", "a/b/..",
        ] {
            assert!(!is_found(&view, path)?, "{path}");
        }
        Ok(())
    }

    #[test]
    fn the_way_up_is_found_from_however_deep() -> Result {
        let home = tempfile::tempdir()?;
        let deep = "d/".repeat(3 * HELD);
        fs::create_dir_all(home.path().join(&deep))?;
        fs::write(home.path().join("d/d/f"), "")?;
        let up = "../".repeat(3 * HELD - 2);
        symlink(format!("{deep}{up}"), home.path().join("link"))?;
        let view = View::new(Dir::open(home.path())?);
        assert!(is_found(&view, "link")?);
        assert!(!is_found(&view, &format!("{deep}{up}.."))?);
        Ok(())
    }

    #[test]
    fn few_handles_stay_open_however_many_layers_a_directory_is_in() -> Result {
        const LAYERS: usize = 10;
        let home = tempfile::tempdir()?;
        let mut layers = Vec::new();
        for layer in 0..LAYERS {
            for number in 0..100 {
                fs::create_dir_all(home.path().join(format!("{layer}/d{number}")))?;
            }
            layers.push(Dir::open(&home.path().join(layer.to_string()))?);
        }
        fs::write(home.path().join("3/d7/f"), "")?;
        let view = View::union(layers, crate::Dialect::Plain);
        let mut finder = Finder::new(&view);
        for number in 0..100 {
            let path = format!("d{number}");
            let found = finder.find(path.as_bytes(), OsStr::new("f"))?;
            assert_eq!(found.is_some(), number == 7);
            let open: usize = finder.here.values().map(|dir| dir.parts.len()).sum();
            assert_eq!(finder.handles, open);
            assert!(open <= HANDLES + LAYERS, "{open}");
        }
        Ok(())
    }
}
