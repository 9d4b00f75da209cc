//! Images that are not what they are said to be.

use std::sync::atomic::AtomicBool;

use layergraph_digest::DiffId;
use layergraph_image::oci::{Descriptor, Manifest, MediaType};
use layergraph_store::{ImportOptions, StoreErrorKind};

use layergraph_tests::error_chain;

use crate::support::{DRIVERS, Lab, Memory, Result, digest, gzip, import, tar};

const LINES: &[&str] = &["d/", "d/f = text"];

/// Checks that an import is refused for this reason, and that the store is as before.
#[track_caller]
fn check_refused(memory: &Memory, reason: &str) {
    for driver in DRIVERS {
        let lab = Lab::new(driver).expect("a store");
        import(&lab.store, &Memory::of("before", &[&["old = 1"]])).expect("a good image");
        let before = lab.files().expect("a readable store");
        let error = lab.store.import(memory, &ImportOptions::default());
        let error = error.expect_err(reason);
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{error:?}");
        let text = error_chain(&error);
        assert!(text.contains(reason), "{text:?} lacks {reason:?}");
        assert_eq!(
            lab.files().expect("a readable store"),
            before,
            "{driver}: {reason}"
        );
    }
}

/// An image whose layer is said to be something else than it is.
fn with_layer(change: impl Fn(&mut Descriptor, &mut DiffId, &mut Vec<u8>)) -> Memory {
    let mut memory = Memory::default();
    let plain = tar(LINES);
    let mut bytes = gzip(&plain);
    let mut diff_id = DiffId::new(digest(&plain));
    let mut blob = memory.blob(MediaType::LAYER_GZIP, bytes.clone());
    change(&mut blob, &mut diff_id, &mut bytes);
    memory.blobs.insert(blob.digest, bytes);
    let root = memory.documents(&[blob], &[diff_id], "amd64");
    memory.offer(root, &["x"]);
    memory
}

#[test]
fn r26_a_layer_with_another_digest_size_or_diff_id_is_refused() {
    check_refused(
        &with_layer(|_, _, bytes| {
            let last = bytes.len() - 20;
            bytes[last] ^= 1;
        }),
        "refused the layer sha256:",
    );
    check_refused(
        &with_layer(|blob, _, _| blob.size += 1),
        "refused the layer sha256:",
    );
    check_refused(
        &with_layer(|blob, _, _| blob.size -= 1),
        "refused the layer sha256:",
    );
    check_refused(
        &with_layer(|_, diff_id, _| *diff_id = DiffId::new(digest(b"other"))),
        "its diff id is",
    );
    check_refused(
        &with_layer(|_, _, bytes| bytes.clear()),
        "refused the layer sha256:",
    );
}

#[test]
fn r26_any_byte_of_a_document_that_is_another_is_refused() {
    let memory = Memory::of("x", &[LINES]);
    let root = memory.images[0].root.clone();
    for digest in memory.blobs.keys().copied().collect::<Vec<_>>() {
        for at in [0, 10, memory.blobs[&digest].len() - 1] {
            let mut changed = Memory::of("x", &[LINES]);
            changed.blobs.get_mut(&digest).expect("it is there")[at] ^= 1;
            let lab = Lab::new("vfs").expect("a store");
            let error = import(&lab.store, &changed).expect_err("it is another");
            assert!(error.to_string().contains(&digest.to_string()), "{error}");
            assert_eq!(lab.files().expect("a readable store"), Vec::<String>::new());
            // The good one then goes in.
            import(&lab.store, &memory).expect("a good image");
        }
    }
    assert!(memory.blobs.contains_key(&root.digest));
}

#[test]
fn r24_an_image_whose_parts_do_not_agree_is_refused() {
    let mut memory = Memory::default();
    let layer = memory.blob(MediaType::LAYER, tar(LINES));
    let diff_id = DiffId::new(layer.digest);
    for (layers, diff_ids, reason) in [
        (
            vec![layer.clone(), layer.clone()],
            vec![diff_id],
            "its manifest has 2 layers, its config 1",
        ),
        (
            vec![],
            vec![diff_id],
            "its manifest has 0 layers, its config 1",
        ),
        (
            vec![Descriptor::new("text/plain", layer.digest, layer.size)],
            vec![diff_id],
            "is a text/plain",
        ),
    ] {
        let mut memory = Memory::default();
        memory.blob(MediaType::LAYER, tar(LINES));
        let root = memory.documents(&layers, &diff_ids, "amd64");
        memory.offer(root, &["x"]);
        check_refused(&memory, reason);
    }
    // What is no image.
    let mut memory = Memory::default();
    let config = memory.blob("application/vnd.example.config", b"{}".to_vec());
    let manifest = Manifest::new(config, Vec::new()).encode();
    let root = memory.blob(MediaType::MANIFEST, manifest);
    memory.offer(root, &["x"]);
    check_refused(&memory, "it is no image");
    check_refused(&Memory::default(), "there are no images");
}

#[test]
fn a_layer_that_cannot_be_unpacked_is_refused_and_named() {
    let mut memory = Memory::default();
    let bad = memory.blob(MediaType::LAYER, b"this is no tar".repeat(100));
    let diff_id = DiffId::new(bad.digest);
    let good = memory.blob(MediaType::LAYER, tar(LINES));
    let root = memory.documents(
        &[good.clone(), bad.clone()],
        &[DiffId::new(good.digest), diff_id],
        "amd64",
    );
    memory.offer(root, &["x"]);
    let lab = Lab::new("overlay").expect("a store");
    let error = import(&lab.store, &memory).expect_err("it is no layer");
    assert!(
        error.to_string().contains(&bad.digest.to_string()),
        "{error}"
    );
    assert!(lab.store.image("x").is_err());
}

#[test]
fn an_import_ends_when_it_is_asked_to_and_leaves_nothing_visible() -> Result {
    let lab = Lab::new("overlay")?;
    let interrupt = AtomicBool::new(true);
    let mut options = ImportOptions::default();
    options.interrupt = Some(&interrupt);
    let memory = Memory::of("x", &[LINES]);
    let error = lab
        .store
        .import(&memory, &options)
        .expect_err("it was asked to end");
    assert_eq!(error.kind(), StoreErrorKind::Interrupted);
    assert_eq!(lab.files()?, Vec::<String>::new());
    Ok(())
}
