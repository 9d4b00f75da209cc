//! Directories that are opened only where nothing is mounted on them.

use std::ffi::OsStr;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
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
            if is_mounted(dir, &opened)? {
                return Err(at.error("openat", Errno::XDEV));
            }
            Ok(opened)
        }
        Err(error) => Err(error),
    }
}

fn is_mounted(dir: &Dir, opened: &Dir) -> Result<bool> {
    let statx = |dir: &Dir| {
        look("statx", dir.here(), || {
            rustix::fs::statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::INO)
        })
    };
    let stat = statx(opened)?;
    // Since Linux 5.8 the kernel says it; before, a mount of the same file system goes unseen.
    if stat
        .stx_attributes_mask
        .contains(StatxAttributes::MOUNT_ROOT)
    {
        return Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    let above = statx(dir)?;
    Ok((stat.stx_dev_major, stat.stx_dev_minor) != (above.stx_dev_major, above.stx_dev_minor))
}
