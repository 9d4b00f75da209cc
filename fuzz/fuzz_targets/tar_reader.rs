//! The property `tar_reader` under a fuzzer.

#![no_main]

use layergraph_properties::{tar_reader, reseal};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| tar_reader(bytes));

// A mutated header would else end at its checksum.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if !seed.is_multiple_of(4) {
        reseal(&mut data[..size]);
    }
    size
});
