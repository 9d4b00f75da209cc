//! Making what was written durable.
//!
//! A sync that failed is final: the kernel drops what it could not write, and the next sync reports
//! success (R57). Nothing here is tried twice; whoever gets an error starts again from the data.

use std::ffi::{OsStr, OsString};

use rustix::io::Errno;

use crate::attributes::open_despite_mode;
use crate::dir::HERE;
use crate::sys::{look, sync};
use crate::trail::{Left, Trail};
use crate::{Dir, FileKind, Result};

/// Whether what is published survives a power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// Yes, when the call has returned.
    #[default]
    Full,
    /// Only when the kernel has written it on its own. After a power loss a published file may be
    /// empty.
    None,
}

/// Makes everything in `dir` durable, and `dir` itself, though not its name.
///
/// `dir` was opened before anything was written: that is how far back `syncfs(2)` reports errors.
pub(crate) fn sync_tree(dir: &Dir) -> Result<()> {
    if can_sync_whole(dir)? {
        match dir.sync_filesystem() {
            Err(error) if error.is(Errno::NOSYS) => {}
            result => return result,
        }
    }
    sync_each(dir)
}

/// Returns whether [`Dir::sync_filesystem`] makes everything durable that was written on the file
/// system of `dir`, and reports what could not be: on ext4, xfs, btrfs and tmpfs since Linux 5.8.
pub fn can_sync_whole(dir: &Dir) -> Result<bool> {
    Ok(is_since_5_8(dir)? && reports_errors(dir)?)
}

/// Returns whether the kernel is one whose `syncfs(2)` reports errors of writing.
fn is_since_5_8(dir: &Dir) -> Result<bool> {
    let names = look("uname", dir.here(), || Ok(rustix::system::uname()))?;
    Ok(version(names.release().to_bytes()).is_some_and(|version| version >= (5, 8)))
}

/// Reads the first two numbers of a kernel's release, such as `6.1.0-13-amd64`.
fn version(release: &[u8]) -> Option<(u32, u32)> {
    let mut numbers = release.split(|byte| !byte.is_ascii_digit());
    let mut next = || std::str::from_utf8(numbers.next()?).ok()?.parse().ok();
    Some((next()?, next()?))
}

/// Returns whether `syncfs(2)` on this file system waits for all data and reports its errors.
fn reports_errors(dir: &Dir) -> Result<bool> {
    // The magic numbers of statfs(2) for btrfs, ext2 to ext4, tmpfs and xfs.
    const TRUSTED: [u64; 4] = [0x9123_683e, 0xef53, 0x0102_1994, 0x5846_5342];
    let found = look("fstatfs", dir.here(), || rustix::fs::fstatfs(dir))?;
    // The field's type differs between architectures; the numbers have 32 bits.
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
    let magic = found.f_type as u64 & 0xffff_ffff;
    Ok(TRUSTED.contains(&magic))
}

/// Syncs every file and directory of a tree by itself, directories after what is in them.
fn sync_each(dir: &Dir) -> Result<()> {
    let top = dir.try_clone()?;
    let unsynced = Unsynced::begin(&top)?;
    let mut trail = Trail::new(top, unsynced);
    loop {
        if let Some(name) = trail.state().directories.pop() {
            let below = trail.here().open_dir(&name)?;
            let unsynced = Unsynced::begin(&below)?;
            trail.enter(name, below, unsynced)?;
            continue;
        }
        let Some(Left { dir, state, .. }) = trail.leave()? else {
            break;
        };
        state.end(&dir)?;
    }
    let (top, unsynced) = trail.into_here();
    unsynced.end(&top)
}

/// A directory whose files are synced, and it is not.
struct Unsynced {
    directories: Vec<OsString>,
    /// The mode to give back to a directory that its owner may not list or search.
    mode: Option<u32>,
}

impl Unsynced {
    fn begin(dir: &Dir) -> Result<Unsynced> {
        const LIST_AND_SEARCH: u32 = 0o500;
        let here = OsStr::new(HERE);
        let mode = dir.metadata_here()?.mode;
        let is_closed =
            mode & LIST_AND_SEARCH != LIST_AND_SEARCH && !rustix::process::geteuid().is_root();
        if is_closed {
            dir.set_mode(here, mode | LIST_AND_SEARCH)?;
        }
        let mut directories = Vec::new();
        let listed = dir.listed()?;
        listed.each_entry_here(|name, kind| {
            let kind = match kind {
                Some(kind) => kind,
                None => dir.metadata(name)?.kind,
            };
            match kind {
                FileKind::Directory => directories.push(name.to_owned()),
                FileKind::File => {
                    let file = open_despite_mode(dir, name)?;
                    sync("fsync", dir.plain("fsync", name)?, || {
                        rustix::fs::fsync(&file)
                    })?;
                }
                // The rest is in its directory.
                _ => {}
            }
            Ok(())
        })?;
        Ok(Unsynced {
            directories,
            mode: is_closed.then_some(mode),
        })
    }

    fn end(self, dir: &Dir) -> Result<()> {
        // A handle to sync by, which it may not be possible to have later.
        let listed = dir.listed()?;
        if let Some(mode) = self.mode {
            dir.set_mode(OsStr::new(HERE), mode)?;
        }
        listed.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r57_a_kernel_whose_sync_tells_no_errors_is_not_trusted() {
        for (release, is_trusted) in [
            ("5.7.19", false),
            ("4.19.0-27-amd64", false),
            ("3.10.0-1160.el7.x86_64", false),
            ("5.8", true),
            ("5.10.0-rc1+", true),
            ("6.18.44", true),
            ("10.0-next", true),
            ("", false),
            ("unknown", false),
            ("6", false),
        ] {
            let version = version(release.as_bytes());
            assert_eq!(
                version.is_some_and(|it| it >= (5, 8)),
                is_trusted,
                "{release}"
            );
        }
    }
}
