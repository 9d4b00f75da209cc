//! The property `recipe_any` under a fuzzer.

#![no_main]

use layergraph_properties::recipe_any;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| recipe_any(bytes));
