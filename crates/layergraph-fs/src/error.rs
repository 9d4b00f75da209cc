//! The error of a file-system call: which call, on what, and why.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A system call that failed, with its name and the path it was given.
///
/// The text says what was attempted (`openat /store/x`); the operating system's reason is the
/// [source](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[error("{call} {}", path.display())]
pub struct FsError {
    call: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FsError {
    /// Names `call` on `path` as what failed with `source`.
    pub fn new(call: &'static str, path: impl Into<PathBuf>, source: io::Error) -> FsError {
        FsError {
            call,
            path: path.into(),
            source,
        }
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
