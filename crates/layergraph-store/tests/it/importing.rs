//! Images that come in.

use layergraph_core::NewNode;
use layergraph_digest::{ChainId, DiffId};
use layergraph_image::NodeId;
use layergraph_image::oci::Platform;
use layergraph_store::{ImportOptions, Store, StoreErrorKind};

use crate::support::{DRIVERS, Lab, Memory, Result, digest, import, open, tar, tree};

const BASE: &[&str] = &["d/", "d/old = 1", "lib -> usr/lib", "usr/", "usr/lib/"];

#[test]
fn an_image_is_the_tree_that_its_layers_make_one_after_the_other() -> Result {
    let images: [&[&[&str]]; 6] = [
        &[BASE],
        &[BASE, &["d/new = 2", "d/.wh.old"]],
        &[BASE, &["d/.wh..wh..opq", "d/new = 2"], &["d/newer = 3"]],
        // Each of these depends on what is below.
        &[BASE, &["lib/foo = 2"], &["h => d/old", "lib/.wh.foo"]],
        &[BASE, &[".wh.d"], &["d/x/y = 1"], &["implied/z = 2"]],
        &[BASE, &[".wh..wh..opq", "only = 1"]],
    ];
    for layers in images {
        let mut trees = Vec::new();
        for driver in DRIVERS {
            let lab = Lab::new(driver)?;
            let imported = import(&lab.store, &Memory::of("x", layers))?;
            assert_eq!(imported[0].layers.len(), layers.len());
            assert!(imported[0].layers.iter().all(|layer| !layer.reused));
            trees.push(tree(&lab.store, "x")?);
        }
        assert_eq!(trees[0], trees[1], "{layers:?}");
    }
    Ok(())
}

#[test]
fn images_share_layers_and_what_is_there_is_not_read_again() -> Result {
    for driver in DRIVERS {
        let lab = Lab::new(driver)?;
        let one = Memory::of("one", &[BASE, &["d/one = 1"]]);
        import(&lab.store, &one)?;
        assert_eq!(one.count(), 4, "{driver}: two documents and two layers");
        // Once more: the documents only.
        let again = import(&lab.store, &one)?;
        assert_eq!(one.count(), 6);
        assert!(again[0].layers.iter().all(|layer| layer.reused));
        let two = Memory::of("two", &[BASE, &["d/two = 2"]]);
        let imported = import(&lab.store, &two)?;
        assert_eq!(two.count(), 3);
        let reused: Vec<bool> = imported[0]
            .layers
            .iter()
            .map(|layer| layer.reused)
            .collect();
        assert_eq!(reused, [true, false]);
        assert_eq!(lab.store.graph().map()?.by_id.len(), 3);
        assert!(
            tree(&lab.store, "one")?.contains("d/one")
                && tree(&lab.store, "two")?.contains("d/two")
        );
        // Another process finds the same.
        let other = open(&lab.place, driver)?;
        assert_eq!(other.images()?.images.len(), 2);
        assert_eq!(tree(&other, "one")?, tree(&lab.store, "one")?);
    }
    Ok(())
}

/// Checks that the image `x` has the layer `BASE`, and no file that is not of it.
fn assert_base(store: &Store) -> Result {
    let tree = tree(store, "x")?;
    let is_base = tree.contains("d/old") && !tree.contains("foreign");
    assert!(is_base, "{tree}");
    Ok(())
}

#[test]
fn a_node_that_somebody_registered_under_the_id_of_a_chain_changes_nothing() -> Result {
    for driver in DRIVERS {
        let lab = Lab::new(driver)?;
        let chain = ChainId::lowest(DiffId::new(digest(&tar(BASE))));
        let mut node = NewNode::default();
        node.id = Some(NodeId::parse(chain.digest().hex())?);
        let mut foreign = &tar(&["foreign = 1"])[..];
        lab.store.graph().create(&node, Some(&mut foreign))?;
        import(&lab.store, &Memory::of("x", &[BASE]))?;
        assert_base(&lab.store)?;
    }
    Ok(())
}

#[test]
fn a_node_that_was_made_anew_by_hand_is_not_taken_for_the_layer_that_was_there() -> Result {
    for driver in DRIVERS {
        let lab = Lab::new(driver)?;
        let memory = Memory::of("x", &[BASE]);
        import(&lab.store, &memory)?;
        let node = lab
            .store
            .node(&lab.store.image("x")?)?
            .ok_or("it has layers")?;
        lab.store
            .graph()
            .delete(&node.to_string(), layergraph_core::DeleteOptions::default())?;
        let mut new = NewNode::default();
        new.id = Some(node);
        let mut foreign = &tar(&["foreign = 1"])[..];
        lab.store.graph().create(&new, Some(&mut foreign))?;
        assert!(lab.store.node(&lab.store.image("x")?).is_err());
        let again = import(&lab.store, &memory)?;
        assert!(!again[0].layers[0].reused);
        assert_base(&lab.store)?;
    }
    Ok(())
}

#[test]
fn of_several_platforms_the_one_that_fits_best_is_taken_or_all() -> Result {
    let mut memory = Memory::default();
    let mut entries = Vec::new();
    for (architecture, platform) in [("amd64", "linux/amd64"), ("arm64", "linux/arm64")] {
        let mut entry = memory.image_for(&[&[&format!("{architecture} = 1")]], architecture);
        entry.platform = Some(platform.parse()?);
        entries.push(entry);
    }
    // Not an image, as builders put there.
    let mut attestation = memory.image(&[&["proof = 1"]]);
    attestation.platform = Some(serde_json::from_str(
        r#"{"os":"unknown","architecture":"unknown"}"#,
    )?);
    entries.push(attestation);
    let root = memory.index(entries);
    memory.offer(root, &["x"]);
    for architecture in ["amd64", "arm64"] {
        let lab = Lab::new("vfs")?;
        let mut options = ImportOptions::default();
        options.platform = Some(format!("linux/{architecture}").parse()?);
        let imported = lab.store.import(&memory, &options)?;
        assert_eq!(imported.len(), 1);
        assert_eq!(imported[0].image.platform.architecture, architecture);
        assert!(tree(&lab.store, "x")?.contains(architecture));
    }
    let lab = Lab::new("vfs")?;
    let mut options = ImportOptions::default();
    options.all = true;
    options.platform = Some("linux/arm64".parse::<Platform>()?);
    assert_eq!(lab.store.import(&memory, &options)?.len(), 2);
    assert_eq!(lab.store.image("x")?.platform.architecture, "arm64");
    // None that fits.
    options.all = false;
    options.platform = Some("linux/s390x".parse()?);
    let error = lab
        .store
        .import(&memory, &options)
        .expect_err("there is none");
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    Ok(())
}

#[test]
fn r28_an_image_without_layers_is_there_and_has_no_tree() -> Result {
    let lab = Lab::new("vfs")?;
    import(&lab.store, &Memory::of("empty", &[]))?;
    let image = lab.store.image("empty")?;
    assert_eq!(lab.store.node(&image)?, None);
    assert_eq!(lab.store.images()?.images.len(), 1);
    Ok(())
}

#[test]
fn a_node_says_what_the_history_of_its_layer_says() -> Result {
    let lab = Lab::new("vfs")?;
    import(&lab.store, &Memory::of("x", &[BASE, &["d/new = 1"]]))?;
    let image = lab.store.image("x")?;
    let node = lab.store.node(&image)?.ok_or("it has layers")?;
    let node = lab.store.graph().get(&node.to_string())?;
    assert_eq!(
        node.image().container_config.cmd,
        Some(vec!["step 1".to_owned()])
    );
    assert_eq!(node.image().created.to_string(), "2015-06-01T00:00:00Z");
    assert_eq!(lab.store.graph().depth(&node)?, 2);
    Ok(())
}

#[test]
fn imports_of_one_image_at_once_make_its_layers_once_each() -> Result {
    for driver in DRIVERS {
        let lab = Lab::new(driver)?;
        let layers: &[&[&str]] = &[BASE, &["d/a = 1"], &["d/b = 2"]];
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let store = open(&lab.place, driver)?;
                        import(&store, &Memory::of("x", layers))
                    })
                })
                .collect();
            for thread in threads {
                let imported = thread.join().expect("it does not panic")?;
                assert_eq!(imported.len(), 1);
            }
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        })?;
        assert!(tree(&lab.store, "x")?.contains("d/b"));
        lab.store
            .collect(layergraph_store::CollectOptions::default())?;
        assert_eq!(lab.store.image("x")?.chains.len(), 3);
        assert!(tree(&lab.store, "x")?.contains("d/a"));
    }
    Ok(())
}
