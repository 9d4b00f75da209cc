//! What the kernel, the file system and this process's privileges allow.

use std::ffi::OsStr;
use std::path::Path;

use layergraph_archive::Dialect;
use layergraph_driver::{Attempted, DriverError, DriverErrorKind, Result};
use layergraph_fs::{Dir, FsError, Staging};
use rustix::io::Errno;
use rustix::mount::FsOpenFlags;
use serde::Serialize;

use crate::mount::{MountError, MountMethod, Overlay, mount, unmount};

/// What there is for the driver here; see [`probe`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools)] // they are answers to as many questions
pub struct Probe {
    /// Whether the kernel has overlayfs, built in or as a module that could be loaded.
    pub overlay: bool,
    /// The type of the file system, where it is a known one, else its magic number (`statfs(2)`).
    pub filesystem: String,
    /// Whether listing a directory tells what its entries are.
    pub d_type: bool,
    /// Whether this process may set attributes `trusted.*` there.
    pub trusted_xattrs: bool,
    /// Whether this process may set attributes `user.*` there.
    pub user_xattrs: bool,
    /// Whether files can share content (`FICLONE`, `ioctl_ficlone(2)`).
    pub reflink: bool,
    /// The ways in which an overlay could be mounted there, by `trusted.*` or `user.*` attributes.
    pub mount_methods: Vec<MountMethod>,
    /// Why none could be.
    pub mount_error: Option<String>,
    /// Whether an overlay could be mounted with the option `userxattr`.
    pub userxattr: bool,
    /// Whether the kernel has fsopen(2), and this process may call it.
    pub new_mount_api: bool,
    /// Whether the option `index` is known.
    pub index: bool,
    /// Whether the option `metacopy` is known.
    pub metacopy: bool,
    /// Whether the option `redirect_dir` is known.
    pub redirect_dir: bool,
}

/// Finds out what there is for the driver, if its layers are in `directory`, which exists.
///
/// All is tried, in a directory that is made in it for this and is gone afterwards: files are
/// written, and an overlay is mounted by each of the [methods](MountMethod) and unmounted again.
///
/// # Errors
///
/// What was to be tried could not be prepared.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// let probe = layergraph_driver_overlay::probe(directory.path())?;
/// assert_eq!(probe.mount_methods.is_empty(), probe.mount_error.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn probe(directory: &Path) -> Result<Probe> {
    let probed = || format!("cannot probe {}", directory.display());
    let home = Dir::open(directory).attempted(probed)?;
    let staging = Staging::new(&home).attempted(probed)?;
    let probe = probe_in(&staging, directory).attempted(probed)?;
    staging.discard().attempted(probed)?;
    Ok(probe)
}

fn probe_in(staging: &Staging, directory: &Path) -> layergraph_fs::Result<Probe> {
    let dir = staging.dir();
    let names = ["lower", "empty", "upper", "merged"].map(OsStr::new);
    for name in names {
        dir.make_dir(name, 0o700)?;
    }
    let known = known_options()?;
    let is_settable = |prefix: &str| {
        let key = format!("{prefix}.layergraph");
        dir.set_xattr(names[0], OsStr::new(&key), b"").is_ok()
    };
    let (trusted_xattrs, user_xattrs) = (is_settable("trusted"), is_settable("user"));
    let target = std::path::absolute(directory)
        .map_err(|error| FsError::new("getcwd", directory, error))?
        .join(staging.name())
        .join("merged");
    let mut mount_methods = Vec::new();
    let mut mount_error = None;
    let mut userxattr = false;
    for method in MountMethod::ALL {
        let mut tried =
            [None, Some("userxattr")].map(|option| try_mount(dir, &target, method, option));
        userxattr |= tried[1].is_ok();
        if tried.iter().any(Result::is_ok) {
            mount_methods.push(method);
        } else {
            let [first, _] = &mut tried;
            mount_error = std::mem::replace(first, Ok(())).err();
        }
    }
    Ok(Probe {
        overlay: has_overlay(),
        filesystem: Filesystem::of(dir)?.to_string(),
        d_type: has_d_type(dir)?,
        trusted_xattrs,
        user_xattrs,
        reflink: has_reflink(dir)?,
        mount_error: mount_error.filter(|_| mount_methods.is_empty()),
        mount_methods,
        userxattr,
        new_mount_api: opens_context().is_ok(),
        index: known.has("index"),
        metacopy: known.has("metacopy"),
        redirect_dir: known.has("redirect_dir"),
    })
}

/// Mounts an overlay that may be written to, and unmounts it.
fn try_mount(
    dir: &Dir,
    target: &Path,
    method: MountMethod,
    option: Option<&'static str>,
) -> Result<(), String> {
    let open = |name: &str| dir.open_dir(OsStr::new(name));
    let tried = || -> std::result::Result<(), Failed> {
        let (lower, empty, upper) = (open("lower")?, open("empty")?, open("upper")?);
        let overlay = Overlay {
            lowers: vec![&lower, &empty],
            upper: Some(&upper),
            options: option.map(|option| (option, None)).into_iter().collect(),
            nodev: false,
            nosuid: false,
        };
        let work = || -> std::result::Result<_, Failed> {
            if dir.find_dir(OsStr::new("work"))?.is_some() {
                layergraph_fs::remove_tree(dir, OsStr::new("work"))?;
            }
            Ok(Some(dir.ensure_dir(OsStr::new("work"), 0o700)?))
        };
        mount(&overlay, work, &open("merged")?, &[method])?;
        unmount(target).map_err(|error| FsError::new("umount2", target, error))?;
        Ok(())
    };
    tried().map_err(|failed| match failed {
        Failed::Mount(error) => with_cause(&error),
        Failed::Fs(error) => with_cause(&error),
    })
}

enum Failed {
    Mount(MountError),
    Fs(FsError),
}

impl From<MountError> for Failed {
    fn from(error: MountError) -> Failed {
        Failed::Mount(error)
    }
}

impl From<FsError> for Failed {
    fn from(error: FsError) -> Failed {
        Failed::Fs(error)
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn has_reflink(dir: &Dir) -> layergraph_fs::Result<bool> {
    let name = OsStr::new("original");
    dir.create_file(name, 0o600)?.write_all(b"content")?;
    let original = dir.open_file(name)?;
    let copy = dir.create_file(OsStr::new("copy"), 0o600)?;
    Ok(rustix::fs::ioctl_ficlone(&copy, &original).is_ok())
}

/// Checks that layers can be in `directory`, which need not exist, and returns in which dialect.
///
/// Nothing is made to find out. Whether this process may mount does not matter: without, layers can
/// be made and read.
///
/// # Errors
///
/// [`Prerequisites`](DriverErrorKind::Prerequisites) if the kernel has no overlayfs,
/// [`IncompatibleFilesystem`](DriverErrorKind::IncompatibleFilesystem) if it does not take the file
/// system as that of an upperdir.
pub(crate) fn check(directory: &Path, userxattr: Option<bool>) -> Result<Dialect> {
    let checked = || {
        format!(
            "cannot tell whether {} can hold layers",
            directory.display()
        )
    };
    if !has_overlay() {
        let text = "the kernel has no overlayfs, or its module is not loaded; the driver vfs needs \
                    none";
        return Err(DriverError::new(DriverErrorKind::Prerequisites, text));
    }
    let ground = nearest(directory).attempted(checked)?;
    let filesystem = Filesystem::of(&ground).attempted(checked)?;
    let incompatible = |why: &str| {
        let text = format!(
            "overlayfs cannot have its layers in {} (on {filesystem}): {why}; the driver vfs can",
            directory.display()
        );
        Err(DriverError::new(
            DriverErrorKind::IncompatibleFilesystem,
            text,
        ))
    };
    if filesystem.is_no_upper() {
        return incompatible("the kernel does not take it");
    }
    if !has_d_type(&ground).attempted(checked)? {
        return incompatible("listing it does not tell what its entries are");
    }
    let trusted = attributes(&ground, "trusted.layergraph");
    let is_user = userxattr.unwrap_or(trusted == Attributes::NotPermitted);
    let missing = if is_user {
        attributes(&ground, "user.layergraph") == Attributes::Missing
    } else {
        trusted == Attributes::Missing
    };
    match (missing, is_user) {
        (true, _) => incompatible("it has no extended attributes"),
        (false, true) => Ok(Dialect::OverlayUser),
        (false, false) => Ok(Dialect::Overlay),
    }
}

/// Opens the directory, or the nearest above it that exists.
fn nearest(directory: &Path) -> layergraph_fs::Result<Dir> {
    let mut directory = directory;
    loop {
        match (Dir::open(directory), directory.parent()) {
            (Err(error), Some(parent)) if error.kind() == std::io::ErrorKind::NotFound => {
                directory = parent;
            }
            (result, _) => return result,
        }
    }
}

/// Whether a kind of attributes can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attributes {
    Usable,
    NotPermitted,
    /// The file system has none.
    Missing,
}

/// Finds out by removing an attribute that is not there.
fn attributes(dir: &Dir, key: &str) -> Attributes {
    let removed = dir.remove_xattr(OsStr::new("."), OsStr::new(key));
    let errno = removed.err().and_then(|error| error.errno());
    match errno.map(Errno::from_raw_os_error) {
        Some(Errno::PERM) => Attributes::NotPermitted,
        Some(Errno::OPNOTSUPP) => Attributes::Missing,
        _ => Attributes::Usable,
    }
}

/// Tells whether listing a directory tells what its entries are, as far as it has any.
fn has_d_type(dir: &Dir) -> layergraph_fs::Result<bool> {
    enum Stop {
        At(bool),
        Failed(FsError),
    }
    impl From<FsError> for Stop {
        fn from(error: FsError) -> Stop {
            Stop::Failed(error)
        }
    }
    match dir.each_entry(|_, kind| Err(Stop::At(kind.is_some()))) {
        Ok(()) => Ok(true),
        Err(Stop::At(known)) => Ok(known),
        // It cannot be listed by this user.
        Err(Stop::Failed(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Ok(true)
        }
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Tells whether the kernel has overlayfs. To ask for it loads the module, if that may be loaded.
fn has_overlay() -> bool {
    let listed = Dir::open(Path::new("/proc"))
        .and_then(|proc| proc.read_file(OsStr::new("filesystems"), 64 * 1024));
    let is_listed = listed.is_ok_and(|list| {
        list.split(|&byte| byte == b'\n')
            .any(|line| line.ends_with(b"\toverlay"))
    });
    is_listed || opens_context().is_ok()
}

fn opens_context() -> rustix::io::Result<()> {
    rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map(drop)
}

/// Which options the kernel knows.
#[derive(Debug)]
pub(crate) struct KnownOptions {
    /// Nothing if that cannot be told.
    names: Option<Vec<std::ffi::OsString>>,
}

impl KnownOptions {
    /// Tells whether an option is known. All are since Linux 4.19, long before what else is needed.
    pub(crate) fn has(&self, option: &str) -> bool {
        let names = self.names.as_ref();
        names.is_none_or(|names| names.iter().any(|name| name == option))
    }
}

pub(crate) fn known_options() -> layergraph_fs::Result<KnownOptions> {
    let parameters = Path::new("/sys/module/overlay/parameters");
    let names = match Dir::open(parameters) {
        Err(error) if error.leads_nowhere() => None,
        result => Some(result?.sorted_names()?),
    };
    Ok(KnownOptions { names })
}

/// A type of file system, by its magic number (`statfs(2)`).
#[derive(Debug, Clone, Copy)]
struct Filesystem(u64);

/// Those that layers are likely to be on.
const NAMES: [(u64, &str); 13] = [
    (0x6175_6673, "aufs"),
    (0x9123_683e, "btrfs"),
    (0x0000_f15f, "ecryptfs"),
    (0x0000_ef53, "ext4"),
    (0xf2f5_2010, "f2fs"),
    (0x6573_5546, "fuse"),
    (0x0000_6969, "nfs"),
    (0x794c_7630, "overlay"),
    (0x8584_58f6, "ramfs"),
    (0x7371_7368, "squashfs"),
    (0x0102_1994, "tmpfs"),
    (0x5846_5342, "xfs"),
    (0x2fc1_2fc1, "zfs"),
];

/// Those that the kernel does not take as an upperdir.
const NO_UPPERS: [&str; 6] = ["aufs", "ecryptfs", "nfs", "overlay", "ramfs", "squashfs"];

impl Filesystem {
    fn of(dir: &Dir) -> layergraph_fs::Result<Filesystem> {
        let found = rustix::fs::fstatfs(dir)
            .map_err(|errno| FsError::new("fstatfs", dir.path(), errno.into()))?;
        // The field's type differs between architectures; the numbers have 32 bits.
        #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
        let magic = found.f_type as u64 & 0xffff_ffff;
        Ok(Filesystem(magic))
    }

    fn name(self) -> Option<&'static str> {
        let found = NAMES.iter().find(|(magic, _)| *magic == self.0);
        found.map(|(_, name)| *name)
    }

    fn is_no_upper(self) -> bool {
        self.name().is_some_and(|name| NO_UPPERS.contains(&name))
    }
}

impl std::fmt::Display for Filesystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}
