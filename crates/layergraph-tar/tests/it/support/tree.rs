//! Trees as a file system has them and as an archive states them, in one form.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, Error};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use layergraph_tar::{Kind, Member, NewMember, Reader, Tap, TarError, WriteError, Writer};
use rustix::fs::{
    AtFlags, CWD, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr, lsetxattr, major, minor,
    utimensat,
};

/// Seconds since 1970, rounded down, and nanoseconds.
pub(crate) type Time = (i64, u32);

/// What has one or more names in a tree.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: Time,
    pub(crate) link: Vec<u8>,
    pub(crate) device: (u32, u32),
    pub(crate) content: Vec<u8>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// All its names.
    pub(crate) names: BTreeSet<Vec<u8>>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .names
            .iter()
            .map(|name| name.escape_ascii().to_string());
        let names: Vec<_> = names.collect();
        write!(
            f,
            "{names:?} {:?} {:o} {:?} {:?} -> {} {:?} {:?} {} bytes: {}",
            self.kind,
            self.mode,
            self.owner,
            self.mtime,
            self.link.escape_ascii(),
            self.device,
            self.xattrs,
            self.content.len(),
            self.content[..self.content.len().min(40)].escape_ascii(),
        )
    }
}

/// Objects by name; the root itself is left out.
pub(crate) type Tree = BTreeMap<Vec<u8>, Object>;

/// Compares name by name.
pub(crate) fn assert_same(actual: &Tree, expected: &Tree, what: &str) {
    let names = |tree: &Tree| -> Vec<String> {
        let escape = |name: &Vec<u8>| name.escape_ascii().to_string();
        tree.keys().map(escape).collect()
    };
    assert_eq!(names(actual), names(expected), "names, {what}");
    for (name, object) in expected {
        assert_eq!(&actual[name], object, "{what}");
    }
}

/// Cuts times to whole seconds, for formats without fractions.
pub(crate) fn whole_seconds(mut tree: Tree) -> Tree {
    for object in tree.values_mut() {
        object.mtime.1 = 0;
    }
    tree
}

/// Returns the tree below a directory.
pub(crate) fn on_disk(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut by_inode = BTreeMap::<u64, BTreeSet<Vec<u8>>>::new();
    let mut to_visit = vec![root.to_path_buf()];
    while let Some(directory) = to_visit.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let metadata = fs::symlink_metadata(&path)?;
            let name = path.strip_prefix(root).map_err(Error::other)?;
            let name = name.as_os_str().as_bytes().to_vec();
            let names = by_inode.entry(metadata.ino()).or_default();
            names.insert(name.clone());
            tree.insert(name, object(&path, &metadata)?);
            if metadata.is_dir() {
                to_visit.push(path);
            }
        }
    }
    let all: Vec<_> = by_inode.into_values().collect();
    for names in all {
        for name in &names {
            let object = tree.get_mut(name).expect("it was inserted");
            object.names.clone_from(&names);
        }
    }
    Ok(tree)
}

fn object(path: &Path, metadata: &Metadata) -> io::Result<Object> {
    let file_type = metadata.file_type();
    let kind = match () {
        () if file_type.is_dir() => Kind::Directory,
        () if file_type.is_symlink() => Kind::Symlink,
        () if file_type.is_fifo() => Kind::Fifo,
        () if file_type.is_char_device() => Kind::CharDevice,
        () if file_type.is_block_device() => Kind::BlockDevice,
        () => Kind::File,
    };
    let device = match kind {
        Kind::CharDevice | Kind::BlockDevice => (major(metadata.rdev()), minor(metadata.rdev())),
        _ => (0, 0),
    };
    let link = match kind {
        Kind::Symlink => fs::read_link(path)?.into_os_string().into_vec(),
        _ => Vec::new(),
    };
    let content = match kind {
        Kind::File => fs::read(path)?,
        _ => Vec::new(),
    };
    Ok(Object {
        kind,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        mtime: (
            metadata.mtime(),
            u32::try_from(metadata.mtime_nsec()).map_err(Error::other)?,
        ),
        link,
        device,
        content,
        xattrs: xattrs(path)?,
        names: BTreeSet::new(),
    })
}

/// Returns the attributes that users set.
fn xattrs(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut buffer = vec![0; 65_536];
    let length = llistxattr(path, &mut buffer[..])?;
    let mut xattrs = Vec::new();
    for name in buffer[..length].split(|&byte| byte == 0) {
        if name.starts_with(b"user.") {
            let mut value = vec![0; 65_536];
            let length = lgetxattr(path, OsStr::from_bytes(name), &mut value[..])?;
            value.truncate(length);
            xattrs.push((name.to_vec(), value));
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// Returns the tree that an archive states.
pub(crate) fn in_archive(archive: &[u8]) -> Result<Tree, TarError> {
    let mut reader = Reader::new(archive);
    let mut tree = Tree::new();
    while let Some(member) = reader.next_member()? {
        let name = clean(&member.path);
        if name.is_empty() {
            continue;
        }
        let content = content(&mut reader, &member)?;
        if member.kind == Kind::HardLink {
            let target = clean(&member.link);
            let object = tree.get_mut(&target).expect("the target came before");
            object.names.insert(name);
            let object = object.clone();
            for name in &object.names {
                tree.insert(name.clone(), object.clone());
            }
            continue;
        }
        let object = Object {
            kind: member.kind,
            mode: member.mode,
            owner: (member.uid, member.gid),
            mtime: time(member.mtime),
            link: member.link,
            device: member.device,
            content,
            xattrs: member.xattrs,
            names: BTreeSet::from([name.clone()]),
        };
        tree.insert(name, object);
    }
    reader.finish()?;
    Ok(tree)
}

fn clean(path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    path.strip_suffix(b"/").unwrap_or(path).to_vec()
}

/// Reads the content of a file, holes as zeros.
fn content(reader: &mut Reader<&[u8]>, member: &Member) -> Result<Vec<u8>, TarError> {
    let stored = data(reader)?;
    assert_eq!(stored.len() as u64, member.stored_size);
    let Some(segments) = &member.sparse else {
        assert_eq!(member.size, member.stored_size);
        return Ok(stored);
    };
    let index = |number: u64| usize::try_from(number).expect("tests have small files");
    let mut content = vec![0; index(member.size)];
    let mut rest = &stored[..];
    for segment in segments {
        let (run, after) = rest.split_at(index(segment.length));
        content[index(segment.offset)..][..run.len()].copy_from_slice(run);
        rest = after;
    }
    assert_eq!(rest, b"");
    Ok(content)
}

/// Reads the stored data of the current member.
pub(crate) fn data<R: io::Read, T: Tap>(reader: &mut Reader<R, T>) -> Result<Vec<u8>, TarError> {
    let mut data = Vec::new();
    loop {
        let chunk = reader.chunk()?;
        let length = chunk.len();
        if length == 0 {
            return Ok(data);
        }
        data.extend_from_slice(chunk);
        reader.consume(length);
    }
}

/// Writes a tree; of several names of an object all but the first become hard links.
pub(crate) fn pack(tree: &Tree) -> Result<Vec<u8>, WriteError> {
    let mut writer = Writer::new(Vec::new());
    for (name, object) in tree {
        let first = object.names.first().unwrap_or(name);
        let (kind, link) = if first == name {
            (object.kind, &object.link)
        } else {
            (Kind::HardLink, first)
        };
        let member = NewMember {
            link,
            mode: object.mode,
            uid: object.owner.0,
            gid: object.owner.1,
            mtime: system_time(object.mtime),
            size: object.content.len() as u64,
            device: object.device,
            xattrs: &object.xattrs,
            ..NewMember::new(name, kind)
        };
        writer.append(&member, &object.content[..])?;
    }
    writer.finish()
}

pub(crate) fn time(time: SystemTime) -> Time {
    let nanos = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos().cast_signed(),
        Err(before) => -before.duration().as_nanos().cast_signed(),
    };
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000));
    let rest = u32::try_from(nanos.rem_euclid(1_000_000_000));
    (seconds.expect("in range"), rest.expect("in range"))
}

pub(crate) fn system_time((seconds, nanos): Time) -> SystemTime {
    let whole = std::time::Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds < 0 {
        UNIX_EPOCH - whole
    } else {
        UNIX_EPOCH + whole
    };
    whole + std::time::Duration::from_nanos(nanos.into())
}

/// A tree on disk while it is made.
pub(crate) struct Maker<'a>(pub(crate) &'a Path);

impl Maker<'_> {
    pub(crate) fn file(&self, name: &[u8], content: &[u8]) -> io::Result<()> {
        fs::write(self.at(name), content)
    }

    pub(crate) fn directory(&self, name: &[u8]) -> io::Result<()> {
        fs::create_dir(self.at(name))
    }

    pub(crate) fn symlink(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        symlink(OsStr::from_bytes(target), self.at(name))
    }

    pub(crate) fn hard_link(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        fs::hard_link(self.at(target), self.at(name))
    }

    pub(crate) fn xattr(&self, name: &[u8], key: &str, value: &[u8]) -> io::Result<()> {
        lsetxattr(self.at(name), key, value, XattrFlags::empty())?;
        Ok(())
    }

    /// Sets the time of one object, or of all that are there.
    pub(crate) fn time(&self, name: &[u8], (seconds, nanos): Time) -> io::Result<()> {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: nanos.into(),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        utimensat(CWD, self.at(name), &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    pub(crate) fn all_times(&self, time: Time) -> io::Result<()> {
        for name in on_disk(self.0)?.keys() {
            self.time(name, time)?;
        }
        Ok(())
    }

    pub(crate) fn at(&self, name: &[u8]) -> std::path::PathBuf {
        self.0.join(OsStr::from_bytes(name))
    }
}
