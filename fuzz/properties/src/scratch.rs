//! Directories to unpack into, used again and again.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use layergraph_archive::{Ownership, UnpackOptions, View, listing};
use layergraph_fs::Dir;
use tempfile::TempDir;

thread_local! {
    static PLACE: OnceCell<TempDir> = const { OnceCell::new() };
}

/// Returns a directory of this thread's own, which stays until the thread ends. Best is one in
/// memory: it stands where `TMPDIR` says.
fn place() -> PathBuf {
    PLACE.with(|place| {
        let new = || TempDir::with_prefix("layergraph-").expect("a temporary directory");
        place.get_or_init(new).path().to_owned()
    })
}

/// Returns an empty directory of this name, with nothing of what was there before.
pub(crate) fn empty(name: &str) -> PathBuf {
    let path = place().join(name);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
    fs::create_dir(&path).expect("the name is free");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

/// Returns whether this is root, who may unpack all that a layer says.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// How this user unpacks a layer of which something belongs to root.
pub(crate) fn options() -> UnpackOptions {
    let mut options = UnpackOptions::default();
    if !is_root() {
        options.ownership = Ownership::Squash;
    }
    options.limits.unpacked_bytes = 16 << 20;
    options
}

pub(crate) fn open(path: &Path) -> Dir {
    Dir::open(path).expect("the directory is there")
}

pub(crate) fn view(path: &Path) -> View {
    View::new(open(path))
}

pub(crate) fn listing_of(view: &View) -> String {
    let mut text = Vec::new();
    listing(view, &mut text).expect("the tree can be read");
    String::from_utf8(text).expect("a listing is ASCII")
}
