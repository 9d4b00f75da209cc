//! A streaming reader and writer of tar archives, for odd and hostile ones too.
//!
//! [`Reader`] goes through an archive member by member, whatever wrote it: v7, ustar, PAX, GNU and
//! star headers, long names, sparse files in all four forms, numbers in octal and base-256, names
//! of any bytes, times with fractions and before 1970. A [`Tap`] sees every byte on the way, sorted
//! into file content and all the rest, so that the same archive can be put together again.
//! [`Writer`] makes archives whose bytes depend on the members alone.
//!
//! ```
//! use layergraph_tar::{Kind, NewMember, Reader, Writer};
//!
//! let mut writer = Writer::new(Vec::new());
//! let member = NewMember { mode: 0o644, size: 5, ..NewMember::new(b"greeting", Kind::File) };
//! writer.append(&member, &b"hello"[..])?;
//! let archive = writer.finish()?;
//!
//! let mut reader = Reader::new(&archive[..]);
//! let member = reader.next_member()?.expect("there is one");
//! assert_eq!((&member.path[..], member.kind, member.size), (&b"greeting"[..], Kind::File, 5));
//! assert_eq!(reader.chunk()?, b"hello");
//! assert!(reader.next_member()?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//!
//! Where archivers differ, the reader does what Go's archive/tar does, on which most container
//! tools are built, or refuses: two programs must not see two different trees in one archive.
//!
//! - PAX records and GNU long names count more than the header block; where they give one member
//!   two names, that is an error. PAX records are taken apart by their lengths; a malformed one is
//!   an error, never skipped.
//! - Symbolic links, directories, devices and pipes have no data, whatever size their header
//!   block states. A PAX record that gives one of them a size is an error: GNU tar and bsdtar take
//!   it for data that follows, Go and Python do not. So is a size of a directory that is one by its
//!   name alone.
//! - The records of a sparse file are an error without a map, and with anything but a file.
//! - A global header is checked, given out as a member, and not applied ([`Kind::Global`]).
//! - An extension header that no member follows is an error.
//! - Two blocks of zeros end an archive, and so does the end of the stream after a whole member,
//!   padded or not, and after any number of zeros. One block of zeros before anything else is an
//!   error.
//! - A hard link that states a size is an error: POSIX lets data follow, most programs expect none.
//! - The names of a member's attributes have 64 KiB at most, as many as the kernel lists.
//! - Names have no NUL in them, ids have 32 bits, sizes are not negative.
//! - A stream without a byte is an archive without members.
//!
//! # Limitations
//!
//! - Bytes only: nothing here makes a file. Names are given as they are, `..` and all.
//! - The reader holds 128 KiB, and the headers of one member within its [`Limits`].
//! - Archives of several volumes are not put together.
//! - Times of access and change are read from PAX records alone.
//!
//! # Features
//!
//! - `recipe`, off by default: the module `recipe`, which keeps of an archive what its files do not
//!   say, and makes the identical archive again. It brings dependencies for JSON, gzip and base64.

#![forbid(unsafe_code)]

mod error;
mod field;
mod header;
mod input;
mod limits;
mod member;
mod pax;
mod reader;
#[cfg(feature = "recipe")]
pub mod recipe;
mod sparse;
mod tap;
mod writer;

pub use error::{TarError, WriteError};
pub use limits::Limits;
pub use member::{Kind, Member, Segment};
pub use reader::{Finished, Reader};
pub use tap::Tap;
pub use writer::{NewMember, Writer};
