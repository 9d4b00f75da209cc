//! Where this process is: which boot, which mount namespace, and what is mounted in it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use layergraph_fs::{Dir, FsError, Result};
use rustix::fs::{AtFlags, StatxFlags, statx};
use serde::{Deserialize, Serialize};

/// `STATX_MNT_ID_UNIQUE` (statx(2), Linux 6.8).
const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
/// The longest list of mounts that is read, in bytes.
const LONGEST: u64 = 64 << 20;
/// The namespace of processes that sees all of them (`PROC_PID_INIT_INO`, `linux/proc_ns.h`).
const ALL_PROCESSES: &str = "pid:[4026531836]";
/// The namespace of users that all others are in (`PROC_USER_INIT_INO`, `linux/proc_ns.h`).
const ALL_USERS: &str = "user:[4026531837]";

/// Names a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountId {
    /// As `/proc/self/mountinfo` has it. It is used again when the mount is gone.
    pub(crate) id: u64,
    /// As no other mount of this boot ever has it, where the kernel tells.
    pub(crate) unique: Option<u64>,
}

/// Where a mount was made, or a process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whereabouts {
    pub(crate) boot: String,
    /// The namespace of mounts, as `/proc/self/ns/mnt` names it.
    pub(crate) mounts: String,
    /// That of processes.
    processes: String,
    /// That of users.
    users: String,
}

impl Whereabouts {
    /// Those of this process.
    pub(crate) fn here() -> Result<Whereabouts> {
        let random = Dir::open(Path::new("/proc/sys/kernel/random"))?;
        let boot = random.read_file(OsStr::new("boot_id"), 64)?;
        let namespaces = Dir::open(Path::new("/proc/self/ns"))?;
        Ok(Whereabouts {
            boot: String::from_utf8_lossy(boot.trim_ascii()).into_owned(),
            mounts: namespace(&namespaces, "mnt")?,
            processes: namespace(&namespaces, "pid")?,
            users: namespace(&namespaces, "user")?,
        })
    }

    /// Tells whether a mount that was made at `other`, which is not here, may still be there. What
    /// it is, and where, is as for [`is_mounted`].
    pub(crate) fn may_hold(
        &self,
        other: &Whereabouts,
        id: Option<MountId>,
        target: &Path,
    ) -> Result<bool> {
        if other.boot != self.boot {
            return Ok(false);
        }
        // Those that may be in it are all seen from where it was made, and from the top.
        if self.processes != other.processes && self.processes != ALL_PROCESSES {
            return Ok(true);
        }
        let processes = Dir::open(Path::new("/proc"))?;
        for entry in processes.entries()? {
            if !entry.name.as_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            match other.is_held_by(&processes, &entry.name, id, target) {
                Ok(true) => return Ok(true),
                // It may be there for all that can be told.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && self.may_be_unseen(other, &entry.name) =>
                {
                    return Ok(true);
                }
                // The process is elsewhere, or has ended.
                Ok(false) | Err(_) => {}
            }
        }
        Ok(false)
    }

    /// Tells whether a process that this one may not look at may be there.
    ///
    /// Whoever made a user namespace may look at all that is in it (ptrace(2), *Ptrace access mode
    /// checking*), and the first process stays where it began, though it may be more privileged
    /// than anybody else.
    fn may_be_unseen(&self, other: &Whereabouts, process: &OsStr) -> bool {
        let is_of_own = self.users == ALL_USERS && other.users != ALL_USERS;
        process != "1" && !is_of_own
    }

    /// Tells whether a process is in the namespace, and has the mount in it. The number of a
    /// namespace that is gone is soon that of another.
    fn is_held_by(
        &self,
        processes: &Dir,
        process: &OsStr,
        id: Option<MountId>,
        target: &Path,
    ) -> Result<bool> {
        let process = processes.open_dir(process)?;
        if namespace(&process.open_dir(OsStr::new("ns"))?, "mnt")? != self.mounts {
            return Ok(false);
        }
        let found = overlays(&process)?;
        Ok(found.iter().any(|(number, point)| match id {
            Some(id) => id.id == *number,
            None => point == target,
        }))
    }
}

fn namespace(namespaces: &Dir, kind: &str) -> Result<String> {
    let name = namespaces.read_link(OsStr::new(kind))?;
    Ok(name.to_string_lossy().into_owned())
}

/// Returns on which mount a directory is.
pub(crate) fn mount_id(dir: &Dir) -> Result<MountId> {
    let ask = |flags| {
        statx(dir, "", AtFlags::EMPTY_PATH, flags)
            .map_err(|errno| FsError::new("statx", dir.path(), errno.into()))
    };
    let told = ask(StatxFlags::MNT_ID)?;
    if !StatxFlags::from_bits_retain(told.stx_mask).contains(StatxFlags::MNT_ID) {
        let reason = "the kernel does not say on which mount it is (Linux 5.8)";
        let source = io::Error::new(io::ErrorKind::Unsupported, reason);
        return Err(FsError::new("statx", dir.path(), source));
    }
    let unique = ask(UNIQUE)?;
    let is_told = StatxFlags::from_bits_retain(unique.stx_mask).contains(UNIQUE);
    Ok(MountId {
        id: told.stx_mnt_id,
        unique: is_told.then_some(unique.stx_mnt_id),
    })
}

/// Tells whether the mount `id`, or if that is not known one at `target`, is an overlay in this
/// namespace.
pub(crate) fn is_mounted(id: Option<MountId>, target: &Path) -> Result<bool> {
    let process = Dir::open(Path::new("/proc/self"))?;
    for (number, point) in overlays(&process)? {
        match id {
            None if point == target => return Ok(true),
            Some(id) if id.id == number && is_same(id, &point) => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

/// Returns the path of a directory, without links in it.
pub(crate) fn path_of(dir: &Dir) -> Result<PathBuf> {
    let handles = Dir::open(Path::new("/proc/self/fd"))?;
    let number = dir.as_fd().as_raw_fd().to_string();
    Ok(handles.read_link(OsStr::new(&number))?.into())
}

/// Lists number and mount point of the overlays that a process sees.
fn overlays(process: &Dir) -> Result<Vec<(u64, PathBuf)>> {
    let list = process.read_file(OsStr::new("mountinfo"), LONGEST)?;
    let lines = list.split(|&byte| byte == b'\n');
    Ok(lines.filter_map(overlay_of).collect())
}

/// Tells whether the mount at `point`, whose number is that of `id`, is not another with the same
/// number. Where that cannot be told, because something else is on top of it, it is not.
fn is_same(id: MountId, point: &Path) -> bool {
    match Dir::open(point).and_then(|dir| mount_id(&dir)) {
        Ok(found) if found.id == id.id => found.unique == id.unique,
        Ok(_) | Err(_) => true,
    }
}

/// Reads number and mount point of an overlay from a line of `/proc/self/mountinfo`
/// (`proc_pid_mountinfo(5)`).
fn overlay_of(line: &[u8]) -> Option<(u64, PathBuf)> {
    let mut fields = line.split(|&byte| byte == b' ');
    let number = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let point = unescaped(fields.nth(3)?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    (kind == b"overlay").then(|| (number, PathBuf::from(OsString::from_vec(point))))
}

/// Writes a path so that it is text, in the way of `/proc/self/mountinfo`: what is not plain is a
/// backslash and three octal digits.
pub(crate) fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'\\' {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\{byte:03o}");
        }
    }
    text
}

/// Reads what [`escaped`] or the kernel has written.
pub(crate) fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text;
    while let Some((&first, rest)) = left.split_first() {
        let octal = rest.get(..3).filter(|digits| {
            first == b'\\' && digits.iter().all(|digit| (b'0'..b'8').contains(digit))
        });
        let value = octal.map(|digits| {
            digits
                .iter()
                .fold(0, |value: u32, digit| value * 8 + u32::from(digit - b'0'))
        });
        if let Some(byte) = value.and_then(|value| u8::try_from(value).ok()) {
            bytes.push(byte);
            left = &rest[3..];
        } else {
            bytes.push(first);
            left = rest;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_and_the_point_of_an_overlay_are_read_from_its_line() {
        let line = b"36 35 0:51 / /a\\040b/c\\134d rw,nodev shared:9 master:1 - overlay overlay ro";
        assert_eq!(overlay_of(line), Some((36, PathBuf::from("/a b/c\\d"))));
        let other = b"36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw,errors=continue";
        assert_eq!(overlay_of(other), None);
        assert_eq!(overlay_of(b""), None);
    }

    #[test]
    fn any_path_is_the_same_after_it_was_escaped() {
        let all: Vec<u8> = (1..=255).collect();
        let path = PathBuf::from(OsString::from_vec(all.clone()));
        let text = escaped(&path);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(unescaped(text.as_bytes()), all);
        // What is no escape is what it is.
        assert_eq!(unescaped(b"\\9\\777\\40"), b"\\9\\777\\40");
    }

    #[test]
    fn what_cannot_be_told_may_be_and_a_former_boot_is_gone() -> Result<()> {
        let here = Whereabouts::here()?;
        let nowhere = Path::new("/nowhere");
        let former = Whereabouts {
            boot: "another".to_owned(),
            ..here.clone()
        };
        assert!(!here.may_hold(&former, None, nowhere)?);
        // Of processes in other namespaces nothing is seen but from the top.
        let [inner, other] = ["pid:[1]", "pid:[2]"].map(|processes| Whereabouts {
            processes: processes.to_owned(),
            ..here.clone()
        });
        assert!(inner.may_hold(&other, None, nowhere)?);
        // Who is in a user namespace is seen by its maker.
        let users = "user:[1]".to_owned();
        let within = Whereabouts { users, ..here };
        let top = Whereabouts {
            users: ALL_USERS.to_owned(),
            ..within.clone()
        };
        let other = OsStr::new("2");
        assert!(!top.may_be_unseen(&within, other) && top.may_be_unseen(&top, other));
        assert!(within.may_be_unseen(&top, other) && within.may_be_unseen(&within, other));
        assert!(!top.may_be_unseen(&top, OsStr::new("1")));
        Ok(())
    }
}
