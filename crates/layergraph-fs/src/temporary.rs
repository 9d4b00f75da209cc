//! What is not published yet: how it is called, and how to see whether its maker still lives.
//!
//! Every temporary object has a name of one form, and its maker holds a lock (`flock(2)`) on it,
//! which ends with the process however that ends. A sweep removes what it can lock itself. So that
//! the two cannot meet between making and locking, both look after locking whether the name still
//! leads to what they have locked.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::attributes::open_despite_mode;
use crate::sys::look;
use crate::{Dir, FileKind, FsError, Metadata, Result, remove_tree};

/// What each name begins with.
const PREFIX: &str = ".layergraph-";
/// How many hexadecimal digits follow.
const DIGITS: usize = 16;

/// Returns whether [`AtomicFile`](crate::AtomicFile) and [`Staging`](crate::Staging) give such
/// names.
///
/// What has one may vanish at any time. Whoever lists a directory in which something is published
/// leaves it out.
pub fn is_temporary_name(name: &OsStr) -> bool {
    let digits = name.as_encoded_bytes().strip_prefix(PREFIX.as_bytes());
    digits.is_some_and(|digits| {
        digits.len() == DIGITS
            && digits
                .iter()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Draws a name that nobody else has.
pub(crate) fn draw_name(home: &Dir) -> Result<OsString> {
    let mut bytes = [0; DIGITS / 2];
    getrandom::fill(&mut bytes)
        .map_err(|error| FsError::new("getrandom", home.path(), error.into()))?;
    Ok(format!("{PREFIX}{:016x}", u64::from_ne_bytes(bytes)).into())
}

/// Locks what this process has just made as `name`; returns whether it is still called so.
///
/// If not, a sweep took it for a leftover.
pub(crate) fn claim(
    home: &Dir,
    name: &OsStr,
    made: impl AsFd,
    metadata: &Metadata,
) -> Result<bool> {
    let at = home.plain("flock", name)?;
    // Only a sweep can hold the lock, and it does not hold it for long.
    look("flock", at, || {
        rustix::fs::flock(&made, FlockOperation::LockExclusive)
    })?;
    is_called(home, name, metadata)
}

fn is_called(home: &Dir, name: &OsStr, metadata: &Metadata) -> Result<bool> {
    let found = home.find(name)?;
    Ok(found.is_some_and(|found| found.is_same_object(metadata)))
}

/// Locks what is about to get a temporary name by an exchange, so that no sweep takes it for a
/// leftover while the exchange may still be taken back.
///
/// What cannot be locked goes unlocked: a kind of object without locks, or one that somebody else
/// has locked or nobody but root may open.
pub(crate) fn keep_from_sweeps(home: &Dir, name: &OsStr) -> Option<OwnedFd> {
    let kind = home.metadata(name).ok()?.kind;
    if !matches!(kind, FileKind::File | FileKind::Directory) {
        return None;
    }
    let opened = open_despite_mode(home, name).ok()?;
    let at = home.plain("flock", name).ok()?;
    // A sweep that has come upon it in an exchange before lets go at once, anybody else may not.
    for _ in 0..100 {
        let locked = look("flock", at, || {
            rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive)
        });
        match locked {
            Ok(()) => return Some(opened),
            Err(error) if error.is(Errno::AGAIN) => thread::sleep(Duration::from_micros(100)),
            Err(_) => break,
        }
    }
    None
}

/// Removes the temporary files and directories in `home` whose makers are gone, and returns how
/// many there were.
///
/// Only names that this crate gives are looked at, and of these only what belongs to the caller,
/// unless that is root. What its maker has locked stays.
///
/// # Errors
///
/// The first of those that could not be removed, after all others are.
pub fn sweep(home: &Dir) -> Result<usize> {
    let mut swept = 0;
    let mut failed = None;
    for entry in home.entries()? {
        if is_temporary_name(&entry.name) {
            match sweep_one(home, &entry.name) {
                Ok(removed) => swept += usize::from(removed),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
    }
    failed.map_or(Ok(swept), Err)
}

fn sweep_one(home: &Dir, name: &OsStr) -> Result<bool> {
    let Some(metadata) = home.find(name)? else {
        return Ok(false);
    };
    let user = rustix::process::geteuid();
    if !user.is_root() && user.as_raw() != metadata.uid {
        return Ok(false);
    }
    // Another kind has no lock: it is what an exchange has left.
    let lock = if matches!(metadata.kind, FileKind::File | FileKind::Directory) {
        let opened = match open_despite_mode(home, name) {
            // It got its name, or was removed.
            Err(error) if error.leads_nowhere() => return Ok(false),
            result => result?,
        };
        let at = home.plain("flock", name)?;
        let locked = look("flock", at, || {
            rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive)
        });
        match locked {
            Err(error) if error.is(Errno::AGAIN) => return Ok(false),
            result => result?,
        }
        Some(opened)
    } else {
        None
    };
    if !is_called(home, name, &metadata)? {
        return Ok(false);
    }
    remove_tree(home, name)?;
    // Until here, so that nobody claims what is being removed.
    drop(lock);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_exact_form_are_temporary() -> Result<()> {
        let here = Dir::open(std::path::Path::new("."))?;
        assert!(is_temporary_name(&draw_name(&here)?));
        assert!(is_temporary_name(OsStr::new(
            ".layergraph-0123456789abcdef"
        )));
        for name in [
            "",
            ".layergraph-",
            ".layergraph-0123456789abcde",
            ".layergraph-0123456789abcdef0",
            ".layergraph-0123456789ABCDEF",
            ".layergraph-0123456789abcdeg",
            "layergraph-0123456789abcdef",
            "x.layergraph-0123456789abcdef",
        ] {
            assert!(!is_temporary_name(OsStr::new(name)), "{name}");
        }
        Ok(())
    }
}
