//! Mounts by fsopen(2), fsconfig(2), fsmount(2) and `move_mount(2)`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use layergraph_fs::Dir;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_fd,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::{MountError, Overlay};

/// No message of the kernel is longer, in bytes.
const MESSAGE: usize = 1024;

/// Says that a directory is to be a layer, the upperdir or the workdir.
type Give = fn(&OwnedFd, &str, &Dir) -> rustix::io::Result<()>;

/// Gives the handle of a directory.
pub(super) fn by_handle(context: &OwnedFd, key: &str, dir: &Dir) -> rustix::io::Result<()> {
    fsconfig_set_fd(context, key, dir)
}

/// Gives the path of a handle, which is shorter than the 256 bytes that there are for a value.
pub(super) fn by_path(context: &OwnedFd, key: &str, dir: &Dir) -> rustix::io::Result<()> {
    let path = format!("/proc/thread-self/fd/{}", dir.as_fd().as_raw_fd());
    fsconfig_set_string(context, key, path)
}

pub(super) fn mount(
    overlay: &Overlay<'_>,
    work: Option<&Dir>,
    target: &Dir,
    give: Give,
) -> Result<(), MountError> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|errno| MountError::new("fsopen", errno))?;
    let mut call = "fsconfig";
    attach(&context, overlay, work, target, give, &mut call).map_err(|errno| MountError {
        said: messages(&context),
        ..MountError::new(call, errno)
    })
}

/// Makes the mount and attaches it. What was made goes with its handle unless it is attached.
fn attach(
    context: &OwnedFd,
    overlay: &Overlay<'_>,
    work: Option<&Dir>,
    target: &Dir,
    give: Give,
    call: &mut &'static str,
) -> rustix::io::Result<()> {
    fsconfig_set_string(context, "source", "overlay")?;
    for (key, value) in &overlay.options {
        match value {
            Some(value) => fsconfig_set_string(context, *key, *value)?,
            None => fsconfig_set_flag(context, *key)?,
        }
    }
    for lower in &overlay.lowers {
        give(context, "lowerdir+", lower)?;
    }
    for (key, dir) in [("upperdir", overlay.upper), ("workdir", work)] {
        if let Some(dir) = dir {
            give(context, key, dir)?;
        }
    }
    fsconfig_create(context)?;
    *call = "fsmount";
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, overlay.upper.is_none());
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, overlay.nodev);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, overlay.nosuid);
    let mount = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    *call = "move_mount";
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount.as_fd(), "", target.as_fd(), "", flags)
}

/// Reads what the kernel has to say of what failed: a letter for how bad it is, and a text.
fn messages(context: &OwnedFd) -> Vec<String> {
    let mut messages = Vec::new();
    let mut buffer = [0; MESSAGE];
    loop {
        match rustix::io::read(context, &mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let text = text.trim_end();
                messages.push(text.get(2..).unwrap_or(text).to_owned());
            }
            Err(Errno::INTR) => {}
            // There are no more.
            Err(_) => break,
        }
    }
    messages
}
