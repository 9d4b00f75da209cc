//! Mounting an overlay, by the newest way that the kernel takes.
//!
//! Layers are given as handles, not as paths: what was looked at is what is mounted, and no path is
//! too long. Which calls there are depends on the kernel, and on what a sandbox lets through; each
//! way that does not exist here is followed by the next.

mod context;
mod old;

use std::fmt;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use layergraph_fs::Dir;
use nix::mount::{MntFlags, umount2};
use rustix::io::Errno;
use serde::Serialize;

/// A way to mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MountMethod {
    /// fsopen(2), where each layer is a handle. Linux 6.13.
    ByHandle,
    /// fsopen(2), where each layer is the path of a handle in `/proc`. Linux 6.7.
    ByPath,
    /// mount(2), where each layer is the number of a handle. Any Linux.
    ByNumber,
}

impl MountMethod {
    /// All, the preferred ones first.
    pub const ALL: [MountMethod; 3] = [
        MountMethod::ByHandle,
        MountMethod::ByPath,
        MountMethod::ByNumber,
    ];
}

impl fmt::Display for MountMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MountMethod::ByHandle => "by-handle",
            MountMethod::ByPath => "by-path",
            MountMethod::ByNumber => "by-number",
        })
    }
}

/// What is to be mounted.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    /// The uppermost first.
    pub(crate) lowers: Vec<&'a Dir>,
    pub(crate) upper: Option<&'a Dir>,
    /// Options of overlayfs, with values or without.
    pub(crate) options: Vec<(&'static str, Option<&'a str>)>,
    pub(crate) nodev: bool,
    pub(crate) nosuid: bool,
}

/// A call that did not mount.
#[derive(Debug, thiserror::Error)]
#[error("{call}{}", Said(said))]
pub(crate) struct MountError {
    call: &'static str,
    /// What the kernel has to say of it.
    said: Vec<String>,
    source: io::Error,
}

/// What the kernel said, in parentheses.
struct Said<'a>(&'a [String]);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            said => write!(f, " ({})", said.join("; ")),
        }
    }
}

impl MountError {
    fn new(call: &'static str, errno: Errno) -> MountError {
        MountError {
            call,
            said: Vec::new(),
            source: errno.into(),
        }
    }

    /// Tells whether this user may not mount.
    pub(crate) fn is_not_permitted(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }

    /// Tells whether the kernel may do it another way: it does not know a call or an option, or a
    /// sandbox does not let the call through.
    fn is_of_method(&self) -> bool {
        const OF_METHOD: [Errno; 4] = [Errno::NOSYS, Errno::INVAL, Errno::PERM, Errno::OPNOTSUPP];
        let errno = self.source.raw_os_error();
        OF_METHOD.iter().any(|it| errno == Some(it.raw_os_error()))
    }
}

/// Mounts at `target`, by the first of the methods that the kernel takes.
///
/// `work` makes the workdir anew before each attempt, if there is an upperdir: one that has failed
/// may have left something in it.
///
/// # Errors
///
/// That of the last attempt, with what the kernel said of all. Then nothing is mounted.
pub(crate) fn mount<E: From<MountError>>(
    overlay: &Overlay<'_>,
    mut work: impl FnMut() -> Result<Option<Dir>, E>,
    target: &Dir,
    methods: &[MountMethod],
) -> Result<(), E> {
    let mut said = Vec::new();
    let mut failed = MountError::new("mount", Errno::NOSYS);
    for method in methods {
        let work = work()?;
        let result = match method {
            MountMethod::ByHandle => {
                context::mount(overlay, work.as_ref(), target, context::by_handle)
            }
            MountMethod::ByPath => context::mount(overlay, work.as_ref(), target, context::by_path),
            MountMethod::ByNumber => old::mount(overlay, work.as_ref(), target),
        };
        failed = match result {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        for text in std::mem::take(&mut failed.said) {
            if !said.contains(&text) {
                said.push(text);
            }
        }
        if !failed.is_of_method() {
            break;
        }
    }
    failed.said = said;
    Err(failed.into())
}

/// Ends the mount at `target`, whose last component is not followed if it is a link.
///
/// It is refused with `EBUSY` while somebody uses the mount, after a moment: a process that is just
/// being started holds copies of all handles until it executes its program.
pub(crate) fn unmount(target: &Path) -> io::Result<()> {
    const ATTEMPTS: u32 = 10;
    let mut attempt = 1;
    loop {
        match umount2(target, MntFlags::UMOUNT_NOFOLLOW) {
            Err(nix::Error::EBUSY) if attempt < ATTEMPTS => {
                thread::sleep(Duration::from_millis(10));
                attempt += 1;
            }
            result => return result.map_err(io::Error::from),
        }
    }
}
