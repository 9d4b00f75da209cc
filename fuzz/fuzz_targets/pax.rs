//! The property `pax` under a fuzzer.

#![no_main]

use layergraph_properties::pax;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| pax(bytes));
