//! Every property, bounded: over its seeds, over mutations of them, and over random bytes.

use layergraph_properties::{PROPERTIES, inputs, property};

/// The seed of all inputs: a run in CI says the same each time. `cargo xtask fuzz` takes others.
const SEED: u64 = 2015;

/// How many archives of random make are taken apart and put together again.
const ARCHIVES: u64 = 10_000;

#[track_caller]
fn check_bounded(name: &str) {
    let property = property(name).expect("there is one of this name");
    for input in inputs(property, SEED).take(property.bounded) {
        (property.check)(&input);
    }
}

/// Makes a test of each property, and a list of them.
macro_rules! tests {
    ($($test:ident => $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                check_bounded($name);
            }
        )*

        #[test]
        fn every_property_has_its_test_here() {
            let tested = [$($name),*];
            let known: Vec<_> = PROPERTIES.iter().map(|property| property.name).collect();
            assert_eq!(known, tested);
        }
    };
}

tests! {
    the_tar_reader_keeps_its_laws_on_any_bytes => "tar_reader",
    extended_headers_mean_what_the_model_says => "pax",
    what_the_reader_accepts_comes_out_again => "recipe_round_trip",
    no_bytes_as_a_recipe_do_harm => "recipe_any",
    a_tree_and_its_recipe_make_the_layer_again => "recipe_of_tree",
    unpacking_makes_what_the_model_makes => "unpack_model",
    nothing_outside_of_the_tree_changes => "unpack_hostile",
    layers_make_one_tree_whichever_way_they_are_applied => "whiteouts",
    encoding_what_was_decoded_is_a_fixed_point => "image_json",
    decoding_ends_within_its_limits => "codecs",
}

#[test]
fn ten_thousand_random_archives_come_out_identical() {
    layergraph_properties::random_archives(SEED, ARCHIVES);
}
