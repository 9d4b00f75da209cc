//! The driver that the tests here run with, overlay, and what they know of its directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use layergraph_driver::OpenDriver;
use layergraph_driver_overlay::OverlayDriver;

use crate::support::Contents;

/// The name of the driver, and of its directory.
pub(crate) const NAME: &str = "overlay";
pub(crate) const OPEN: OpenDriver = OverlayDriver::open_dyn;
/// Whether a layer holds the changes alone, so that those above it need it.
pub(crate) const INDEPENDENT: bool = true;

/// What a store has as soon as anything was done in it.
pub(crate) const FURNITURE: &[&str] = &[
    "overlay",
    "overlay/.empty",
    "overlay/.lock",
    "overlay/.mounts",
    "overlay/.staging",
    "overlay/.trash",
    "overlay/l",
];

/// What the original wrote and answered with this driver.
pub(crate) fn recorded() -> PathBuf {
    layergraph_driver_tests::original::overlay()
}

/// Everything of a layer.
pub(crate) fn layer(root: &Path, id: &str) -> PathBuf {
    root.join("overlay").join(id)
}

/// The files of a layer: of one of 2015 all of them, of another without those below it.
pub(crate) fn files(root: &Path, id: &str) -> PathBuf {
    let of_2015 = layer(root, id).join("root");
    if of_2015.exists() {
        of_2015
    } else {
        layer(root, id).join("diff")
    }
}

/// Where a layer is mounted if nobody says where.
pub(crate) fn mounted(root: &Path, id: &str) -> PathBuf {
    layer(root, id).join("merged")
}

/// Says what is missing to mount a layer.
pub(crate) const CAN_MOUNT: fn() -> Result<(), String> = layergraph_tests::need::overlay_mount;

/// Makes the contents of two stores the same in which the same was done: short names are random,
/// and become the ids that they stand for; that others were built on a layer, or where it was
/// mounted, is not taken back.
pub(crate) fn settle(root: &Path, contents: &mut Contents) {
    let links = root.join("overlay/l");
    let mut ids = BTreeMap::new();
    for entry in fs::read_dir(&links).into_iter().flatten() {
        let name = entry.expect("a readable directory").file_name();
        let target = fs::read_link(links.join(&name)).expect("a short name is a link");
        let id = target.components().nth(1).expect("it leads to a layer");
        let name = name.into_string().expect("a short name is ASCII");
        ids.insert(name, id.as_os_str().to_owned());
    }
    for (name, id) in &ids {
        if let Some(link) = contents.remove(&Path::new("overlay/l").join(name)) {
            contents.insert(Path::new("overlay/l").join(id), link);
        }
    }
    let stays = ["committed", "merged", "work"];
    contents.retain(|path, _| !stays.iter().any(|name| is_in_layer(path, name)));
    for (path, (_, _, content)) in contents {
        if is_in_layer(path, "link") || is_in_layer(path, "lower") {
            let mut text = String::from_utf8(content.clone()).expect("short names are ASCII");
            for (name, id) in &ids {
                text = text.replace(name, &id.to_string_lossy());
            }
            *content = text.into_bytes();
        }
    }
}

/// Tells whether a path is that of a file of this name beside the files of a layer.
fn is_in_layer(path: &Path, name: &str) -> bool {
    path.ends_with(name) && path.components().count() == 3 && path.starts_with("overlay")
}
