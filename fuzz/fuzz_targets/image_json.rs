//! The property `image_json` under a fuzzer.

#![no_main]

use layergraph_properties::image_json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| image_json(bytes));
