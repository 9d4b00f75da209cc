//! Documents at the edge of what is taken, and ids at the edge of what is one.

use layergraph_image::NodeId;
use layergraph_image::v1::{DecodeError, Image, MAX_BYTES, MAX_DEPTH, MAX_VALUES};

/// A document that nests as deep as this, in a field of an unknown name.
fn nested(depth: usize, open: &str, close: &str) -> String {
    let (open, close) = (open.repeat(depth - 1), close.repeat(depth - 1));
    format!("{{\"x\":{open}0{close}}}")
}

#[test]
fn r33_a_document_nests_128_deep_and_no_deeper() {
    assert_eq!(MAX_DEPTH, 128);
    for (open, close) in [("[", "]"), ("{\"y\":", "}")] {
        Image::decode(nested(MAX_DEPTH, open, close).as_bytes()).unwrap();
        let at = 5 + open.len() * (MAX_DEPTH - 1);
        for depth in [MAX_DEPTH + 1, 100_000] {
            let error = Image::decode(nested(depth, open, close).as_bytes()).unwrap_err();
            assert_eq!(error, DecodeError::TooDeep { at });
        }
    }
    // Beside one another they may stand in any number.
    let row = vec![nested(MAX_DEPTH - 1, "[", "]"); 100].join(",");
    Image::decode(format!("{{\"x\":[{row}]}}").as_bytes()).unwrap_err();
    let row = vec![nested(MAX_DEPTH - 2, "[", "]"); 100].join(",");
    Image::decode(format!("{{\"x\":[{row}]}}").as_bytes()).unwrap();
}

#[test]
fn r33_a_document_has_4_mib_and_no_more() {
    assert_eq!(MAX_BYTES, 4 << 20);
    let mut text = format!("{{\"id\":\"{}\"}}", "a".repeat(MAX_BYTES - 9));
    assert_eq!(text.len(), MAX_BYTES);
    let image = Image::decode(text.as_bytes()).unwrap();
    assert_eq!(image.id.len(), MAX_BYTES - 9);
    text.push(' ');
    let too_long = Err(DecodeError::TooLong { len: MAX_BYTES + 1 });
    assert_eq!(Image::decode(text.as_bytes()), too_long);
    assert_eq!(Image::decode_first(text.as_bytes()), too_long);
}

#[test]
fn r33_a_document_has_131072_values_and_no_more() {
    assert_eq!(MAX_VALUES, 131_072);
    // Two are the configuration and its list.
    let document = |strings: usize| {
        let strings = vec![r#""""#; strings].join(",");
        format!(r#"{{"config":{{"Env":[{strings}]}}}}"#)
    };
    let image = Image::decode(document(MAX_VALUES - 2).as_bytes()).unwrap();
    assert_eq!(image.config.unwrap().env.unwrap().len(), MAX_VALUES - 2);
    let error = Image::decode(document(MAX_VALUES - 1).as_bytes()).unwrap_err();
    assert!(matches!(error, DecodeError::TooMany { .. }), "{error}");
    assert!(error.to_string().contains("too many values"), "{error}");
}

#[test]
fn r2_an_id_is_64_digits_and_nothing_that_leads_elsewhere() {
    let digits = "0123456789abcdef".repeat(4);
    let id = NodeId::parse(&digits).unwrap();
    assert_eq!(id.to_string(), digits);
    assert_eq!(format!("{id:?}"), format!("NodeId({digits})"));
    assert_eq!(format!("{id:>66}"), format!("  {digits}"));
    for bad in [
        format!("../{}", &digits[3..]),
        format!("{}/..", &digits[3..]),
        format!("{}\0", &digits[1..]),
        format!("{digits}\n"),
        format!("{digits}0"),
        digits[1..].to_owned(),
        digits.to_uppercase(),
        String::new(),
    ] {
        let image = Image {
            id: bad.clone(),
            ..Image::default()
        };
        let error = image.node_id().unwrap_err();
        assert_eq!(error.to_string(), format!("image ID '{bad}' is invalid"));
        assert_eq!(bad.parse::<NodeId>(), Err(error));
    }
}
