//! The property `whiteouts` under a fuzzer.

#![no_main]

use layergraph_properties::whiteouts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| whiteouts(bytes));
