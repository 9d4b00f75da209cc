//! Errors as the user sees them: one line, a hint where one is known, and the exit status.
//!
//! The status follows from the exact errors of the libraries, never from their texts.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use layergraph_archive::codec::CodecError;
use layergraph_archive::listing::ListingError;
use layergraph_archive::{PackError, UnpackError};
use layergraph_fs::FsError;
use layergraph_tar::{TarError, WriteError};
use nix::errno::Errno;

use crate::console::say;

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 7,
    NoSpace = 9,
    NotPermitted = 10,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(status as u8)
    }
}

/// What the command did not do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) attempted: String,
    pub(crate) why: Why,
    pub(crate) hint: Option<String>,
}

/// Why it did not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Why {
    /// The arguments do not go together, or with where the output goes.
    #[error("{0}")]
    Usage(&'static str),
    /// What was asked for cannot be done here.
    #[error("{0}")]
    Unsupported(&'static str),
    /// What an argument names could not be opened.
    #[error(transparent)]
    Argument(FsError),
    /// The directory that something is to be in is not there.
    #[error("there is no directory {}", path.display())]
    NoDirectory { path: PathBuf },
    /// The layer could not even be begun to be read.
    #[error("cannot read the layer")]
    Layer(#[source] io::Error),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// Another call on the file system failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The result could not be written.
    #[error("cannot write the result")]
    Output(#[source] io::Error),
    /// A call that is about the process itself failed.
    #[error(transparent)]
    System(io::Error),
}

impl Failure {
    /// Prints the error, and returns how the command ends.
    pub(crate) fn report(&self) -> ExitCode {
        // Who reads our output has had enough of it. That is no news to anybody.
        if !self.why.is_broken_pipe() {
            let line = format!("layergraph: {}: {}", self.attempted, chain(&self.why));
            say(&printable(&line));
            if let Some(hint) = &self.hint {
                say(&printable(&format!("hint: {hint}")));
            }
        }
        self.why.status().into()
    }
}

impl Why {
    pub(crate) fn status(&self) -> Status {
        match self {
            Why::Usage(_) => Status::Usage,
            Why::Unsupported(_) => Status::NotPermitted,
            Why::NoDirectory { .. } => Status::NotFound,
            Why::Argument(error) if errno(error) == Some(Errno::ENOENT) => Status::NotFound,
            Why::Argument(error)
            | Why::Fs(error)
            | Why::Pack(PackError::Fs(error))
            | Why::Listing(ListingError::Fs(error)) => of_fs(error),
            Why::Unpack(error) => of_unpack(error),
            Why::Pack(PackError::Name { .. }) => Status::Refused,
            Why::Pack(PackError::Write { source, .. }) => match source {
                WriteError::Write(error) | WriteError::Data(error) => of_io(error),
                WriteError::Member { .. } => Status::Refused,
                _ => Status::Failed,
            },
            Why::Layer(error)
            | Why::Listing(ListingError::Write(error))
            | Why::Output(error)
            | Why::System(error) => of_io(error),
            // The tree changed while it was packed.
            Why::Pack(_) | Why::Listing(_) => Status::Failed,
        }
    }

    /// Returns what may help, whatever was attempted.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Why::NoDirectory { .. } => "make it first",
            Why::Pack(PackError::Name { .. }) => {
                "rename or remove it: names that begin with .wh. stand for what a layer removes"
            }
            Why::Unpack(UnpackError::Tar(TarError::Header { position: 0, .. })) => {
                "check that it is a tar, plain or packed by gzip, zstd, xz or bzip2"
            }
            Why::Unpack(UnpackError::Limit { .. } | UnpackError::Tar(TarError::Limit { .. })) => {
                "no layer of a real image needs that much"
            }
            _ => match (self.codec_error(), self.errno()) {
                (Some(CodecError::Memory { .. }), _) => {
                    "pack it again for less memory, as by xz -8 or zstd -19"
                }
                (Some(CodecError::Truncated { .. } | CodecError::Damaged { .. }), _) => {
                    "fetch the layer again: it is damaged"
                }
                (_, Some(Errno::EFBIG)) => "raise the limit of file sizes (ulimit -f)",
                (_, Some(Errno::EMFILE)) => "raise the limit of open files (ulimit -n)",
                (_, Some(Errno::ENOSPC)) => "free some space, or inodes (df -h, df -i)",
                (_, Some(Errno::EDQUOT)) => "the user's quota is used up (quota)",
                _ => return None,
            },
        };
        Some(hint.to_owned())
    }

    fn is_broken_pipe(&self) -> bool {
        self.errno() == Some(Errno::EPIPE)
    }

    /// Returns the error number of the call that failed, if it was one.
    pub(crate) fn errno(&self) -> Option<Errno> {
        causes(self).find_map(|error| {
            let code = error.downcast_ref::<io::Error>()?.raw_os_error()?;
            Some(Errno::from_raw(code))
        })
    }

    fn codec_error(&self) -> Option<&CodecError> {
        causes(self).find_map(|error| error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref())
    }
}

fn of_unpack(error: &UnpackError) -> Status {
    match error {
        UnpackError::Tar(TarError::Read { source, .. } | TarError::Tap { source, .. }) => {
            of_io(source)
        }
        UnpackError::Tar(TarError::Stopped) => Status::Failed,
        UnpackError::Fs(error) => of_fs(error),
        UnpackError::Entry { source, .. } => of_entry(source),
        // Everything else is something about the layer.
        _ => Status::Refused,
    }
}

/// The status for a call that an entry of a layer asked for.
fn of_entry(error: &FsError) -> Status {
    match errno(error) {
        // Owners that a user namespace does not map.
        Some(Errno::EINVAL) if error.call().starts_with("fchown") => Status::NotPermitted,
        // The entry wants what no file system gives: a name too long, a file as a directory, links
        // in a circle, an attribute too large.
        Some(
            Errno::E2BIG
            | Errno::EINVAL
            | Errno::EISDIR
            | Errno::ELOOP
            | Errno::EMLINK
            | Errno::ENAMETOOLONG
            | Errno::ENOTDIR
            | Errno::ERANGE,
        ) => Status::Refused,
        _ => of_fs(error),
    }
}

fn of_fs(error: &FsError) -> Status {
    errno(error).map_or(Status::Failed, of_errno)
}

fn of_io(error: &io::Error) -> Status {
    if let Some(code) = error.raw_os_error() {
        return of_errno(Errno::from_raw(code));
    }
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<FsError>()) {
        return of_fs(error);
    }
    match inner.and_then(|inner| inner.downcast_ref()) {
        Some(CodecError::NotBuilt { .. }) => Status::NotPermitted,
        Some(_) => Status::Refused,
        None => Status::Failed,
    }
}

fn of_errno(errno: Errno) -> Status {
    match errno {
        Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG => Status::NoSpace,
        Errno::EPERM
        | Errno::EACCES
        | Errno::EROFS
        | Errno::EBUSY
        | Errno::EXDEV
        | Errno::ENOSYS
        | Errno::EOPNOTSUPP => Status::NotPermitted,
        _ => Status::Failed,
    }
}

fn errno(error: &FsError) -> Option<Errno> {
    error.errno().map(Errno::from_raw)
}

/// Returns an error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut causes = vec![error];
    let mut last = error;
    while let Some(source) = last.source() {
        causes.push(source);
        last = source;
    }
    causes.into_iter()
}

/// Prints an error with its causes, each text once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in causes(error) {
        let next = own_text(error);
        if text.is_empty() {
            text = next;
        } else if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
    }
    text
}

/// Prints one error without its causes; of the system's errors the words without the number.
fn own_text(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    let code = error.downcast_ref().and_then(io::Error::raw_os_error);
    match code.and_then(|code| text.strip_suffix(&format!(" (os error {code})"))) {
        Some(words) => words.to_owned(),
        None => text,
    }
}

/// Makes a text safe for a terminal, and one line: names in it may come from anywhere.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        // Marks that turn the direction of writing make a name look like another one.
        let turns = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if char.is_control() || turns {
            safe.extend(char.escape_default());
        } else {
            safe.push(char);
        }
    }
    safe
}

/// Prints what clap says: help on stdout, and what is wrong with the arguments in our form.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => Status::Failed.into(),
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // It goes to stderr, of which nobody has to hear.
            let _ = error.print();
            Status::Usage.into()
        }
        _ => {
            let (line, hint) = usage_lines(&error.to_string());
            say(&printable(&format!("layergraph: {line}")));
            if let Some(hint) = hint {
                say(&printable(&format!("hint: {hint}")));
            }
            Status::Usage.into()
        }
    }
}

/// Takes the line and the hint from clap's message, whose paragraphs are the error, tips, the
/// usage, and where to find help.
fn usage_lines(message: &str) -> (String, Option<String>) {
    let mut paragraphs = message.split("\n\n").map(|paragraph| {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        words.join(" ")
    });
    let first = paragraphs.next().unwrap_or_default();
    let line = first.strip_prefix("error: ").unwrap_or(&first).to_owned();
    let hint = paragraphs.find_map(|paragraph| {
        let tip = paragraph.strip_prefix("tip: ").map(str::to_owned);
        tip.or_else(|| Some(format!("usage: {}", paragraph.strip_prefix("Usage: ")?)))
    });
    (line, hint)
}
