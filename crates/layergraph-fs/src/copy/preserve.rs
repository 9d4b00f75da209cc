//! What a copy takes over from its original besides content.
//!
//! The order matters, because each step undoes something of those behind it, or forbids it: the
//! owner first (that clears set-uid and file capabilities), then extended attributes (an ordinary
//! user may set them only while the mode lets him write), then the mode, at last the times.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use rustix::io::Errno;

use crate::{Dir, FileKind, FsError, Metadata, NewFile, Object, Result};

/// A copy, by the handle or the name that can be had of it.
pub(super) enum Copied<'a> {
    File(&'a NewFile),
    Object(&'a Object),
    Entry(&'a Dir, &'a OsStr),
}

impl Copied<'_> {
    /// Sets what is known of the original.
    pub(super) fn preserve(
        &self,
        metadata: &Metadata,
        xattrs: Vec<(OsString, Vec<u8>)>,
    ) -> Result<()> {
        let is_owned = match self.set_owner(metadata.uid, metadata.gid) {
            Err(error) if error.is(Errno::PERM) && !is_root() => false,
            result => result.map(|()| true)?,
        };
        for (key, value) in xattrs {
            match self.set_xattr(&key, &value) {
                Err(error) if may_be_left_out(&key, &error) => {}
                result => result?,
            }
        }
        if metadata.kind != FileKind::Symlink {
            // Nobody runs a program as the copier because its owner meant it to run as him.
            let kept = if is_owned { 0o7777 } else { 0o1777 };
            self.set_mode(metadata.mode & kept)?;
        }
        self.set_times(metadata.accessed, metadata.modified)
    }

    fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        match self {
            Copied::File(file) => file.set_owner(uid, gid),
            Copied::Object(object) => object.set_owner(uid, gid),
            Copied::Entry(dir, name) => dir.set_owner(name, uid, gid),
        }
    }

    fn set_xattr(&self, key: &OsStr, value: &[u8]) -> Result<()> {
        match self {
            Copied::File(file) => file.set_xattr(key, value),
            Copied::Object(object) => object.set_xattr(key, value),
            Copied::Entry(dir, name) => dir.set_xattr(name, key, value),
        }
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        match self {
            Copied::File(file) => file.set_mode(mode),
            Copied::Object(object) => object.set_mode(mode),
            Copied::Entry(dir, name) => dir.set_mode(name, mode),
        }
    }

    fn set_times(&self, accessed: SystemTime, modified: SystemTime) -> Result<()> {
        let (accessed, modified) = (Some(accessed), Some(modified));
        match self {
            Copied::File(file) => file.set_times(accessed, modified),
            Copied::Object(object) => object.set_times(accessed, modified),
            Copied::Entry(dir, name) => dir.set_times(name, accessed, modified),
        }
    }
}

/// Returns whether a copy is whole without an attribute that could not be set.
fn may_be_left_out(key: &OsStr, error: &FsError) -> bool {
    const REFUSALS: [Errno; 4] = [Errno::PERM, Errno::ACCESS, Errno::OPNOTSUPP, Errno::INVAL];
    let key = key.as_bytes();
    if key == b"security.capability" {
        // Like the owner, a matter of root's.
        return error.is(Errno::PERM) && !is_root();
    }
    let of_the_object: [&[u8]; 3] = [b"user.", b"trusted.", b"system.posix_acl_"];
    let is_of_the_host = !of_the_object.iter().any(|prefix| key.starts_with(prefix));
    is_of_the_host && REFUSALS.iter().any(|errno| error.is(*errno))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
