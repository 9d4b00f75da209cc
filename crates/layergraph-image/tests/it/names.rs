//! Names of images: which there are, and that their forms mean the same.

use layergraph_image::{ImageName, Reference};
use proptest::prelude::*;

fn name(text: &str) -> ImageName {
    text.parse().expect(text)
}

#[test]
fn a_name_is_known_in_full_and_shown_as_people_know_it() {
    for (text, full, familiar) in [
        (
            "busybox",
            "docker.io/library/busybox:latest",
            "busybox:latest",
        ),
        (
            "busybox:1.36",
            "docker.io/library/busybox:1.36",
            "busybox:1.36",
        ),
        (
            "library/busybox",
            "docker.io/library/busybox:latest",
            "busybox:latest",
        ),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        (
            "docker.io/user/app:v1",
            "docker.io/user/app:v1",
            "user/app:v1",
        ),
        (
            "index.docker.io/busybox",
            "docker.io/library/busybox:latest",
            "busybox:latest",
        ),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        (
            "localhost:5000/x/y:z",
            "localhost:5000/x/y:z",
            "localhost:5000/x/y:z",
        ),
        (
            "quay.io/a/b/c",
            "quay.io/a/b/c:latest",
            "quay.io/a/b/c:latest",
        ),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        ("HOST/a", "HOST/a:latest", "HOST/a:latest"),
        (
            "a__b/c-d.e_f",
            "docker.io/a__b/c-d.e_f:latest",
            "a__b/c-d.e_f:latest",
        ),
        (
            "docker.io/a.b/c",
            "docker.io/a.b/c:latest",
            "docker.io/a.b/c:latest",
        ),
        (
            "x:UPPER_case-1.0",
            "docker.io/library/x:UPPER_case-1.0",
            "x:UPPER_case-1.0",
        ),
    ] {
        let name = name(text);
        assert_eq!(name.to_string(), full);
        assert_eq!(name.familiar().to_string(), familiar);
    }
}

#[test]
fn r2_what_is_no_name_is_refused_and_says_why() {
    let long = "a".repeat(256);
    let long_tag = format!("x:{}", "t".repeat(129));
    let id = "0".repeat(64);
    for text in [
        "",
        ":",
        "a:",
        ":a",
        "/",
        "a/",
        "/a",
        "a//b",
        "A",
        "a/B",
        "../x",
        "a/../b",
        "a/./b",
        "a b",
        "a\nb",
        "a\0b",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a._b",
        "a:.x",
        "a:-x",
        "a:b:c",
        "a@b",
        "a@sha256:abc",
        "x.y:port/a",
        "[::1/a",
        "ex..ample.com/a",
        "-h.com/a",
        "\u{e9}",
        &long,
        &long_tag,
        &id,
    ] {
        let error = text.parse::<Reference>().expect_err(text);
        assert!(
            error.to_string().contains("is no name of an image: "),
            "{error}"
        );
    }
    // What is nearly that.
    for text in [
        "a--b",
        "a---b",
        &id[1..],
        &format!("a/{id}"),
        &format!("{id}:tag"),
    ] {
        text.parse::<ImageName>().expect(text);
    }
}

#[test]
fn a_reference_may_have_a_digest_and_a_name_may_not() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let text = format!("busybox@{digest}");
    let reference: Reference = text.parse().expect("a reference");
    assert_eq!(reference.to_string(), format!("docker.io/library/{text}"));
    assert!(!reference.has_tag);
    assert_eq!(reference.digest, digest.parse().ok());
    assert!(text.parse::<ImageName>().is_err());
    let text = format!("quay.io/a:1@{digest}");
    let reference: Reference = text.parse().expect("a reference");
    assert_eq!((reference.has_tag, reference.to_string()), (true, text));
}

#[test]
fn a_name_in_json_is_the_full_one() {
    let json = serde_json::to_string(&name("busybox")).expect("a text");
    assert_eq!(json, "\"docker.io/library/busybox:latest\"");
    assert_eq!(
        serde_json::from_str::<ImageName>(&json).expect("it was written"),
        name("busybox")
    );
    assert!(serde_json::from_str::<ImageName>("\"A\"").is_err());
}

proptest! {
    #[test]
    fn both_forms_of_a_name_are_read_as_that_name(
        text in "([a-z.]{1,6}(:[0-9]{1,3})?/|localhost/|docker.io/)?([a-z0-9._-]{1,5}/){0,2}[a-z0-9._-]{1,6}(:[A-Za-z0-9_.-]{1,5})?"
    ) {
        if let Ok(name) = text.parse::<ImageName>() {
            prop_assert_eq!(&name.to_string().parse::<ImageName>().expect("in full"), &name);
            let familiar = name.familiar().to_string();
            prop_assert_eq!(&familiar.parse::<ImageName>().expect("as people know it"), &name);
        }
    }

    #[test]
    fn no_text_makes_reading_a_name_panic(text in ".*") {
        let _ = text.parse::<Reference>();
    }
}
