//! Docker-archives as others write them.

use layergraph_image::transfer::ImageSource;

use crate::support::{
    File, HardLink, Image, Of, Result, Symlink, gzip, image, images_of, open_bytes, read_bytes, tar,
};

/// Makes an archive of an image whose layers are these members.
fn archive_of(image: &Image, tags: &str, layers: &[&str], members: &[(&str, Of<'_>)]) -> Vec<u8> {
    let (config, bytes) = &image.blobs[1];
    let name = format!("{}.json", config.digest.hex());
    let layers: Vec<String> = layers.iter().map(|layer| format!("{layer:?}")).collect();
    let layers = layers.join(",");
    let list = format!(r#"[{{"Config":"{name}","RepoTags":{tags},"Layers":[{layers}]}}]"#);
    let mut all = vec![(name.as_str(), File(bytes))];
    all.extend_from_slice(members);
    all.push(("manifest.json", File(list.as_bytes())));
    tar(&all)
}

#[test]
fn links_to_a_layer_in_the_archive_are_that_layer() -> Result {
    let image = image(&["a", "a", "a", "b"]);
    let layer = File(&image.blobs[2].1);
    let bytes = archive_of(
        &image,
        r#"["x:1"]"#,
        &[
            "one/layer.tar",
            "two/layer.tar",
            "./three/layer.tar",
            "four/b/../layer.tar",
        ],
        &[
            ("one/layer.tar", layer),
            ("two/layer.tar", Symlink("../one/layer.tar")),
            ("three/layer.tar", HardLink("two/layer.tar")),
            ("four", Symlink("five")),
            ("five/layer.tar", File(&image.blobs[5].1)),
        ],
    );
    assert_eq!(read_bytes(&bytes)?, [image.found(&["x:1"])]);
    Ok(())
}

#[test]
fn a_packed_layer_is_the_layer() -> Result {
    let image = image(&["a", "b"]);
    let packed = gzip(&image.blobs[2].1);
    let members = [
        ("a.tar.gz", File(&packed)),
        ("b.tar", File(&image.blobs[3].1)),
    ];
    let bytes = archive_of(&image, r#"["x:1"]"#, &["a.tar.gz", "b.tar"], &members);
    assert_eq!(read_bytes(&bytes)?, [image.found(&["x:1"])]);
    Ok(())
}

#[test]
fn an_image_need_not_have_a_name() -> Result {
    let image = image(&["a"]);
    for tags in ["null", "[]"] {
        let bytes = archive_of(&image, tags, &["l"], &[("l", File(&image.blobs[2].1))]);
        assert_eq!(read_bytes(&bytes)?, [image.found(&[])]);
    }
    Ok(())
}

#[test]
fn the_manifest_that_is_made_is_always_the_same() -> Result {
    let image = image(&["a"]);
    let (layer, packed) = (&image.blobs[2].1, gzip(&image.blobs[2].1));
    for (name, member) in [("l", layer), ("another", layer), ("packed", &packed)] {
        let bytes = archive_of(&image, "null", &[name], &[(name, File(member))]);
        let images = images_of(open_bytes(&bytes)?).images()?;
        // That which `image` makes, to the byte.
        assert_eq!(images[0].root, image.root);
    }
    Ok(())
}
