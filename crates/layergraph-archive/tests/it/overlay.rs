//! Overlayfs mounts, and layers that the kernel makes of random histories.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use layergraph_archive::{Dialect, View};
use layergraph_fs::Dir;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{moment, open};

/// The features with which the kernel makes layers.
pub(crate) const FEATURES: [&str; 2] = [
    "redirect_dir=on,metacopy=off",
    "redirect_dir=on,metacopy=on",
];

/// An overlayfs mount, until it is dropped.
pub(crate) struct Mount(pub(crate) PathBuf);

impl Mount {
    /// Mounts layers, the uppermost first; that one can be written to.
    pub(crate) fn new(layers: &[PathBuf], place: &Path, options: &str) -> Mount {
        let work = place.join("work");
        fs::create_dir_all(&work).expect("a place for the mount");
        let (upper, work) = (layers[0].display(), work.display());
        let lower = joined(&layers[1..]);
        let directories = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        Mount::with(&format!("{directories},index=off,{options}"), place)
    }

    /// Mounts two layers or more, none of which can be written to.
    pub(crate) fn read_only(layers: &[PathBuf], place: &Path, options: &str) -> Mount {
        Mount::with(&format!("lowerdir={},{options}", joined(layers)), place)
    }

    fn with(options: &str, place: &Path) -> Mount {
        let merged = place.join("merged");
        fs::create_dir_all(&merged).expect("a place for the mount");
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", options]);
        let status = mount.arg(&merged).status();
        assert!(status.expect("mount runs").success(), "{options}");
        Mount(merged)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Another test may be starting a program, which has all handles until it runs.
        let status = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(status.expect("umount runs").success());
    }
}

fn joined(layers: &[PathBuf]) -> String {
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| layer.display().to_string())
        .collect();
    layers.join(":")
}

/// Unites layers, the uppermost first.
pub(crate) fn union(layers: &[PathBuf]) -> View {
    let dirs = layers.iter().map(|layer| open(layer)).collect();
    View::union(dirs, Dialect::Overlay)
}

/// Something that is done to a tree.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    MakeDir(PathBuf),
    /// Replaces content, and leaves the time that the choice says.
    Write(PathBuf, usize),
    /// Opens for writing and writes nothing: the whole file is copied up.
    Open(PathBuf),
    SetMode(PathBuf, usize),
    SetOwner(PathBuf, u32),
    SetTime(PathBuf, usize),
    SetAttribute(PathBuf, usize),
    Symlink(PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    /// Removes what is there and makes a directory in its place.
    Renew(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Act {
    /// Does it, where it can be done.
    pub(crate) fn perform(&self, root: &Path) {
        let at = |path: &Path| root.join(path);
        let _ = match self {
            Act::MakeDir(path) => fs::create_dir(at(path)),
            Act::Write(path, choice) => write(&at(path), *choice),
            Act::Open(path) => fs::OpenOptions::new().append(true).open(at(path)).map(drop),
            Act::SetMode(path, choice) => set_mode(&at(path), *choice),
            Act::SetOwner(path, owner) => chown(at(path), Some(*owner), None),
            Act::SetTime(path, choice) => set_time(&at(path), *choice),
            Act::SetAttribute(path, choice) => set_attribute(&at(path), *choice),
            Act::Symlink(path) => symlink("target", at(path)),
            Act::Link(path, other) => fs::hard_link(at(path), at(other)),
            Act::Remove(path) => remove(&at(path)),
            Act::Renew(path) => remove(&at(path)).and_then(|()| fs::create_dir(at(path))),
            Act::Rename(from, to) => fs::rename(at(from), at(to)),
        };
    }
}

/// Some of the contents are equally long.
fn write(path: &Path, choice: usize) -> io::Result<()> {
    fs::write(path, ["one", "two", "three"][choice])?;
    set_time(path, choice % 2)
}

fn set_time(path: &Path, choice: usize) -> io::Result<()> {
    let time = moment() + Duration::from_secs([0, 1, 0][choice]);
    let (parent, name) = parts(path);
    Ok(Dir::open(parent)?.set_times(name, None, Some(time))?)
}

fn set_mode(path: &Path, choice: usize) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_symlink() {
        return Ok(());
    }
    let mode = [0o644, 0o4755, 0o700][choice];
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn set_attribute(path: &Path, choice: usize) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_symlink() {
        return Ok(());
    }
    let value: [&[u8]; 3] = [b"1", b"2", b""];
    let (parent, name) = parts(path);
    Ok(Dir::open(parent)?.set_xattr(name, OsStr::new("user.comment"), value[choice])?)
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

pub(crate) fn parts(path: &Path) -> (&Path, &OsStr) {
    let parent = path.parent().expect("a path below a root");
    (parent, path.file_name().expect("a path with a name"))
}

fn act() -> impl Strategy<Value = Act> {
    let path = || {
        let name = proptest::sample::select(vec!["a", "b", "c"]);
        let depth = prop_oneof![3 => Just(1usize), 4 => Just(2), 1 => Just(3)];
        let names = depth.prop_flat_map(move |depth| vec(name.clone(), depth));
        names.prop_map(|names| names.iter().collect::<PathBuf>())
    };
    let chosen = || (path(), 0..3usize);
    prop_oneof![
        4 => path().prop_map(Act::MakeDir),
        5 => chosen().prop_map(|(path, choice)| Act::Write(path, choice)),
        1 => path().prop_map(Act::Open),
        2 => chosen().prop_map(|(path, choice)| Act::SetMode(path, choice)),
        1 => (path(), 0..2u32).prop_map(|(path, owner)| Act::SetOwner(path, owner)),
        1 => chosen().prop_map(|(path, choice)| Act::SetTime(path, choice)),
        1 => chosen().prop_map(|(path, choice)| Act::SetAttribute(path, choice)),
        1 => path().prop_map(Act::Symlink),
        3 => (path(), path()).prop_map(|(path, other)| Act::Link(path, other)),
        2 => path().prop_map(Act::Remove),
        1 => path().prop_map(Act::Renew),
        4 => (path(), path()).prop_map(|(from, to)| Act::Rename(from, to)),
    ]
}

/// What is done in each of some layers, the lowest first. That begins with a few objects, so that
/// there is something to change.
pub(crate) fn history() -> impl Strategy<Value = Vec<Vec<Act>>> {
    let acts = (vec(act(), 0..20), vec(vec(act(), 1..12), 1..4));
    acts.prop_map(|(more, mut history)| {
        let mut first = vec![
            Act::MakeDir("a".into()),
            Act::MakeDir("a/b".into()),
            Act::MakeDir("b".into()),
            Act::Write("a/a".into(), 0),
            Act::Link("a/a".into(), "a/b/a".into()),
            Act::Write("a/b/c".into(), 0),
            Act::Link("a/b/c".into(), "a/b/b".into()),
            Act::Write("b/a".into(), 2),
        ];
        first.extend(more);
        history.insert(0, first);
        history
    })
}

/// Makes the layers, the uppermost first. Each is what the acts leave in the upper directory of a
/// mount on those below.
pub(crate) fn stack(place: &Path, history: &[Vec<Act>], options: &str) -> Vec<PathBuf> {
    let mut layers: Vec<PathBuf> = Vec::new();
    for (number, acts) in history.iter().enumerate() {
        let layer = place.join(format!("layer{number}"));
        fs::create_dir(&layer).expect("a new layer");
        layers.insert(0, layer.clone());
        // The lowest is a tree as it is.
        let mount = (number > 0)
            .then(|| Mount::new(&layers, &place.join(format!("mount{number}")), options));
        let root = mount.as_ref().map_or(&layer, |mount| &mount.0);
        for act in acts {
            act.perform(root);
        }
    }
    layers
}
