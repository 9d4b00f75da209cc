//! Inputs without a fuzzer: a property's seeds, mutations of them, and random bytes.

use std::iter;

use crate::{Property, Random};

/// Bytes that parsers take for something else than their neighbours.
const ODD_BYTES: &[u8] = b"\0\x01\x7f\x80\xff\"\\/.,:-+= \n019aZ{}[]";

/// The most bytes of an input that is all random.
const RANDOM_BYTES: usize = 2048;

/// Returns the inputs for a property, without an end: its seeds first, then mutations of them and
/// random bytes. The same `seed` gives the same inputs.
pub fn inputs(property: &Property, seed: u64) -> impl Iterator<Item = Vec<u8>> {
    let seeds = (property.seeds)();
    let mend = property.mend;
    let mut random = Random::new(seed);
    let mutated = {
        let seeds = seeds.clone();
        move || {
            if seeds.is_empty() || random.once_in(5) {
                let count = random.below(RANDOM_BYTES);
                return Some(random.bytes(count));
            }
            let mut input = seeds[random.below(seeds.len())].clone();
            for _ in 0..=random.below(4) {
                mutate(&mut input, &seeds, &mut random);
            }
            // What a checksum guards would else hardly ever be looked at.
            if !random.once_in(4) {
                mend(&mut input);
            }
            Some(input)
        }
    };
    seeds.into_iter().chain(iter::from_fn(mutated))
}

/// Changes an input a little.
fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    if input.is_empty() {
        let count = 1 + random.below(64);
        *input = random.bytes(count);
        return;
    }
    let at = random.below(input.len());
    let length = 1 + random.below((input.len() - at).min(600));
    match random.below(8) {
        0 | 1 => input[at] ^= 1 << random.below(8),
        2 | 3 => input[at] = ODD_BYTES[random.below(ODD_BYTES.len())],
        4 => input.truncate(at),
        5 => drop(input.drain(at..at + length)),
        6 => {
            let copied = input[at..at + length].to_vec();
            let to = random.below(input.len());
            input.splice(to..to, copied);
        }
        _ => {
            let other = &seeds[random.below(seeds.len())];
            input.truncate(at);
            input.extend_from_slice(&other[random.below(other.len())..]);
        }
    }
}
