//! Mounts by mount(2).
//!
//! All options have to fit into one page. So layers are the names that their handles have in
//! `/proc/thread-self/fd`, which is the current directory of the thread that mounts: 500 numbers
//! are short enough.

use std::fmt::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::thread;

use layergraph_fs::Dir;
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;

use super::{MountError, Overlay};

pub(super) fn mount(
    overlay: &Overlay<'_>,
    work: Option<&Dir>,
    target: &Dir,
) -> Result<(), MountError> {
    let (options, flags) = (options(overlay, work), flags(overlay));
    let target = number(target);
    let mount = || {
        // The current directory of all other threads stays what it is.
        unshare(CloneFlags::CLONE_FS).map_err(|errno| failed("unshare", errno))?;
        let handles = Dir::open(Path::new("/proc/thread-self/fd")).map_err(|error| {
            let errno = error.errno().map_or(Errno::IO, Errno::from_raw_os_error);
            MountError::new("open", errno)
        })?;
        rustix::process::fchdir(&handles).map_err(|errno| MountError::new("fchdir", errno))?;
        let (source, kind) = (Some("overlay"), Some("overlay"));
        nix::mount::mount(source, target.as_str(), kind, flags, Some(options.as_str()))
            .map_err(|errno| failed("mount", errno))
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, mount);
        match thread.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(source) => Err(MountError {
                source,
                ..MountError::new("clone", Errno::AGAIN)
            }),
        }
    })
}

fn failed(call: &'static str, errno: nix::Error) -> MountError {
    MountError::new(call, Errno::from_raw_os_error(errno as i32))
}

/// Returns the name of a handle in `/proc/thread-self/fd`.
fn number(dir: &Dir) -> String {
    dir.as_fd().as_raw_fd().to_string()
}

fn options(overlay: &Overlay<'_>, work: Option<&Dir>) -> String {
    let lowers: Vec<String> = overlay.lowers.iter().map(|dir| number(dir)).collect();
    let mut text = format!("lowerdir={}", lowers.join(":"));
    for (key, dir) in [("upperdir", overlay.upper), ("workdir", work)] {
        if let Some(dir) = dir {
            let _ = write!(text, ",{key}={}", number(dir));
        }
    }
    for (key, value) in &overlay.options {
        let _ = match value {
            // A label may have commas in it (mount(8), context=).
            Some(value) if value.contains(',') => write!(text, ",{key}=\"{value}\""),
            Some(value) => write!(text, ",{key}={value}"),
            None => write!(text, ",{key}"),
        };
    }
    text
}

fn flags(overlay: &Overlay<'_>) -> MsFlags {
    let mut flags = MsFlags::empty();
    flags.set(MsFlags::MS_RDONLY, overlay.upper.is_none());
    flags.set(MsFlags::MS_NODEV, overlay.nodev);
    flags.set(MsFlags::MS_NOSUID, overlay.nosuid);
    flags
}
