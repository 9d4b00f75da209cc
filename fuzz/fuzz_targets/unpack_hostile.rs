//! The property `unpack_hostile` under a fuzzer.

#![no_main]

use layergraph_properties::unpack_hostile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| unpack_hostile(bytes));
