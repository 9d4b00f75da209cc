//! The property `codecs` under a fuzzer.

#![no_main]

use layergraph_properties::codecs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| codecs(bytes));
