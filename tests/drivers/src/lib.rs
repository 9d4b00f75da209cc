//! What the tests of the drivers share beside the laws of `layergraph_driver::conformance`: layers
//! of a few lines, trees as lines, the original's calls, and laws for those whose files can be
//! looked at (`faults`).
//!
//! # Limitations
//!
//! Nothing here is for code that ships.

#![forbid(unsafe_code)]

pub mod faults;
pub mod original;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use layergraph_archive::{Place, UnpackOptions, View, listing, unpack};
use layergraph_driver::{DriverOptions, LayerId, OpenDriver, StagedLayer};
use layergraph_fs::{Dir, Durability};
use layergraph_tar::{Kind, NewMember, Writer};
use layergraph_tests::{ByUser, run};

/// What a test returns.
pub type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The options of a store that is as durable as that.
pub fn options(durability: Durability) -> DriverOptions {
    let mut options = DriverOptions::default();
    options.durability = durability;
    options
}

/// Returns the id of this name.
///
/// # Panics
///
/// If it is none.
pub fn id(name: &str) -> LayerId {
    name.parse().expect("a plain name")
}

/// Writes a layer of files (`f = text`) and directories (`d/`), each with its mode before it, that
/// belong to whoever runs the test.
///
/// # Errors
///
/// A path that no tar can hold.
pub fn layer(lines: &[(u32, &str)]) -> Result<Vec<u8>> {
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

/// Unpacks a layer into a staged one, over what is below it if the driver says what that is.
///
/// # Errors
///
/// The layer cannot be unpacked.
pub fn apply(mut layer: &[u8], staged: &dyn StagedLayer) -> Result {
    let below = staged.below()?;
    let place = match &below {
        Some(below) => Place::over(staged.dir(), below),
        None => staged.dir().into(),
    };
    unpack(&mut layer, place, &UnpackOptions::default())?;
    Ok(())
}

/// Checks that opening a store, and asking for what is not in it, makes nothing on disk.
///
/// # Errors
///
/// What the driver says.
///
/// # Panics
///
/// If it makes something, or finds what is not there.
pub fn check_opening_makes_nothing(open: OpenDriver) -> Result {
    let parent = tempfile::tempdir()?;
    let root = parent.path().join("root");
    let driver = open(&root, &options(Durability::Full))?;
    assert_eq!(driver.list()?, []);
    assert!(!driver.exists(&id("a"))?);
    assert_eq!(driver.sweep()?, 0);
    driver.unmount(&id("a"))?;
    assert!(!root.exists());
    Ok(())
}

/// Lists a tree, each object in a line.
///
/// # Errors
///
/// The tree cannot be read.
pub fn lines(view: &View) -> Result<Vec<String>> {
    let mut text = Vec::new();
    listing(view, &mut text)?;
    let text = String::from_utf8(text)?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Lists the tree at a path, as it is.
///
/// # Errors
///
/// The tree cannot be read.
pub fn listing_of(path: &Path) -> Result<Vec<String>> {
    lines(&View::new(Dir::open(path)?))
}

/// Runs tests of this program as an ordinary user, in a directory of the user's, and returns what
/// it said. `select` is what the program takes to choose them.
///
/// # Errors
///
/// One of them fails, or the program cannot be run.
pub fn as_ordinary_user(select: &[&str]) -> Result<String> {
    let mut user = ByUser::new()?;
    let output = run(user.command().args(select), Duration::from_secs(300))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(format!("{select:?} as an ordinary user: {}\n{said}", output.status).into())
    }
}
