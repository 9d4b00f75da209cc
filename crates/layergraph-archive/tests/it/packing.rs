//! What a layer cannot hold is refused where it is packed, not where it is unpacked.

use std::ffi::OsStr;
use std::path::Path;

use layergraph_archive::{CompareOptions, PackError, changes, pack};
use layergraph_fs::{Device, FileKind};

use crate::support::{open, tree, view};

#[test]
fn r41_a_device_0_0_of_a_plain_tree_is_not_packed() {
    let directory = tree(&["d/", "d/f = 1"]);
    let (dir, name) = (open(&directory.path().join("d")), OsStr::new("w"));
    // Anybody may make this device (mknod(2), since Linux 5.8).
    dir.make_node(name, FileKind::CharDevice, 0o644, Device::default())
        .expect("a whiteout");
    let view = view(directory.path());
    let all = changes(&view, None, &CompareOptions::default()).expect("a readable tree");
    let error = pack(&view, &all, &mut Vec::new()).expect_err("it would be a whiteout");
    assert!(
        matches!(&error, PackError::WhiteoutDevice { path } if path == Path::new("d/w")),
        "{error}"
    );
}
