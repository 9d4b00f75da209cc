//! The writer: the same members always give the same bytes.

use std::io::{Read, Write};
use std::marker::PhantomData;
use std::time::SystemTime;

use crate::{Kind, WriteError};

/// A member to be written. Fields that a kind has no use for are not looked at.
#[derive(Debug, Clone, Copy)]
pub struct NewMember<'a> {
    /// The name; a directory gets its trailing slash from the writer.
    pub path: &'a [u8],
    /// The kind of object; [`Kind::Other`] is refused.
    pub kind: Kind,
    /// The target of a link.
    pub link: &'a [u8],
    /// The permission bits; further bits are dropped.
    pub mode: u32,
    /// The owner's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// The owner's name, usually empty.
    pub user: &'a [u8],
    /// The group's name, usually empty.
    pub group: &'a [u8],
    /// When the content was last changed.
    pub mtime: SystemTime,
    /// When it was last read, if that is to be written.
    pub atime: Option<SystemTime>,
    /// When its metadata last changed, if that is to be written.
    pub ctime: Option<SystemTime>,
    /// The size of a file in bytes.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// The extended attributes, in any order, each name once.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

impl<'a> NewMember<'a> {
    /// Makes a member with no rights, owned by 0:0, of the year 1970, without data or attributes.
    pub fn new(path: &'a [u8], kind: Kind) -> Self {
        NewMember {
            path,
            kind,
            link: &[],
            mode: 0,
            uid: 0,
            gid: 0,
            user: &[],
            group: &[],
            mtime: SystemTime::UNIX_EPOCH,
            atime: None,
            ctime: None,
            size: 0,
            device: (0, 0),
            xattrs: &[],
        }
    }
}

/// Writes an archive, deterministically.
#[derive(Debug)]
pub struct Writer<W> {
    wip: PhantomData<W>,
}

impl<W: Write> Writer<W> {
    /// Makes a writer of an archive to `output`, which needs no buffer of its own.
    pub fn new(output: W) -> Self {
        let _ = output;
        todo!()
    }

    /// Writes a member with its data: `member.size` bytes of `data`, which must end there.
    ///
    /// Only files have data; for other kinds `data` is not read (`io::empty()` will do).
    pub fn append(&mut self, member: &NewMember<'_>, data: impl Read) -> Result<(), WriteError> {
        let _ = (member, data);
        todo!()
    }

    /// Writes the headers of a member, after which come `member.size` bytes by
    /// [`write_data`](Writer::write_data), if it is a file.
    pub fn begin(&mut self, member: &NewMember<'_>) -> Result<(), WriteError> {
        let _ = member;
        todo!()
    }

    /// Writes data of the member that was begun last.
    pub fn write_data(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let _ = bytes;
        todo!()
    }

    /// Ends the member that was begun last; all its data must have been written.
    pub fn end(&mut self) -> Result<(), WriteError> {
        todo!()
    }

    /// Returns how many bytes of archive were written so far.
    pub fn position(&self) -> u64 {
        todo!()
    }

    /// Writes the end marker (1,024 zero bytes), flushes and gives back the output.
    #[must_use = "an archive without its end marker is incomplete"]
    pub fn finish(self) -> Result<W, WriteError> {
        todo!()
    }
}
