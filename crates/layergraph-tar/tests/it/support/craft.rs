//! Archives put together block by block, right or wrong as the test wants.

mod blocks;

use layergraph_tar::{Member, Reader, TarError};

pub(crate) use self::blocks::{
    END, GID, GNU, Header, MAGIC, MTIME, SIZE, UID, USTAR, V7, long, pax, record, seal,
};

/// Returns a file with its data.
pub(crate) fn file(name: &[u8], data: &[u8]) -> Vec<u8> {
    Header::new(name, b'0').data(data)
}

/// Reads all members; the data of none is looked at.
pub(crate) fn members(archive: &[u8]) -> Result<Vec<Member>, TarError> {
    let mut reader = Reader::new(archive);
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        members.push(member);
    }
    reader.finish()?;
    Ok(members)
}

/// Reads the names of all members.
pub(crate) fn names(archive: &[u8]) -> Result<Vec<String>, TarError> {
    let name = |member: Member| String::from_utf8_lossy(&member.path).into_owned();
    Ok(members(archive)?.into_iter().map(name).collect())
}
