//! The gates that every system call passes.
//!
//! Each call is named, is repeated when a signal interrupts it, and fails with an error that says
//! where it acted. What changes the disk passes [`change`], [`transfer`] or [`sync`], so that one
//! log sees it all and a test can fail or stop the program at any of these calls (feature
//! `faults`).

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;

#[cfg(feature = "faults")]
use crate::faults::{is_lacking, verdict};
use crate::{FsError, Result};

/// Where a call acts: one name in one directory.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) name: &'a OsStr,
}

impl At<'_> {
    /// Names `call` here as what failed with `errno`.
    pub(crate) fn error(&self, call: &'static str, errno: Errno) -> FsError {
        FsError::new(call, self.path(), errno.into())
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        if self.name.is_empty() || self.name == "." {
            self.dir.to_owned()
        } else {
            self.dir.join(self.name)
        }
    }
}

/// What is to become of a call that changes the disk.
pub(crate) enum Verdict {
    /// It is made.
    Go,
    /// It is not made, and fails as if the kernel had said this.
    #[cfg_attr(not(feature = "faults"), expect(dead_code))]
    Fail(Errno),
    /// The program counts as dead: this call and all later ones do nothing.
    #[cfg_attr(not(feature = "faults"), expect(dead_code))]
    Crash,
    /// The program dies in the middle of the call: half of the bytes are written.
    #[cfg_attr(not(feature = "faults"), expect(dead_code))]
    Tear,
}

#[cfg(not(feature = "faults"))]
fn verdict(_call: &'static str, _at: At<'_>) -> Verdict {
    Verdict::Go
}

#[cfg(not(feature = "faults"))]
fn is_lacking(_call: &'static str) -> bool {
    false
}

/// Makes a call that only reads, and names it in the error.
pub(crate) fn look<T>(
    call: &'static str,
    at: At<'_>,
    mut body: impl FnMut() -> rustix::io::Result<T>,
) -> Result<T> {
    if is_lacking(call) {
        return Err(at.error(call, Errno::NOSYS));
    }
    loop {
        match body() {
            Err(Errno::INTR) => {}
            result => return result.map_err(|errno| at.error(call, errno)),
        }
    }
}

/// Makes a call that changes the disk, and names it in the error.
pub(crate) fn change<T>(
    call: &'static str,
    at: At<'_>,
    mut body: impl FnMut() -> rustix::io::Result<T>,
) -> Result<T> {
    loop {
        match attempt(call, at, &mut body)? {
            Err(Errno::INTR) => {}
            result => return result.map_err(|errno| at.error(call, errno)),
        }
    }
}

/// Makes a call that syncs, and names it in the error.
///
/// It is made once: what a sync has lost stays lost, and a second one would report success (R57).
pub(crate) fn sync(
    call: &'static str,
    at: At<'_>,
    mut body: impl FnMut() -> rustix::io::Result<()>,
) -> Result<()> {
    attempt(call, at, &mut body)?.map_err(|errno| at.error(call, errno))
}

/// Makes a call that moves at most `length` bytes to the disk, and returns how many it moved.
pub(crate) fn transfer(
    call: &'static str,
    at: At<'_>,
    length: usize,
    mut body: impl FnMut(usize) -> rustix::io::Result<usize>,
) -> Result<usize> {
    loop {
        let result = match verdict(call, at) {
            Verdict::Go if is_lacking(call) => Err(Errno::NOSYS),
            Verdict::Go => body(length),
            Verdict::Fail(errno) => Err(errno),
            Verdict::Crash => return Err(crashed(call, at)),
            Verdict::Tear => {
                if let Err(errno) = body(length / 2) {
                    return Err(at.error(call, errno));
                }
                return Err(crashed(call, at));
            }
        };
        match result {
            Err(Errno::INTR) => {}
            result => return result.map_err(|errno| at.error(call, errno)),
        }
    }
}

/// Writes at the file's position; returns how many bytes were taken.
pub(crate) fn write(fd: impl AsFd, at: At<'_>, bytes: &[u8]) -> Result<usize> {
    transfer("write", at, bytes.len(), |length| {
        rustix::io::write(&fd, &bytes[..length])
    })
}

fn attempt<T>(
    call: &'static str,
    at: At<'_>,
    body: &mut impl FnMut() -> rustix::io::Result<T>,
) -> Result<rustix::io::Result<T>> {
    match verdict(call, at) {
        Verdict::Go if is_lacking(call) => Ok(Err(Errno::NOSYS)),
        Verdict::Go => Ok(body()),
        Verdict::Fail(errno) => Ok(Err(errno)),
        Verdict::Crash | Verdict::Tear => Err(crashed(call, at)),
    }
}

fn crashed(call: &'static str, at: At<'_>) -> FsError {
    let source = std::io::Error::other("the program stops here, as the fault log says");
    FsError::new(call, at.path(), source)
}
