//! What an archive says of one member.

use std::time::SystemTime;

/// What kind of object a member makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A regular file: type `0`, NUL, `7` (contiguous) and `S` (old GNU sparse).
    File,
    /// A further name of a member before it, named by [`Member::link`]: type `1`.
    HardLink,
    /// A symbolic link to [`Member::link`]: type `2`.
    Symlink,
    /// A character device: type `3`.
    CharDevice,
    /// A block device: type `4`.
    BlockDevice,
    /// A directory: type `5`, or a file by its type whose name ends in `/` (as v7 wrote
    /// directories). It has no data.
    Directory,
    /// A named pipe: type `6`.
    Fifo,
    /// A PAX global header: type `g`. It is no object of a tree. Its records, which POSIX says
    /// apply to all members that follow, are checked and not applied, as by Go's archive/tar, on
    /// which most container tools are built. Its body is no data; [`Member::size`] is its length.
    Global,
    /// Any other type, by its byte: GNU's `D`, `M`, `N` and `V`, and what nobody has defined.
    Other(u8),
}

/// A run of stored bytes within a sparse file; what lies between the runs is zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Where the run begins in the file, in bytes.
    pub offset: u64,
    /// How long it is, in bytes; never 0.
    pub length: u64,
}

/// A member of an archive: everything its headers say, before its data.
///
/// Names are bytes as the archive has them: not cleaned, not checked for `..`, not necessarily
/// UTF-8, and free of NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The name, a trailing slash kept. May be empty.
    pub path: Vec<u8>,
    /// The kind of object.
    pub kind: Kind,
    /// The target of a link, empty for other kinds.
    pub link: Vec<u8>,
    /// The permission bits, setuid, setgid and sticky included (`0o7777`).
    pub mode: u32,
    /// The owner's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// The owner's name, or empty.
    pub user: Vec<u8>,
    /// The group's name, or empty.
    pub group: Vec<u8>,
    /// When the content was last changed; may lie before 1970 and have a fraction.
    pub mtime: SystemTime,
    /// When it was last read, where the archive says so.
    pub atime: Option<SystemTime>,
    /// When its metadata last changed, where the archive says so.
    pub ctime: Option<SystemTime>,
    /// The size in bytes of the file it makes, holes included. 0 for what has no data, whatever
    /// its header block states.
    pub size: u64,
    /// How many bytes of data the archive holds for it: what [`Reader::chunk`] gives in all.
    ///
    /// [`Reader::chunk`]: crate::Reader::chunk
    pub stored_size: u64,
    /// Where the stored bytes belong in a sparse file; `None` for all others.
    ///
    /// The segments are sorted, do not overlap, lie within `size`, and their lengths add up to
    /// `stored_size`.
    pub sparse: Option<Vec<Segment>>,
    /// Major and minor number of a device, else zeros.
    pub device: (u32, u32),
    /// The extended attributes, each name once, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the member's first header block begins in the stream, extension headers included.
    pub header_position: u64,
    /// Where its stored data begin in the stream.
    pub data_position: u64,
}
