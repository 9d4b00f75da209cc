//! File-system ground for programs that write trees other people chose the names of.
//!
//! The crate exists for three jobs that are easy to get nearly right:
//!
//! - **Working below a directory without leaving it.** [`Dir`] is an open directory; each of its
//!   methods takes one plain name and never follows a link. [`Root`] resolves whole untrusted
//!   paths the way `chroot(2)` would, links and all, so that no path leads out of it.
//! - **Publishing all or nothing.** [`write_atomic`] replaces one file, [`Staging`] builds a whole
//!   directory in private and renames it into place; [`sweep`] removes what a dead process left.
//! - **Keeping everything a file has.** Extended attributes, nanosecond times, device numbers,
//!   owners and set-uid bits pass through unchanged, links included.
//!
//! Each error ([`FsError`]) names the call and the path.
//!
//! ```
//! use layergraph_fs::{Dir, Root};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! std::os::unix::fs::symlink("/", directory.path().join("up"))?;
//! std::fs::create_dir(directory.path().join("etc"))?;
//!
//! // A hostile link to `/` leads to the root itself, not to the machine's.
//! let mut root = Root::new(Dir::open(directory.path())?);
//! let etc = root.directory(b"up/etc")?;
//! assert_eq!(etc.metadata_here()?.inode,
//! Dir::open(&directory.path().join("etc"))?.metadata_here()?.inode);
//! # Ok(())
//! # }
//! ```
//!
//! # Limitations
//!
//! Linux only, 5.6 or later for speed (`openat2(2)`); without it paths are walked step by step.
//! Reading or writing extended attributes and modes by name needs `/proc`.
//!
//! # Features
//!
//! - `faults`: lets tests record, fail or crash at every call that changes the disk.

mod atomic;
mod attributes;
mod copy;
mod dir;
mod error;
#[cfg(feature = "faults")]
pub mod faults;
mod file;
mod lock;
mod make;
mod metadata;
mod mount;
mod object;
mod remove;
mod root;
mod staging;
mod sync;
mod sys;
mod temporary;
mod trail;
mod user;

pub use atomic::{AtomicFile, write_atomic};
pub use copy::{copy_file, copy_into, copy_metadata, copy_tree, replace_by_copy};
pub use dir::{Dir, DirEntry, RenameMode};
pub use error::FsError;
pub use file::NewFile;
pub use lock::{LockFile, LockGuard, LockKind};
pub use metadata::{Device, FileKind, Metadata, seconds_and_nanos};
pub use object::Object;
pub use remove::{BeforeRemoval, remove_tree, remove_tree_with};
pub use root::{MakeDirectory, Root};
pub use staging::{Published, Staging};
pub use sync::{Durability, can_sync_whole};
pub use temporary::{is_temporary_name, sweep};
pub use trail::{Left, Trail};
pub use user::{NamespaceRange, UserNamespace, effective_user};

/// The result of a file-system call.
pub type Result<T, E = FsError> = std::result::Result<T, E>;
