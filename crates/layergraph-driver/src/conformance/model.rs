//! A driver for tests that is stricter than any real one.

mod books;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use layergraph_archive::Ownership;
use layergraph_fs::{Dir, Durability, RenameMode, Staging, copy_tree, remove_tree, sweep};
use tempfile::TempDir;

use self::books::{Books, Layer};
pub use self::books::{Call, CallKind};
use crate::{
    Access, Attempted, Capabilities, Driver, DriverError, DriverErrorKind, DriverOptions, LayerId,
    MountOptions, Result, StagedLayer,
};

/// A driver that keeps its books in memory and its trees in a directory of its own.
///
/// It promises no more than the trait does, so that nobody comes to rely on an accident of another
/// driver:
///
/// - the directory of a tree has a name that has nothing to do with the layer's id;
/// - the path that [`mount`](Driver::mount) returns vanishes with the last
///   [`unmount`](Driver::unmount), and is another the next time;
/// - what a caller must not do is refused: removing a layer that is mounted or that others are
///   built on, building on one that is mounted to be changed, committing on another parent than was
///   staged. This and an unmount too many, which is no error, stand in
///   [`misuses`](ModelDriver::misuses).
///
/// It can be told to [`fail`](ModelDriver::fail), and tells what it was
/// [asked](ModelDriver::calls).
///
/// ```
/// use layergraph_driver::conformance::{CallKind, ModelDriver};
/// use layergraph_driver::{Driver, DriverErrorKind, DriverOptions};
///
/// let driver = ModelDriver::new(&DriverOptions::default())?;
/// let (base, child) = ("base".parse()?, "child".parse()?);
/// driver.stage(None)?.commit(&base, None)?;
///
/// driver.fail(CallKind::Commit, 1);
/// let refused = driver.stage(Some(&base))?.commit(&child, Some(&base));
/// assert_eq!(refused.unwrap_err().kind(), DriverErrorKind::Failed);
/// driver.stage(Some(&base))?.commit(&child, Some(&base))?;
///
/// assert_eq!(driver.remove(&base).unwrap_err().kind(), DriverErrorKind::InUse);
/// let calls = driver.calls();
/// assert_eq!(calls[3].to_string(), "commit child on base: Failed");
/// assert_eq!(driver.misuses(), ["remove base: child is built on it"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Limitations
///
/// Calls wait for one another. Another process that opens the same root knows nothing of the
/// layers. What was [opened](ModelDriver::open) by its root stays in memory until the process ends.
#[derive(Clone)]
pub struct ModelDriver {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    options: DriverOptions,
    home: Dir,
    books: Mutex<Books>,
    /// The home, if nobody else removes it.
    _temporary: Option<TempDir>,
}

/// The trees' name, each in a directory of its own.
const TREE: &str = "tree";

/// The drivers that were opened by their root, so that who opens the same one again finds its
/// layers. Real drivers find them on disk.
static OPENED: Mutex<BTreeMap<PathBuf, ModelDriver>> = Mutex::new(BTreeMap::new());

impl ModelDriver {
    /// Makes a driver without layers in a temporary directory, which is removed with it.
    ///
    /// # Errors
    ///
    /// There is no place for the directory.
    pub fn new(options: &DriverOptions) -> Result<ModelDriver> {
        let made = tempfile::Builder::new()
            .prefix("layergraph-model-")
            .tempdir();
        let temporary = made.map_err(|error| {
            let text = "cannot make a temporary directory";
            DriverError::new(DriverErrorKind::Failed, text).because(error)
        })?;
        let home = temporary.path().to_owned();
        ModelDriver::at("model", &home, Some(temporary), options)
    }

    /// Opens the driver of the store at `root` under the name `name`: a new one, or the one that
    /// this process has opened there before, with the options it had then.
    ///
    /// # Errors
    ///
    /// The directory `<root>/<name>` cannot be made.
    pub fn open(name: &'static str, root: &Path, options: &DriverOptions) -> Result<ModelDriver> {
        let home = root.join(name);
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        match opened.get(&home) {
            // Else it is a later directory of the same name.
            Some(driver) if driver.is_at(&home) => Ok(driver.clone()),
            _ => {
                let driver = ModelDriver::at(name, &home, None, options)?;
                opened.insert(home, driver.clone());
                Ok(driver)
            }
        }
    }

    /// As [`open`](ModelDriver::open) under the name `model`, for a
    /// [`Registry`](crate::Registry).
    pub fn open_dyn(root: &Path, options: &DriverOptions) -> Result<Arc<dyn Driver>> {
        Ok(Arc::new(ModelDriver::open("model", root, options)?))
    }

    fn at(
        name: &'static str,
        home: &Path,
        temporary: Option<TempDir>,
        options: &DriverOptions,
    ) -> Result<ModelDriver> {
        let home = Dir::open_or_make(home, 0o700)
            .attempted(|| format!("cannot make {}", home.display()))?;
        Ok(ModelDriver {
            shared: Arc::new(Shared {
                name,
                options: options.clone(),
                home,
                books: Mutex::default(),
                _temporary: temporary,
            }),
        })
    }

    fn is_at(&self, home: &Path) -> bool {
        let there = Dir::open(home).and_then(|dir| dir.metadata_here());
        let here = self.shared.home.metadata_here();
        matches!((here, there), (Ok(here), Ok(there)) if here.is_same_object(&there))
    }

    /// Lets the `nth` call of this kind from now on fail, the next one being the first. It then
    /// does nothing else, but that a commit drops what was staged.
    ///
    /// # Panics
    ///
    /// Panics if `nth` is 0.
    pub fn fail(&self, kind: CallKind, nth: usize) {
        assert!(nth > 0, "the next call is the first");
        self.shared.books(|books| books.fail(kind, nth));
    }

    /// Returns what was asked so far, in order, with the kinds of the errors that were answered.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.books(|books| books.calls.clone())
    }

    /// Returns what was asked against the rules.
    pub fn misuses(&self) -> Vec<String> {
        self.shared.books(|books| books.misuses.clone())
    }

    /// Returns the layers that are mounted, with how often.
    pub fn mounts(&self) -> Vec<(LayerId, usize)> {
        self.shared.books(|books| {
            let mounted = books.layers.iter().filter(|(_, layer)| layer.mounts > 0);
            mounted
                .map(|(id, layer)| (id.clone(), layer.mounts))
                .collect()
        })
    }

    /// Returns what the layer was committed on, or nothing if there is no such layer.
    pub fn parent(&self, id: &LayerId) -> Option<Option<LayerId>> {
        self.shared
            .books(|books| books.layers.get(id).map(|layer| layer.parent.clone()))
    }
}

impl Shared {
    fn books<T>(&self, work: impl FnOnce(&mut Books) -> T) -> T {
        work(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers a call, and takes note of it.
    fn answer<T>(&self, call: Call, work: impl FnOnce(&mut Books) -> Result<T>) -> Result<T> {
        self.books(|books| {
            let result = match books.due_failure(&call) {
                Some(error) => Err(error),
                None => work(books),
            };
            let error = result.as_ref().err().map(DriverError::kind);
            books.calls.push(Call { error, ..call });
            result
        })
    }

    fn open_wrapper(&self, layer: &Layer) -> Result<Dir> {
        let place = OsStr::new(&layer.place);
        let opened = self.home.open_dir(place);
        opened.attempted(|| format!("cannot open {}", layer.place))
    }

    /// Gives the directory of a layer another name.
    fn relocate(&self, layer: &mut Layer, to: String) -> Result<()> {
        let (from, new) = (OsStr::new(&layer.place), OsStr::new(&to));
        let renamed = self
            .home
            .rename(from, &self.home, new, RenameMode::NoReplace);
        renamed.attempted(|| format!("cannot rename {}", layer.place))?;
        layer.place = to;
        Ok(())
    }
}

impl Driver for ModelDriver {
    fn name(&self) -> &str {
        self.shared.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::COPYING
    }

    fn ownership(&self) -> Ownership {
        self.shared.options.ownership.clone()
    }

    fn stage(&self, parent: Option<&LayerId>) -> Result<Box<dyn StagedLayer>> {
        let shared = &self.shared;
        let call = Call::new(CallKind::Stage, None, parent);
        let (staging, dir) = shared.answer(call, |books| {
            let from = match parent {
                Some(id) => {
                    books.check_unchanging(CallKind::Stage, id)?;
                    Some(shared.open_wrapper(books.layer(id)?)?)
                }
                None => None,
            };
            begin(shared, from.as_ref()).attempted(|| "cannot stage a layer".to_owned())
        })?;
        Ok(Box::new(ModelStaged {
            driver: self.clone(),
            staging,
            dir,
            parent: parent.cloned(),
            durability: self.shared.options.durability,
        }))
    }

    fn exists(&self, id: &LayerId) -> Result<bool> {
        let call = Call::new(CallKind::Exists, Some(id), None);
        self.shared
            .answer(call, |books| Ok(books.layers.contains_key(id)))
    }

    fn list(&self) -> Result<Vec<LayerId>> {
        let call = Call::new(CallKind::List, None, None);
        self.shared
            .answer(call, |books| Ok(books.layers.keys().cloned().collect()))
    }

    fn remove(&self, id: &LayerId) -> Result<()> {
        let call = Call::new(CallKind::Remove, Some(id), None);
        self.shared.answer(call, |books| {
            books.check_removable(id)?;
            let place = books.layer(id)?.place.clone();
            books.layers.remove(id);
            let removed = remove_tree(&self.shared.home, OsStr::new(&place));
            removed.attempted(|| format!("cannot remove layer {id}"))
        })
    }

    fn layers(&self, id: &LayerId) -> Result<Vec<Dir>> {
        let call = Call::new(CallKind::Layers, Some(id), None);
        self.shared.answer(call, |books| {
            let wrapper = self.shared.open_wrapper(books.layer(id)?)?;
            let tree = wrapper.open_dir(OsStr::new(TREE));
            Ok(vec![tree.attempted(|| format!("cannot open layer {id}"))?])
        })
    }

    fn mount(&self, id: &LayerId, options: &MountOptions) -> Result<PathBuf> {
        let call = Call::new(CallKind::Mount, Some(id), None);
        self.shared.answer(call, |books| {
            books.layer(id)?;
            if let Some(target) = &options.target {
                let text = format!("the model mounts nothing at {}", target.display());
                return Err(DriverError::new(DriverErrorKind::NotSupported, text));
            }
            let is_writable = options.access == Access::ReadWrite;
            if is_writable {
                books.check_childless(CallKind::Mount, id)?;
            }
            let place = books.new_place("mount");
            let layer = books.layer_mut(id)?;
            if layer.mounts == 0 {
                self.shared.relocate(layer, place)?;
            }
            layer.mounts += 1;
            layer.is_writable |= is_writable;
            Ok(self.shared.home.path().join(&layer.place).join(TREE))
        })
    }

    fn unmount(&self, id: &LayerId) -> Result<()> {
        let call = Call::new(CallKind::Unmount, Some(id), None);
        self.shared.answer(call, |books| {
            let place = books.new_place("tree");
            let Some(layer) = books.layers.get_mut(id).filter(|layer| layer.mounts > 0) else {
                books
                    .misuses
                    .push(format!("unmount {id}: it is not mounted"));
                return Ok(());
            };
            if layer.mounts == 1 {
                self.shared.relocate(layer, place)?;
                layer.is_writable = false;
            }
            layer.mounts -= 1;
            Ok(())
        })
    }

    fn sweep(&self) -> Result<usize> {
        let call = Call::new(CallKind::Sweep, None, None);
        let swept = || sweep(&self.shared.home);
        self.shared
            .answer(call, |_| swept().attempted(|| "cannot sweep".to_owned()))
    }
}

/// Makes a staging directory with a tree: an empty one, or a copy of that in `from`.
fn begin(shared: &Shared, from: Option<&Dir>) -> layergraph_fs::Result<(Staging, Dir)> {
    let (staging, tree) = (Staging::new(&shared.home)?, OsStr::new(TREE));
    if let Some(from) = from {
        copy_tree(from, tree, staging.dir(), tree)?;
    } else {
        staging.dir().make_dir(tree, 0o755)?;
        // Whatever the umask is.
        staging.dir().set_mode(tree, 0o755)?;
        if let Some((uid, gid)) = shared.options.ownership.root() {
            staging.dir().set_owner(tree, uid, gid)?;
        }
    }
    let dir = staging.dir().open_dir(tree)?;
    Ok((staging, dir))
}

#[derive(Debug)]
struct ModelStaged {
    driver: ModelDriver,
    staging: Staging,
    dir: Dir,
    parent: Option<LayerId>,
    durability: Durability,
}

impl StagedLayer for ModelStaged {
    fn dir(&self) -> &Dir {
        &self.dir
    }

    fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
    }

    fn commit(self: Box<Self>, id: &LayerId, parent: Option<&LayerId>) -> Result<()> {
        let ModelStaged {
            driver,
            staging,
            parent: staged_on,
            durability,
            ..
        } = *self;
        let shared = &driver.shared;
        let call = Call::new(CallKind::Commit, Some(id), parent);
        shared.answer(call, |books| {
            books.check_committable(id, parent, staged_on.as_ref())?;
            let place = books.new_place("tree");
            let mode = RenameMode::NoReplace;
            let published = staging.publish(&shared.home, OsStr::new(&place), mode, durability);
            published.attempted(|| format!("cannot commit layer {id}"))?;
            books
                .layers
                .insert(id.clone(), Layer::new(staged_on, place));
            Ok(())
        })
    }
}

impl fmt::Debug for ModelDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ModelDriver")
            .field(&self.shared.home.path())
            .finish()
    }
}

#[cfg(test)]
mod tests;
