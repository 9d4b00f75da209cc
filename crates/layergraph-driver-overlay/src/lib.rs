//! A storage driver that keeps of each layer only what it changes: overlayfs puts layers together.
//!
//! A new layer costs what it changes, however large the tree below is, and may be unpacked before
//! what it stands on is there. To be read, a layer need not be mounted ([`Driver::view`]); mounted,
//! it is an overlay of its own directory and of those below
//! ([*Overlay Filesystem*][overlayfs] in the documentation of the kernel).
//!
//! Root keeps the signs of deletions in attributes `trusted.overlay.*`
//! ([`Dialect::Overlay`]), which nobody else can set; whoever is no root, or root of a user
//! namespace only, in attributes `user.overlay.*` ([`Dialect::OverlayUser`]).
//!
//! ```
//! use layergraph_driver::{Driver, DriverOptions, LayerId};
//! use layergraph_driver_overlay::OverlayDriver;
//! use std::ffi::OsStr;
//!
//! # let directory = tempfile::tempdir()?;
//! let driver = match OverlayDriver::open(directory.path(), &DriverOptions::default()) {
//!     // There is another driver for such machines.
//!     Err(error) if error.is_unusable_here() => return Ok(()),
//!     result => result?,
//! };
//! let (base, child): (LayerId, LayerId) = ("base".parse()?, "child".parse()?);
//! let lower = driver.stage(None)?;
//! lower.dir().create_file(OsStr::new("greeting"), 0o644)?.write_all(b"hello")?;
//! let upper = driver.stage(None)?;
//! upper.dir().create_file(OsStr::new("name"), 0o644)?.write_all(b"world")?;
//!
//! // Only now it is said which is on top of which.
//! lower.commit(&base, None)?;
//! upper.commit(&child, Some(&base))?;
//!
//! let view = driver.view(&child)?;
//! assert_eq!(view.root()?.entries()?.len(), 2);
//! let changes = driver.changes(&child, Some(&base))?;
//! assert!(changes.iter().any(|change| change.to_string() == "A /name"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # On disk
//!
//! ```text
//! <root>/overlay/<id>/diff       what a layer changes
//! <root>/overlay/<id>/link       its short name
//! <root>/overlay/<id>/lower      the short names of those below, the uppermost first; not there
//!                                if there are none
//! <root>/overlay/<id>/committed  an empty file: others are built on it, or were
//! <root>/overlay/<id>/merged     where it is mounted if nobody says where
//! <root>/overlay/<id>/work       where the kernel works on a mount that may be changed
//! <root>/overlay/l/<short name>  a link to ../<id>/diff
//! <root>/overlay/.staging/       layers that are being made
//! <root>/overlay/.trash/         layers that are being removed
//! <root>/overlay/.mounts/        records of mounts
//! <root>/overlay/.empty/         what is below a layer that has nothing below it
//! <root>/overlay/.lock           an empty file; its bytes are locks
//! ```
//!
//! Layers of 2015 are read, mounted and built on: `<id>/root`, the whole tree of an image, and
//! `<id>/upper` with `<id>/lower-id`, what a container has changed of one.
//!
//! # Mounts
//!
//! Mounts outlive the command that made them. So a record is there before each and goes after it,
//! and a layer in a mount cannot be removed. A record counts as long as its mount is there, or may
//! be for all that can be told. A layer that others are built on is mounted to be read only, and
//! one is mounted to be changed by one mount at a time.
//!
//! # Limitations
//!
//! At most 500 layers are on top of each other; reading or mounting them takes as many open files.
//! A layer that others are built on cannot be removed.
//!
//! Mounting takes `CAP_SYS_ADMIN`, be it in a user namespace (`user_namespaces(7)`), Linux 5.11 and
//! `/proc`, and writes to the driver's directory. Which features of newer kernels are made use of
//! stands in `docs/kernel-features.md`.
//!
//! A mount in another mount namespace counts while any process that sees it lives. Where not all
//! processes can be seen, as from within a container, its record counts until the machine is
//! started anew.
//!
//! [overlayfs]: https://docs.kernel.org/filesystems/overlayfs.html
//! [`Driver::view`]: layergraph_driver::Driver::view
//! [`Dialect::Overlay`]: layergraph_archive::Dialect::Overlay
//! [`Dialect::OverlayUser`]: layergraph_archive::Dialect::OverlayUser

#![forbid(unsafe_code)]

mod driver;
mod here;
mod home;
mod layer;
mod link;
mod mount;
mod mounting;
mod probe;
mod record;
mod staged;
mod unmounting;
mod work;

pub use driver::{NAME, OverlayDriver};
pub use mount::MountMethod;
pub use probe::{Probe, probe};
