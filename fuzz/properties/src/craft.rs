//! Archives put together block by block, right or wrong, and the sums that guard their headers.

use std::ops::Range;

// The blocks of the tests of layergraph-tar, so that there is one way to make them. These tests
// cannot depend on this package, which depends on layergraph-tar.
#[path = "../../../crates/layergraph-tar/tests/it/support/craft/blocks.rs"]
mod blocks;

pub(crate) use self::blocks::{
    BLOCK, END, GNU, Header, LINK, MAGIC, MTIME, NAME, SIZE, TYPE, UID, V7, long, padded, pax,
    record, seal,
};

/// Where the beginning of a long name stands in ustar form (tar(5)).
pub(crate) const PREFIX: Range<usize> = 345..500;

/// Gives all headers of an archive the checksums that they should have, as far as their sizes lead
/// from one to the next.
///
/// Without it a mutation of a header ends at its checksum, and nothing else is ever tested.
pub fn reseal(archive: &mut [u8]) {
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + BLOCK) {
        at += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        seal(block);
        let has_data = !matches!(block[TYPE], b'1'..=b'6');
        let size = block[SIZE]
            .iter()
            .try_fold(0_usize, |size, byte| match byte {
                b'0'..=b'7' => Some((size << 3) + usize::from(byte - b'0')),
                _ => None,
            });
        let digits = block[SIZE].iter().take_while(|byte| byte.is_ascii_digit());
        let size = size.or_else(|| {
            let text: Vec<u8> = digits.copied().collect();
            usize::from_str_radix(std::str::from_utf8(&text).ok()?, 8).ok()
        });
        if let Some(size) = size.filter(|size| has_data && *size < archive.len()) {
            at += size.next_multiple_of(BLOCK);
        }
    }
}
