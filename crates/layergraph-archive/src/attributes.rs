//! Which extended attributes are a layer's business.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::ownership::OVERRIDE_STAT;

/// Extended attributes with their values, sorted by name.
pub(crate) type Attributes = Vec<(OsString, Vec<u8>)>;

/// Returns whether an attribute can stand in a layer.
///
/// Not those of overlayfs, which would change what a mount of the layer shows (R40); not the labels
/// of the host's own security modules (`SELinux`, IMA, EVM …), which mean nothing elsewhere, while
/// file capabilities belong to the file; not our record of a squashed file's owner, which whoever
/// squashes believes. Nor those of a name space that is a single file system's or another
/// operating system's.
pub(crate) fn in_layer(key: &OsStr) -> bool {
    let key = key.as_bytes();
    has_name_space(key)
        && !is_overlay(key)
        && !is_host_label(key)
        && key != OVERRIDE_STAT.as_bytes()
}

/// Returns whether an attribute is in one of the name spaces of Linux (`xattr(7)`).
fn has_name_space(key: &[u8]) -> bool {
    let spaces: [&[u8]; 4] = [b"user.", b"trusted.", b"security.", b"system."];
    spaces.iter().any(|space| key.starts_with(space))
}

/// Returns whether an attribute says something to overlayfs.
pub(crate) fn is_overlay(key: &[u8]) -> bool {
    key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.")
}

/// Returns whether an attribute is a label of the host's security modules.
pub(crate) fn is_host_label(key: &[u8]) -> bool {
    key.starts_with(b"security.") && key != b"security.capability"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r40_r42_a_layer_has_capabilities_and_users_attributes_but_no_overlay_s_and_no_labels() {
        for (key, expected) in [
            ("user.comment", true),
            ("user.overlayed", true),
            ("security.capability", true),
            ("system.posix_acl_access", true),
            ("trusted.mine", true),
            ("trusted.overlay.opaque", false),
            ("user.overlay.redirect", false),
            ("security.selinux", false),
            ("security.ima", false),
            ("user.containers.override_stat", false),
            ("com.apple.provenance", false),
            ("btrfs.compression", false),
            ("users.comment", false),
        ] {
            assert_eq!(in_layer(OsStr::new(key)), expected, "{key}");
        }
    }
}
