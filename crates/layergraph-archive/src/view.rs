//! Trees as they are read: one directory, or a union of several as overlayfs would show it.
//!
//! Nothing is mounted and no privilege is needed but that of reading. Every object is reached by
//! handle through its parents, so a link is never followed.

mod find;
mod lookup;
mod overlay;
mod shared;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use layergraph_fs::{Dir, FileKind, FsError, Metadata};

pub(crate) use self::find::Finder;
pub use self::overlay::Dialect;
pub(crate) use self::shared::Shared;
use crate::Ownership;
use crate::attributes::{Attributes, in_layer, is_overlay};
use crate::ownership::{OverrideStat, UnmappedId};

/// A read-only tree of files.
///
/// ```
/// use layergraph_archive::View;
/// use layergraph_fs::Dir;
///
/// # let directory = tempfile::tempdir()?;
/// std::fs::write(directory.path().join("greeting"), "hello")?;
///
/// let view = View::new(Dir::open(directory.path())?);
/// let root = view.root()?;
/// let entries = root.entries()?;
/// assert_eq!(entries[0].name(), "greeting");
/// assert_eq!(entries[0].metadata().size, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct View {
    /// Top first.
    layers: Vec<Arc<Dir>>,
    dialect: Dialect,
    ownership: Ownership,
}

impl View {
    /// Takes a directory as it is.
    pub fn new(dir: Dir) -> View {
        View {
            layers: vec![Arc::new(dir)],
            dialect: Dialect::Plain,
            ownership: Ownership::Preserve,
        }
    }

    /// Unites layers, the uppermost first, by the rules of overlayfs (kernel documentation,
    /// *Overlay Filesystem*): whiteouts hide, directories merge unless opaque, and a redirected
    /// directory goes on below under its former name. The roots of the layers are merged even
    /// where one is marked as opaque: the kernel does not look at that mark.
    ///
    /// What cannot be looked up in such a mount is not shown. Of whiteouts in the form of empty
    /// files with an attribute the kernel itself shows the names, though nothing can be done with
    /// them, unless their directory is marked for it (`overlay.opaque` is `x`).
    ///
    /// A file of which only the metadata was copied up (`metacopy`) has the content that a layer
    /// below holds under its name, or the name it had there.
    ///
    /// # Panics
    ///
    /// Panics if there is no layer.
    pub fn union(layers: Vec<Dir>, dialect: Dialect) -> View {
        assert!(!layers.is_empty(), "a union has at least one layer");
        let layers = layers.into_iter().map(Arc::new).collect();
        View {
            layers,
            dialect,
            ownership: Ownership::Preserve,
        }
    }

    /// Says how owners, modes and devices were kept when the tree was unpacked.
    ///
    /// In a [squashed](Ownership::Squash) tree each object has the owner, mode and kind recorded
    /// beside it. One without a record, such as a file that was added later or a link, belongs to
    /// 0:0: the user whose tree it is stands for root.
    ///
    /// In a [mapped](Ownership::Mapped) tree owners are those of layers. One that is in no range
    /// is 65534, as the kernel shows it in a user namespace; [`changes`](crate::changes()) takes it
    /// for another than a true 65534, and [`pack`](crate::pack()) refuses it. Attributes about such
    /// a one cannot be read: a file capability (the kernel answers `EOVERFLOW`), an access control
    /// list.
    #[must_use]
    pub fn with_ownership(mut self, ownership: Ownership) -> View {
        self.ownership = ownership;
        self
    }

    /// Returns how the tree says what it hides of the layers below.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Opens the root directory.
    pub fn root(&self) -> Result<ViewDir<'_>, FsError> {
        // The roots are merged whatever is said of them: none is looked up, so the kernel does not
        // ask whether one is opaque (measured on Linux 6.18).
        let layers = self.layers.iter().enumerate();
        let parts = layers.map(|(layer, dir)| Part {
            layer,
            dir: Arc::clone(dir),
        });
        self.open(parts.collect())
    }

    fn open(&self, parts: Vec<Part>) -> Result<ViewDir<'_>, FsError> {
        let metadata = parts[0].dir.metadata_here()?;
        let (metadata, unmapped) = self.stated(&parts[0].dir, OsStr::new("."), metadata)?;
        Ok(ViewDir {
            view: self,
            parts,
            metadata,
            unmapped,
        })
    }

    /// Returns the metadata an object is meant to have, and whose owner in it is not known.
    fn stated(
        &self,
        dir: &Dir,
        name: &OsStr,
        on_disk: Metadata,
    ) -> Result<(Metadata, Option<UnmappedId>), FsError> {
        match &self.ownership {
            Ownership::Preserve => Ok((on_disk, None)),
            Ownership::Squash => Ok((recorded(dir, name, &on_disk)?, None)),
            Ownership::Mapped(maps) => {
                let ((uid, gid), unmapped) = maps.shown(on_disk.uid, on_disk.gid);
                let shown = Metadata {
                    uid,
                    gid,
                    ..on_disk
                };
                Ok((shown, unmapped))
            }
        }
    }

    /// Returns the attributes of an object as a layer has them.
    fn attributes(&self, dir: &Dir, name: &OsStr) -> Result<Attributes, FsError> {
        let attributes = dir.xattrs(name)?;
        let Ownership::Mapped(maps) = &self.ownership else {
            return Ok(attributes);
        };
        let inside = attributes.into_iter().map(|(key, value)| {
            let value = maps.attribute_inside(key.as_bytes(), value);
            value.map(|value| (key, value))
        });
        let inside: Result<Attributes, UnmappedId> = inside.collect();
        inside.map_err(|unmapped| unmapped.failing("getxattr", dir.path().join(name)))
    }

    fn layer_attributes(&self, dir: &Dir, name: &OsStr) -> Result<Attributes, FsError> {
        let mut attributes = self.attributes(dir, name)?;
        attributes.retain(|(key, _)| in_layer(key));
        Ok(attributes)
    }
}

/// Returns what a squashed object is meant to be.
fn recorded(dir: &Dir, name: &OsStr, on_disk: &Metadata) -> Result<Metadata, FsError> {
    let record = match on_disk.kind {
        FileKind::Symlink => None,
        _ => dir.xattr(name, OverrideStat::name())?,
    };
    let record = record.and_then(|text| OverrideStat::parse(&text, on_disk.kind));
    Ok(match record {
        Some(OverrideStat {
            kind,
            mode,
            uid,
            gid,
            device,
        }) => Metadata {
            kind,
            mode,
            uid,
            gid,
            device,
            ..*on_disk
        },
        None => Metadata {
            uid: 0,
            gid: 0,
            ..*on_disk
        },
    })
}

/// A directory in one of the layers.
#[derive(Debug, Clone)]
struct Part {
    /// Which layer, counted from the top.
    layer: usize,
    dir: Arc<Dir>,
}

/// An open directory of a [`View`].
#[derive(Debug)]
pub struct ViewDir<'a> {
    view: &'a View,
    /// Never empty; the uppermost says what the directory itself is.
    parts: Vec<Part>,
    metadata: Metadata,
    unmapped: Option<UnmappedId>,
}

/// An object in a [`ViewDir`].
#[derive(Debug, Clone)]
pub struct Entry {
    name: OsString,
    metadata: Metadata,
    unmapped: Option<UnmappedId>,
    /// Which part of the directory holds the object.
    part: usize,
}

impl Entry {
    /// Returns the name.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Returns what the object is meant to be; see [`View::with_ownership`].
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns the owner on disk that no range has, if the metadata is about such a one.
    pub fn unmapped(&self) -> Option<UnmappedId> {
        self.unmapped
    }
}

impl<'a> ViewDir<'a> {
    /// Returns what the directory itself is.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns the owner on disk that no range has, if the metadata is about such a one.
    pub fn unmapped(&self) -> Option<UnmappedId> {
        self.unmapped
    }

    /// Lists the objects in the directory, sorted by the bytes of their names.
    pub fn entries(&self) -> Result<Vec<Entry>, FsError> {
        let names = names(&self.parts)?.into_iter();
        let entries = names.map(|(name, part)| self.shown(part, &name));
        entries.filter_map(Result::transpose).collect()
    }

    /// Looks an object up by its name.
    pub fn entry(&self, name: &OsStr) -> Result<Option<Entry>, FsError> {
        for (part, Part { dir, .. }) in self.parts.iter().enumerate() {
            if let Some(on_disk) = dir.find(name)? {
                return self.found(part, name, on_disk);
            }
        }
        Ok(None)
    }

    /// Returns what an object that was listed is meant to be, nothing if it is a whiteout.
    fn shown(&self, part: usize, name: &OsStr) -> Result<Option<Entry>, FsError> {
        let on_disk = self.parts[part].dir.metadata(name)?;
        self.found(part, name, on_disk)
    }

    fn found(
        &self,
        part: usize,
        name: &OsStr,
        on_disk: Metadata,
    ) -> Result<Option<Entry>, FsError> {
        let dir = &self.parts[part].dir;
        if self.view.dialect.is_whiteout(dir, name, &on_disk)? {
            return Ok(None);
        }
        let (metadata, unmapped) = self.view.stated(dir, name, on_disk)?;
        Ok(Some(Entry {
            name: name.into(),
            metadata,
            unmapped,
            part,
        }))
    }

    /// Opens a directory in this one.
    pub fn open_dir(&self, entry: &Entry) -> Result<ViewDir<'a>, FsError> {
        let mut parts = lookup::directories(self.view, &self.parts[entry.part..], &entry.name)?;
        if parts.is_empty() {
            // It was there when it was listed: let the kernel say what is wrong with it now.
            let dir = self.parts[entry.part].dir.open_dir(&entry.name)?;
            let layer = self.parts[entry.part].layer;
            parts.push(Part {
                layer,
                dir: Arc::new(dir),
            });
        }
        self.view.open(parts)
    }

    /// Opens the content of a regular file in this directory for reading.
    ///
    /// # Errors
    ///
    /// Of a file of which only the metadata was copied up also that no layer below has the content.
    pub fn open_file(&self, entry: &Entry) -> Result<File, FsError> {
        if !self.is_metacopy(entry)? {
            return self.dir_of(entry).open_file(&entry.name);
        }
        let content = lookup::content(self.view, &self.parts[entry.part..], &entry.name)?;
        let Some((dir, name)) = content else {
            let reason = "only its metadata was copied up, and no layer below has its content";
            let source = io::Error::new(io::ErrorKind::InvalidData, reason);
            let path = self.dir_of(entry).path().join(&entry.name);
            return Err(FsError::new("openat", path, source));
        };
        dir.open_file(&name)
    }

    /// Returns whether an object is a file that has its content in a layer below.
    pub(crate) fn is_metacopy(&self, entry: &Entry) -> Result<bool, FsError> {
        let is_file = entry.metadata.kind == FileKind::File;
        Ok(is_file && (self.view.dialect).is_metacopy(self.dir_of(entry), &entry.name)?)
    }

    /// Returns the target of a link in this directory.
    pub fn read_link(&self, entry: &Entry) -> Result<OsString, FsError> {
        self.dir_of(entry).read_link(&entry.name)
    }

    /// Returns the extended attributes of an object in this directory that belong in a layer,
    /// sorted by name: all but those of overlayfs, the labels of the host's security modules, and
    /// the record of a squashed file's owner.
    pub fn xattrs(&self, entry: &Entry) -> Result<Vec<(OsString, Vec<u8>)>, FsError> {
        self.view.layer_attributes(self.dir_of(entry), &entry.name)
    }

    /// Returns the extended attributes of the directory itself that belong in a layer.
    pub fn own_xattrs(&self) -> Result<Vec<(OsString, Vec<u8>)>, FsError> {
        let here = OsStr::new(".");
        self.view.layer_attributes(&self.parts[0].dir, here)
    }

    /// Returns the extended attributes of an object, or of the directory itself, but for what only
    /// says how the tree is kept on disk: the signs of overlayfs and the records of owners.
    pub(crate) fn shown_xattrs(&self, entry: Option<&Entry>) -> Result<Attributes, FsError> {
        let mut attributes = match entry {
            Some(entry) => self.view.attributes(self.dir_of(entry), &entry.name)?,
            None => self.view.attributes(&self.parts[0].dir, OsStr::new("."))?,
        };
        let View {
            dialect, ownership, ..
        } = self.view;
        attributes.retain(|(key, _)| {
            let is_sign = *dialect != Dialect::Plain && is_overlay(key.as_bytes());
            let is_record = *ownership == Ownership::Squash && key == OverrideStat::name();
            !is_sign && !is_record
        });
        Ok(attributes)
    }

    /// Returns the directory on disk that says what this one is.
    pub(crate) fn on_disk(&self) -> &Dir {
        &self.parts[0].dir
    }

    /// Returns how many directories on disk are held open.
    pub(crate) fn handles(&self) -> usize {
        self.parts.len()
    }

    /// Returns the directory on disk that has an object of this one.
    pub(crate) fn holder(&self, entry: &Entry) -> &Dir {
        self.dir_of(entry)
    }

    fn dir_of(&self, entry: &Entry) -> &Dir {
        &self.parts[entry.part].dir
    }
}

/// Lists the names in directories, and in which one each is first.
fn names(parts: &[Part]) -> Result<BTreeMap<OsString, usize>, FsError> {
    let mut names = BTreeMap::new();
    for (part, Part { dir, .. }) in parts.iter().enumerate() {
        for listed in dir.entries()? {
            names.entry(listed.name).or_insert(part);
        }
    }
    Ok(names)
}
