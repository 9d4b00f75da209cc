//! The property `recipe_of_tree` under a fuzzer.

#![no_main]

use layergraph_properties::recipe_of_tree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| recipe_of_tree(bytes));
