//! CRC-64 with the ISO polynomial, by which tar-split knows a content (`CRC-64/GO-ISO`).
//!
//! Every content passes through it, next to two digests, so it must cost little. Tables of 32 KiB
//! give half the speed of this, the processor's carry-less product takes unsafe code, and this
//! polynomial needs neither: it is `x^64 + r` with `r = x^4 + x^3 + x + 1` (ISO 3309), so `x^64` is
//! `r`, and a product by `r` is three shifts. Eight words are folded side by side by `x^512`, which
//! is `r^8 = x^32 + x^24 + x^8 + 1`: in GF(2) a square has as many terms as its root. The compiler
//! makes vector instructions of it.
//!
//! All is reflected: bit 0 of a word is its highest power, a product by `x` is a shift to the
//! right, and what falls out there comes back on the left, by `r`.

/// How many words are folded side by side.
const LANES: usize = 8;
const WORD: usize = 8;

/// A checksum while its content passes.
#[derive(Debug, Clone)]
pub(crate) struct Crc64 {
    state: u64,
}

impl Crc64 {
    pub(crate) fn new() -> Crc64 {
        Crc64 { state: u64::MAX }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let (strides, rest) = bytes.as_chunks::<{ LANES * WORD }>();
        if let Some((first, strides)) = strides.split_first() {
            let mut lanes = words(first);
            lanes[0] ^= self.state;
            for stride in strides {
                let next = words(stride);
                for (lane, next) in lanes.iter_mut().zip(next) {
                    *lane = times_x512(*lane) ^ next;
                }
            }
            self.state = lanes.iter().fold(0, |state, lane| times_x64(state ^ lane));
        }
        let (words, rest) = rest.as_chunks::<WORD>();
        for word in words {
            self.state = times_x64(self.state ^ u64::from_le_bytes(*word));
        }
        for &byte in rest {
            let state = self.state ^ u64::from(byte);
            self.state = state >> 8 ^ times_r(state << 56);
        }
    }

    pub(crate) fn finish(&self) -> u64 {
        !self.state
    }
}

fn words(bytes: &[u8; LANES * WORD]) -> [u64; LANES] {
    let (words, _) = bytes.as_chunks::<WORD>();
    std::array::from_fn(|at| u64::from_le_bytes(words[at]))
}

/// Multiplies by `r` what has no power above `x^59`.
#[inline]
fn times_r(low: u64) -> u64 {
    low ^ low >> 1 ^ low >> 3 ^ low >> 4
}

/// Multiplies by `x^64`, which is `r`.
#[inline]
fn times_x64(value: u64) -> u64 {
    let out = value << 63 ^ value << 61 ^ value << 60;
    times_r(value) ^ times_r(out)
}

/// Multiplies by `x^512`, which is `r^8`.
#[inline]
fn times_x512(value: u64) -> u64 {
    let out = value << 56 ^ value << 40 ^ value << 32;
    value ^ value >> 8 ^ value >> 24 ^ value >> 32 ^ times_r(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc(bytes: &[u8]) -> u64 {
        let mut crc = Crc64::new();
        crc.update(bytes);
        crc.finish()
    }

    /// Bit by bit, as the definition has it.
    fn by_definition(bytes: &[u8]) -> u64 {
        let mut state = u64::MAX;
        for byte in bytes {
            state ^= u64::from(*byte);
            for _ in 0..8 {
                let out = state & 1;
                state = (state >> 1) ^ (out * 0x1b_u64.reverse_bits());
            }
        }
        !state
    }

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        assert_eq!(crc(b"123456789"), 0xb909_56c7_75a4_1001);
        assert_eq!(crc(b""), 0);
    }

    #[test]
    fn all_lengths_and_cuts_give_what_the_definition_gives() {
        let byte = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0];
        let bytes: Vec<u8> = (0..400).map(byte).collect();
        for length in 0..bytes.len() {
            let expected = by_definition(&bytes[..length]);
            assert_eq!(crc(&bytes[..length]), expected, "{length} bytes");
            let mut cut = Crc64::new();
            for piece in bytes[..length].chunks(1 + length / 3) {
                cut.update(piece);
            }
            assert_eq!(cut.finish(), expected, "{length} bytes in pieces");
        }
    }
}
