//! Writes changes as a layer: a tar of what was added or modified, with whiteouts for what is gone.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use layergraph_fs::{Device, FileKind, FsError, Metadata};
use layergraph_tar::{Kind, NewMember, WriteError, Writer};

use crate::attributes::Attributes;
use crate::changes::{Change, ChangeKind};
use crate::ownership::UnmappedId;
use crate::unpack::WHITEOUT_PREFIX;
use crate::view::{Entry, View, ViewDir};

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Packed {
    /// How many entries the layer has, whiteouts included.
    pub entries: u64,
    /// How long it is, in bytes.
    pub size: u64,
    /// The sockets among the changes, which were left out: a tar cannot hold one, and nobody
    /// listens where a layer is unpacked.
    pub sockets: Vec<PathBuf>,
}

/// Why changes were not packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// An object has a name that means something else in a layer.
    #[error("cannot pack {}: in a layer its name is that of a whiteout", path.display())]
    Name {
        /// The object, from the root of the tree.
        path: PathBuf,
    },
    /// A character device 0:0, which is a whiteout wherever overlayfs sees it.
    #[error("cannot pack {}: device 0:0 is a whiteout of overlayfs", path.display())]
    WhiteoutDevice {
        /// The object, from the root of the tree.
        path: PathBuf,
    },
    /// A change is for something that is not in the tree.
    #[error("cannot pack {}: it is not there", path.display())]
    Missing {
        /// The object, from the root of the tree.
        path: PathBuf,
    },
    /// A file did not have the length it was listed with.
    #[error("cannot pack {}: its size changed while it was read", path.display())]
    Changed {
        /// The file, from the root of the tree.
        path: PathBuf,
    },
    /// An object belongs to somebody who has no id in layers, under
    /// [`Ownership::Mapped`](crate::Ownership::Mapped).
    #[error("cannot pack {}", path.display())]
    Owner {
        /// The object, from the root of the tree.
        path: PathBuf,
        /// Who that is.
        source: UnmappedId,
    },
    /// The tree could not be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The layer could not be written, or has no room for what an object is.
    #[error("cannot pack {}", path.display())]
    Write {
        /// The object, from the root of the tree.
        path: PathBuf,
        /// What the writer said.
        source: WriteError,
    },
}

/// Writes `changes`, which are in `tree`, to `out` as an uncompressed layer.
///
/// The same tree and changes give the same bytes: entries stand in the order of the changes, with
/// numeric owners only, and with no trace of this machine or moment. A time that is not whole
/// seconds, and whatever else ustar has no room for, stands in PAX records; attributes are those
/// that [`ViewDir::xattrs`] gives. Deletions become whiteouts (image-spec, *Image Layer Filesystem
/// Changeset*) owned by 0:0, of the year 1970.
///
/// # Errors
///
/// Names that a layer cannot hold are refused before anything is written. After any other error
/// what was written is incomplete. A character device 0:0 is refused, as [`unpack`](crate::unpack)
/// refuses it: it would be a whiteout. A [`View::union`] shows none.
pub fn pack(tree: &View, changes: &[Change], out: &mut dyn Write) -> Result<Packed, PackError> {
    for change in changes {
        check_name(&change.path)?;
    }
    let mut packer = Packer {
        stack: vec![tree.root()?],
        at: PathBuf::new(),
        writer: Writer::new(out),
        links: HashMap::new(),
        done: Packed::default(),
    };
    for change in changes {
        packer.change(change)?;
    }
    let Packer {
        writer, mut done, ..
    } = packer;
    done.size = writer.position() + END_MARKER;
    let failed = |source| PackError::Write {
        path: PathBuf::from("."),
        source,
    };
    writer.finish().map_err(failed)?;
    Ok(done)
}

/// Two zero blocks.
const END_MARKER: u64 = 1024;

fn check_name(path: &Path) -> Result<(), PackError> {
    let is_sign = |part: Component<'_>| part.as_os_str().as_bytes().starts_with(WHITEOUT_PREFIX);
    if path.components().any(is_sign) {
        Err(PackError::Name {
            path: path.to_owned(),
        })
    } else {
        Ok(())
    }
}

/// Refuses an owner that no layer could name: what is shown in his place is another one.
fn check_owner(unmapped: Option<UnmappedId>, path: &Path) -> Result<(), PackError> {
    match unmapped {
        Some(source) => Err(PackError::Owner {
            path: path.to_owned(),
            source,
        }),
        None => Ok(()),
    }
}

struct Packer<'a, W: Write> {
    /// The directories from the root to where the last change was.
    stack: Vec<ViewDir<'a>>,
    /// The path of the last of them.
    at: PathBuf,
    writer: Writer<W>,
    /// The first name under which a file with several was packed.
    links: HashMap<(u64, u64), Vec<u8>>,
    done: Packed,
}

impl<W: Write> Packer<'_, W> {
    fn change(&mut self, change: &Change) -> Result<(), PackError> {
        let path = &change.path;
        let Some(name) = path.file_name() else {
            return self.root();
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        if change.kind == ChangeKind::Deleted {
            return self.whiteout(parent, name);
        }
        let missing = || PackError::Missing { path: path.clone() };
        if !self.enter(parent)? {
            return Err(missing());
        }
        let entry = self.here().entry(name)?.ok_or_else(missing)?;
        self.object(path, &entry)
    }

    fn here(&self) -> &ViewDir<'_> {
        self.stack.last().expect("the root stays")
    }

    /// Makes `path` the directory that [`here`](Packer::here) is; returns whether it is there.
    fn enter(&mut self, path: &Path) -> Result<bool, FsError> {
        while !path.starts_with(&self.at) {
            self.stack.pop();
            self.at.pop();
        }
        let below = path.strip_prefix(&self.at).unwrap_or(path);
        for name in below {
            let here = self.stack.last().expect("the root stays");
            let Some(entry) = here.entry(name)? else {
                return Ok(false);
            };
            if entry.metadata().kind != FileKind::Directory {
                return Ok(false);
            }
            let inside = here.open_dir(&entry)?;
            self.stack.push(inside);
            self.at.push(name);
        }
        Ok(true)
    }

    fn root(&mut self) -> Result<(), PackError> {
        self.stack.truncate(1);
        self.at.clear();
        check_owner(self.here().unmapped(), Path::new("."))?;
        let metadata = self.here().metadata().clone();
        let attributes = bytes(self.here().own_xattrs()?);
        let member = NewMember {
            xattrs: &attributes,
            ..stated(b"./", Kind::Directory, &metadata)
        };
        self.append(&member, Path::new("."), io::empty())
    }

    fn whiteout(&mut self, parent: &Path, name: &OsStr) -> Result<(), PackError> {
        let sign = [WHITEOUT_PREFIX, name.as_bytes()].concat();
        let path = parent.join(OsStr::from_bytes(&sign));
        let member = NewMember::new(path.as_os_str().as_bytes(), Kind::File);
        self.append(&member, &path, io::empty())
    }

    fn object(&mut self, path: &Path, entry: &Entry) -> Result<(), PackError> {
        let metadata = entry.metadata();
        let kind = match metadata.kind {
            FileKind::File => Kind::File,
            FileKind::Directory => Kind::Directory,
            FileKind::Symlink => Kind::Symlink,
            FileKind::CharDevice if metadata.device == Device::default() => {
                return Err(PackError::WhiteoutDevice {
                    path: path.to_owned(),
                });
            }
            FileKind::CharDevice => Kind::CharDevice,
            FileKind::BlockDevice => Kind::BlockDevice,
            FileKind::Fifo => Kind::Fifo,
            FileKind::Socket => {
                self.done.sockets.push(path.to_owned());
                return Ok(());
            }
        };
        check_owner(entry.unmapped(), path)?;
        let name = path.as_os_str().as_bytes();
        let mut member = stated(name, kind, metadata);
        let id = (metadata.filesystem, metadata.inode);
        if metadata.links > 1 && kind != Kind::Directory {
            if let Some(first) = self.links.get(&id) {
                let first = first.clone();
                member = NewMember {
                    kind: Kind::HardLink,
                    link: &first,
                    size: 0,
                    ..member
                };
                return self.append(&member, path, io::empty());
            }
            self.links.insert(id, name.to_vec());
        }
        let attributes = bytes(self.here().xattrs(entry)?);
        member.xattrs = &attributes;
        match kind {
            Kind::File => {
                member.size = metadata.size;
                let file = self.here().open_file(entry)?;
                self.append(&member, path, file)
            }
            Kind::Symlink => {
                let target = self.here().read_link(entry)?.into_vec();
                member.link = &target;
                self.append(&member, path, io::empty())
            }
            _ => self.append(&member, path, io::empty()),
        }
    }

    fn append(
        &mut self,
        member: &NewMember<'_>,
        path: &Path,
        data: impl Read,
    ) -> Result<(), PackError> {
        self.done.entries += 1;
        self.writer
            .append(member, data)
            .map_err(|source| match source {
                WriteError::Length { .. } => PackError::Changed {
                    path: path.to_owned(),
                },
                source => PackError::Write {
                    path: path.to_owned(),
                    source,
                },
            })
    }
}

/// Makes the member that an object becomes, but for attributes, link and size.
fn stated<'a>(path: &'a [u8], kind: Kind, metadata: &Metadata) -> NewMember<'a> {
    let Device { major, minor } = metadata.device;
    NewMember {
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        mtime: metadata.modified,
        device: (major, minor),
        ..NewMember::new(path, kind)
    }
}

fn bytes(attributes: Attributes) -> Vec<(Vec<u8>, Vec<u8>)> {
    attributes
        .into_iter()
        .map(|(key, value)| (key.into_vec(), value))
        .collect()
}
