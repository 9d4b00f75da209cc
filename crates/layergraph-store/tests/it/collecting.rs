//! Images that go, and what goes with them.

use layergraph_store::{CollectOptions, Reason};

use crate::support::{DRIVERS, Lab, Memory, Result, import, tree};

const BASE: &[&str] = &["d/", "d/f = 1"];

fn dry() -> CollectOptions {
    let mut options = CollectOptions::default();
    options.dry_run = true;
    options
}

fn wait() -> CollectOptions {
    let mut options = CollectOptions::default();
    options.wait = true;
    options
}

#[test]
fn what_other_images_have_stays_and_the_rest_goes() -> Result {
    for driver in DRIVERS {
        let lab = Lab::new(driver)?;
        let empty = lab.files()?;
        import(&lab.store, &Memory::of("one", &[BASE, &["one = 1"]]))?;
        import(&lab.store, &Memory::of("two", &[BASE, &["two = 2"]]))?;
        let nothing = lab.store.collect(wait())?;
        assert!(nothing.layers.is_empty() && nothing.blobs.is_empty());
        assert_eq!(nothing.kept.len(), 3);
        let two = lab.store.image("two")?;
        let kept = nothing
            .kept
            .iter()
            .filter(|(_, why)| *why == Reason::Image(two.manifest));
        assert!(kept.count() >= 1);

        lab.store.remove(&lab.store.resolve("one")?)?;
        assert!(lab.store.image("one").is_err());
        let told = lab.store.collect(dry())?;
        assert_eq!((told.layers.len(), told.blobs.len()), (1, 2));
        let done = lab.store.collect(wait())?;
        assert_eq!((&done.layers, done.freed), (&told.layers, told.freed));
        assert!(tree(&lab.store, "two")?.contains("two"));

        lab.store.remove(&two.manifest)?;
        let done = lab.store.collect(wait())?;
        assert_eq!((done.layers.len(), done.blobs.len()), (2, 2));
        assert!(lab.store.graph().map()?.by_id.is_empty());
        // P6: back to nothing.
        assert_eq!(lab.files()?, empty);
    }
    Ok(())
}

#[test]
fn a_collection_removes_no_node_that_no_import_made() -> Result {
    let lab = Lab::new("vfs")?;
    let mut layer = &crate::support::tar(BASE)[..];
    let node = lab
        .store
        .graph()
        .create(&layergraph_core::NewNode::default(), Some(&mut layer))?;
    lab.store.collect(wait())?;
    assert!(lab.store.graph().exists(&node.id().to_string())?);
    Ok(())
}

#[test]
fn an_image_that_cannot_be_read_keeps_everything_until_it_is_removed() -> Result {
    let lab = Lab::new("vfs")?;
    let image = import(&lab.store, &Memory::of("one", &[BASE]))?
        .remove(0)
        .image;
    std::fs::write(
        lab.place.path().join("images").join(image.manifest.hex()),
        "",
    )?;
    assert!(lab.store.collect(wait()).is_err());
    assert_eq!(lab.store.graph().map()?.by_id.len(), 1);
    for text in [
        "one",
        &image.manifest.hex()[..8],
        &image.manifest.to_string(),
    ] {
        assert_eq!(lab.store.resolve(text)?, image.manifest);
    }
    assert_eq!(lab.store.remove(&image.manifest)?, image.names);
    lab.store.collect(wait())?;
    assert!(lab.store.graph().map()?.by_id.is_empty());
    Ok(())
}

#[test]
fn imports_and_collections_at_once_lose_nothing() -> Result {
    for driver in DRIVERS {
        let lab = Lab::new(driver)?;
        let layers: &[&[&str]] = &[BASE, &["a = 1"], &["b = 2"]];
        let memory = Memory::of("x", layers);
        std::thread::scope(|scope| {
            let collecting = scope.spawn(|| -> Result {
                for _ in 0..30 {
                    lab.store.collect(wait())?;
                }
                Ok(())
            });
            for _ in 0..30 {
                import(&lab.store, &memory)?;
                let tree = tree(&lab.store, "x")?;
                assert!(tree.contains("a\tf") && tree.contains("b\tf"));
                lab.store.remove(&lab.store.resolve("x")?)?;
            }
            collecting.join().expect("it does not panic")
        })?;
    }
    Ok(())
}
