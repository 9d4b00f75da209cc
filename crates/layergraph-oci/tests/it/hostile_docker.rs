//! Docker-archives that lie, each refused before anything is taken of it.

use layergraph_oci::{MemberError, OciError};
use layergraph_tar::Kind;

use crate::support::{
    File, Image, Of, Result, Symlink, gzip, image, images_of, open_bytes, read_all, tar,
};

/// Opens an archive with this list beside a config `c`, a layer `l` and further members.
fn opened(image: &Image, list: &str, members: &[(&str, Of<'_>)]) -> Result<(), OciError> {
    let mut all = vec![
        ("c", File(&image.blobs[1].1)),
        ("l", File(&image.blobs[2].1)),
        ("manifest.json", File(list.as_bytes())),
    ];
    all.extend_from_slice(members);
    open_bytes(&tar(&all)).map(drop)
}

fn list(config: &str, tags: &str, layers: &str) -> String {
    format!(r#"[{{"Config":{config:?},"RepoTags":{tags},"Layers":{layers}}}]"#)
}

fn reason(result: Result<(), OciError>) -> MemberError {
    match result {
        Err(OciError::Member { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_archive_that_all_others_differ_from_is_read() -> Result {
    Ok(opened(
        &image(&["a"]),
        &list("c", r#"["x:1"]"#, r#"["l"]"#),
        &[],
    )?)
}

#[test]
fn layers_and_configs_outside_of_the_archive_are_refused() {
    let image = image(&["a"]);
    for path in ["/etc/passwd", "../l", "x/../../l"] {
        let layers = list("c", "[]", &format!("[{path:?}]"));
        assert_eq!(reason(opened(&image, &layers, &[])), MemberError::Outside);
        let config = list(path, "[]", r#"["l"]"#);
        assert_eq!(reason(opened(&image, &config, &[])), MemberError::Outside);
    }
}

#[test]
fn a_layer_that_is_no_file_is_refused() {
    let image = image(&["a"]);
    let layers = list("c", "[]", r#"["m"]"#);
    for (of, expected) in [
        (Symlink("/etc/passwd"), MemberError::Outside),
        (Symlink("m"), MemberError::Links),
        (Of::Kind(Kind::Fifo), MemberError::Kind("a named pipe")),
        (Of::Kind(Kind::Directory), MemberError::Kind("a directory")),
    ] {
        assert_eq!(reason(opened(&image, &layers, &[("m", of)])), expected);
    }
    assert_eq!(reason(opened(&image, &layers, &[])), MemberError::Missing);
}

#[test]
fn layers_and_diff_ids_must_agree_in_number() {
    let image = image(&["a"]);
    for layers in [r#"["l","l"]"#, "[]", "null"] {
        let result = opened(&image, &list("c", "[]", layers), &[]);
        assert!(
            matches!(result, Err(OciError::Contradiction { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn a_config_that_is_called_by_another_digest_is_refused() {
    let image = image(&["a"]);
    let name = format!("{}.json", "0".repeat(64));
    let list = list(&name, "[]", r#"["l"]"#);
    let result = opened(&image, &list, &[(&name, File(&image.blobs[1].1))]);
    assert!(
        matches!(result, Err(OciError::Contradiction { .. })),
        "{result:?}"
    );
}

#[test]
fn r2_a_tag_that_is_no_name_is_refused() {
    let image = image(&["a"]);
    let long = format!("{}:1", "a".repeat(5000));
    for tag in ["../../x:1", "x:1\\nEVIL", "-o:1", "X", "", long.as_str()] {
        let tags = format!("[\"good:1\",\"{tag}\"]");
        let result = opened(&image, &list("c", &tags, r#"["l"]"#), &[]);
        assert!(
            matches!(result, Err(OciError::Name { .. })),
            "{tag}: {result:?}"
        );
        let message = result.expect_err("it is refused").to_string();
        assert!(!message.contains('\n') && message.len() < 1000);
    }
}

#[test]
fn one_name_for_two_images_is_refused() {
    let (first, second) = (image(&["a"]), image(&["b"]));
    let list = r#"[{"Config":"c","RepoTags":["x"],"Layers":["l"]},
        {"Config":"d","RepoTags":["x:latest"],"Layers":["m"]}]"#;
    let members = [
        ("d", File(&second.blobs[1].1)),
        ("m", File(&second.blobs[2].1)),
    ];
    let result = opened(&first, list, &members);
    assert!(
        matches!(result, Err(OciError::Ambiguous { .. })),
        "{result:?}"
    );
}

#[test]
fn r24_a_field_that_others_read_and_not_here_is_refused() {
    let image = image(&["a"]);
    for list in [
        r#"[{"Config":"c","Layers":["l"],"layers":["m"]}]"#,
        r#"[{"Config":"c","Layers":["l"],"Layers":["m"]}]"#,
        r#"[{"config":"c","Layers":["l"]}]"#,
        r#"[{"Layers":["l"]}]"#,
        "[null]",
        "null",
        "{}",
        "",
    ] {
        let result = opened(&image, list, &[]);
        assert!(
            matches!(result, Err(OciError::List { .. })),
            "{list}: {result:?}"
        );
    }
    // What nobody knows is left alone.
    let further = r#"[{"Config":"c","Layers":["l"],"LayerSources":{"a":[1]},"Parent":"x"}]"#;
    assert!(opened(&image, further, &[]).is_ok());
}

#[test]
fn r33_a_list_that_is_huge_or_deep_is_refused() {
    let image = image(&["a"]);
    let huge = list("c", "[]", r#"["l"]"#) + &" ".repeat(4 << 20);
    let result = opened(&image, &huge, &[]);
    assert!(matches!(result, Err(OciError::Limit { .. })), "{result:?}");
    let deep = format!(
        r#"[{{"Unknown":{}{}}}]"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let result = opened(&image, &deep, &[]);
    assert!(
        matches!(result, Err(OciError::Document { .. })),
        "{result:?}"
    );
    let config = "c".to_owned();
    let huge = vec![b' '; (4 << 20) + 1];
    let members = tar(&[
        ("c", File(&huge)),
        ("manifest.json", File(list(&config, "[]", "[]").as_bytes())),
    ]);
    assert!(matches!(open_bytes(&members), Err(OciError::Limit { .. })));
}

#[test]
fn r26_a_layer_that_is_not_the_one_of_the_config_is_seen() -> Result {
    let (first, second) = (image(&["a"]), image(&["b"]));
    for layer in [second.blobs[2].1.clone(), gzip(&second.blobs[2].1)] {
        let list = list("c", "[]", r#"["l"]"#);
        let bytes = tar(&[
            ("c", File(&first.blobs[1].1)),
            ("l", File(&layer)),
            ("manifest.json", File(list.as_bytes())),
        ]);
        let source = images_of(open_bytes(&bytes)?);
        read_all(&source).expect_err("its digest is another");
    }
    Ok(())
}

#[test]
fn a_packed_layer_that_is_damaged_is_refused() {
    let image = image(&["a"]);
    let packed = gzip(&image.blobs[2].1);
    let members = [("m", File(&packed[..packed.len() - 1]))];
    let result = opened(&image, &list("c", "[]", r#"["m"]"#), &members);
    assert!(matches!(result, Err(OciError::Read { .. })), "{result:?}");
}
