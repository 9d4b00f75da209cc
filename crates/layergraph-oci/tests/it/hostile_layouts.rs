//! OCI layouts that lie, in directories and in archives.

use std::fs;
use std::path::Path;

use layergraph_image::oci::{Descriptor, MediaType};
use layergraph_image::transfer::ImageSource;
use layergraph_oci::{OciError, SourceOptions, open};
use tempfile::TempDir;

use crate::support::{
    File, Image, Result, describe, image, images_of, open_bytes, read_all, read_bytes, tar,
    write_layout,
};

const VERSION: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Makes an archive of these documents, and the blobs of an image with further ones.
fn layout(version: &str, index: &str, image: &Image, further: &[&[u8]]) -> Vec<u8> {
    let bytes = image.blobs.iter().map(|(_, bytes)| bytes.as_slice());
    let blobs: Vec<_> = bytes
        .chain(further.iter().copied())
        .map(|bytes| {
            let digest = crate::support::digest(bytes);
            (format!("blobs/sha256/{}", digest.hex()), bytes)
        })
        .collect();
    let mut members = vec![
        ("oci-layout", File(version.as_bytes())),
        ("index.json", File(index.as_bytes())),
    ];
    members.extend(
        blobs
            .iter()
            .map(|(name, bytes)| (name.as_str(), File(bytes))),
    );
    tar(&members)
}

fn index(root: &str) -> String {
    format!(r#"{{"schemaVersion":2,"manifests":[{root}]}}"#)
}

fn descriptor(root: &Descriptor) -> String {
    let Descriptor {
        media_type,
        digest,
        size,
        ..
    } = root;
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

#[test]
fn the_layout_that_all_others_differ_from_is_read() -> Result {
    let image = image(&["a"]);
    let bytes = layout(VERSION, &index(&descriptor(&image.root)), &image, &[]);
    assert_eq!(read_bytes(&bytes)?, [image.found(&[])]);
    Ok(())
}

#[test]
fn r2_what_is_no_digest_is_refused() {
    let image = image(&["a"]);
    let hex = image.root.digest.hex();
    for digest in [
        "sha256:../../../../etc/passwd".to_owned(),
        "sha256:abcd".to_owned(),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256/x:{hex}"),
        hex.clone(),
        format!("md5:{}", "0".repeat(32)),
        format!("sha256:{}\\u0000", &hex[1..]),
    ] {
        let root = format!(r#"{{"digest":"{digest}","size":1}}"#);
        let opened = open_bytes(&layout(VERSION, &index(&root), &image, &[]));
        assert!(matches!(opened, Err(OciError::Document { .. })), "{digest}");
        // The same in a manifest.
        let (_, manifest) = &image.blobs[0];
        let manifest = String::from_utf8_lossy(manifest);
        let layer = image.blobs[2].0.digest.to_string();
        let manifest = manifest.replace(&layer, &digest);
        let root = describe(MediaType::MANIFEST, manifest.as_bytes());
        let index = index(&descriptor(&root));
        let bytes = layout(VERSION, &index, &image, &[manifest.as_bytes()]);
        read_bytes(&bytes).expect_err("a digest is none");
    }
}

#[test]
fn r26_a_blob_of_another_size_is_refused() -> Result {
    let image = image(&["a"]);
    let mut root = image.root.clone();
    root.size += 1;
    let bytes = layout(VERSION, &index(&descriptor(&root)), &image, &[]);
    let source = images_of(open_bytes(&bytes)?);
    let error = source.open(&root).err().expect("its size is another");
    assert!(matches!(error.downcast_ref(), Some(OciError::Size { .. })));
    let negative = descriptor(&root).replace(&root.size.to_string(), "-1");
    let opened = open_bytes(&layout(VERSION, &index(&negative), &image, &[]));
    assert!(
        matches!(opened, Err(OciError::Document { .. })),
        "{opened:?}"
    );
    Ok(())
}

#[test]
fn a_blob_that_is_missing_is_named() -> Result {
    let image = image(&["a"]);
    let missing = describe(MediaType::MANIFEST, b"nowhere");
    let bytes = layout(VERSION, &index(&descriptor(&missing)), &image, &[]);
    let source = images_of(open_bytes(&bytes)?);
    let error = source.open(&missing).err().expect("it is missing");
    assert!(matches!(
        error.downcast_ref(),
        Some(OciError::NoBlob { .. })
    ));
    Ok(())
}

#[test]
fn r24_a_document_that_is_two_things_is_refused() {
    let image = image(&["a"]);
    let root = descriptor(&image.root);
    for index in [
        format!(r#"{{"schemaVersion":2,"manifests":[{root}],"layers":[]}}"#),
        format!(r#"{{"schemaVersion":2,"manifests":[{root}],"manifests":[]}}"#),
        format!(r#"{{"schemaVersion":2,"Manifests":[],"manifests":[{root}]}}"#),
        format!(r#"{{"schemaVersion":1,"manifests":[{root}]}}"#),
        "[]".to_owned(),
        "null".to_owned(),
    ] {
        let opened = open_bytes(&layout(VERSION, &index, &image, &[]));
        assert!(matches!(opened, Err(OciError::Document { .. })), "{index}");
    }
    // An index by what is said of it, a manifest by what it is.
    let said = root.replace(MediaType::MANIFEST, MediaType::INDEX);
    let bytes = layout(VERSION, &index(&said), &image, &[]);
    read_bytes(&bytes).expect_err("it is a manifest");
}

#[test]
fn r33_an_index_that_is_huge_or_deep_is_refused() {
    let image = image(&["a"]);
    let root = descriptor(&image.root);
    let huge = index(&root) + &" ".repeat(4 << 20);
    let opened = open_bytes(&layout(VERSION, &huge, &image, &[]));
    assert!(matches!(opened, Err(OciError::Limit { .. })), "{opened:?}");
    let (open, close) = ("[".repeat(1000), "]".repeat(1000));
    let deep = format!(r#"{{"schemaVersion":2,"manifests":[],"x":{open}{close}}}"#);
    let opened = open_bytes(&layout(VERSION, &deep, &image, &[]));
    assert!(
        matches!(opened, Err(OciError::Document { .. })),
        "{opened:?}"
    );
}

#[test]
fn a_layout_of_another_version_is_refused() {
    let image = image(&["a"]);
    let index = index(&descriptor(&image.root));
    for version in ["9.0", "1.0", "1.1.0", "1.0.x", ""] {
        let version = format!(r#"{{"imageLayoutVersion":"{version}"}}"#);
        let opened = open_bytes(&layout(&version, &index, &image, &[]));
        assert!(
            matches!(opened, Err(OciError::Contradiction { .. })),
            "{version}"
        );
    }
    let opened = open_bytes(&layout("{}", &index, &image, &[]));
    assert!(matches!(opened, Err(OciError::List { .. })));
}

#[test]
fn r2_a_full_name_that_is_none_is_refused() {
    let image = image(&["a"]);
    let mut root = image.root.clone();
    let key = "io.containerd.image.name".to_owned();
    root.annotations.insert(key, "../../x:1".to_owned());
    let index = layergraph_image::oci::Index::new(vec![root]).encode();
    let index = String::from_utf8(index).expect("JSON is text");
    let opened = open_bytes(&layout(VERSION, &index, &image, &[]));
    assert!(matches!(opened, Err(OciError::Name { .. })), "{opened:?}");
}

#[test]
fn what_is_no_image_is_not_offered() -> Result {
    let image = image(&["a"]);
    let other = Descriptor::new("application/x-unknown", image.root.digest, image.root.size);
    let both = format!("{},{}", descriptor(&other), descriptor(&image.root));
    let source = images_of(open_bytes(&layout(VERSION, &index(&both), &image, &[]))?);
    let offered = source.images()?;
    assert_eq!(offered.len(), 1);
    assert_eq!(offered[0].root, image.root);
    Ok(())
}

#[test]
fn r11_links_and_pipes_in_a_layout_are_not_opened() -> Result {
    let image = image(&["a"]);
    let layer = format!("blobs/sha256/{}", image.blobs[2].0.digest.hex());
    let in_the_way: [fn(&Path) -> Result; 3] = [
        // To a file with the right content, even.
        |path| {
            let other = path.with_extension("other");
            fs::rename(path, &other)?;
            Ok(std::os::unix::fs::symlink(&other, path)?)
        },
        |path| {
            fs::remove_file(path)?;
            let mode = rustix::fs::Mode::RWXU;
            Ok(rustix::fs::mkfifoat(rustix::fs::CWD, path, mode)?)
        },
        |path| {
            fs::remove_file(path)?;
            Ok(fs::create_dir(path)?)
        },
    ];
    for put in in_the_way {
        for name in ["oci-layout", "index.json", &layer] {
            let directory = TempDir::new()?;
            let path = directory.path().join("layout");
            write_layout(&path, &[(&image, &["x:1"])])?;
            put(&path.join(name))?;
            let opened = open(&path, &SourceOptions::default());
            if name == layer {
                read_all(&images_of(opened?)).expect_err("a layer is no file");
            } else {
                assert!(matches!(opened, Err(OciError::Fs(_))), "{name}: {opened:?}");
            }
        }
    }
    // Nor is a directory in which blobs are.
    let directory = TempDir::new()?;
    let path = directory.path().join("layout");
    write_layout(&path, &[(&image, &["x:1"])])?;
    fs::rename(path.join("blobs"), directory.path().join("elsewhere"))?;
    std::os::unix::fs::symlink("../elsewhere", path.join("blobs"))?;
    let source = images_of(open(&path, &SourceOptions::default())?);
    read_all(&source).expect_err("the blobs are elsewhere");
    Ok(())
}
