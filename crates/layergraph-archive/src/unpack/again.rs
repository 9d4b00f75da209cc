//! A file that the next entry states once more.
//!
//! Some layers state one file many times over. To replace it takes a new inode each time, and ext4
//! without a journal does not give those of removed files out again for some minutes: it looks at
//! each of them, thousands for every file. So the file of the entry just before is held open, and
//! an entry that says the same of it, but for content and times, writes it anew where it is.
//!
//! What is written was made by this unpacking, and is reached by the handle it was made with: no
//! name is opened for writing (R7). Nobody gets to see or change what a new file would keep from
//! him, because owner, mode and attributes are the same before and after; where they are not, or
//! there is anything more to it (set-uid, attributes of the layer's, a second name), a new file it
//! is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use layergraph_fs::{Device, FileKind, NewFile};
use layergraph_tar::{Kind, Member};

use super::directories::{ObjectId, Stated};
use super::{Parent, UnpackError, Unpacker};
use crate::Ownership;
use crate::attributes::is_host_label;

/// The file that the last entry made.
pub(super) struct LastFile {
    file: NewFile,
    /// The path of its entry, as the layer has it.
    path: Vec<u8>,
    stated: Stated,
    /// Whether the entry stated when it was last read.
    has_atime: bool,
}

impl LastFile {
    pub(super) fn new(file: NewFile, member: &Member, stated: Stated) -> LastFile {
        LastFile {
            file,
            path: member.path.clone(),
            stated,
            has_atime: member.atime.is_some(),
        }
    }

    /// Returns whether an entry is for the same file.
    pub(super) fn is_of(&self, member: &Member) -> bool {
        member.kind == Kind::File && member.path == self.path
    }
}

impl Unpacker<'_> {
    /// Returns the file that the last entry made, empty, if the entry at hand is for it and the
    /// file will do.
    pub(super) fn reusable_file(
        &mut self,
        member: &Member,
        parent: &Parent,
        name: &OsStr,
        stated: &Stated,
    ) -> Result<Option<NewFile>, UnpackError> {
        let Some(last) = self.last_file.take_if(|last| last.is_of(member)) else {
            return Ok(None);
        };
        let says_the_same = last.stated == *stated && last.has_atime == member.atime.is_some();
        let is_plain = stated.mode & 0o6000 == 0 && stated.xattrs.is_empty();
        if !says_the_same || !is_plain {
            return Ok(None);
        }
        // Others may have done something to it, or to its name.
        let Some(found) = parent.dir.find(name)? else {
            return Ok(None);
        };
        let now = last.file.metadata()?;
        let is_ours = self.options.ownership == Ownership::Squash
            || (now.uid, now.gid) == (stated.uid, stated.gid);
        if ObjectId::from(&found) != ObjectId::from(&now)
            || now.links != 1
            || now.mode != self.disk_mode(stated.mode, FileKind::File)
            || !is_ours
            || !self.has_own_xattrs(parent, name, stated)?
            || self.overwritten.as_ref().is_some_and(|all| all.knows(&now))
        {
            return Ok(None);
        }
        let mut file = last.file;
        file.set_size(0)?;
        file.seek(0)?;
        Ok(Some(file))
    }

    /// Returns whether a file has the attributes that it was given, and those of the host.
    fn has_own_xattrs(
        &self,
        parent: &Parent,
        name: &OsStr,
        stated: &Stated,
    ) -> Result<bool, UnpackError> {
        let mut now = parent.dir.xattrs(name)?;
        now.retain(|(key, _)| !is_host_label(key.as_bytes()));
        let own = self.disk_xattrs(stated, FileKind::File, Device::default());
        let own = own
            .iter()
            .map(|(key, value)| (OsStr::from_bytes(key), value));
        Ok(now
            .iter()
            .map(|(key, value)| (key.as_os_str(), value))
            .eq(own))
    }
}
