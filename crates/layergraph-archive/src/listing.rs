//! The canonical listing of a tree: one line an object, the same for the same tree anywhere.
//!
//! A line has eight fields with a tab between them:
//!
//! 1. the path from the root, which itself is `.`;
//! 2. the type: `f` file, `d` directory, `l` symbolic link, `c` and `b` devices, `p` named pipe,
//!    `s` socket;
//! 3. the permission bits with setuid, setgid and sticky, in four or more octal digits, `-` for a
//!    link;
//! 4. `uid:gid`, which are those of layers in a [mapped](crate::Ownership::Mapped) tree, and 65534
//!    for what is in no range;
//! 5. of a file `size:sha256 of the content`, of a link its target, of a device `major,minor`;
//! 6. the time of modification as `seconds.nanoseconds`, `-` for a directory;
//! 7. of a file the path of the first one in the listing that is the same file, `-` if this is the
//!    first;
//! 8. the extended attributes as `name=hex`, in order of their names, joined by `;`.
//!
//! What a field has nothing to say about is `-`. Directories come before what is in them, names in
//! order of their bytes. Bytes outside of `0x21..=0x7e`, and backslashes, are written `\xHH`.
//!
//! Two trees have equal listings if and only if they are equal in all of that. Not shown are
//!
//! - when directories were modified, and when anything was read or had its metadata changed;
//! - the mode of a link, which means nothing, and the size of a directory;
//! - that a link, device, pipe or socket has several names, and the names of a file that are
//!   outside of the tree;
//! - where files have holes;
//! - the labels of the host's security modules (`security.selinux` and its kin), and flags that are
//!   no extended attributes (`chattr(1)`);
//! - what only says how the tree is kept on disk: the signs of a [`View::union`]'s dialect, and the
//!   records of owners in a [squashed](crate::Ownership::Squash) tree.

use std::collections::HashMap;
use std::collections::hash_map;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use layergraph_digest::{Algorithm, Hasher};
use layergraph_fs::{Device, FileKind, FsError, Metadata, seconds_and_nanos};

use crate::attributes::{Attributes, is_host_label};
use crate::uninterrupted::read_uninterrupted;
use crate::view::{Entry, View, ViewDir};

/// Why a tree was not listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListingError {
    /// The tree could not be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The listing could not be written.
    #[error("cannot write the listing")]
    Write(#[source] io::Error),
}

/// Writes the listing of a tree; its form is that of this module's documentation.
pub fn listing(tree: &View, out: &mut dyn Write) -> Result<(), ListingError> {
    let mut lister = Lister {
        out,
        path: PathBuf::new(),
        first_names: HashMap::new(),
    };
    let root = tree.root()?;
    let attributes = root.shown_xattrs(None)?;
    lister.line(".", root.metadata(), "-", "-", attributes)?;
    lister.below(root)
}

struct Lister<'a> {
    out: &'a mut dyn Write,
    /// Of the directory that is being listed. One for all, or a deep tree would cost the square of
    /// its depth.
    path: PathBuf,
    /// By inode, the escaped path under which a file was listed first.
    first_names: HashMap<(u64, u64), String>,
}

impl Lister<'_> {
    /// Lists what is below the root, without recursion: trees come as deep as they like.
    fn below(&mut self, root: ViewDir<'_>) -> Result<(), ListingError> {
        let left = root.entries()?.into_iter();
        let mut stack = vec![(root, left)];
        while let Some((dir, left)) = stack.last_mut() {
            let Some(entry) = left.next() else {
                stack.pop();
                self.path.pop();
                continue;
            };
            self.entry(dir, &entry)?;
            if entry.metadata().kind == FileKind::Directory {
                let inside = dir.open_dir(&entry)?;
                let left = inside.entries()?.into_iter();
                stack.push((inside, left));
                self.path.push(entry.name());
            }
        }
        Ok(())
    }

    fn entry(&mut self, dir: &ViewDir<'_>, entry: &Entry) -> Result<(), ListingError> {
        let metadata = entry.metadata();
        let path = self.path.join(entry.name());
        let shown = escaped(path.as_os_str().as_bytes());
        let content = match metadata.kind {
            FileKind::File => content(dir, entry, &path)?,
            FileKind::Symlink => escaped(dir.read_link(entry)?.as_bytes()),
            FileKind::CharDevice | FileKind::BlockDevice => {
                let Device { major, minor } = metadata.device;
                format!("{major},{minor}")
            }
            _ => "-".to_owned(),
        };
        let mut first = "-".to_owned();
        if metadata.kind == FileKind::File && metadata.links > 1 {
            match self.first_names.entry(metadata.id()) {
                hash_map::Entry::Occupied(known) => first.clone_from(known.get()),
                hash_map::Entry::Vacant(new) => _ = new.insert(shown.clone()),
            }
        }
        let attributes = dir.shown_xattrs(Some(entry))?;
        self.line(&shown, metadata, &content, &first, attributes)
    }

    fn line(
        &mut self,
        path: &str,
        metadata: &Metadata,
        content: &str,
        first: &str,
        attributes: Attributes,
    ) -> Result<(), ListingError> {
        let (kind, mode) = (letter(metadata.kind), mode(metadata));
        let (uid, gid) = (metadata.uid, metadata.gid);
        let (time, attributes) = (time(metadata), shown_attributes(attributes));
        writeln!(
            self.out,
            "{path}\t{kind}\t{mode}\t{uid}:{gid}\t{content}\t{time}\t{first}\t{attributes}"
        )
        .map_err(ListingError::Write)
    }
}

fn content(dir: &ViewDir<'_>, entry: &Entry, path: &Path) -> Result<String, FsError> {
    let mut file = dir.open_file(entry)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let length = read_uninterrupted(&mut file, &mut buffer)
            .map_err(|source| FsError::new("read", path, source))?;
        if length == 0 {
            return Ok(format!("{size}:{}", hasher.finish().hex()));
        }
        hasher.update(&buffer[..length]);
        size += length as u64;
    }
}

fn letter(kind: FileKind) -> char {
    match kind {
        FileKind::File => 'f',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
    }
}

fn mode(metadata: &Metadata) -> String {
    match metadata.kind {
        FileKind::Symlink => "-".to_owned(),
        _ => format!("{:04o}", metadata.mode),
    }
}

fn time(metadata: &Metadata) -> String {
    if metadata.kind == FileKind::Directory {
        return "-".to_owned();
    }
    // As the kernel keeps it: half a second before 1970 is -1 and 500,000,000 ns above that.
    let (seconds, nanos) = seconds_and_nanos(metadata.modified);
    format!("{seconds}.{nanos:09}")
}

fn shown_attributes(attributes: Attributes) -> String {
    let mut text = String::new();
    for (key, value) in attributes {
        if is_host_label(key.as_bytes()) {
            continue;
        }
        if !text.is_empty() {
            text.push(';');
        }
        text.push_str(&escaped(key.as_bytes()));
        text.push('=');
        for byte in value {
            write!(text, "{byte:02x}").expect("a string takes it");
        }
    }
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\x5c"),
            0x21..=0x7e => text.push(byte.into()),
            _ => write!(text, "\\x{byte:02x}").expect("a string takes it"),
        }
    }
    text
}
