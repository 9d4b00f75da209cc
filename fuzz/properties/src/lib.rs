//! What must hold of any input: the properties that are fuzzed, in one place.
//!
//! A [`Property`] is a function of bytes that panics where a law does not hold. Its input is what a
//! parser reads, or choices of which a layer is made (crate `arbitrary`). The same functions run
//! under a fuzzer (`cargo xtask fuzz`), and bounded, on stable, in this crate's own tests, with
//! [`inputs`] made of seeds that are made here. docs/testing.md says how they are run.
//!
//! ```
//! use layergraph_properties::{inputs, property};
//!
//! let property = property("image_json").expect("there is one of this name");
//! for input in inputs(property, 1).take(100) {
//!     (property.check)(&input);
//! }
//! ```
//!
//! # Limitations
//!
//! Nothing here is for code that ships: it panics, and it writes to the temporary directory.

#![forbid(unsafe_code)]

mod codecs;
mod craft;
mod image;
mod inputs;
mod layers;
// The model of the tests of layergraph-archive, so that neither has rules of its own. These tests
// cannot depend on this package, which depends on layergraph-archive.
#[path = "../../../crates/layergraph-archive/tests/it/model/tree.rs"]
mod model;
mod pax;
mod random;
mod recipes;
mod scratch;
mod seeds;
mod tar_reader;
mod unpacking;
mod whiteouts;

pub use codecs::codecs;
pub use craft::reseal;
pub use image::image_json;
pub use inputs::inputs;
pub use pax::pax;
pub use random::Random;
pub use recipes::{
    random_archive, random_archives, recipe_any, recipe_of_tree, recipe_round_trip,
    split_and_assemble,
};
pub use tar_reader::tar_reader;
pub use unpacking::{unpack_hostile, unpack_model};
pub use whiteouts::whiteouts;

/// A law about any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// Its name, which is that of its fuzz target.
    pub name: &'static str,
    /// Panics if the law does not hold of these bytes.
    pub check: fn(&[u8]),
    /// Makes inputs from which others are made.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Makes a mutated input pass what would else refuse it at once.
    pub mend: fn(&mut [u8]),
    /// How many inputs take a test of a few seconds.
    pub bounded: usize,
}

/// All properties.
pub const PROPERTIES: &[Property] = &[
    Property {
        name: "tar_reader",
        check: tar_reader,
        seeds: seeds::archives,
        mend: reseal,
        bounded: 10_000,
    },
    Property {
        name: "pax",
        check: pax,
        seeds: seeds::choices,
        mend: as_it_is,
        bounded: 10_000,
    },
    Property {
        name: "recipe_round_trip",
        check: recipe_round_trip,
        seeds: seeds::archives,
        mend: reseal,
        bounded: 1000,
    },
    Property {
        name: "recipe_any",
        check: recipe_any,
        seeds: recipes::recipe_seeds,
        mend: as_it_is,
        bounded: 5000,
    },
    Property {
        name: "recipe_of_tree",
        check: recipe_of_tree,
        seeds: seeds::choices,
        mend: as_it_is,
        bounded: 500,
    },
    Property {
        name: "unpack_model",
        check: unpack_model,
        seeds: seeds::choices,
        mend: as_it_is,
        bounded: 1000,
    },
    Property {
        name: "unpack_hostile",
        check: unpack_hostile,
        seeds: seeds::choices,
        mend: as_it_is,
        bounded: 500,
    },
    Property {
        name: "whiteouts",
        check: whiteouts,
        seeds: seeds::choices,
        mend: as_it_is,
        bounded: 500,
    },
    Property {
        name: "image_json",
        check: image_json,
        seeds: image::seeds,
        mend: as_it_is,
        bounded: 20_000,
    },
    Property {
        name: "codecs",
        check: codecs,
        seeds: codecs::seeds,
        mend: as_it_is,
        bounded: 2000,
    },
];

/// Returns the property of this name.
pub fn property(name: &str) -> Option<&'static Property> {
    PROPERTIES.iter().find(|property| property.name == name)
}

fn as_it_is(_input: &mut [u8]) {}
