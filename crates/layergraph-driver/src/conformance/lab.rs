//! A driver in a store of its own, with what a law needs to fill it and to look at it.

use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use layergraph_archive::{
    ChangeKind, Ownership, Place, UnpackOptions, Unpacked, View, ViewDir, listing, unpack,
};
use layergraph_fs::{Device, Dir, Durability, FileKind, seconds_and_nanos};
use tempfile::TempDir;

use super::layer::Layer;
use crate::{Driver, DriverErrorKind, DriverOptions, LayerId, OpenDriver, Result, StagedLayer};

/// What helps a law, and fails for reasons of the machine's.
pub(super) type Fallible<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A driver with a store in a temporary directory.
pub(super) struct Lab {
    pub(super) driver: Arc<dyn Driver>,
    pub(super) options: DriverOptions,
    open: OpenDriver,
    root: TempDir,
}

impl Lab {
    /// Opens the driver as this user can use it best: root keeps owners and devices on disk,
    /// anybody else has them recorded.
    pub(super) fn new(open: OpenDriver) -> Fallible<Lab> {
        let ownership = match why_not_root()? {
            None => Ownership::Preserve,
            Some(_) => Ownership::Squash,
        };
        Lab::with_ownership(open, ownership)
    }

    pub(super) fn with_ownership(open: OpenDriver, ownership: Ownership) -> Fallible<Lab> {
        let root = tempfile::Builder::new()
            .prefix("layergraph-driver-")
            .tempdir()?;
        let options = DriverOptions {
            ownership,
            // Durability costs much and shows only after a power loss.
            durability: Durability::None,
            ..DriverOptions::default()
        };
        Ok(Lab {
            driver: open(root.path(), &options)?,
            options,
            open,
            root,
        })
    }

    /// The root of the store.
    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Opens the driver once more.
    pub(super) fn open_again(&self) -> Result<Arc<dyn Driver>> {
        (self.open)(self.root(), &self.options)
    }

    /// Commits a layer with the entries that `lines` describe; see [`Layer::line`].
    pub(super) fn layer(
        &self,
        id: &str,
        parent: Option<&str>,
        lines: &[&str],
    ) -> Fallible<LayerId> {
        commit(&*self.driver, id, parent, lines)
    }

    /// Describes the tree of a layer: see [`describe`].
    pub(super) fn tree(&self, id: &str) -> Fallible<Vec<String>> {
        tree(&*self.driver, id)
    }

    /// The ids of all layers, as the driver lists them.
    pub(super) fn list(&self) -> Result<Vec<String>> {
        list(&*self.driver)
    }

    /// Everything in the store.
    pub(super) fn files(&self) -> io::Result<BTreeSet<PathBuf>> {
        files(self.root())
    }

    /// Sweeps, and checks that then the store holds `expected`: see [`assert_swept`].
    #[track_caller]
    pub(super) fn assert_swept(&self, expected: &BTreeSet<PathBuf>) -> Fallible<usize> {
        assert_swept(&*self.driver, self.root(), expected, "after a sweep")
    }
}

/// Makes an id of a name that is one.
pub(super) fn id(name: &str) -> LayerId {
    name.parse().expect("the laws use plain names")
}

pub(super) fn stage(driver: &dyn Driver, parent: Option<&str>) -> Result<Box<dyn StagedLayer>> {
    driver.stage(parent.map(id).as_ref())
}

/// Commits a layer with the entries that `lines` describe.
pub(super) fn commit(
    driver: &dyn Driver,
    name: &str,
    parent: Option<&str>,
    lines: &[&str],
) -> Fallible<LayerId> {
    let staged = stage(driver, parent)?;
    apply(driver, &*staged, &Layer::of(lines)?)?;
    let (id, parent) = (id(name), parent.map(id));
    staged.commit(&id, parent.as_ref())?;
    Ok(id)
}

/// Unpacks a layer into a staged one as the driver wants it.
pub(super) fn apply(
    driver: &dyn Driver,
    staged: &dyn StagedLayer,
    mut tar: &[u8],
) -> Fallible<Unpacked> {
    let mut options = UnpackOptions::default();
    options.ownership = driver.ownership();
    let below = staged.below()?;
    let place = match &below {
        Some(below) => Place::over(staged.dir(), below),
        None => staged.dir().into(),
    };
    Ok(unpack(&mut tar, place, &options)?)
}

pub(super) fn tree(driver: &dyn Driver, name: &str) -> Fallible<Vec<String>> {
    describe(&driver.view(&id(name))?)
}

pub(super) fn list(driver: &dyn Driver) -> Result<Vec<String>> {
    let ids = driver.list()?;
    Ok(ids.iter().map(ToString::to_string).collect())
}

/// Lists what makes one layer of another, as `docker diff` would.
pub(super) fn changes_of(
    driver: &dyn Driver,
    upper: &str,
    lower: Option<&str>,
) -> Result<Vec<String>> {
    let changes = driver.changes(&id(upper), lower.map(id).as_ref())?;
    let shown = changes.iter().map(|change| {
        // Nothing that is gone has a size.
        assert!(change.kind != ChangeKind::Deleted || change.size == 0);
        change.to_string()
    });
    Ok(shown.collect())
}

/// Reads a file that is in a directory.
pub(super) fn text_of(dir: &ViewDir<'_>, name: &str) -> Fallible<String> {
    let entry = dir.entry(OsStr::new(name))?;
    let mut text = String::new();
    let mut file = dir.open_file(&entry.expect("it is in one of the layers"))?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Describes all of a tree that a layer has: its listing, to which the times of directories and
/// the holes of files are added.
pub(super) fn describe(view: &View) -> Fallible<Vec<String>> {
    let mut text = Vec::new();
    listing(view, &mut text)?;
    let text = String::from_utf8(text)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    describe_more(&view.root()?, Path::new(""), &mut lines)?;
    Ok(lines)
}

fn describe_more(dir: &ViewDir<'_>, path: &Path, lines: &mut Vec<String>) -> Fallible {
    let (seconds, nanos) = seconds_and_nanos(dir.metadata().modified);
    let shown = path.display();
    lines.push(format!("time of /{shown}: {seconds}.{nanos:09}"));
    for entry in dir.entries()? {
        let path = path.join(entry.name());
        match entry.metadata().kind {
            FileKind::Directory => describe_more(&dir.open_dir(&entry)?, &path, lines)?,
            FileKind::File => {
                let metadata = dir.open_file(&entry)?.metadata()?;
                // In units of 512 bytes (stat(2)).
                if metadata.blocks() * 512 < metadata.size() {
                    lines.push(format!("holes in /{}", path.display()));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the lines of a description that do not speak of what `is_of` says.
pub(super) fn without(lines: &[String], is_of: impl Fn(&str) -> bool) -> Vec<&str> {
    let lines = lines.iter().map(String::as_str);
    lines.filter(|line| !is_of(line)).collect()
}

/// Returns the paths of everything in a directory, seen from outside of the driver.
///
/// # Errors
///
/// What reading the directories said.
pub fn files(top: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut left = vec![top.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    Ok(found)
}

/// Sweeps, and checks that then the store in `root` holds the [`files`] that are `expected` and
/// nothing else. Returns how much was swept.
///
/// `when` begins the message if that does not hold.
///
/// A process that another test starts at this moment holds copies of our handles until it executes
/// its program, and so keeps locks that we have let go: a leftover may need a second sweep.
///
/// # Errors
///
/// What sweeping or reading the directories said.
///
/// # Panics
///
/// If the store goes on to hold something else.
#[track_caller]
pub fn assert_swept(
    driver: &dyn Driver,
    root: &Path,
    expected: &BTreeSet<PathBuf>,
    when: &str,
) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let mut swept = 0;
    let mut found = BTreeSet::new();
    for _ in 0..500 {
        swept += driver.sweep()?;
        found = files(root)?;
        if found == *expected {
            return Ok(swept);
        }
        thread::sleep(Duration::from_millis(10));
    }
    let left: Vec<_> = found.symmetric_difference(expected).collect();
    panic!("{when}: left over, or missing: {left:?}");
}

/// Says what this user lacks of root, if anything. It is tried: user 0 of a user namespace has the
/// name and not the powers.
pub(super) fn why_not_root() -> Fallible<Option<String>> {
    let directory = tempfile::tempdir()?;
    let dir = Dir::open(directory.path())?;
    let name = OsStr::new("device");
    // null(4), which containers leave to their root too.
    let null = Device { major: 1, minor: 3 };
    let tried = dir
        .make_node(name, FileKind::CharDevice, 0o600, null)
        .and_then(|()| dir.set_owner(name, 1, 2));
    match tried {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(Some(format!("no root: {error} is not permitted")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Checks that a call was refused, and with which kind of error.
#[track_caller]
pub(super) fn assert_refused<T>(result: Result<T>, kind: DriverErrorKind) {
    match result {
        Ok(_) => panic!("it was not refused; {kind:?} was expected"),
        Err(error) => assert_eq!(error.kind(), kind, "{error:?}"),
    }
}
