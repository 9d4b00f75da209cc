//! Applies a layer to a directory: the one place where hostile bytes meet the file system.
//!
//! The rule of the module: no entry changes anything outside the directory, whatever it is called
//! and whatever links stand in its way. Names are taken apart as bytes; the directory part is then
//! resolved inside the root by handle ([`Root`]), and the last component is made, replaced or
//! removed in that directory without ever being followed.

mod again;
mod aufs;
mod directories;
mod finish;
mod link;
mod name;
mod object;
mod state;
mod whiteout;

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

use layergraph_fs::{Dir, FileKind, FsError, Metadata, Root};
use layergraph_tar::{Kind, Member, Reader, TarError};

use self::again::LastFile;
use self::directories::{Directories, ObjectId};
use self::name::EntryName;
pub(crate) use self::name::WHITEOUT_PREFIX;
use crate::Ownership;

/// How a layer is unpacked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct UnpackOptions {
    /// How owners, modes and devices are kept. Default: as the layer says.
    pub ownership: Ownership,
    /// What the layer may cost. The defaults let every real image pass.
    pub limits: Limits,
}

/// What one layer may cost; more is refused with [`UnpackError::Limit`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// How many entries it may have. Default: 10 million.
    pub entries: u64,
    /// How many bytes its files may have in all, holes included, and with them the files of the
    /// layers below that hard links of it copy. Default: 1 TiB.
    pub unpacked_bytes: u64,
    /// How many directories may stand one in another. Default: 500.
    pub depth: usize,
    /// How many bytes of memory the records of its directories may take, at most 4 GiB. Default:
    /// 20 MiB.
    ///
    /// A directory takes 60 bytes and what its name has, as long as each comes soon after the one
    /// it is in, and else 60 and what its path has. An object that is made in a directory of the
    /// layers below takes 15. So by default a layer may have 250,000 directories, or 1,400,000
    /// objects in directories that were there. With what
    /// [decoding](crate::codec::DecodeOptions::memory) takes by default and 10 MiB for everything
    /// else, unpacking needs no more than 64 MiB.
    pub directory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entries: 10_000_000,
            unpacked_bytes: 1 << 40,
            depth: 500,
            directory_bytes: 20 << 20,
        }
    }
}

/// What an unpacking did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Unpacked {
    /// How many entries the layer has, whiteouts included.
    pub entries: u64,
    /// The sum in bytes of the sizes its entries state: what the original called the size of a
    /// layer.
    pub size: u64,
    /// How many extended attributes were left out: those of overlayfs, which would change what a
    /// mount shows; the record that [`Ownership::Squash`] keeps; labels of the security modules of
    /// a host; those that Linux has no name space for or lets no object of this kind have; and
    /// under [`Ownership::Squash`] those that only root can set.
    pub dropped_xattrs: u64,
    /// How many devices and named pipes were recorded instead of made, under
    /// [`Ownership::Squash`].
    pub recorded_nodes: u64,
}

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The layer is not a readable archive, or its source failed.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// There is not a single byte, not even an end marker: more likely a lost file than a layer
    /// without entries.
    #[error("the layer is empty")]
    Empty,
    /// The name of an entry cannot be one of a layer.
    #[error("refused the name {path}: {reason}")]
    Name {
        /// The name as the layer has it, made printable.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry for the root that is no directory.
    #[error("refused the entry {path}: the root can only be a directory")]
    Root {
        /// The name as the layer has it, made printable.
        path: String,
    },
    /// An entry of a type that layers do not have.
    #[error("refused the entry {path}: type {} is not supported", kind.escape_ascii())]
    Type {
        /// The name as the layer has it, made printable.
        path: String,
        /// The type's byte.
        kind: u8,
    },
    /// A character device 0:0: it would be a whiteout wherever overlayfs sees it.
    #[error("refused the entry {path}: device 0:0 is a whiteout of overlayfs")]
    WhiteoutDevice {
        /// The name as the layer has it, made printable.
        path: String,
    },
    /// A device number that Linux has not.
    #[error("refused the entry {path}: there is no device {major}:{minor}")]
    DeviceNumber {
        /// The name as the layer has it, made printable.
        path: String,
        /// The major number.
        major: u32,
        /// The minor number.
        minor: u32,
    },
    /// A symbolic link to what is no path.
    #[error("refused the symbolic link {path}: {reason}")]
    Symlink {
        /// The name as the layer has it, made printable.
        path: String,
        /// What is wrong with its target.
        reason: &'static str,
    },
    /// A hard link to something that is not there or can have no second name.
    #[error("refused the hard link {path} to {target}: {reason}")]
    HardLink {
        /// The name as the layer has it, made printable.
        path: String,
        /// The target as the layer has it, made printable.
        target: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The layer wants more than its [`Limits`] allow.
    #[error("refused the entry {path}: more than {limit} {what}")]
    Limit {
        /// The entry that wanted it, made printable.
        path: String,
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The file system did not take an entry.
    #[error("cannot make the entry {path}")]
    Entry {
        /// The name as the layer has it, made printable.
        path: String,
        /// The call that failed.
        source: FsError,
    },
    /// A call that belongs to no single entry failed.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// Makes the name of an entry fit for a message: no control characters, no broken UTF-8.
pub(crate) fn shown(path: &[u8]) -> String {
    let mut text = String::new();
    for char in String::from_utf8_lossy(path).chars() {
        if char.is_control() {
            text.extend(char.escape_default());
        } else {
            text.push(char);
        }
    }
    text
}

/// Applies the layer in `tar`, an uncompressed stream, to the directory `into`.
///
/// Entries replace what is there, directories merge, whiteouts (`.wh.name`, `.wh..wh..opq`) remove
/// what was there before this call and never what this layer has made (image-spec, *Image Layer
/// Filesystem Changeset*). Links in the way of an entry are followed inside the directory. A
/// directory that only entries in it imply gets mode 0755, owner 0:0 and the time of the newest of
/// them; one that exists and is not named keeps everything, its time included. A hard link to a
/// file that was there before copies the file and gives both names to the copy, so that further
/// names of it, in or outside of the directory, keep what they had.
///
/// Nothing behind a mount point in the directory is removed: a whiteout, an opaque marker or an
/// entry that would have to fails with `EXDEV`.
///
/// The stream is read to its end, so that digests around it see every byte.
///
/// # Errors
///
/// After an error the directory holds what was unpacked until then: unpack into a directory nobody
/// can see yet, or use [`unpack_atomic`](crate::unpack_atomic).
pub fn unpack(
    tar: &mut dyn Read,
    into: &Dir,
    options: &UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    let mut unpacker = Unpacker::new(into, options)?;
    let mut archive = Reader::new(tar);
    let result = unpacker.members(&mut archive);
    unpacker.last_file = None;
    // Of two errors the one of the layer is told: it came first.
    let removed = unpacker.remove_aufs_links();
    result?;
    removed?;
    if archive.position() == 0 {
        return Err(UnpackError::Empty);
    }
    archive.finish()?;
    unpacker.finish()
}

/// The state of one unpacking.
struct Unpacker<'a> {
    options: &'a UnpackOptions,
    root: Root,
    directories: Directories,
    /// The directory of the last entry and the path it was reached by: the next one is usually in
    /// it, too.
    here: Option<(Vec<u8>, Parent)>,
    /// The file that the last entry made, while the next one may be for it too.
    last_file: Option<LastFile>,
    /// Whether `.wh..wh.plnk` was made for AUFS's hard links.
    aufs_links: bool,
    /// How many bytes the layer has made files of, copies included.
    bytes: u64,
    done: Unpacked,
}

/// The directory an entry goes into.
#[derive(Clone)]
struct Parent {
    dir: Arc<Dir>,
    id: ObjectId,
    /// Whether new objects in it get an access control list from it (`acl(5)`).
    bequeaths: bool,
}

type Archive<'a> = Reader<&'a mut dyn Read>;

impl<'a> Unpacker<'a> {
    fn new(into: &Dir, options: &'a UnpackOptions) -> Result<Unpacker<'a>, UnpackError> {
        Ok(Unpacker {
            options,
            root: Root::new(into.try_clone()?),
            directories: Directories::new(options.limits.directory_bytes),
            here: None,
            last_file: None,
            aufs_links: false,
            bytes: 0,
            done: Unpacked::default(),
        })
    }

    fn members(&mut self, archive: &mut Archive<'_>) -> Result<(), UnpackError> {
        while let Some(member) = archive.next_member()? {
            self.count(&member)?;
            if is_note(&member) {
                continue;
            }
            // Closed before anything else happens: not every file system removes open files.
            self.last_file.take_if(|last| !last.is_of(&member));
            match EntryName::read(&member.path, &self.options.limits)? {
                EntryName::Root => self.state_root(&member)?,
                EntryName::Object { directory, name } => {
                    self.object(&member, &directory, &name, archive)?;
                }
                EntryName::Whiteout { directory, name } => {
                    self.whiteout(&directory, &name)
                        .map_err(|error| error.about(&member))?;
                }
                EntryName::Opaque { directory } => {
                    self.opaque(&directory)
                        .map_err(|error| error.about(&member))?;
                }
                EntryName::AufsLink { name } => self.keep_aufs_link(&member, &name, archive)?,
                EntryName::Aufs => {}
            }
        }
        Ok(())
    }

    /// Counts an entry against the limits.
    fn count(&mut self, member: &Member) -> Result<(), UnpackError> {
        self.done.entries += 1;
        self.done.size = self.done.size.saturating_add(member.size);
        let limit = self.options.limits.entries;
        if self.done.entries > limit {
            return Err(UnpackError::Limit {
                path: shown(&member.path),
                what: "entries",
                limit,
            });
        }
        self.charge(member, member.size)
    }

    /// Counts what an entry makes files of against the limit, before it does.
    fn charge(&mut self, member: &Member, bytes: u64) -> Result<(), UnpackError> {
        self.bytes = self.bytes.saturating_add(bytes);
        let limit = self.options.limits.unpacked_bytes;
        if self.bytes > limit {
            return Err(UnpackError::Limit {
                path: shown(&member.path),
                what: "bytes in all files",
                limit,
            });
        }
        Ok(())
    }

    fn state_root(&mut self, member: &Member) -> Result<(), UnpackError> {
        if !is_directory(member) {
            return Err(UnpackError::Root {
                path: shown(&member.path),
            });
        }
        let metadata = self.root.dir().metadata_here()?;
        let stated = self.stated(member, FileKind::Directory);
        self.directories.touch(b"", &metadata)?;
        let id = ObjectId::from(&metadata);
        self.directories.set_modified(id, member.mtime);
        self.directories.state(id, stated)
    }

    /// Makes what an entry for an object says.
    fn object(
        &mut self,
        member: &Member,
        directory: &[u8],
        name: &[u8],
        archive: &mut Archive<'_>,
    ) -> Result<(), UnpackError> {
        Self::check_kind(member)?;
        let parent = self
            .parent(directory, member)
            .map_err(|error| error.about(member))?;
        let file_name = OsStr::from_bytes(name);
        match member.kind {
            _ if is_directory(member) => self.directory(member, &parent, file_name),
            Kind::File => self.file(member, &parent, file_name, archive),
            Kind::HardLink => self.hard_link(member, &parent, file_name),
            Kind::Symlink => self.symlink(member, &parent, file_name),
            _ => self.node(member, &parent, file_name),
        }
        .map_err(|error| error.about(member))?;
        self.directories.insert_object(parent.id, name)
    }

    /// Refuses types, targets and devices that a layer cannot have.
    fn check_kind(member: &Member) -> Result<(), UnpackError> {
        let path = || shown(&member.path);
        match (member.kind, member.device) {
            _ if is_directory(member) => Ok(()),
            (Kind::Other(kind), _) => Err(UnpackError::Type { path: path(), kind }),
            // Linux makes no such links (symlink(2)).
            (Kind::Symlink, _) if member.link.is_empty() => Err(UnpackError::Symlink {
                path: path(),
                reason: "its target is empty",
            }),
            (Kind::CharDevice, (0, 0)) => Err(UnpackError::WhiteoutDevice { path: path() }),
            // Linux has 12 bits of major and 20 of minor number; mknod(2) would cut off more.
            (Kind::CharDevice | Kind::BlockDevice, (major, minor))
                if major >= 1 << 12 || minor >= 1 << 20 =>
            {
                Err(UnpackError::DeviceNumber {
                    path: path(),
                    major,
                    minor,
                })
            }
            _ => Ok(()),
        }
    }

    /// Opens the directory an entry goes into, after making what is missing of it.
    fn parent(&mut self, path: &[u8], member: &Member) -> Result<Parent, UnpackError> {
        if let Some((here, parent)) = &self.here
            && here == path
        {
            return Ok(parent.clone());
        }
        let Unpacker {
            root, directories, ..
        } = self;
        let top = root.dir().path().to_owned();
        let dir = root.directory_or_make(path, &mut |dir: &Dir, name: &OsStr| {
            let above = dir.metadata_here()?;
            let above_id = ObjectId::from(&above);
            directories.touch(&path_below(&top, dir, OsStr::new("")), &above)?;
            let bequeaths = !directories.is_made(above_id) && bequeaths(dir)?;
            let id = object::make_directory(dir, name, bequeaths)?;
            let path = path_below(&top, dir, name);
            directories.insert_fresh(id, &path, member.mtime, None)?;
            directories.insert_object(above_id, name.as_bytes())
        })?;
        let parent = self.enter(dir)?;
        self.here = Some((path.to_vec(), parent.clone()));
        Ok(parent)
    }

    /// Records that something in the directory is about to change.
    fn enter(&mut self, dir: Arc<Dir>) -> Result<Parent, UnpackError> {
        let metadata = dir.metadata_here()?;
        let path = self.path_of(&dir, OsStr::new(""));
        self.directories.touch(&path, &metadata)?;
        let id = ObjectId::from(&metadata);
        let bequeaths = !self.directories.is_made(id) && bequeaths(&dir)?;
        Ok(Parent { dir, id, bequeaths })
    }

    /// Returns the path below the root of `name` in a directory, of the directory itself for no
    /// name.
    fn path_of(&self, dir: &Dir, name: &OsStr) -> Vec<u8> {
        path_below(self.root.dir().path(), dir, name)
    }

    /// Forgets opened directories, because a directory or a link was removed.
    fn forget(&mut self) {
        self.here = None;
        self.root.forget();
    }

    /// Removes whatever is called `name`, so that something else can take its place.
    fn clear(&mut self, parent: &Parent, name: &OsStr) -> Result<(), UnpackError> {
        if let Some(metadata) = parent.dir.find(name)? {
            self.remove(parent, name, &metadata)?;
        }
        Ok(())
    }

    fn remove(
        &mut self,
        parent: &Parent,
        name: &OsStr,
        metadata: &Metadata,
    ) -> Result<(), UnpackError> {
        match metadata.kind {
            FileKind::Directory => {
                layergraph_fs::remove_tree(&parent.dir, name)?;
                self.forget();
            }
            FileKind::Symlink => {
                parent.dir.remove_file(name)?;
                self.forget();
            }
            _ => parent.dir.remove_file(name)?,
        }
        Ok(())
    }
}

fn path_below(top: &Path, dir: &Dir, name: &OsStr) -> Vec<u8> {
    let below = dir.path().strip_prefix(top).unwrap_or(dir.path());
    let path = if name.is_empty() {
        below.to_owned()
    } else {
        below.join(name)
    };
    path.into_os_string().into_vec()
}

/// Returns whether new objects in a directory get an access control list from it (`acl(5)`).
fn bequeaths(dir: &Dir) -> Result<bool, FsError> {
    let default = dir.xattr(OsStr::new("."), OsStr::new("system.posix_acl_default"))?;
    Ok(default.is_some())
}

/// Returns whether a member stands for a directory.
fn is_directory(member: &Member) -> bool {
    // `D` is GNU's dump of a directory: the directory, and a list of what was in it.
    matches!(member.kind, Kind::Directory | Kind::Other(b'D'))
}

/// Returns whether a member is a note about the archive, and no entry of the layer.
fn is_note(member: &Member) -> bool {
    // `V` is the label that GNU tar gives a volume.
    matches!(member.kind, Kind::Global | Kind::Other(b'V'))
}

impl UnpackError {
    /// Says which entry a failed call was for.
    fn about(self, member: &Member) -> UnpackError {
        match self {
            UnpackError::Fs(source) => UnpackError::Entry {
                path: shown(&member.path),
                source,
            },
            other => other,
        }
    }
}
