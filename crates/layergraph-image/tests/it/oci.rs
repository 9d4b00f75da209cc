//! Manifests, indexes and configs of OCI and of Docker.

use layergraph_digest::{Algorithm, Digest};
use layergraph_image::oci::{
    Config, Descriptor, Document, DocumentError, Index, MAX_BYTES, MAX_VALUES, Manifest, MediaType,
    Platform,
};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn manifest(fields: &str) -> String {
    let config = format!(
        r#"{{"mediaType":"{}","digest":"sha256:{HEX}","size":2}}"#,
        MediaType::CONFIG
    );
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]{fields}}}"#)
}

fn decode(text: &str, media_type: Option<&str>) -> Result<Document, DocumentError> {
    let media_type = media_type.map(MediaType::from);
    Document::decode(text.as_bytes(), media_type.as_ref())
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let digest = Digest::of(Algorithm::Sha256, b"x");
    let mut layer = Descriptor::new(MediaType::LAYER_GZIP, digest, 7);
    layer.annotations.insert("a".to_owned(), "b".to_owned());
    let manifest = Manifest::new(Descriptor::new(MediaType::CONFIG, digest, 1), vec![layer]);
    let read = Manifest::decode(&manifest.encode(), Some(&MediaType::MANIFEST.into()));
    assert_eq!(read.expect("it was written"), manifest);
    let mut entry = Descriptor::new(MediaType::MANIFEST, digest, 3);
    entry.platform = Some("linux/arm64".parse().expect("a platform"));
    let index = Index::new(vec![entry]);
    let read = Index::decode(&index.encode(), None).expect("it was written");
    assert_eq!(read, index);
}

#[test]
fn r24_a_document_that_is_two_things_is_refused() {
    for fields in [
        r#","manifests":[]"#,
        r#","fsLayers":[],"manifests":null"#,
        r#","layers":[]"#,
        r#","Layers":[{}]"#,
        r#","CONFIG":{}"#,
        r#","x":1,"X":2"#,
    ] {
        let error = decode(&manifest(fields), None).expect_err(fields);
        assert!(
            matches!(error, DocumentError::Ambiguous { .. }),
            "{fields}: {error:?}"
        );
    }
    for text in [
        r#"{"schemaVersion":2,"manifests":[],"config":{}}"#,
        r#"{"schemaVersion":1,"manifests":[],"fsLayers":[]}"#,
    ] {
        let error = decode(text, None).expect_err(text);
        assert!(
            matches!(error, DocumentError::Ambiguous { .. }),
            "{text}: {error:?}"
        );
    }
}

#[test]
fn r24_a_media_type_that_contradicts_another_or_the_fields_is_refused() {
    let own = |media_type: &str| manifest(&format!(r#","mediaType":"{media_type}""#));
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    for (text, asked) in [
        (own(MediaType::MANIFEST), Some(MediaType::DOCKER_MANIFEST)),
        (own(MediaType::INDEX), None),
        (own("text/plain"), None),
        (manifest(""), Some(MediaType::INDEX)),
        (index.to_owned(), Some(MediaType::MANIFEST)),
    ] {
        let error = decode(&text, asked).expect_err(&text);
        assert!(
            matches!(error, DocumentError::Contradiction { .. }),
            "{text}: {error:?}"
        );
    }
    for (text, asked) in [
        (own(MediaType::MANIFEST), Some(MediaType::MANIFEST)),
        (own(MediaType::DOCKER_MANIFEST), None),
        (own(""), Some(MediaType::MANIFEST)),
        (manifest(""), None),
        (index.to_owned(), Some(MediaType::DOCKER_INDEX)),
    ] {
        decode(&text, asked).expect(&text);
    }
}

#[test]
fn a_document_of_another_kind_or_version_is_refused_and_named() {
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    let error = Manifest::decode(index.as_bytes(), None).expect_err("an index");
    assert_eq!(error.to_string(), "it is a index, not a manifest");
    let first = r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#;
    let error = decode(first, None).expect_err("of 2015");
    assert!(error.to_string().contains("first schema"), "{error}");
    let error = decode(&manifest("").replace(":2,", ":3,"), None).expect_err("of the future");
    assert!(matches!(error, DocumentError::Version(3)), "{error:?}");
    for text in [
        "",
        "[]",
        "{}",
        "null",
        "{\"schemaVersion\":2}",
        "{\"layers\":[]}",
    ] {
        assert!(decode(text, None).is_err(), "{text}");
    }
}

#[test]
fn r33_a_document_is_neither_too_large_nor_too_deep() {
    let large = vec![b' '; MAX_BYTES + 1];
    let error = Document::decode(&large, None).expect_err("too large");
    assert!(matches!(error, DocumentError::Size { .. }), "{error:?}");
    let deep = manifest(&format!(r#","x":{}{}"#, "[".repeat(1000), "]".repeat(1000)));
    let error = decode(&deep, None).expect_err("too deep");
    assert!(matches!(error, DocumentError::Depth), "{error:?}");
    let text = format!(r#","x":"\"{}""#, "[[".repeat(500));
    decode(&manifest(&text), None).expect("what is in a text does not nest");
    let rich = format!(r#","x":[{}0]"#, "0,".repeat(MAX_VALUES));
    let error = decode(&manifest(&rich), None).expect_err("too many values");
    assert!(matches!(error, DocumentError::Values), "{error:?}");
    let many: Vec<String> = (0..2000)
        .map(|number| format!(r#","x{number}":0"#))
        .collect();
    assert!(decode(&manifest(&many.concat()), None).is_err());
}

#[test]
fn r2_a_digest_in_a_descriptor_is_of_a_known_algorithm_and_right_length() {
    let good = manifest("");
    for digest in [
        "sha256:ab",
        "md5:00",
        "sha256:../../x",
        &format!("SHA256:{HEX}"),
        "",
    ] {
        let text = good.replace(&format!("sha256:{HEX}"), digest);
        assert!(decode(&text, None).is_err(), "{digest}");
    }
}

#[test]
fn a_config_of_docker_with_its_nulls_is_read() {
    let text = format!(
        r#"{{"architecture":"arm","variant":"v6","os":"linux","created":"2015-06-01T00:00:00Z",
        "container":"x","container_config":{{}},"docker_version":"1",
        "config":{{"Hostname":"","Env":null,"Cmd":["a","b"],"Entrypoint":null,"Labels":null,
            "User":"app","Volumes":null,"Healthcheck":{{"Test":["NONE"]}}}},
        "rootfs":{{"type":"layers","diff_ids":["sha256:{HEX}"]}},
        "history":[{{"created":"2015-06-01T00:00:00Z","created_by":"ADD"}},
            {{"created_by":"ENV","empty_layer":true}}]}}"#
    );
    let config = Config::decode(text.as_bytes()).expect("a config");
    assert_eq!(config.platform().to_string(), "linux/arm/v6");
    assert_eq!(config.rootfs.diff_ids.len(), 1);
    assert_eq!(config.layer_history().count(), 1);
    assert_eq!(config.config.user, "app");
    assert!(config.config.other.contains_key("Healthcheck"));
    let again = Config::decode(&config.encode()).expect("it was written");
    assert_eq!(again, config);
    for text in [
        r#"{"rootfs":{"type":"other","diff_ids":[]}}"#,
        r#"{"rootfs":{"type":"layers"}}"#,
        r#"{"os":"linux"}"#,
        r#"{"rootfs":{"type":"layers","diff_ids":[]},"rootFS":{}}"#,
    ] {
        assert!(Config::decode(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_platform_runs_what_was_made_for_it_or_an_earlier_variant() {
    let platform = |text: &str| text.parse::<Platform>().expect(text);
    for (here, image, runs) in [
        ("linux/amd64", "linux/x86_64", true),
        ("linux/amd64", "linux/amd64/v1", true),
        ("linux/amd64", "linux/amd64/v3", false),
        ("linux/arm64", "linux/arm64/v8", true),
        ("linux/arm/v7", "linux/arm/v6", true),
        ("linux/arm/v6", "linux/arm/v7", false),
        ("linux/arm", "linux/armhf", true),
        ("linux/amd64", "windows/amd64", false),
        ("linux/amd64", "linux/arm64", false),
    ] {
        assert_eq!(
            platform(here).runs(&platform(image)),
            runs,
            "{here} {image}"
        );
    }
    let here = platform("linux/arm/v7");
    assert!(here.rank(&platform("linux/arm/v7")) > here.rank(&platform("linux/arm/v6")));
    for text in ["", "linux", "linux/", "a/b/c/d", "a b/c", "../x"] {
        assert!(text.parse::<Platform>().is_err(), "{text}");
    }
}

#[test]
fn the_media_types_of_layers_are_known_in_all_codecs() {
    for text in [
        MediaType::LAYER,
        MediaType::LAYER_GZIP,
        MediaType::LAYER_ZSTD,
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        assert!(MediaType::from(text).is_layer(), "{text}");
    }
    for text in [
        "",
        "text/plain",
        MediaType::CONFIG,
        "application/vnd.oci.image.layer.v1.tar+enc",
    ] {
        assert!(!MediaType::from(text).is_layer(), "{text}");
    }
}
