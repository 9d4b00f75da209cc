//! Errors as the user sees them: one line, and a hint where one is known.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use layergraph::archive::codec::CodecError;
use layergraph::archive::listing::ListingError;
use layergraph::archive::recipe::AssembleError;
use layergraph::archive::{ApplyError, PackError, UnpackError};
use layergraph::digest::ParseChecksumError;
use layergraph::fs::FsError;
use layergraph::oci::OciError;
use layergraph::tar::TarError;
use layergraph::{
    DriverError, DriverErrorKind, FormatError, GraphError, GraphErrorKind, OpenError, StoreError,
    StoreErrorKind,
};
use nix::errno::Errno;

use crate::console::say;
use crate::status::Status;

const WHAT_IS_THERE: &str = "layergraph layers lists what is there";
const NO_REAL_LAYER: &str = "no layer of a real image needs that much";
const MORE_DIGITS: &str = "give more digits of the id";

/// What the command did not do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) attempted: String,
    pub(crate) why: Box<Why>,
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
    Apply(ApplyError),
    /// The layer is unpacked, and its recipe is lost.
    #[error("the layer is unpacked, but its recipe could not be written")]
    Recipe(#[source] Box<Why>),
    #[error(transparent)]
    Split(TarError),
    #[error(transparent)]
    Assemble(#[from] AssembleError),
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
    /// The result could not be written, and what it is about is done.
    #[error("{done}, but cannot write the result")]
    Done {
        done: String,
        #[source]
        source: io::Error,
    },
    /// The image JSON is none.
    #[error("cannot take the image JSON {}", path.display())]
    ImageJson {
        path: PathBuf,
        source: Box<dyn Error + Send + Sync>,
    },
    /// No id could be meant.
    #[error("'{text}' is no id, nor the beginning of one")]
    NoId { text: String },
    /// A digest would not be one of 2015.
    #[error(transparent)]
    Checksum(ParseChecksumError),
    /// Nothing of the store is mounted where it was said to be.
    #[error("nothing of the store is mounted there")]
    NotMounted,
    /// An image has no layers, and so no tree.
    #[error("the image has no layers")]
    NoTree,
    /// The store could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What images are read from, or written to, said why not.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// What images are written to could not be ended.
    #[error("cannot write the images")]
    Sink(#[source] Box<dyn Error + Send + Sync>),
    /// There is no user namespace to be had.
    #[error("cannot make a user namespace")]
    Namespace(#[source] io::Error),
    /// A call that is about the process itself failed.
    #[error(transparent)]
    System(io::Error),
}

impl Failure {
    /// Prints the error, and returns how the command ends.
    pub(crate) fn report(&self) -> ExitCode {
        // Who reads our output has had enough of it. That is no news to anybody.
        if !self.why.is_broken_pipe() {
            let line = format!("layergraph: {}: {}", self.attempted, chain(&*self.why));
            say(&printable(&line));
            if let Some(hint) = &self.hint {
                say(&printable(&format!("hint: {hint}")));
            }
        }
        self.why.status().into()
    }
}

impl Why {
    /// Returns what may help, whatever was attempted.
    pub(crate) fn hint(&self) -> Option<String> {
        let known = self.hint_of_kind();
        known.or_else(|| self.hint_of_cause()).map(str::to_owned)
    }

    /// Returns what kind of error of a driver it is, if it is one.
    pub(crate) fn driver_error(&self) -> Option<DriverErrorKind> {
        let mut causes = causes(self);
        causes.find_map(|cause| Some(cause.downcast_ref::<DriverError>()?.kind()))
    }

    /// Returns what may help with what was asked for.
    fn hint_of_kind(&self) -> Option<&'static str> {
        Some(match self {
            Why::NoDirectory { .. } => "make it first",
            Why::NoId { .. } => WHAT_IS_THERE,
            // The kernel's words for a forbidden namespace are those for a full disk.
            Why::Namespace(_) if matches!(self.errno(), Some(Errno::ENOSPC | Errno::EPERM)) => {
                "user namespaces are not allowed here (sysctl user.max_user_namespaces)"
            }
            Why::NotMounted => "give the path that mount printed, and the store's --root",
            Why::Open(error) => match error {
                OpenError::NoStore { .. } => {
                    "register makes a store; --root says where another one is"
                }
                OpenError::Format(FormatError::Version { .. } | FormatError::Feature { .. }) => {
                    "a later version of layergraph opens it"
                }
                OpenError::Format(FormatError::Driver { .. }) => "leave out --driver",
                OpenError::Format(FormatError::Namespace { .. }) => {
                    "layergraph unshare -- layergraph … has the ids of the user's namespace"
                }
                _ => return None,
            },
            Why::Graph(_) if self.driver_error() == Some(DriverErrorKind::Prerequisites) => {
                "layergraph unshare -- CMD runs CMD where you may mount"
            }
            Why::Store(error) => match error.kind() {
                StoreErrorKind::NotFound => "layergraph images --all lists what is there",
                StoreErrorKind::Ambiguous => MORE_DIGITS,
                _ => return None,
            },
            Why::Graph(error) => match error.kind() {
                GraphErrorKind::NotFound => WHAT_IS_THERE,
                GraphErrorKind::Ambiguous => MORE_DIGITS,
                GraphErrorKind::AlreadyExists => "give another --id, or none for a random one",
                // Its children keep it, or, where the driver says so, a mount.
                GraphErrorKind::InUse if error.source().is_none() => {
                    "remove that one as well, or give --force"
                }
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Returns what may help with what lies below.
    fn hint_of_cause(&self) -> Option<&'static str> {
        if let Some(PackError::Name { .. }) = self.pack_error() {
            return Some(
                "rename or remove it: names that begin with .wh. stand for what a layer removes",
            );
        }
        let tar = match (self, self.unpack_error()) {
            (Why::Split(error), _) | (_, Some(UnpackError::Tar(error))) => Some(error),
            (_, Some(UnpackError::Limit { .. })) => return Some(NO_REAL_LAYER),
            _ => None,
        };
        match tar {
            Some(TarError::Header { position: 0, .. }) => {
                return Some("check that it is a tar, plain or packed by gzip, zstd, xz or bzip2");
            }
            Some(TarError::Limit { .. }) => return Some(NO_REAL_LAYER),
            _ => {}
        }
        if let Why::Assemble(
            AssembleError::Open { .. }
            | AssembleError::Size { .. }
            | AssembleError::Checksum { .. },
        ) = self
        {
            return Some("give the directory that the layer alone was unpacked to, unchanged");
        }
        Some(match (self.codec_error(), self.errno()) {
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
        })
    }

    fn pack_error(&self) -> Option<&PackError> {
        match self {
            Why::Pack(error) => Some(error),
            _ => causes(self).find_map(|error| error.downcast_ref()),
        }
    }

    fn unpack_error(&self) -> Option<&UnpackError> {
        match self {
            Why::Unpack(error) => Some(error),
            _ => causes(self).find_map(|error| match error.downcast_ref() {
                Some(ApplyError::Unpack(error)) => Some(error),
                _ => error.downcast_ref(),
            }),
        }
    }

    /// Says what is done although its result could not be written.
    pub(crate) fn though(self, done: impl FnOnce() -> String) -> Why {
        match self {
            Why::Output(source) => Why::Done {
                done: done(),
                source,
            },
            other => other,
        }
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

/// Returns an error and its causes, outermost first.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
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
        if is_plain(char) {
            safe.push(char);
        } else {
            safe.extend(char.escape_default());
        }
    }
    safe
}

/// Tells whether a character shows as itself: it neither controls a terminal, nor turns the
/// direction of writing, by which a name looks like another one.
pub(crate) fn is_plain(char: char) -> bool {
    let turns =
        matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !char.is_control() && !turns
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
