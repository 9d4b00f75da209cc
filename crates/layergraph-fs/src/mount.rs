//! Which mount a directory is on: nothing is opened or removed that is mounted in a tree.

use std::ffi::OsStr;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use crate::dir::listed_or_passed;
use crate::sys::look;
use crate::{Dir, Result};

impl Dir {
    /// Opens the directory called `name`, as [`open_dir`](Dir::open_dir) does, but not if something
    /// is mounted on it.
    ///
    /// # Errors
    ///
    /// `EXDEV` where another file system, or the same once more, is mounted there; `ENOTDIR` for a
    /// link and for what is no directory.
    pub fn open_dir_on_mount(&self, name: &OsStr) -> Result<Dir> {
        listed_or_passed(|flags| open_on_same_mount(self, name, flags))
    }

    /// Checks that the directory is on the same mount as `other`.
    ///
    /// A kernel before 5.8 does not say which mount that is. There both have to be on the same file
    /// system, and one that is mounted twice goes unseen.
    ///
    /// # Errors
    ///
    /// `EXDEV` if it is not.
    pub fn check_same_mount(&self, other: &Dir) -> Result<()> {
        if is_on_same_mount(self, other)? {
            Ok(())
        } else {
            Err(self.here().error("statx", Errno::XDEV))
        }
    }
}

/// Opens the directory `name`; where another file system, or the same once more, is mounted there,
/// this fails with `EXDEV`.
pub(crate) fn open_on_same_mount(dir: &Dir, name: &OsStr, flags: OFlags) -> Result<Dir> {
    let at = dir.plain("openat2", name)?;
    let opened = look("openat2", at, || {
        let flags = flags | OFlags::NOFOLLOW;
        rustix::fs::openat2(dir, name, flags, Mode::empty(), ResolveFlags::NO_XDEV)
    });
    match opened {
        Ok(fd) => Ok(Dir::from_fd(fd, dir.path_of(name))),
        // A kernel before 5.6 does not know the call; a sandbox may forbid what it does not know.
        Err(error) if error.is(Errno::NOSYS) || error.is(Errno::PERM) => {
            let opened = dir.open_dir_as(name, flags)?;
            if !is_on_same_mount(&opened, dir)? {
                return Err(at.error("openat", Errno::XDEV));
            }
            Ok(opened)
        }
        Err(error) => Err(error),
    }
}

fn is_on_same_mount(a: &Dir, b: &Dir) -> Result<bool> {
    let statx = |dir: &Dir| {
        look("statx", dir.here(), || {
            rustix::fs::statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        })
    };
    let (a, b) = (statx(a)?, statx(b)?);
    let has_mount = |mask| StatxFlags::from_bits_retain(mask).contains(StatxFlags::MNT_ID);
    if has_mount(a.stx_mask) && has_mount(b.stx_mask) {
        return Ok(a.stx_mnt_id == b.stx_mnt_id);
    }
    Ok((a.stx_dev_major, a.stx_dev_minor) == (b.stx_dev_major, b.stx_dev_minor))
}
