//! The fields of a header block: numbers, texts, and the sum that guards them.

/// The unit of an archive.
pub(crate) const BLOCK: usize = 512;

pub(crate) type Block = [u8; BLOCK];

/// Why a field is invalid.
pub(crate) type Reason = &'static str;

// Where the fields of a header block are (tar(5)).
pub(crate) const NAME: std::ops::Range<usize> = 0..100;
pub(crate) const MODE: std::ops::Range<usize> = 100..108;
pub(crate) const UID: std::ops::Range<usize> = 108..116;
pub(crate) const GID: std::ops::Range<usize> = 116..124;
pub(crate) const SIZE: std::ops::Range<usize> = 124..136;
pub(crate) const MTIME: std::ops::Range<usize> = 136..148;
pub(crate) const CHECKSUM: std::ops::Range<usize> = 148..156;
pub(crate) const TYPE: usize = 156;
pub(crate) const LINK: std::ops::Range<usize> = 157..257;
pub(crate) const MAGIC: std::ops::Range<usize> = 257..265;
pub(crate) const USER: std::ops::Range<usize> = 265..297;
pub(crate) const GROUP: std::ops::Range<usize> = 297..329;
pub(crate) const MAJOR: std::ops::Range<usize> = 329..337;
pub(crate) const MINOR: std::ops::Range<usize> = 337..345;
pub(crate) const PREFIX: std::ops::Range<usize> = 345..500;

/// Returns a text field up to its first NUL.
pub(crate) fn text(field: &[u8]) -> &[u8] {
    let end = field
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(field.len());
    &field[..end]
}

/// Reads a number: octal digits among spaces and NULs, or base-256 where the highest bit is set.
pub(crate) fn number(field: &[u8]) -> Result<i128, Reason> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

/// Reads a number that cannot be negative.
pub(crate) fn unsigned(field: &[u8]) -> Result<u64, Reason> {
    let number = number(field)?;
    u64::try_from(number).map_err(|_| "a number is negative or too large")
}

fn octal(field: &[u8]) -> Result<i128, Reason> {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field
        .iter()
        .position(|byte| !is_blank(byte))
        .unwrap_or(field.len());
    // What follows a NUL is left over from whoever used the block before.
    let digits = text(&field[start..]).trim_ascii_end();
    let mut number: i128 = 0;
    for &digit in digits {
        if !(b'0'..=b'7').contains(&digit) {
            return Err("a number is not octal");
        }
        number = number * 8 + i128::from(digit - b'0');
    }
    Ok(number)
}

/// Reads two's complement, the marker bit aside.
fn base_256(field: &[u8]) -> Result<i128, Reason> {
    let negative = field[0] & 0x40 != 0;
    // The marker becomes one more sign bit.
    let first = if negative {
        field[0] | 0x80
    } else {
        field[0] & 0x7f
    };
    let mut number: i128 = if negative { -1 } else { 0 };
    for &byte in std::iter::once(&first).chain(&field[1..]) {
        number = number.checked_mul(256).ok_or("a number is too large")? | i128::from(byte);
    }
    Ok(number)
}

/// Returns whether the sum of a block's bytes is the one it states. Some old programs added signed
/// bytes.
pub(crate) fn has_its_checksum(block: &Block) -> bool {
    let Ok(stated) = octal(&block[CHECKSUM]) else {
        return false;
    };
    let bytes = || {
        let around = block[..CHECKSUM.start].iter().chain(&block[CHECKSUM.end..]);
        around.copied()
    };
    let blanks = 8 * i128::from(b' ');
    let unsigned: i128 = bytes().map(i128::from).sum();
    let signed: i128 = bytes().map(|byte| i128::from(byte.cast_signed())).sum();
    stated == unsigned + blanks || stated == signed + blanks
}

/// Returns how many zeros follow so many bytes of data. The next multiple of a block may be no
/// number of 64 bits; the distance to it is one.
pub(crate) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// Returns an id that Linux can have: 32 bits, and not the one that means "none".
pub(crate) fn id(number: i128) -> Result<u32, Reason> {
    match u32::try_from(number) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err("an owner's id is not one of 32 bits"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_real_tools_write_them() {
        for (field, expected) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"00000644", 0o644),
            (b"\0\0\0\0", 0),
            (b"", 0),
            (b"\x80\0\0\0\0\0\x01\0", 256),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
            (b"12\0garbage", 0o12),
            (b"12  \0garbage", 0o12),
        ] {
            assert_eq!(number(field), Ok(expected), "{field:?}");
        }
        for field in [&b"0000648\0"[..], b"-1", b"0x10", b"+7", b"12 garbage"] {
            assert!(number(field).is_err(), "{field:?}");
        }
    }

    #[test]
    fn r21_padding_reaches_to_the_next_block_from_any_size() {
        for (size, expected) in [(0, 0), (1, 511), (512, 0), (513, 511), (u64::MAX, 1)] {
            assert_eq!(padding(size), expected, "{size}");
        }
        assert_eq!(padding(u64::MAX - 511), 0);
    }

    #[test]
    fn r21_a_negative_size_is_no_size() {
        assert!(unsigned(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\x00").is_err());
        assert!(unsigned(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn r23_ids_outside_of_32_bits_are_refused() {
        assert_eq!(id(70_000), Ok(70_000));
        for number in [-1, i128::from(u32::MAX), 1 << 32, (1 << 32) + 1] {
            assert!(id(number).is_err(), "{number}");
        }
    }
}
