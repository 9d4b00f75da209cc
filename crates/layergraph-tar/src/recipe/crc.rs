//! CRC-64 with the ISO polynomial, by which tar-split knows a content (`CRC-64/GO-ISO`).

use crc_fast::{CrcAlgorithm, Digest};

/// A checksum while its content passes.
#[derive(Debug, Clone)]
pub(crate) struct Crc64(Digest);

impl Crc64 {
    pub(crate) fn new() -> Crc64 {
        Crc64(Digest::new(CrcAlgorithm::Crc64GoIso))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finalize()
    }
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
