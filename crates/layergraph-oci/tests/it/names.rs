//! What images are called, and how one of them is chosen.

use layergraph_digest::Digest;
use layergraph_image::oci::{Descriptor, Index};
use layergraph_image::transfer::ImageSource;
use layergraph_oci::OciError;

use crate::support::{
    File, Image, Result, archive, docker_archive, image, images_of, open_bytes, open_bytes_with,
    tar,
};

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const FULL_NAME: &str = "io.containerd.image.name";
const VERSION: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Makes an archive whose index says this of the images.
fn layout(images: &[(&Image, &[(&str, &str)])], further: &[(&str, &[u8])]) -> Vec<u8> {
    let describe = |(image, said): &(&Image, &[(&str, &str)])| -> Descriptor {
        let mut root = image.root.clone();
        for (key, value) in *said {
            let (key, value) = ((*key).to_owned(), (*value).to_owned());
            root.annotations.insert(key, value);
        }
        root
    };
    let index = Index::new(images.iter().map(describe).collect()).encode();
    let blobs = images.iter().flat_map(|(image, _)| &image.blobs);
    let mut blobs: Vec<(String, &[u8])> = blobs
        .map(|(blob, bytes)| (format!("blobs/sha256/{}", blob.digest.hex()), &bytes[..]))
        .collect();
    blobs.sort();
    blobs.dedup();
    let mut members = vec![("oci-layout", File(VERSION)), ("index.json", File(&index))];
    members.extend(
        blobs
            .iter()
            .map(|(name, bytes)| (name.as_str(), File(bytes))),
    );
    members.extend(further.iter().map(|(name, bytes)| (*name, File(bytes))));
    tar(&members)
}

fn names_in(bytes: &[u8]) -> Result<Vec<Vec<String>>> {
    let images = images_of(open_bytes(bytes)?).images()?;
    let print = |image: &layergraph_image::transfer::Offered| {
        image.names.iter().map(ToString::to_string).collect()
    };
    Ok(images.iter().map(print).collect())
}

#[test]
fn the_full_name_counts_and_a_bare_tag_names_nothing() -> Result {
    let image = image(&["a"]);
    for (said, expected) in [
        (
            &[(REF_NAME, "latest"), (FULL_NAME, "quay.io/a/b:1")][..],
            &["quay.io/a/b:1"][..],
        ),
        (&[(REF_NAME, "latest")], &[]),
        (&[(REF_NAME, "a/b")], &["docker.io/a/b:latest"]),
        (&[(REF_NAME, "a:b")], &["docker.io/library/a:b"]),
        (&[(REF_NAME, "any/TEXT at all")], &[]),
        (&[], &[]),
    ] {
        assert_eq!(
            names_in(&layout(&[(&image, said)], &[]))?,
            [expected],
            "{said:?}"
        );
    }
    Ok(())
}

#[test]
fn an_image_that_is_listed_twice_is_offered_once_with_both_names() -> Result {
    let image = image(&["a"]);
    let bytes = layout(
        &[
            (&image, &[(FULL_NAME, "y:1")]),
            (&image, &[(FULL_NAME, "x:1")]),
        ],
        &[],
    );
    let expected = ["docker.io/library/x:1", "docker.io/library/y:1"];
    assert_eq!(names_in(&bytes)?, [expected]);
    Ok(())
}

#[test]
fn a_name_of_two_images_is_ambiguous() {
    let (first, second) = (image(&["a"]), image(&["b"]));
    let said: &[(&str, &str)] = &[(FULL_NAME, "x:1")];
    let opened = open_bytes(&layout(&[(&first, said), (&second, said)], &[]));
    assert!(
        matches!(opened, Err(OciError::Ambiguous { .. })),
        "{opened:?}"
    );
}

/// Since Docker 25 both lists are in an archive.
#[test]
fn the_names_of_dockers_list_are_added_to_those_of_the_index() -> Result {
    let (first, second) = (image(&["a"]), image(&["b"]));
    let list = format!(
        r#"[{{"Config":"blobs/sha256/{}","RepoTags":["busybox:latest","x:1"],"Layers":[]}}]"#,
        second.blobs[1].0.digest.hex()
    );
    let full: &[(&str, &str)] = &[(FULL_NAME, "docker.io/library/busybox:latest")];
    let bytes = layout(
        &[(&first, &[]), (&second, full)],
        &[("manifest.json", list.as_bytes())],
    );
    let expected = vec!["docker.io/library/busybox:latest", "docker.io/library/x:1"];
    assert_eq!(names_in(&bytes)?, [vec![], expected]);
    Ok(())
}

#[test]
fn two_lists_that_mean_different_images_are_refused() {
    let (first, second) = (image(&["a"]), image(&["b"]));
    let config = &second.blobs[1];
    let name = format!("{}.json", config.0.digest.hex());
    let list = format!(r#"[{{"Config":"{name}","RepoTags":["x:1"],"Layers":[]}}]"#);
    let further: &[(&str, &[u8])] = &[("manifest.json", list.as_bytes()), (&name, &config.1)];
    let opened = open_bytes(&layout(&[(&first, &[])], further));
    assert!(
        matches!(opened, Err(OciError::Contradiction { .. })),
        "{opened:?}"
    );
}

fn chosen(bytes: &[u8], select: &'static str) -> Result<Vec<Digest>, OciError> {
    let opened = open_bytes_with(bytes, |options| options.select = Some(select))?;
    let images = images_of(opened).images().expect("they were listed");
    Ok(images.iter().map(|image| image.root.digest).collect())
}

#[test]
fn one_image_is_chosen_by_tag_or_name() -> Result {
    let (first, second) = (image(&["a"]), image(&["b"]));
    let tags = layout(
        &[(&first, &[(REF_NAME, "1")]), (&second, &[(REF_NAME, "2")])],
        &[],
    );
    assert_eq!(chosen(&tags, "2")?, [second.root.digest]);
    for bytes in [
        archive(&[(&first, &["x:1"]), (&second, &["y:1"])])?,
        docker_archive(&[(&first, &["x:1"]), (&second, &["y:1"])])?,
    ] {
        assert_eq!(
            chosen(&bytes, "docker.io/library/y:1")?,
            [second.root.digest]
        );
        assert_eq!(chosen(&bytes, "x:1")?, [first.root.digest]);
        let error = chosen(&bytes, "z:1").expect_err("there is none");
        assert!(matches!(error, OciError::NoReference { .. }));
    }
    let both = archive(&[(&first, &["x:1"]), (&second, &["y:1"])])?;
    let error = chosen(&both, "1").expect_err("both have the tag");
    assert!(matches!(error, OciError::Ambiguous { .. }));
    Ok(())
}
