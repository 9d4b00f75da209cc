//! Inputs for the benches in `benches/`.
//!
//! Everything here is drawn from a seed, so that two runs, and two machines, measure the same work.
//! Each bench names the question it answers and prints what its figures are to be compared with.

#![forbid(unsafe_code)]

/// A small random number generator (`SplitMix64`), the same everywhere and for ever.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns a generator; equal seeds give equal numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns an id of 64 lower-case hexadecimal digits, as a SHA-256 looks.
    pub fn next_id(&mut self) -> String {
        let words: [u64; 4] = std::array::from_fn(|_| self.next_u64());
        words.map(|word| format!("{word:016x}")).concat()
    }
}
