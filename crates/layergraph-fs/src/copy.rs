//! Copies of files and trees with everything they have, content shared where the file system can.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use crate::atomic::private_name;
use crate::dir::HERE;
use crate::sys::change;
use crate::{Dir, FileKind, FsError, Metadata, NewFile, RenameMode, Result, remove_tree};

/// Copies `name` of `from`, with all that is in it if it is a directory, to `to_name` in `to`,
/// which must not exist.
///
/// The copy has the content, with its holes, and kind, owner, mode, times to the nanosecond, device
/// number, link target and extended attributes of each object; names of one file in the tree are
/// names of one file in the copy. Content is shared where the file system can (`FICLONE` in
/// `ioctl_ficlonerange(2)`). No link is followed.
///
/// Labels of the host's security modules are copied only where the kernel lets us.
///
/// # Errors
///
/// The first object that could not be copied; the copy is then incomplete, and is the caller's to
/// remove. An ordinary user cannot copy what belongs to others, nor devices. Each level of the tree
/// holds two handles open.
pub fn copy_tree(from: &Dir, name: &OsStr, to: &Dir, to_name: &OsStr) -> Result<()> {
    let mut copy = Copy::default();
    copy.object(from, name, to, to_name, Path::new(""))?;
    while let Some(level) = copy.levels.last_mut() {
        if let Some(name) = level.names.pop() {
            let (from, to) = (Arc::clone(&level.from), Arc::clone(&level.to));
            let path = level.path.join(&name);
            copy.object(&from, &name, &to, &name, &path)?;
        } else if let Some(level) = copy.levels.pop() {
            let here = OsStr::new(HERE);
            state(&level.from, here, &level.to, here, &level.metadata)?;
        }
    }
    Ok(())
}

/// Puts a copy of `name`, which is no directory, in its place, so that no other name leads to it.
///
/// # Errors
///
/// After an error the old object is in its place and nothing is left beside it.
pub fn replace_by_copy(dir: &Dir, name: &OsStr) -> Result<()> {
    let copy = private_name(dir)?;
    let result = copy_tree(dir, name, dir, &copy)
        .and_then(|()| disinherit(dir, name, &copy))
        .and_then(|()| dir.rename(&copy, dir, name, RenameMode::Replace));
    if result.is_err() {
        // The first error is the one to tell.
        let _ = remove_tree(dir, &copy);
    }
    result
}

/// Takes from a copy what it has inherited from its directory and the original has not.
fn disinherit(dir: &Dir, name: &OsStr, copy: &OsStr) -> Result<()> {
    let wanted = dir.xattrs(name)?;
    for (key, _) in dir.xattrs(copy)? {
        let inherited = key.as_encoded_bytes().starts_with(b"system.posix_acl_");
        if inherited && !wanted.iter().any(|(known, _)| *known == key) {
            dir.remove_xattr(copy, &key)?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Copy {
    /// The copy of the directory that is copied.
    top: Option<Arc<Dir>>,
    /// Where below that the copy of a file with several names is.
    links: HashMap<(u64, u64), PathBuf>,
    levels: Vec<Level>,
}

/// A directory while it is copied.
struct Level {
    from: Arc<Dir>,
    to: Arc<Dir>,
    /// From the directory that is copied.
    path: PathBuf,
    metadata: Metadata,
    names: Vec<OsString>,
}

impl Copy {
    fn object(
        &mut self,
        from: &Dir,
        name: &OsStr,
        to: &Dir,
        to_name: &OsStr,
        path: &Path,
    ) -> Result<()> {
        let metadata = from.metadata(name)?;
        if metadata.kind == FileKind::Directory {
            let from = Arc::new(from.open_dir(name)?);
            let names = from
                .entries()?
                .into_iter()
                .map(|entry| entry.name)
                .collect();
            to.make_dir(to_name, 0o700)?;
            let to = Arc::new(to.open_dir(to_name)?);
            self.top.get_or_insert_with(|| Arc::clone(&to));
            let path = path.to_owned();
            self.levels.push(Level {
                from,
                to,
                path,
                metadata,
                names,
            });
            return Ok(());
        }
        if metadata.links > 1
            && let (Some(top), Some(first)) = (&self.top, self.links.get(&metadata.id()))
        {
            return link(top, first, to, to_name);
        }
        match metadata.kind {
            FileKind::File => {
                let (file, metadata) = from.open_listed_file(name)?;
                let mut copy = to.create_file(to_name, 0o600)?;
                copy_content(file, &mut copy, metadata.size)?;
            }
            FileKind::Symlink => to.make_symlink(to_name, &from.read_link(name)?)?,
            kind => to.make_node(to_name, kind, 0o600, metadata.device)?,
        }
        state(from, name, to, to_name, &metadata)?;
        if metadata.links > 1 {
            self.links.insert(metadata.id(), path.to_owned());
        }
        Ok(())
    }
}

/// Gives what was copied to `first` below `top` another name.
fn link(top: &Arc<Dir>, first: &Path, to: &Dir, name: &OsStr) -> Result<()> {
    let mut dir = Arc::clone(top);
    let mut names = first.iter().peekable();
    while let Some(first_name) = names.next() {
        if names.peek().is_none() {
            return to.make_hard_link(name, &dir, first_name);
        }
        dir = Arc::new(dir.pass(first_name)?);
    }
    Err(top.here().error("linkat", Errno::INVAL))
}

/// Gives a copy the metadata of the original: owner, mode, attributes, times, in the order in which
/// the kernel lets them stand.
fn state(from: &Dir, name: &OsStr, to: &Dir, to_name: &OsStr, metadata: &Metadata) -> Result<()> {
    let now = to.metadata(to_name)?;
    if (now.uid, now.gid) != (metadata.uid, metadata.gid) {
        to.set_owner(to_name, metadata.uid, metadata.gid)?;
    }
    if metadata.kind != FileKind::Symlink {
        to.set_mode(to_name, metadata.mode)?;
    }
    for (key, value) in from.xattrs(name)? {
        let label = key.as_encoded_bytes().starts_with(b"security.")
            && key.as_encoded_bytes() != b"security.capability";
        match to.set_xattr(to_name, &key, &value) {
            Err(error) if label && (error.is(Errno::PERM) || error.is(Errno::OPNOTSUPP)) => {}
            result => result?,
        }
    }
    to.set_times(to_name, Some(metadata.accessed), Some(metadata.modified))
}

/// Copies the content of a file; blocks of zeros become holes.
fn copy_content(mut from: File, to: &mut NewFile, size: u64) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    match change("ioctl", to.at(), || rustix::fs::ioctl_ficlone(&*to, &from)) {
        Err(error) if cannot_share(&error) => {}
        result => return result,
    }
    let at = to.at().path();
    let failed = |source| FsError::new("read", &at, source);
    from.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut buffer = vec![0; 128 << 10];
    let mut position = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        if buffer[..read].iter().any(|&byte| byte != 0) {
            to.seek(position)?;
            to.write_all(&buffer[..read])?;
        }
        position += read as u64;
    }
    to.set_size(position)
}

fn cannot_share(error: &FsError) -> bool {
    let reasons = [
        Errno::NOTTY,
        Errno::OPNOTSUPP,
        Errno::XDEV,
        Errno::INVAL,
        Errno::NOSYS,
        Errno::PERM,
    ];
    reasons.into_iter().any(|errno| error.is(errno))
}
