//! The exit statuses, and which one an error ends the command with.
//!
//! The status follows from the exact errors of the libraries, never from their texts.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use layergraph::archive::codec::CodecError;
use layergraph::archive::listing::ListingError;
use layergraph::archive::recipe::{AssembleError, RecipeError};
use layergraph::archive::{ApplyError, PackError, UnpackError};
use layergraph::fs::FsError;
use layergraph::oci::OciError;
use layergraph::tar::{TarError, WriteError};
use layergraph::{
    DriverError, DriverErrorKind, FormatError, GraphError, GraphErrorKind, OpenError, StoreError,
    StoreErrorKind,
};
use nix::errno::Errno;

use crate::report::{Why, causes};

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Ambiguous = 4,
    AlreadyExists = 5,
    InUse = 6,
    Refused = 7,
    Damaged = 8,
    NoSpace = 9,
    NotPermitted = 10,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(status as u8)
    }
}

impl Why {
    pub(crate) fn status(&self) -> Status {
        match self {
            Why::Usage(_) | Why::NoId { .. } => Status::Usage,
            Why::Unsupported(_) => Status::NotPermitted,
            Why::NoDirectory { .. } | Why::NotMounted => Status::NotFound,
            Why::NoTree | Why::ImageJson { .. } | Why::Checksum(_) => Status::Refused,
            Why::Argument(error) | Why::Oci(OciError::Fs(error)) => of_argument(error),
            Why::Fs(error) | Why::Listing(ListingError::Fs(error)) => of_fs(error),
            Why::Unpack(error) => of_unpack(error),
            Why::Apply(error) => of_apply(error),
            Why::Recipe(why) => why.status(),
            Why::Split(error) => of_tar(error),
            Why::Assemble(error) => of_assemble(error),
            Why::Pack(error) => of_pack(error),
            Why::Layer(error)
            | Why::Listing(ListingError::Write(error))
            | Why::Output(error)
            | Why::Done { source: error, .. }
            | Why::Namespace(error)
            | Why::System(error) => of_io(error),
            // The tree changed while it was packed.
            Why::Listing(_) => Status::Failed,
            Why::Open(error) => of_open(error),
            Why::Graph(error) => of_graph(error),
            Why::Store(error) => of_store(error),
            Why::Oci(error) => of_causes(error).unwrap_or(Status::Refused),
            Why::Sink(error) => of_causes(&**error).unwrap_or(Status::Failed),
        }
    }
}

/// What an argument names is missing, or a call on it failed.
fn of_argument(error: &FsError) -> Status {
    match errno(error) {
        Some(Errno::ENOENT) => Status::NotFound,
        _ => of_fs(error),
    }
}

fn of_open(error: &OpenError) -> Status {
    match error {
        OpenError::NoStore { .. } => Status::NotFound,
        OpenError::Format(
            FormatError::Unreadable { .. } | FormatError::InvalidOwnership { .. },
        ) => Status::Damaged,
        // What is there in its place is of another kind.
        OpenError::Format(FormatError::Fs(error))
            if matches!(
                errno(error),
                Some(Errno::ELOOP | Errno::EINVAL | Errno::ENOTDIR)
            ) =>
        {
            Status::Damaged
        }
        OpenError::Format(FormatError::Fs(error)) | OpenError::Fs(error) => of_fs(error),
        OpenError::Format(_) => Status::NotPermitted,
        OpenError::Driver(error) => of_driver(error),
        OpenError::Graph(error) => of_graph(error),
        OpenError::Store(error) => of_store(error),
        _ => Status::Failed,
    }
}

fn of_store(error: &StoreError) -> Status {
    match error.kind() {
        StoreErrorKind::NotFound => Status::NotFound,
        StoreErrorKind::Ambiguous => Status::Ambiguous,
        StoreErrorKind::InvalidName => Status::Usage,
        StoreErrorKind::InUse => Status::InUse,
        StoreErrorKind::Refused => of_causes(error).unwrap_or(Status::Refused),
        StoreErrorKind::Damaged => Status::Damaged,
        StoreErrorKind::NotSupported => Status::NotPermitted,
        _ => of_causes(error).unwrap_or(Status::Failed),
    }
}

fn of_graph(error: &GraphError) -> Status {
    match error.kind() {
        GraphErrorKind::NotFound => Status::NotFound,
        GraphErrorKind::Ambiguous => Status::Ambiguous,
        GraphErrorKind::InvalidId => Status::Usage,
        GraphErrorKind::AlreadyExists => Status::AlreadyExists,
        GraphErrorKind::InUse => Status::InUse,
        GraphErrorKind::Damaged => Status::Damaged,
        GraphErrorKind::Circle => Status::Refused,
        GraphErrorKind::NotSupported => Status::NotPermitted,
        GraphErrorKind::Layer => of_causes(error).unwrap_or(Status::Refused),
        _ => of_causes(error).unwrap_or(Status::Failed),
    }
}

fn of_driver(error: &DriverError) -> Status {
    match error.kind() {
        DriverErrorKind::NotFound => Status::NotFound,
        DriverErrorKind::AlreadyExists => Status::AlreadyExists,
        DriverErrorKind::InvalidId => Status::Usage,
        DriverErrorKind::InUse => Status::InUse,
        DriverErrorKind::Damaged => Status::Damaged,
        DriverErrorKind::NotSupported
        | DriverErrorKind::Prerequisites
        | DriverErrorKind::IncompatibleFilesystem
        | DriverErrorKind::OtherDriver => Status::NotPermitted,
        _ => of_causes(error).unwrap_or(Status::Failed),
    }
}

/// The status for the first cause that has one of its own.
fn of_causes(error: &(dyn Error + 'static)) -> Option<Status> {
    causes(error).find_map(|error| {
        let apply = error.downcast_ref().map(of_apply);
        let unpack = || error.downcast_ref().map(of_unpack);
        let assemble = || error.downcast_ref().map(of_assemble);
        let pack = || error.downcast_ref().map(of_pack);
        let fs = || error.downcast_ref().map(of_fs);
        let io = || error.downcast_ref().map(of_io);
        apply
            .or_else(unpack)
            .or_else(assemble)
            .or_else(pack)
            .or_else(fs)
            .or_else(io)
    })
}

fn of_pack(error: &PackError) -> Status {
    match error {
        PackError::Fs(error) => of_fs(error),
        PackError::Owner { .. } => Status::NotPermitted,
        PackError::Name { .. } | PackError::WhiteoutDevice { .. } => Status::Refused,
        PackError::Write { source, .. } => match source {
            WriteError::Write(error) | WriteError::Data(error) => of_io(error),
            WriteError::Member { .. } => Status::Refused,
            _ => Status::Failed,
        },
        // The tree changed while it was packed.
        _ => Status::Failed,
    }
}

fn of_apply(error: &ApplyError) -> Status {
    match error {
        ApplyError::Read(error) => of_io(error),
        ApplyError::Unpack(error) => of_unpack(error),
        // It is another layer than it should be.
        _ => Status::Refused,
    }
}

fn of_tar(error: &TarError) -> Status {
    match error {
        TarError::Read { source, .. } | TarError::Tap { source, .. } => of_io(source),
        TarError::Stopped => Status::Failed,
        _ => Status::Refused,
    }
}

/// The status for what is not put together: mostly the tree is not the one of the recipe.
fn of_assemble(error: &AssembleError) -> Status {
    match error {
        AssembleError::Write(error) => of_io(error),
        AssembleError::Open { source, .. }
        | AssembleError::Read { source, .. }
        | AssembleError::Recipe(RecipeError::Read(source)) => match of_io(source) {
            Status::Failed => Status::Refused,
            status => status,
        },
        _ => Status::Refused,
    }
}

fn of_unpack(error: &UnpackError) -> Status {
    match error {
        UnpackError::Tar(error) => of_tar(error),
        UnpackError::Recipe(error) => of_io(error),
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
    match errno(error) {
        Some(errno) => of_errno(errno),
        // Owners that no range of ids maps.
        None if error.kind() == io::ErrorKind::Unsupported => Status::NotPermitted,
        None => Status::Failed,
    }
}

fn of_io(error: &io::Error) -> Status {
    if let Some(code) = error.raw_os_error() {
        return of_errno(Errno::from_raw(code));
    }
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<FsError>()) {
        return of_fs(error);
    }
    if let Some(RecipeError::Limit { .. }) = inner.and_then(|inner| inner.downcast_ref()) {
        return Status::Refused;
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
