//! What a test may need of the machine. Each need is tried, not guessed: user 0 of a container or
//! of a user namespace has the name of root and not the powers.
//!
//! Called by [`require!`](crate::require). The error says what is missing.

use std::env;
use std::fmt::Display;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::process::{USER, as_user};

/// What is missing.
type Missing = String;

/// Asks for user 0 with `CAP_SYS_ADMIN`, `CAP_MKNOD` and `CAP_CHOWN` over the whole machine.
///
/// # Errors
///
/// What this user cannot do.
pub fn root() -> Result<(), Missing> {
    static TRIED: OnceLock<Result<(), Missing>> = OnceLock::new();
    TRIED.get_or_init(try_root).clone()
}

fn try_root() -> Result<(), Missing> {
    let user = rustix::process::geteuid().as_raw();
    if user != 0 {
        return Err(format!("no root: this is user {user}"));
    }
    let directory = temporary()?;
    let device = directory.path().join("device");
    // The device 1:3 is null(4), which containers leave to their root too.
    mknodat(
        CWD,
        &device,
        FileType::CharacterDevice,
        Mode::RUSR,
        makedev(1, 3),
    )
    .map_err(lacks("CAP_MKNOD"))?;
    let file = directory.path().join("file");
    File::create(&file).map_err(lacks("a place for files"))?;
    chown(&file, Some(USER), Some(USER)).map_err(lacks("CAP_CHOWN"))?;
    // Attributes of this name space belong to CAP_SYS_ADMIN of the first user namespace.
    lsetxattr(&file, "trusted.layergraph-tests", b"", XattrFlags::empty())
        .map_err(lacks("CAP_SYS_ADMIN"))
}

fn lacks<E: Display>(what: &str) -> impl Fn(E) -> Missing {
    move |error| format!("root without {what}: {error}")
}

/// Asks that programs can be started as an ordinary user.
///
/// # Errors
///
/// Why none was started.
pub fn user() -> Result<(), Missing> {
    static TRIED: OnceLock<Result<(), Missing>> = OnceLock::new();
    let try_user = || match as_user(&mut Command::new("true")).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("no other user: true as user {USER}: {status}")),
        Err(error) => Err(format!("no other user: true as user {USER}: {error}")),
    };
    TRIED.get_or_init(try_user).clone()
}

/// Asks for programs in `PATH`.
///
/// # Errors
///
/// The first that is not there.
pub fn programs(names: &[&str]) -> Result<(), Missing> {
    let missing = names.iter().find(|name| find_program(name).is_none());
    missing.map_or(Ok(()), |name| Err(format!("{name} is not in PATH")))
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let executable = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(executable)
}

/// Asks that overlayfs can be mounted on directories of the temporary directory.
///
/// # Errors
///
/// What mount(2) said.
pub fn overlay_mount() -> Result<(), Missing> {
    static TRIED: OnceLock<Result<(), Missing>> = OnceLock::new();
    TRIED.get_or_init(try_overlay_mount).clone()
}

fn try_overlay_mount() -> Result<(), Missing> {
    let failed = |error: &dyn Display| format!("no overlay mounts: {error}");
    let directory = temporary()?;
    let [lower, upper, work, merged] =
        ["lower", "upper", "work", "merged"].map(|name| directory.path().join(name));
    for place in [&lower, &upper, &work, &merged] {
        fs::create_dir(place).map_err(|error| failed(&error))?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}\0",
        lower.display(),
        upper.display(),
        work.display()
    );
    let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes());
    let options = options.map_err(|error| failed(&error))?;
    mount("overlay", &merged, "overlay", MountFlags::empty(), options)
        .map_err(|error| failed(&error))?;
    unmount(&merged, UnmountFlags::empty()).map_err(|error| failed(&error))
}

/// Asks that a file can be attached as a block device.
///
/// # Errors
///
/// What `losetup(8)` said.
pub fn loop_device() -> Result<(), Missing> {
    static TRIED: OnceLock<Result<(), Missing>> = OnceLock::new();
    TRIED.get_or_init(try_loop_device).clone()
}

fn try_loop_device() -> Result<(), Missing> {
    programs(&["losetup"])?;
    let directory = temporary()?;
    let file = directory.path().join("file");
    let created = File::create(&file).and_then(|file| file.set_len(1 << 20));
    created.map_err(|error| format!("no loop devices: {error}"))?;
    let device = losetup(&["--find", "--show"], &file)?;
    losetup(&["--detach"], Path::new(device.trim_end()))?;
    Ok(())
}

fn losetup(options: &[&str], file: &Path) -> Result<String, Missing> {
    let output = Command::new("losetup").args(options).arg(file).output();
    let output = output.map_err(|error| format!("no loop devices: losetup: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let message = String::from_utf8_lossy(&output.stderr);
        Err(format!("no loop devices: {}", message.trim_end()))
    }
}

fn temporary() -> Result<TempDir, Missing> {
    tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::require;

    #[test]
    fn a_program_is_an_executable_file_in_path() {
        assert_eq!(programs(&["sh", "true"]), Ok(()));
        let missing = "no-such-program-anywhere";
        assert_eq!(
            programs(&["sh", missing]),
            Err(format!("{missing} is not in PATH"))
        );
        // A directory by that name is none.
        assert_eq!(find_program("."), None);
    }

    /// What is tried for each need leaves nothing behind, so it can be tried again.
    #[test]
    fn each_need_is_answered_the_same_when_tried_again() {
        for tried in [try_root, try_overlay_mount, try_loop_device] {
            assert_eq!(tried().is_ok(), tried().is_ok());
        }
    }

    #[test]
    fn who_has_root_can_start_an_ordinary_user() {
        require!(root);
        assert_eq!(user(), Ok(()));
    }
}
