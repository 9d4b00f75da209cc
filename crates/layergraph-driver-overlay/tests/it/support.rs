//! Stores to work in, layers of a few lines, and what is mounted.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use layergraph_archive::{Place, UnpackOptions, View, listing, unpack};
use layergraph_driver::conformance::files;
use layergraph_driver::{
    Access, Driver, DriverError, DriverErrorKind, DriverOptions, LayerId, MountOptions, StagedLayer,
};
use layergraph_driver_overlay::OverlayDriver;
use layergraph_fs::{Dir, Durability};
use layergraph_tar::{Kind, NewMember, Writer};
use layergraph_tests::{ByUser, Scratch, mounted_below, run};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A driver with a store of its own.
pub(crate) struct Store {
    pub(crate) driver: OverlayDriver,
    root: Scratch,
}

/// The options of a store whose layers need not survive a power loss.
pub(crate) fn options(durability: Durability) -> DriverOptions {
    let mut options = DriverOptions::default();
    options.durability = durability;
    options
}

impl Store {
    pub(crate) fn new() -> Result<Store> {
        Store::at(Scratch::new()?, Durability::None)
    }

    pub(crate) fn at(root: Scratch, durability: Durability) -> Result<Store> {
        let driver = OverlayDriver::open(root.path(), &options(durability))?;
        Ok(Store { driver, root })
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The driver's directory, or what is in it.
    pub(crate) fn home(&self, path: &str) -> PathBuf {
        self.root().join("overlay").join(path)
    }

    pub(crate) fn commit(&self, name: &str, parent: Option<&str>, layer: &[u8]) -> Result {
        let parent = parent.map(id);
        let staged = self.driver.stage(parent.as_ref())?;
        apply(layer, &*staged)?;
        Ok(staged.commit(&id(name), parent.as_ref())?)
    }

    /// Commits a layer with one file of its name, or of another text.
    pub(crate) fn layer(&self, name: &str, parent: Option<&str>) -> Result {
        let line = format!("{name} = of {name}");
        self.commit(name, parent, &layer(&[(0o644, &line)])?)
    }

    /// Makes a directory in the root, to mount at.
    pub(crate) fn target(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.root().join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// Everything in the store.
    pub(crate) fn files(&self) -> io::Result<BTreeSet<PathBuf>> {
        files(self.root())
    }

    /// What is mounted in the root, the last one first.
    pub(crate) fn mounted(&self) -> Vec<PathBuf> {
        mounted_below(self.root())
    }

    pub(crate) fn listing(&self, name: &str) -> Result<Vec<String>> {
        lines(&self.driver.view(&id(name))?)
    }
}

pub(crate) fn to_change() -> MountOptions {
    let mut options = MountOptions::default();
    options.access = Access::ReadWrite;
    options
}

/// Unpacks a layer into a staged one.
pub(crate) fn apply(mut layer: &[u8], staged: &dyn StagedLayer) -> Result {
    let below = staged.below()?;
    let place = match &below {
        Some(below) => Place::over(staged.dir(), below),
        None => staged.dir().into(),
    };
    unpack(&mut layer, place, &UnpackOptions::default())?;
    Ok(())
}

pub(crate) fn id(name: &str) -> LayerId {
    name.parse().expect("a plain name")
}

pub(crate) fn lines(view: &View) -> Result<Vec<String>> {
    let mut text = Vec::new();
    listing(view, &mut text)?;
    let text = String::from_utf8(text)?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Lists the tree at a path, as it is.
pub(crate) fn listing_of(path: &Path) -> Result<Vec<String>> {
    lines(&View::new(Dir::open(path)?))
}

#[track_caller]
pub(crate) fn assert_refused<T>(
    result: layergraph_driver::Result<T>,
    kind: DriverErrorKind,
) -> DriverError {
    match result {
        Ok(_) => panic!("it was not refused; {kind:?} was expected"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{error:?}");
            error
        }
    }
}

/// Writes a layer of files (`f = text`) and directories (`d/`), each with its mode before it, that
/// belong to whoever runs the test.
pub(crate) fn layer(lines: &[(u32, &str)]) -> Result<Vec<u8>> {
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let mut writer = Writer::new(Vec::new());
    for &(mode, line) in lines {
        let (path, kind, text) = match line.split_once(" = ") {
            Some((path, text)) => (path, Kind::File, text),
            None if line.ends_with('/') => (line, Kind::Directory, ""),
            None => (line, Kind::File, ""),
        };
        let member = NewMember {
            mode,
            uid: user,
            gid: group,
            size: text.len() as u64,
            ..NewMember::new(path.as_bytes(), kind)
        };
        writer.append(&member, text.as_bytes())?;
    }
    Ok(writer.finish()?)
}

/// Runs tests of this program as an ordinary user, in a directory of the user's, and returns what
/// it said. `select` is what the program takes to choose them.
pub(crate) fn as_ordinary_user(select: &[&str]) -> Result<String> {
    let mut user = ByUser::new()?;
    let output = run(user.command().args(select), Duration::from_secs(300))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(format!("{select:?} as an ordinary user: {}\n{said}", output.status).into())
    }
}
