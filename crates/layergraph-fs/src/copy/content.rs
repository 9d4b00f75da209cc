//! Copying what is in a file: shared where the file system can share it, holes kept as holes.

use std::fs::File;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::sys::{At, change, look, transfer};
use crate::{FsError, NewFile, Result};

/// Bytes that pass through memory at once, where no better way is left.
const BUFFER: usize = 128 * 1024;

/// Copies the content of `from` to `to`, which is empty.
///
/// The two share their blocks where the file system can do that (`FICLONE`, on btrfs, xfs and
/// others); else the kernel copies (`copy_file_range(2)`), and at last memory is read and written.
/// Holes stay holes. The positions of the two files do not matter; that of `from` may change.
pub fn copy_file(from: &File, to: &mut NewFile) -> Result<()> {
    Ways::default().copy(from, to)
}

/// The ways of copying that have not failed yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    share: bool,
    in_kernel: bool,
}

impl Default for Ways {
    fn default() -> Ways {
        Ways {
            share: true,
            in_kernel: true,
        }
    }
}

impl Ways {
    /// Copies the content of `from`, and remembers what the file system cannot do.
    pub(super) fn copy(&mut self, from: &File, to: &mut NewFile) -> Result<()> {
        let stat = look("fstat", to.at(), || rustix::fs::fstat(from))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size == 0 || self.shared(from, to)? {
            return Ok(());
        }
        // Blocks are counted in units of 512 bytes (stat(2)), whatever the file system uses.
        #[allow(clippy::useless_conversion)] // Its type differs between architectures.
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        if blocks.saturating_mul(512) >= size {
            return self.range(from, to, 0, size);
        }
        let mut end = 0;
        while let Some((start, stop)) = next_data(from, to.at(), end, size)? {
            self.range(from, to, start, stop)?;
            end = stop;
        }
        // What ends in a hole was not written up to its end.
        if end < size {
            to.set_size(size)
        } else {
            Ok(())
        }
    }

    fn shared(&mut self, from: &File, to: &NewFile) -> Result<bool> {
        if !self.share {
            return Ok(false);
        }
        match change("ioctl_ficlone", to.at(), || {
            rustix::fs::ioctl_ficlone(to, from)
        }) {
            Err(error) if is_unable(&error) => {
                self.share = !is_lacking(&error);
                Ok(false)
            }
            result => result.map(|()| true),
        }
    }

    /// Copies the bytes from `start` to `end`, or fewer if the file ends before.
    fn range(&mut self, from: &File, to: &NewFile, mut start: u64, end: u64) -> Result<()> {
        while self.in_kernel && start < end {
            let length = usize::try_from(end - start).unwrap_or(usize::MAX);
            match transfer("copy_file_range", to.at(), length, |length| {
                let (mut read, mut written) = (start, start);
                rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), length)
            }) {
                // Some file systems answer so for files whose size they do not know.
                Ok(0) => break,
                Ok(copied) => start += copied as u64,
                Err(error) if is_unable(&error) => {
                    self.in_kernel = !is_lacking(&error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if start < end {
            through_memory(from, to, start, end)?;
        }
        Ok(())
    }
}

/// Returns whether a call failed because these two files cannot be copied in that way.
fn is_unable(error: &FsError) -> bool {
    // What is wrong with one file, such as its attributes, is not with the next one.
    error.is(Errno::INVAL) || is_lacking(error)
}

/// Returns whether a call failed because no two files there can be copied in that way.
fn is_lacking(error: &FsError) -> bool {
    const LACKING: [Errno; 5] = [
        Errno::OPNOTSUPP,
        Errno::XDEV,
        Errno::NOTTY,
        Errno::NOSYS,
        // A sandbox may forbid what it does not know.
        Errno::PERM,
    ];
    LACKING.iter().any(|errno| error.is(*errno))
}

fn through_memory(from: &File, to: &NewFile, mut start: u64, end: u64) -> Result<()> {
    let wanted = usize::try_from(end - start).map_or(BUFFER, |left| left.min(BUFFER));
    let mut buffer = vec![0; wanted];
    while start < end {
        let wanted = usize::try_from(end - start).map_or(wanted, |left| left.min(wanted));
        let read = look("pread64", to.at(), || {
            rustix::io::pread(from, &mut buffer[..wanted], start)
        })?;
        if read == 0 {
            break;
        }
        let mut bytes = &buffer[..read];
        while !bytes.is_empty() {
            let written = transfer("pwrite64", to.at(), bytes.len(), |length| {
                rustix::io::pwrite(to, &bytes[..length], start)
            })?;
            if written == 0 {
                return Err(to.at().error("pwrite64", Errno::IO));
            }
            bytes = &bytes[written..];
            start += written as u64;
        }
    }
    Ok(())
}

/// Returns the next range of `file` from `start` on that is not a hole.
fn next_data(file: &File, at: At<'_>, start: u64, size: u64) -> Result<Option<(u64, u64)>> {
    if start >= size {
        return Ok(None);
    }
    let seek = |to| look("lseek", at, || rustix::fs::seek(file, to));
    match seek(SeekFrom::Data(start)) {
        Ok(data) if data >= size => Ok(None),
        Ok(data) => Ok(Some((data, seek(SeekFrom::Hole(data))?.min(size)))),
        // No data from here on.
        Err(error) if error.is(Errno::NXIO) => Ok(None),
        // Where holes are not known, there are none.
        Err(error) if error.is(Errno::INVAL) || error.is(Errno::OPNOTSUPP) => {
            Ok(Some((start, size)))
        }
        Err(error) => Err(error),
    }
}
