//! What a layer costs in time and memory, and where that ends.

use layergraph_archive::{Place, UnpackError, View, unpack};
use tempfile::TempDir;

use crate::support::{apply_in_steps, layer, open, options, tree, union};

#[test]
fn r32_so_many_directories_are_made_only_because_entries_are_in_them() {
    // Each three make 19 directories that no entry states, and remove them again.
    let path = "d/".repeat(20);
    let entries: Vec<String> = (0..10)
        .flat_map(|number| {
            [
                "d/".to_owned(),
                format!("{path}f{number} = 1"),
                "d = 1".to_owned(),
            ]
        })
        .collect();
    let apply = |steps| apply_in_steps(steps, &entries);
    apply(190 * 32).expect("as many as there are");
    match apply(190 * 32 - 1) {
        Err(UnpackError::Limit { path, limit, .. }) => {
            assert!(path.ends_with("/f9"), "{path}");
            assert_eq!(limit, 190 * 32 - 1);
        }
        other => panic!("{other:?}"),
    }
}

/// Unpacks signs for so many names in one directory, with so many steps at the most, over layers
/// that are known at once or only later.
fn hide(count: usize, below: &View, is_known: bool, steps: u64) -> Result<(), UnpackError> {
    let signs: Vec<String> = (0..count).map(|n| format!("a/b/c/.wh.{n}")).collect();
    let signs: Vec<&str> = signs.iter().map(String::as_str).collect();
    let (tar, upper) = (layer(&signs), tree(&[]));
    let dir = open(upper.path());
    let mut options = options();
    options.limits.steps = steps;
    if is_known {
        return unpack(&mut &*tar, Place::over(&dir, below), &options).map(|_| ());
    }
    let done = unpack(&mut &*tar, Place::detached(&dir), &options)?;
    let unsettled = done.unsettled.expect("it is detached");
    unsettled.settle(&dir, below)
}

#[test]
fn r32_what_is_looked_up_in_the_layers_below_takes_a_step_for_each_of_them() {
    const LAYERS: usize = 5;
    let layers: Vec<TempDir> = (0..LAYERS)
        .map(|_| tree(&["a/", "a/b/", "a/b/c/"]))
        .collect();
    let layers: Vec<_> = layers.iter().map(TempDir::path).collect();
    let below = union(&layers);
    for is_known in [true, false] {
        let least = |count| -> u64 {
            let all: Vec<u64> = (0..512).collect();
            all.partition_point(|&steps| match hide(count, &below, is_known, steps) {
                Ok(()) => false,
                Err(UnpackError::Limit { limit, .. }) if limit == steps => true,
                Err(other) => panic!("{other:?}"),
            }) as u64
        };
        // The way to the directory is gone once, and each name is looked for.
        assert_eq!(least(20) - least(10), (10 * LAYERS) as u64, "{is_known}");
        assert!(least(1) >= (4 * LAYERS) as u64, "{is_known}");
    }
}

#[test]
fn r32_a_layer_with_too_much_to_be_held_waits_until_the_layers_below_are_known() {
    let lower = tree(&[]);
    let below = union(&[lower.path()]);
    let upper = tree(&[]);
    let dir = open(upper.path());
    let mut options = options();
    options.limits.directory_bytes = 128 << 10;
    let unpacked = |length: usize, is_known: bool| {
        let signs: Vec<String> = (0..1000).map(|n| format!(".wh.{n:0>length$}")).collect();
        let signs: Vec<&str> = signs.iter().map(String::as_str).collect();
        let place = if is_known {
            Place::over(&dir, &below)
        } else {
            Place::detached(&dir)
        };
        unpack(&mut &*layer(&signs), place, &options)
    };
    unpacked(10, false).expect("short names take little");
    let error = unpacked(200, false).expect_err("long names take more");
    assert!(matches!(error, UnpackError::Below { .. }), "{error:?}");
    unpacked(200, true).expect("nothing of it is held");
}

/// A zstd frame with a window of 2 to the power of `exponent` more than 10.
#[cfg(feature = "zstd")]
fn zstd_frame(exponent: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3];
    frame.extend([5 << 3 | 1, 0, 0]);
    frame.extend(b"frame");
    frame
}

#[cfg(feature = "zstd")]
#[test]
fn r32_what_is_granted_and_what_is_left_are_no_more_than_the_budget() {
    use layergraph_archive::codec::{CodecError, DecodeOptions, decode};
    use std::io::Read;

    // By exponent of the window: what the first frame needs.
    for exponent in [0, 11, 13, 14] {
        for budget in (0..64).map(|mebibytes| mebibytes << 20) {
            let frames = [zstd_frame(exponent), zstd_frame(15)].concat();
            let mut decoder = decode(&frames[..], &DecodeOptions::default()).expect("a frame");
            let needed = decoder.memory_needed().expect("it is a good one");
            let mut text = String::new();
            match decoder.divide_memory(budget) {
                Ok(left) => {
                    assert!(left + needed <= budget, "{exponent}: {left} of {budget}");
                    // The second frame needs 32 MiB and its tables.
                    let is_granted = decoder.read_to_string(&mut text).is_ok();
                    assert!(!is_granted || left + (32 << 20) <= budget, "{budget}");
                }
                Err(error) => {
                    assert!(needed > budget);
                    let reason = error.get_ref().and_then(|error| error.downcast_ref());
                    let Some(&CodecError::Memory { limit, .. }) = reason else {
                        panic!("{error:?}")
                    };
                    assert_eq!(limit, budget);
                    assert!(decoder.read_to_string(&mut text).is_err());
                }
            }
        }
    }
}
