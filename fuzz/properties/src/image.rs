//! The image JSON on any bytes.
//!
//! Whatever is decoded, encoding it is a fixed point; what is taken as a whole is JSON, and what
//! follows it changes nothing for the first value.

use layergraph_image::v1::Image;
use layergraph_image::{NodeId, Timestamp, is_short_id, truncate_id};

/// Checks the laws of the image JSON, of times and of ids on any bytes.
///
/// # Panics
///
/// Panics if one does not hold.
pub fn image_json(bytes: &[u8]) {
    let first = Image::decode_first(bytes);
    let whole = Image::decode(bytes);
    if let Ok(image) = &whole {
        assert_eq!(first.as_ref(), Ok(image));
    }
    if let Ok(image) = &first {
        let line = image.encode();
        assert_eq!(Image::decode(&line).as_ref(), Ok(image));
        assert_eq!(
            Image::decode_first(&[&line[..], bytes].concat()).as_ref(),
            Ok(image)
        );
        let again = Image::decode(&line).map(|image| image.encode());
        assert_eq!(again.as_ref(), Ok(&line));
        let text = str::from_utf8(&line).expect("an encoding is UTF-8");
        let theirs = serde_json::from_str::<serde_json::Value>(text).expect("and JSON");
        assert_eq!(serde_json::to_value(image).ok(), Some(theirs));
    }
    if let Ok(time) = Timestamp::parse(bytes) {
        let text = time.to_string();
        let again = Timestamp::parse(text.as_bytes()).map(|time| time.to_string());
        assert_eq!(again.as_ref(), Ok(&text), "of {time:?}");
    }
    if let Ok(id) = NodeId::parse(bytes) {
        assert_eq!(id.to_string().as_bytes(), bytes);
    }
    let short = truncate_id(bytes);
    assert_eq!(truncate_id(short), short);
    let _ = is_short_id(bytes);
}

/// Returns documents that reach every field.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let config = concat!(
        r#"{"Hostname":"h","AttachStdin":true,"ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"#,
        r#""Cmd":["sh","-c","\u003c\ud83d\ude00\u2028\\\""],"Volumes":{},"Entrypoint":null,"#,
        r#""OnBuild":[],"Labels":{"k":"v"},"Tty":false,"MacAddress":"x"}"#
    );
    let image = format!(
        concat!(
            r#"{{"id":"{}","parent":"p","comment":"c","created":"2015-10-01T12:00:00.5+02:00","#,
            r#""container_config":{},"config":{},"architecture":"amd64","os":"linux","#,
            r#""Size":-12,"unknown":[1.5e-3,{{"a":[null,true]}}]}}"#
        ),
        "0a".repeat(32),
        config,
        config
    );
    let image = image.into_bytes();
    let encoded = Image::decode(&image).expect("a seed is an image").encode();
    vec![
        encoded,
        image,
        b"null".to_vec(),
        b"{\"created\":\"0001-01-01T00:00:00Z\"} trailing".to_vec(),
        b"2015-10-01T12:00:00.123456789-05:30".to_vec(),
        "0a".repeat(32).into_bytes(),
    ]
}
