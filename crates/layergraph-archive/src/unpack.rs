//! Applies a layer to a directory: the one place where hostile bytes meet the file system.
//!
//! The rule of the module: no entry changes anything outside the directory, whatever it is called
//! and whatever links stand in its way. Names are taken apart as bytes; the directory part is then
//! resolved inside the root by handle ([`Root`]), and the last component is made, replaced or
//! removed in that directory without ever being followed.

mod again;
mod aufs;
mod bring;
mod directories;
mod error;
mod finish;
mod limits;
mod link;
mod lower;
mod name;
mod object;
mod overwritten;
mod parent;
mod place;
mod settle;
mod state;
mod whiteout;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

use layergraph_fs::{Dir, FileKind, FsError, Metadata, NewFile, Root};
use layergraph_tar::recipe::RecipeWriter;
use layergraph_tar::{Kind, Limits as TarLimits, Member, Reader};

use self::again::LastFile;
use self::bring::BroughtLink;
use self::directories::{Directories, ObjectId};
pub use self::error::UnpackError;
pub use self::limits::Limits;
use self::lower::Lower;
pub(crate) use self::name::{EntryName, WHITEOUT_PREFIX};
pub(crate) use self::overwritten::Overwritten;
use self::parent::Parent;
use self::place::Below;
pub use self::place::Place;
pub use self::settle::Unsettled;
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

/// What an unpacking did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// What is to be settled when the layers below are known, if they were not
    /// ([`Place::detached`]).
    pub unsettled: Option<Unsettled>,
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

/// Applies the layer in `tar`, an uncompressed stream, to a directory.
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
pub fn unpack<'a>(
    tar: &mut dyn Read,
    place: impl Into<Place<'a>>,
    options: &UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    let mut unpacker = Unpacker::new(place.into(), options)?;
    unpacker.run(tar, None)?;
    unpacker.finish()
}

/// How many steps it counts for to make a directory, which takes some file systems a millisecond.
const STEPS_OF_A_DIRECTORY: u64 = 32;

/// The state of one unpacking.
pub(crate) struct Unpacker<'a> {
    options: &'a UnpackOptions,
    root: Root,
    /// The layers below, if they are not in the directory.
    lower: Option<Lower<'a>>,
    /// Where the paths lead, without links, for which all that is needed was copied up.
    ways: HashMap<Vec<u8>, Vec<u8>>,
    /// How many components it took to find that out.
    lower_steps: u64,
    brought_links: Vec<BroughtLink>,
    /// What is to be settled, if the layers below are not known.
    unsettled: Option<Unsettled>,
    directories: Directories,
    /// The directory of the last entry and the path it was reached by: the next one is usually in
    /// it, too.
    here: Option<(Vec<u8>, Parent)>,
    /// The directory that was last found to be on the mount of the root.
    on_mount: Option<Arc<Dir>>,
    /// The file that the last entry made, while the next one may be for it too.
    last_file: Option<LastFile>,
    /// What the recipe needs that the tree will not have, if there is to be one.
    pub(crate) overwritten: Option<Overwritten>,
    /// Whether `.wh..wh.plnk` was made for AUFS's hard links.
    aufs_links: bool,
    /// How many bytes the layer has made files of, copies included.
    bytes: u64,
    /// How many directories were made only because entries are in them.
    implied: u64,
    done: Unpacked,
}

type Archive<'a> = Reader<&'a mut dyn Read, Option<RecipeWriter<NewFile>>>;

impl<'a> Unpacker<'a> {
    pub(crate) fn new(
        place: Place<'a>,
        options: &'a UnpackOptions,
    ) -> Result<Unpacker<'a>, UnpackError> {
        let (lower, unsettled) = match place.below() {
            Below::Here => (None, None),
            Below::Layers(view) => (Some(Lower::new(view)), None),
            Below::Unknown => (None, Some(Unsettled::new(&options.limits))),
        };
        Ok(Unpacker {
            options,
            lower,
            ways: HashMap::new(),
            lower_steps: 0,
            brought_links: Vec::new(),
            unsettled,
            root: Root::new(place.dir().try_clone()?),
            directories: Directories::new(options.limits.directory_bytes),
            here: None,
            on_mount: None,
            last_file: None,
            overwritten: None,
            aufs_links: false,
            bytes: 0,
            implied: 0,
            done: Unpacked::default(),
        })
    }

    /// Makes what all entries say, but for the metadata of directories.
    pub(crate) fn run(
        &mut self,
        tar: &mut dyn Read,
        recipe: Option<RecipeWriter<NewFile>>,
    ) -> Result<Option<RecipeWriter<NewFile>>, UnpackError> {
        let mut archive = Reader::with(tar, recipe, TarLimits::default());
        let result = self.members(&mut archive);
        self.last_file = None;
        // Of two errors the one of the layer is told: it came first.
        let removed = self.remove_aufs_links();
        result?;
        removed?;
        if archive.position() == 0 {
            return Err(UnpackError::Empty);
        }
        let finished = archive.finish()?;
        self.forget();
        if let Some(overwritten) = &mut self.overwritten {
            overwritten.settle(&mut self.root, self.options.limits.steps)?;
        }
        Ok(finished.tap)
    }

    fn members(&mut self, archive: &mut Archive<'_>) -> Result<(), UnpackError> {
        while let Some(member) = archive.next_member()? {
            self.count(&member)?;
            if let Some(overwritten) = &mut self.overwritten
                && overwritten.begin(&member)
                && let Some(recipe) = archive.tap_mut()
            {
                recipe.keep_content();
            }
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
            self.check_steps(&member)?;
        }
        Ok(())
    }

    /// Counts an entry against the limits.
    fn count(&mut self, member: &Member) -> Result<(), UnpackError> {
        self.done.entries += 1;
        self.done.size = self.done.size.saturating_add(member.size);
        let limit = self.options.limits.entries;
        check_limit(member, self.done.entries, "entries", limit)?;
        self.charge(member, member.size)
    }

    /// Counts what an entry makes files of against the limit, before it does.
    fn charge(&mut self, member: &Member, bytes: u64) -> Result<(), UnpackError> {
        self.bytes = self.bytes.saturating_add(bytes);
        let limit = self.options.limits.unpacked_bytes;
        check_limit(member, self.bytes, "bytes in all files", limit)
    }

    /// Checks what it has taken to find the way to an entry and those before it.
    fn check_steps(&self, member: &Member) -> Result<(), UnpackError> {
        let limit = self.options.limits.steps;
        let below = self.lower.as_ref().map_or(0, Lower::steps);
        let steps = self.root.steps().saturating_add(self.lower_steps);
        let steps = steps.saturating_add(below);
        check_limit(member, steps, "steps through links and layers", limit)?;
        let making = self.implied.saturating_mul(STEPS_OF_A_DIRECTORY);
        check_limit(member, making, "steps for directories it implies", limit)
    }

    fn state_root(&mut self, member: &Member) -> Result<(), UnpackError> {
        if !is_directory(member) {
            return Err(UnpackError::Root {
                path: shown(&member.path),
            });
        }
        let metadata = self.root.dir().metadata_here()?;
        let stated = self.stated(member, FileKind::Directory);
        // It is done at the end. That it can be is to be known now.
        self.on_disk(&stated, || self.root.dir().path().to_owned())
            .map_err(|error| UnpackError::from(error).about(member))?;
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
        let parent = match self.parent(directory, member) {
            // What is in the way may stand elsewhere: in a directory of the layers below.
            Err(UnpackError::Fs(error)) if self.unsettled.is_some() && error.leads_nowhere() => {
                let path = shown(&member.path);
                return Err(UnpackError::Below { path });
            }
            result => result.map_err(|error| error.about(member))?,
        };
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

    /// Returns the path below the root of `name` in a directory, of the directory itself for no
    /// name.
    fn path_of(&self, dir: &Dir, name: &OsStr) -> Vec<u8> {
        path_below(self.root.dir().path(), dir, name)
    }

    /// Forgets opened directories, because a directory or a link was removed.
    fn forget(&mut self) {
        self.here = None;
        self.ways.clear();
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
        self.check_mount(&parent.dir)?;
        match metadata.kind {
            FileKind::Directory => {
                self.remove_tree(&parent.dir, name)?;
                self.forget();
            }
            FileKind::Symlink => {
                parent.dir.remove_file(name)?;
                self.forget();
            }
            _ => {
                let is_gone = match &mut self.overwritten {
                    Some(overwritten) => overwritten.keep(&parent.dir, name, metadata)?,
                    None => false,
                };
                if !is_gone {
                    parent.dir.remove_file(name)?;
                }
            }
        }
        Ok(())
    }

    /// Removes a directory with everything in it; what a recipe needs of it is kept aside.
    fn remove_tree(&mut self, dir: &Dir, name: &OsStr) -> Result<(), UnpackError> {
        match &mut self.overwritten {
            Some(overwritten) if !overwritten.is_idle() => {
                let mut keep = |dir: &Dir, name: &OsStr, found: &Metadata| {
                    overwritten.keep(dir, name, found).map(|_| ())
                };
                layergraph_fs::remove_tree_with(dir, name, &mut keep)
            }
            _ => Ok(layergraph_fs::remove_tree(dir, name)?),
        }
    }

    /// Refuses to remove anything from a directory that is behind a mount point.
    fn check_mount(&mut self, dir: &Arc<Dir>) -> Result<(), FsError> {
        let is_known = |known: &Arc<Dir>| Arc::ptr_eq(known, dir);
        if !self.on_mount.as_ref().is_some_and(is_known) {
            dir.check_same_mount(self.root.dir())?;
            self.on_mount = Some(Arc::clone(dir));
        }
        Ok(())
    }
}

fn check_limit(
    member: &Member,
    count: u64,
    what: &'static str,
    limit: u64,
) -> Result<(), UnpackError> {
    if count <= limit {
        return Ok(());
    }
    Err(UnpackError::Limit {
        path: shown(&member.path),
        what,
        limit,
    })
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

/// Returns whether a member stands for a directory.
pub(crate) fn is_directory(member: &Member) -> bool {
    // `D` is GNU's dump of a directory: the directory, and a list of what was in it.
    matches!(member.kind, Kind::Directory | Kind::Other(b'D'))
}

/// Returns whether a member is a note about the archive, and no entry of the layer.
pub(crate) fn is_note(member: &Member) -> bool {
    // `V` is the label that GNU tar gives a volume.
    matches!(member.kind, Kind::Global | Kind::Other(b'V'))
}
