//! The property `unpack_model` under a fuzzer.

#![no_main]

use layergraph_properties::unpack_model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| unpack_model(bytes));
