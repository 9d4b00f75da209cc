//! Stores to work in, layers of a few lines, and the test program as an ordinary user.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use layergraph_archive::{UnpackOptions, View, listing, unpack};
use layergraph_driver::conformance::files;
use layergraph_driver::{Driver, DriverOptions, LayerId};
use layergraph_driver_vfs::VfsDriver;
use layergraph_fs::{Dir, Durability};
use layergraph_tar::{Kind, NewMember, Writer};
use layergraph_tests::{ByUser, Scratch, run};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A driver with a store of its own.
pub(crate) struct Store {
    pub(crate) driver: VfsDriver,
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
        let driver = VfsDriver::open(root.path(), &options(durability))?;
        Ok(Store { driver, root })
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where a tree is to be.
    pub(crate) fn tree(&self, name: &str) -> PathBuf {
        self.root().join("vfs/dir").join(name)
    }

    pub(crate) fn commit(&self, name: &str, parent: Option<&str>, layer: &[u8]) -> Result {
        let parent = parent.map(id);
        let staged = self.driver.stage(parent.as_ref())?;
        apply(layer, staged.dir())?;
        Ok(staged.commit(&id(name), parent.as_ref())?)
    }

    /// Everything in the store.
    pub(crate) fn files(&self) -> io::Result<BTreeSet<PathBuf>> {
        files(self.root())
    }
}

pub(crate) fn apply(mut layer: &[u8], to: &Dir) -> Result {
    unpack(&mut layer, to, &UnpackOptions::default())?;
    Ok(())
}

pub(crate) fn id(name: &str) -> LayerId {
    name.parse().expect("a plain name")
}

pub(crate) fn listing_of(path: &Path) -> Result<Vec<String>> {
    let mut text = Vec::new();
    listing(&View::new(Dir::open(path)?), &mut text)?;
    Ok(String::from_utf8(text)?
        .lines()
        .map(str::to_owned)
        .collect())
}

pub(crate) fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::symlink_metadata(path)?.permissions().mode() & 0o7777)
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
