//! A place to see the whole stream from, as it passes.

use std::io;

use crate::Member;

/// Sees every byte of an archive exactly once and in order, sorted into content and all the rest.
///
/// Bytes come to [`raw`](Tap::raw) or [`data`](Tap::data), so that whoever keeps the first and can
/// find the second again can write the same archive again. The calls for one member are: `raw` with
/// its headers (any number of calls), `member`, `data` with its stored data (none if there are
/// none), `raw` with the padding.
///
/// An error of a tap stops the reader.
pub trait Tap {
    /// Takes bytes that are not a member's data: headers, bodies of extension headers, sparse maps,
    /// padding, the end marker and what follows it.
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Takes note of a member, after its headers and before its data.
    fn member(&mut self, member: &Member) -> io::Result<()>;

    /// Takes stored data of the current member.
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Looks at nothing.
impl Tap for () {
    fn raw(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn member(&mut self, _member: &Member) -> io::Result<()> {
        Ok(())
    }

    fn data(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Lends a tap, so that it can be looked at afterwards.
impl<T: Tap + ?Sized> Tap for &mut T {
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).raw(bytes)
    }

    fn member(&mut self, member: &Member) -> io::Result<()> {
        (**self).member(member)
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).data(bytes)
    }
}

/// Looks, or looks at nothing.
impl<T: Tap> Tap for Option<T> {
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.as_mut().map_or(Ok(()), |tap| tap.raw(bytes))
    }

    fn member(&mut self, member: &Member) -> io::Result<()> {
        self.as_mut().map_or(Ok(()), |tap| tap.member(member))
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.as_mut().map_or(Ok(()), |tap| tap.data(bytes))
    }
}
