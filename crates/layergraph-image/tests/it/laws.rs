//! Laws that hold for every document and every text.

use std::collections::{BTreeMap, BTreeSet};

use layergraph_image::v1::{Config, Image};
use layergraph_image::{NodeId, Timestamp, is_short_id, truncate_id};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

/// Texts of any characters, and often of those that need care.
fn text() -> impl Strategy<Value = String> {
    let care = "<>&\"\\/\u{0}\u{8}\t\n\u{c}\r\u{1f}\u{7f}\u{2028}\u{2029}\u{fffd}\u{1f600}aK";
    let care: Vec<char> = care.chars().collect();
    let char = prop_oneof![proptest::sample::select(care), any::<char>()];
    vec(char, 0..6).prop_map(String::from_iter)
}

fn list() -> impl Strategy<Value = Option<Vec<String>>> {
    option::of(vec(text(), 0..3))
}

fn set() -> impl Strategy<Value = Option<BTreeSet<String>>> {
    option::of(btree_set(text(), 0..3))
}

fn map() -> impl Strategy<Value = Option<BTreeMap<String, String>>> {
    option::of(btree_map(text(), text(), 0..3))
}

/// Times whose zone has whole minutes, as every zone that was read has.
fn time() -> impl Strategy<Value = Timestamp> {
    let offset = prop_oneof![Just(0), -5_999..=5_999_i32];
    let nanos = prop_oneof![Just(0), Just(120_000_000), 0..1_000_000_000_u32];
    let seconds = -62_166_000_000..253_402_000_000_i64;
    (seconds, nanos, offset).prop_map(|(seconds, nanos, offset)| {
        Timestamp::new(seconds, nanos, offset * 60).expect("it lies within the years 0 to 9999")
    })
}

fn config() -> impl Strategy<Value = Config> {
    let texts = vec(text(), 9);
    let flags = any::<[bool; 7]>();
    let lists = (list(), list(), list(), list());
    let maps = (set(), set(), map());
    (texts, flags, lists, maps).prop_map(|(texts, flags, lists, maps)| {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap_or_default();
        Config {
            hostname: text(),
            domainname: text(),
            user: text(),
            attach_stdin: flags[0],
            attach_stdout: flags[1],
            attach_stderr: flags[2],
            exposed_ports: maps.0,
            publish_service: text(),
            tty: flags[3],
            open_stdin: flags[4],
            stdin_once: flags[5],
            env: lists.0,
            cmd: lists.1,
            image: text(),
            volumes: maps.1,
            volume_driver: text(),
            working_dir: text(),
            entrypoint: lists.2,
            network_disabled: flags[6],
            mac_address: text(),
            on_build: lists.3,
            labels: maps.2,
        }
    })
}

fn image() -> impl Strategy<Value = Image> {
    let texts = vec(text(), 8);
    let configs = (config(), option::of(config()));
    (texts, time(), configs, any::<i64>()).prop_map(|(texts, created, configs, size)| {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap_or_default();
        Image {
            id: text(),
            parent: text(),
            comment: text(),
            created,
            container: text(),
            container_config: configs.0,
            docker_version: text(),
            author: text(),
            config: configs.1,
            architecture: text(),
            os: text(),
            size,
        }
    })
}

/// Documents with a few bytes replaced, so that they are near what is taken.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let bytes = b"\"\\{}[]:,n0-.eE \xff\x80\x1fu";
    let byte = prop_oneof![proptest::sample::select(bytes.to_vec()), any::<u8>()];
    let damage = vec((any::<proptest::sample::Index>(), option::of(byte)), 0..4);
    (image(), damage).prop_map(|(image, damage)| {
        let mut text = image.encode();
        for (at, byte) in damage {
            let at = at.index(text.len());
            match byte {
                Some(byte) => text[at] = byte,
                None => drop(text.remove(at)),
            }
        }
        text
    })
}

/// JSON values of any shape, without the numbers and escapes on which decoders differ.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i8>().prop_map(Into::into),
        "[a-z\"\\\\/\n]{0,3}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            vec(("[a-z]{0,2}", inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn decoding_what_was_encoded_gives_it_back(image in image()) {
        let line = image.encode();
        prop_assert_eq!(Image::decode(&line), Ok(image.clone()));
        prop_assert_eq!(Image::decode_first(&line), Ok(image));
    }

    #[test]
    fn an_encoding_is_one_line_of_json_that_is_safe_in_html(image in image()) {
        let line = image.encode();
        let (last, rest) = line.split_last().expect("it is never empty");
        prop_assert_eq!(*last, b'\n');
        prop_assert!(rest.iter().all(|byte| *byte >= 0x20 && !b"<>&".contains(byte)));
        let text = str::from_utf8(rest)?;
        let separators = ['\u{2028}', '\u{2029}'];
        prop_assert!(!text.contains(separators));
        // Another decoder reads the same, and the same encoder without our escapes writes it.
        let other: serde_json::Value = serde_json::from_str(text)?;
        prop_assert_eq!(other, serde_json::to_value(&image)?);
    }

    #[test]
    fn encoding_what_was_decoded_is_a_fixed_point(text in damaged()) {
        if let Ok(image) = Image::decode_first(&text) {
            let line = image.encode();
            let again = Image::decode(&line);
            prop_assert_eq!(again.as_ref(), Ok(&image));
            prop_assert_eq!(again.map(|image| image.encode()), Ok(line));
        }
    }

    #[test]
    fn r33_no_bytes_make_the_decoder_panic(text in vec(any::<u8>(), 0..64)) {
        let _ = Image::decode(&text);
        let wrapped = [&b"{\"created\":\""[..], &text, b"\",\"id\":\"", &text, b"\"}"].concat();
        let _ = Image::decode(&wrapped);
        let _ = Timestamp::parse(&text);
        let _ = NodeId::parse(&text);
    }

    #[test]
    fn what_follows_a_document_changes_nothing_for_the_first(
        image in image(),
        rest in vec(any::<u8>(), 0..8),
    ) {
        let text = [image.encode(), rest].concat();
        prop_assert_eq!(Image::decode_first(&text), Ok(image));
    }

    #[test]
    fn unknown_fields_are_taken_exactly_if_they_are_json(
        value in json(),
        at in any::<proptest::sample::Index>(),
        byte in option::of(proptest::sample::select(b"\"\\/{}[]:,0-.eE nta\t\x1f".to_vec())),
    ) {
        let mut text = format!("{{\"?\":{value}}}").into_bytes();
        if let Some(byte) = byte {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let theirs = serde_json::from_slice::<serde_json::Value>(&text);
        let is_object = theirs.as_ref().is_ok_and(serde_json::Value::is_object);
        let ours = Image::decode(&text);
        prop_assert_eq!(ours.is_ok(), is_object, "{:?}: {:?}", ours, theirs);
    }

    #[test]
    fn times_are_read_as_they_were_written(time in time()) {
        let text = time.to_string();
        prop_assert_eq!(text.parse(), Ok(time));
        prop_assert_eq!(serde_json::to_string(&time)?, format!("\"{text}\""));
    }

    #[test]
    fn ids_are_read_as_they_were_written_and_sort_as_their_texts(
        a in any::<[u8; 32]>(),
        b in any::<[u8; 32]>(),
    ) {
        let (a, b) = (NodeId::from_bytes(a), NodeId::from_bytes(b));
        prop_assert_eq!(a.to_string().parse(), Ok(a));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn short_forms_of_ids_are_short_ids(id in any::<[u8; 32]>()) {
        let id = NodeId::from_bytes(id).to_string();
        let short = truncate_id(id.as_bytes());
        prop_assert!(is_short_id(short));
        prop_assert_eq!(truncate_id(short), short);
        prop_assert!(!is_short_id(id.as_bytes()));
    }
}
