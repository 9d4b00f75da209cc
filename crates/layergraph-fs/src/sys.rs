//! The system calls, in one place.
//!
//! Everything that changes the disk passes through [`change`], so that one log sees it all and a
//! test can fail or stop the program at any of these calls (feature `faults`).

use std::ffi::OsStr;
use std::path::Path;

use rustix::io::Errno;

use crate::{FsError, Result};

/// Where a call acts: one name in one directory.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) name: &'a OsStr,
}

/// Makes a call that only reads, and names it in the error.
pub(crate) fn look<T>(
    call: &'static str,
    at: At<'_>,
    mut body: impl FnMut() -> rustix::io::Result<T>,
) -> Result<T> {
    loop {
        match body() {
            Err(Errno::INTR) => {}
            result => return result.map_err(|errno| FsError::at(call, at.dir, at.name, errno)),
        }
    }
}

/// Makes a call that changes the disk or syncs it, and names it in the error.
pub(crate) fn change<T>(
    call: &'static str,
    at: At<'_>,
    mut body: impl FnMut() -> rustix::io::Result<T>,
) -> Result<T> {
    loop {
        #[cfg(feature = "faults")]
        crate::faults::before(call, at.dir, at.name)?;
        match body() {
            // A sync that was interrupted is not repeated: what it lost stays lost (R57).
            Err(Errno::INTR) if !call.contains("sync") => {}
            result => return result.map_err(|errno| FsError::at(call, at.dir, at.name, errno)),
        }
    }
}
