//! The error of a file-system call: which call, on what, and why.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A system call that failed, with its name and the path it was given.
///
/// The text says what was attempted (`openat /store/x`); the operating system's reason is the
/// [source](std::error::Error::source). Where a rename before the call stands although the call
/// failed, the text says that too.
#[derive(Debug, thiserror::Error)]
#[error("{call} {}{}", path.display(), Standing(stands.as_deref()))]
pub struct FsError {
    call: &'static str,
    path: PathBuf,
    source: io::Error,
    /// The rename that could not be taken back.
    stands: Option<Box<Renamed>>,
}

/// From where to where something was renamed.
#[derive(Debug)]
struct Renamed {
    from: PathBuf,
    to: PathBuf,
}

/// Says which rename stands, if one does.
struct Standing<'a>(Option<&'a Renamed>);

impl fmt::Display for Standing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Renamed { from, to }) = self.0 else {
            return Ok(());
        };
        let (from, to) = (from.display(), to.display());
        write!(f, " (the rename of {from} to {to} could not be taken back)")
    }
}

impl FsError {
    /// Names `call` on `path` as what failed with `source`.
    pub fn new(call: &'static str, path: impl Into<PathBuf>, source: io::Error) -> FsError {
        FsError {
            call,
            path: path.into(),
            source,
            stands: None,
        }
    }

    /// Says that a rename before the call stands.
    pub(crate) fn after_rename(self, from: PathBuf, to: PathBuf) -> FsError {
        let stands = Some(Box::new(Renamed { from, to }));
        FsError { stands, ..self }
    }

    /// Returns whether a rename that was to be taken back because the call failed stands: what was
    /// to be published has its name, though it may not survive a power loss.
    pub fn is_published(&self) -> bool {
        self.stands.is_some()
    }

    /// Returns the name of the system call, as its manual page spells it.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// Returns the path the call was given, as far as it is known.
    ///
    /// It is for messages: the middle of a path of several thousand bytes is left out.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the kind of the operating system's reason.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Returns the operating system's error number (`errno(3)`), where there is one.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// Tells whether a path leads nowhere: something on it is missing (`ENOENT`), no directory
    /// (`ENOTDIR`), or a link that leads in circles (`ELOOP`).
    pub fn leads_nowhere(&self) -> bool {
        [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
            .into_iter()
            .any(|errno| self.is(errno))
    }

    pub(crate) fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno.raw_os_error())
    }
}

impl From<FsError> for io::Error {
    /// Keeps the kind, and with it call and path in the text.
    fn from(error: FsError) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}
