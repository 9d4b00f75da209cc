//! Layers from a few words.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use layergraph_tar::{Kind, NewMember, Writer};

use super::lab::Fallible;

/// Writes a layer.
pub(super) struct Layer {
    writer: Writer<Vec<u8>>,
    owner: (u32, u32),
}

/// When everything in a layer was modified, unless it says otherwise.
pub(super) fn moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_433_116_800, 123_456_789)
}

impl Layer {
    /// Begins a layer whose objects belong to whoever runs the law.
    pub(super) fn new() -> Fallible<Layer> {
        let made = fs::metadata(tempfile::tempdir()?.path())?;
        Ok(Layer {
            writer: Writer::new(Vec::new()),
            owner: (made.uid(), made.gid()),
        })
    }

    /// Writes a layer of lines.
    pub(super) fn of(lines: &[&str]) -> Fallible<Vec<u8>> {
        let mut layer = Layer::new()?;
        for line in lines {
            layer.line(line)?;
        }
        layer.finish()
    }

    /// Adds an object: `d/` is a directory, `f = text` a file, `l -> target` a symbolic link,
    /// `h => f` a further name of the file `f`, anything else an empty file, such as the sign
    /// `.wh.f` of a deletion.
    pub(super) fn line(&mut self, line: &str) -> Fallible {
        let (path, kind, rest) = if let Some((path, text)) = line.split_once(" = ") {
            (path, Kind::File, text)
        } else if let Some((path, target)) = line.split_once(" -> ") {
            (path, Kind::Symlink, target)
        } else if let Some((path, target)) = line.split_once(" => ") {
            (path, Kind::HardLink, target)
        } else if let Some(path) = line.strip_suffix('/') {
            (path, Kind::Directory, "")
        } else {
            (line, Kind::File, "")
        };
        let member = self.member(path, kind);
        if kind == Kind::File {
            return self.add(&member, rest.as_bytes());
        }
        let member = NewMember {
            link: rest.as_bytes(),
            ..member
        };
        self.add(&member, b"")
    }

    /// Makes a member that whoever runs the law may have.
    pub(super) fn member<'a>(&self, path: &'a str, kind: Kind) -> NewMember<'a> {
        let (uid, gid) = self.owner;
        NewMember {
            mode: match kind {
                Kind::Directory => 0o755,
                Kind::Symlink => 0o777,
                _ => 0o644,
            },
            uid,
            gid,
            mtime: moment(),
            ..NewMember::new(path.as_bytes(), kind)
        }
    }

    pub(super) fn add(&mut self, member: &NewMember<'_>, data: &[u8]) -> Fallible {
        let size = data.len() as u64;
        Ok(self.writer.append(&NewMember { size, ..*member }, data)?)
    }

    pub(super) fn finish(self) -> Fallible<Vec<u8>> {
        Ok(self.writer.finish()?)
    }
}
