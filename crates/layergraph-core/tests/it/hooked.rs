//! A driver that lets a test act, or fail, before each call of a real one, and act after those that
//! make or remove a tree.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use layergraph_archive::{Ownership, View};
use layergraph_driver::{
    Capabilities, Driver, DriverError, DriverErrorKind, LayerId, MountOptions, Result, StagedLayer,
};
use layergraph_fs::{Dir, Durability};

use crate::support::open_driver;

type Hook = dyn Fn(&str) -> Result<()> + Send + Sync;

/// What the hook is given when a tree has been made.
pub(crate) const COMMITTED: &str = "committed";
/// What the hook is given when a tree has been removed.
pub(crate) const REMOVED: &str = "removed";

/// The driver of the tests, which asks before each call, and tells what was done.
#[derive(Clone)]
pub(crate) struct Hooked {
    driver: Arc<dyn Driver>,
    hook: Arc<Hook>,
}

impl Hooked {
    /// `hook` is given the name of the call. What it answers to [`COMMITTED`] and [`REMOVED`] is
    /// not heard.
    pub(crate) fn open(
        root: &Path,
        hook: impl Fn(&str) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<dyn Driver> {
        Arc::new(Hooked {
            driver: open_driver(root),
            hook: Arc::new(hook),
        })
    }

    fn ask(&self, call: &str) -> Result<()> {
        (self.hook)(call)
    }

    fn tell(&self, done: &str) {
        // What is done cannot fail any more.
        let _ = (self.hook)(done);
    }
}

/// Something that is done once, at the first call of this name.
pub(crate) fn once_at(
    call: impl Into<String>,
    act: impl FnOnce() + Send + 'static,
) -> impl Fn(&str) -> Result<()> + Send + Sync + 'static {
    once_at_nth(1, call, act)
}

/// Something that is done once, at the `nth` call of this name.
pub(crate) fn once_at_nth(
    nth: usize,
    call: impl Into<String>,
    act: impl FnOnce() + Send + 'static,
) -> impl Fn(&str) -> Result<()> + Send + Sync + 'static {
    let (call, calls) = (call.into(), AtomicUsize::new(0));
    let act: Mutex<Option<Box<dyn FnOnce() + Send>>> = Mutex::new(Some(Box::new(act)));
    move |asked| {
        if asked == call
            && calls.fetch_add(1, Ordering::SeqCst) + 1 == nth
            && let Some(act) = act.lock().expect("no act panics").take()
        {
            act();
        }
        Ok(())
    }
}

/// Counts calls from when it is armed, and lets one of them fail.
#[derive(Debug, Default, Clone)]
pub(crate) struct Failing(Arc<AtomicUsize>);

impl Failing {
    /// Lets the `nth` call from now on fail.
    pub(crate) fn arm(&self, nth: usize) {
        self.0.store(nth, Ordering::SeqCst);
    }

    /// Whether there were as many calls.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }

    pub(crate) fn hook(&self) -> impl Fn(&str) -> Result<()> + Send + Sync + 'static {
        let left = self.0.clone();
        move |call| {
            if [COMMITTED, REMOVED].contains(&call) {
                return Ok(());
            }
            let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
            if before == Ok(1) {
                let text = format!("{call} was to fail");
                return Err(DriverError::new(DriverErrorKind::Failed, text));
            }
            Ok(())
        }
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.driver.fmt(f)
    }
}

impl Driver for Hooked {
    fn name(&self) -> &str {
        self.driver.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.driver.capabilities()
    }

    fn ownership(&self) -> Ownership {
        self.driver.ownership()
    }

    fn stage(&self, parent: Option<&LayerId>) -> Result<Box<dyn StagedLayer>> {
        self.ask("stage")?;
        Ok(Box::new(HookedLayer {
            layer: self.driver.stage(parent)?,
            driver: self.clone(),
        }))
    }

    fn exists(&self, id: &LayerId) -> Result<bool> {
        self.ask("exists")?;
        self.driver.exists(id)
    }

    fn list(&self) -> Result<Vec<LayerId>> {
        self.ask("list")?;
        self.driver.list()
    }

    fn remove(&self, id: &LayerId) -> Result<()> {
        self.ask("remove")?;
        self.driver.remove(id)?;
        self.tell(REMOVED);
        Ok(())
    }

    fn check_unused(&self, id: &LayerId) -> Result<()> {
        self.ask("check_unused")?;
        self.driver.check_unused(id)
    }

    fn layers(&self, id: &LayerId) -> Result<Vec<Dir>> {
        self.ask("layers")?;
        self.driver.layers(id)
    }

    fn mount(&self, id: &LayerId, options: &MountOptions) -> Result<PathBuf> {
        self.ask("mount")?;
        self.driver.mount(id, options)
    }

    fn unmount(&self, id: &LayerId) -> Result<()> {
        self.ask("unmount")?;
        self.driver.unmount(id)
    }

    fn sweep(&self) -> Result<usize> {
        self.ask("sweep")?;
        self.driver.sweep()
    }
}

#[derive(Debug)]
struct HookedLayer {
    layer: Box<dyn StagedLayer>,
    driver: Hooked,
}

impl StagedLayer for HookedLayer {
    fn dir(&self) -> &Dir {
        self.layer.dir()
    }

    fn below(&self) -> Result<Option<View>> {
        self.driver.ask("below")?;
        self.layer.below()
    }

    fn set_durability(&mut self, durability: Durability) {
        self.layer.set_durability(durability);
    }

    fn commit(self: Box<Self>, id: &LayerId, parent: Option<&LayerId>) -> Result<()> {
        self.driver.ask("commit")?;
        self.layer.commit(id, parent)?;
        self.driver.tell(COMMITTED);
        Ok(())
    }
}
