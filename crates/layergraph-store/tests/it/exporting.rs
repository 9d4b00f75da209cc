//! Images that go out.

use layergraph_digest::DiffId;
use layergraph_image::oci::{Manifest, MediaType};
use layergraph_store::StoreErrorKind;

use crate::support::{DRIVERS, Lab, Memory, Result, Sink, import, tar, tree};

const BASE: &[&str] = &["d/", "d/f = 1", "d/f = again", "h => d/f"];

#[test]
fn what_came_plain_goes_out_byte_for_byte_with_its_documents() -> Result {
    for driver in DRIVERS {
        let mut memory = Memory::default();
        let layers: Vec<_> = [tar(BASE), tar(&["d/.wh.f", "new = 2"])]
            .into_iter()
            .map(|tar| memory.blob(MediaType::LAYER, tar))
            .collect();
        let diff_ids: Vec<_> = layers
            .iter()
            .map(|layer| DiffId::new(layer.digest))
            .collect();
        let root = memory.documents(&layers, &diff_ids, "amd64");
        memory.offer(root.clone(), &["x", "y:1"]);
        let lab = Lab::new(driver)?;
        import(&lab.store, &memory)?;
        let mut sink = Sink::default();
        let exported = lab.store.export(&lab.store.image("x")?, &mut sink)?;
        assert_eq!(exported.manifest.digest, root.digest);
        assert_eq!(sink.0.blobs, memory.blobs);
        assert_eq!(sink.0.images[0].names.len(), 2);
    }
    Ok(())
}

#[test]
fn what_came_compressed_goes_out_plain_under_a_manifest_that_says_so() -> Result {
    let lab = Lab::new("overlay")?;
    import(&lab.store, &Memory::of("x", &[BASE, &["new = 2"]]))?;
    let image = lab.store.image("x")?;
    let mut sink = Sink::default();
    let exported = lab.store.export(&image, &mut sink)?;
    assert_ne!(exported.manifest.digest, image.manifest);
    let manifest = Manifest::decode(&sink.0.blobs[&exported.manifest.digest], None)?;
    assert_eq!(manifest.config.digest, image.id);
    for (layer, lines) in manifest.layers.iter().zip([BASE, &["new = 2"]]) {
        assert_eq!(layer.media_type.as_str(), MediaType::LAYER);
        assert!(sink.0.blobs[&layer.digest] == tar(lines));
    }
    // It comes in again as the same image by another manifest.
    let other = Lab::new("vfs")?;
    import(&other.store, &sink.0)?;
    assert_eq!(other.store.image("x")?.id, image.id);
    assert_eq!(tree(&other.store, "x")?, tree(&lab.store, "x")?);
    Ok(())
}

#[test]
fn a_layer_that_is_not_any_more_what_it_was_is_not_given_out() -> Result {
    let lab = Lab::new("vfs")?;
    import(&lab.store, &Memory::of("x", &[BASE]))?;
    let image = lab.store.image("x")?;
    let node = lab.store.node(&image)?.ok_or("it has layers")?;
    std::fs::write(
        lab.place.path().join(format!("vfs/dir/{node}/d/f")),
        "other",
    )?;
    let error = lab
        .store
        .export(&image, &mut Sink::default())
        .expect_err("it was changed");
    assert!(
        matches!(
            error.kind(),
            StoreErrorKind::Damaged | StoreErrorKind::Failed
        ),
        "{error:?}"
    );
    Ok(())
}
