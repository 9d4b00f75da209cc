//! Ids of 64 lower-case hexadecimal digits, packed into 32 bytes.
//!
//! The digits stand in the words from the most significant end, and the digit characters sort as
//! their values do. So the order of packed ids is the order of their texts, and the ids that begin
//! with a prefix are those between the prefix filled up with zeros and filled up with `f`s. An odd
//! number of digits needs no special care.

use std::ops::RangeInclusive;

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const DIGITS_PER_WORD: usize = 16;
const DIGITS_PER_ID: usize = 64;

/// The value of each lower-case hexadecimal digit; `NOT_A_DIGIT` for every other byte.
///
/// A table, because digits and letters of a random id alternate in a way that no processor can
/// predict: matching on ranges made a lookup by 64 digits a third slower.
const VALUES: [u8; 256] = {
    let mut values = [NOT_A_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    values
};
const NOT_A_DIGIT: u8 = 0x10;

/// An id of 64 digits, as big-endian words.
///
/// Words rather than bytes: comparing them is inlined where `[u8; 32]` calls `memcmp`, which makes
/// the B-tree a fifth faster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packed([u64; 4]);

impl Packed {
    /// Packs an id, if it is one of 64 lower-case hexadecimal digits.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        if id.len() != DIGITS_PER_ID {
            return None;
        }
        parse_digits(id).map(Self)
    }

    /// Returns the bounds of the packed ids that begin with `prefix`, if any id can.
    pub(crate) fn with_prefix(prefix: &str) -> Option<RangeInclusive<Self>> {
        let low = parse_digits(prefix)?;
        let mut high = low;
        for (at, word) in high.iter_mut().enumerate() {
            let given = prefix.len().saturating_sub(at * DIGITS_PER_WORD);
            if given < DIGITS_PER_WORD {
                *word |= u64::MAX >> (4 * given);
            }
        }
        Some(Self(low)..=Self(high))
    }

    /// Returns the 64 digits.
    pub(crate) fn to_text(self) -> String {
        (0..DIGITS_PER_ID)
            .map(|at| {
                let word = self.0[at / DIGITS_PER_WORD];
                let value = word >> shift_of_digit(at % DIGITS_PER_WORD) & 0xf;
                char::from(DIGITS[value as usize])
            })
            .collect()
    }
}

/// Returns the words that begin with these digits and go on with zeros.
fn parse_digits(text: &str) -> Option<[u64; 4]> {
    if text.len() > DIGITS_PER_ID {
        return None;
    }
    let mut words = [0; 4];
    let mut seen = 0;
    for (word, digits) in words
        .iter_mut()
        .zip(text.as_bytes().chunks(DIGITS_PER_WORD))
    {
        for (at, &digit) in digits.iter().enumerate() {
            let value = VALUES[usize::from(digit)];
            seen |= value;
            *word |= u64::from(value) << shift_of_digit(at);
        }
    }
    (seen & NOT_A_DIGIT == 0).then_some(words)
}

/// Returns how far left in its word the digit at this place stands.
fn shift_of_digit(at: usize) -> usize {
    4 * (DIGITS_PER_WORD - 1 - at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdeffedcba9876543210f0e1d2c3b4a5968778695a4b3c2d1e0f";

    #[test]
    fn text_of_a_packed_id_is_the_text_it_was_packed_from() {
        for id in [ID.to_owned(), "0".repeat(64), "f".repeat(64)] {
            assert_eq!(Packed::parse(&id).map(Packed::to_text), Some(id));
        }
    }

    #[test]
    fn only_64_lower_case_hex_digits_are_packed() {
        for id in [
            "",
            &ID[..63],
            &format!("{ID}0"),
            &ID.to_uppercase(),
            &ID.replace('0', "g"),
            &ID.replace('0', "`"),
            &ID.replace('0', "/"),
            &ID.replace('0', ":"),
            &ID.replace('0', "\0"),
            &ID.replace("01", "é"),
            &"é".repeat(32),
        ] {
            assert!(Packed::parse(id).is_none(), "{id:?}");
        }
    }

    #[test]
    fn range_of_a_prefix_fills_up_with_zeros_and_fs() {
        for len in 0..=64 {
            let prefix = &ID[..len];
            let range = Packed::with_prefix(prefix).expect("the prefix is hexadecimal");
            let filled = |digit: &str| format!("{prefix}{}", digit.repeat(64 - len));
            assert_eq!(range.start().to_text(), filled("0"));
            assert_eq!(range.end().to_text(), filled("f"));
        }
    }

    #[test]
    fn a_prefix_that_no_packed_id_can_have_has_no_range() {
        for prefix in ["A", "0g", "é", " ", &format!("{ID}0")] {
            assert!(Packed::with_prefix(prefix).is_none(), "{prefix:?}");
        }
    }
}
