//! Documents decoded and encoded again, one peculiarity at a time.
//!
//! The expected texts follow Go 1.4's `encoding/json`, which wrote the documents of 2015.

use std::collections::{BTreeMap, BTreeSet};

use layergraph_image::Timestamp;
use layergraph_image::v1::{Config, DecodeError, Image, Kind};

/// The fields of an image in their order, each with its text where it is written even if empty.
const IMAGE: [(&str, Option<&str>); 12] = [
    ("id", Some(r#""""#)),
    ("parent", None),
    ("comment", None),
    ("created", Some(r#""0001-01-01T00:00:00Z""#)),
    ("container", None),
    ("container_config", Some("")),
    ("docker_version", None),
    ("author", None),
    ("config", None),
    ("architecture", None),
    ("os", None),
    ("Size", Some("0")),
];

/// The fields of a configuration in their order, each with the text of nothing.
const CONFIG: [(&str, &str); 22] = [
    ("Hostname", r#""""#),
    ("Domainname", r#""""#),
    ("User", r#""""#),
    ("AttachStdin", "false"),
    ("AttachStdout", "false"),
    ("AttachStderr", "false"),
    ("ExposedPorts", "null"),
    ("PublishService", r#""""#),
    ("Tty", "false"),
    ("OpenStdin", "false"),
    ("StdinOnce", "false"),
    ("Env", "null"),
    ("Cmd", "null"),
    ("Image", r#""""#),
    ("Volumes", "null"),
    ("VolumeDriver", r#""""#),
    ("WorkingDir", r#""""#),
    ("Entrypoint", "null"),
    ("NetworkDisabled", "false"),
    ("MacAddress", r#""""#),
    ("OnBuild", "null"),
    ("Labels", "null"),
];

fn object(members: impl Iterator<Item = (&'static str, String)>) -> String {
    let members: Vec<String> = members.map(|(k, v)| format!("\"{k}\":{v}")).collect();
    format!("{{{}}}", members.join(","))
}

fn find<'a>(set: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    let found = set.iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| *value)
}

/// The text of a configuration with these fields set.
fn config(set: &[(&str, &str)]) -> String {
    object(CONFIG.iter().map(|&(name, empty)| {
        let value = find(set, name).unwrap_or(empty);
        (name, value.to_owned())
    }))
}

/// The line of an image with these fields set.
fn line(set: &[(&str, &str)]) -> String {
    let members = IMAGE.iter().filter_map(|&(name, empty)| {
        let value = find(set, name).or(empty)?;
        let value = match value {
            "" => config(&[]),
            value => value.to_owned(),
        };
        Some((name, value))
    });
    object(members) + "\n"
}

/// Decodes `input` and checks that it is encoded as an image with these fields set.
#[track_caller]
fn check(input: impl AsRef<[u8]>, set: &[(&str, &str)]) {
    let image = Image::decode(input.as_ref()).unwrap();
    assert_eq!(String::from_utf8(image.encode()).unwrap(), line(set));
}

/// Decodes an image with this member in its configuration, and checks how that is encoded.
#[track_caller]
fn check_config(members: &str, set: &[(&str, &str)]) {
    let input = format!(r#"{{"config":{{{members}}}}}"#);
    check(input, &[("config", &config(set))]);
    let input = format!(r#"{{"container_config":{{{members}}}}}"#);
    check(input, &[("container_config", &config(set))]);
}

/// Decodes an image with a comment of these bytes between quotes, and checks how it is encoded.
#[track_caller]
fn check_text(literal: impl AsRef<[u8]>, expected: &str) {
    let input = [&br#"{"comment":""#[..], literal.as_ref(), b"\"}"].concat();
    check(input, &[("comment", &format!("\"{expected}\""))]);
}

#[track_caller]
fn check_refused(input: impl AsRef<[u8]>, message: &str) {
    let error = Image::decode(input.as_ref()).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn absent_fields_are_empty_and_some_empty_fields_are_left_out() {
    check("{}", &[]);
    check("null", &[]);
    check(" \t\r\n{ } \t\r\n", &[]);
    check(
        r#"{"id":"","parent":"","comment":"","container":"","docker_version":"","author":"",
            "architecture":"","os":"","Size":0}"#,
        &[],
    );
}

#[test]
fn every_field_has_its_place_whatever_the_order_it_came_in() {
    let mut members: Vec<(&str, &str)> = vec![
        ("id", r#""i""#),
        ("parent", r#""p""#),
        ("comment", r#""c""#),
        ("created", r#""2015-06-01T00:00:00Z""#),
        ("container", r#""k""#),
        ("docker_version", r#""1.8.0-dev""#),
        ("author", r#""a""#),
        ("architecture", r#""amd64""#),
        ("os", r#""linux""#),
        ("Size", "206"),
    ];
    let expected = members.clone();
    members.reverse();
    check(
        object(members.iter().map(|&(k, v)| (k, v.to_owned()))),
        &expected,
    );

    let mut members: Vec<(&str, &str)> = CONFIG
        .iter()
        .map(|&(name, empty)| match (empty, name) {
            ("false", _) => (name, "true"),
            ("null", "Env" | "Cmd" | "Entrypoint" | "OnBuild") => (name, r#"["x"]"#),
            ("null", "Labels") => (name, r#"{"k":"v"}"#),
            ("null", _) => (name, r#"{"k":{}}"#),
            _ => (name, r#""t""#),
        })
        .collect();
    let expected = members.clone();
    members.reverse();
    let members: Vec<String> = members
        .iter()
        .map(|(k, v)| format!("\"{k}\": {v}"))
        .collect();
    check_config(&members.join(" , "), &expected);
}

#[test]
fn unknown_fields_are_dropped_whatever_they_hold() {
    check(
        r#"{"layer_id":"x","checksum":null,"Memory":[1.5e-3,true,{"a":[{}]}],"os":"linux",
            "config":{"PortSpecs":["80"],"CpuShares":-0.0}}"#,
        &[("os", r#""linux""#), ("config", &config(&[]))],
    );
}

#[test]
fn names_match_in_any_case() {
    check(r#"{"ID":"a","Id":"b","iD":"c"}"#, &[("id", r#""c""#)]);
    check(
        r#"{"SIZE":1,"OS":"o","CONFIG":{"hostNAME":"h","cmd":["c"]}}"#,
        &[
            ("Size", "1"),
            ("os", r#""o""#),
            (
                "config",
                &config(&[("Hostname", r#""h""#), ("Cmd", r#"["c"]"#)]),
            ),
        ],
    );
    // U+212A is the sign for kelvin and U+017F the long s; their other cases are k and s.
    check(
        "{\"doc\u{212a}er_ver\u{17f}ion\":\"v\",\"o\u{17f}\":\"o\"}",
        &[("docker_version", r#""v""#), ("os", r#""o""#)],
    );
    check(r#"{"\u0069\u0044":"escaped"}"#, &[("id", r#""escaped""#)]);
    // Others do not match: a dotless i, an underscore with its sixth bit turned, a longer name.
    check("{\"\u{131}d\":\"x\"}", &[]);
    check("{\"docker\u{7f}version\":\"x\"}", &[]);
    check(r#"{"id ":"x","ids":"x","i":"x","":"x"}"#, &[]);
}

#[test]
fn the_last_value_wins_and_objects_are_merged() {
    check(r#"{"Size":1,"size":2}"#, &[("Size", "2")]);
    check(r#"{"comment":"a","comment":""}"#, &[]);
    check(
        r#"{"config":{"User":"u","Tty":true},"config":{"Image":"i","Tty":false}}"#,
        &[(
            "config",
            &config(&[("User", r#""u""#), ("Image", r#""i""#)]),
        )],
    );
    check_config(
        r#""Labels":{"a":"1","b":"2"},"Labels":{"b":"3","c":null}"#,
        &[("Labels", r#"{"a":"1","b":"3","c":""}"#)],
    );
    check_config(
        r#""Volumes":{"/a":{}},"volumes":{"/b":{}}"#,
        &[("Volumes", r#"{"/a":{},"/b":{}}"#)],
    );
    check_config(r#""Env":["a","b"],"Env":["c"]"#, &[("Env", r#"["c"]"#)]);
}

#[test]
fn null_empties_what_can_be_absent_and_leaves_the_rest() {
    check(
        r#"{"id":"i","id":null,"Size":7,"Size":null,"config":{"Tty":true},"config":null,
            "container_config":{"Tty":true,"Tty":null},"container_config":null}"#,
        &[
            ("id", r#""i""#),
            ("Size", "7"),
            ("container_config", &config(&[("Tty", "true")])),
        ],
    );
    check_config(
        r#""Env":["a"],"Env":null,"Cmd":["a"],"Cmd":null,"Labels":{"a":"b"},"Labels":null,
            "ExposedPorts":{"1/tcp":{}},"ExposedPorts":null"#,
        &[],
    );
    // Lists are read over in place, but for the two which had a decoder of their own.
    check_config(
        r#""Env":["a","b"],"Env":[null],"Cmd":["a"],"Cmd":[null]"#,
        &[("Env", r#"["a"]"#), ("Cmd", r#"[""]"#)],
    );
    // So had times, and theirs knew no null.
    check_refused(
        r#"{"created":null}"#,
        "image JSON: expected a time at byte 11, found null",
    );
}

#[test]
fn absent_and_empty_lists_and_maps_stay_apart() {
    let fields = [
        ("Env", "[]"),
        ("Cmd", "[]"),
        ("Entrypoint", "[]"),
        ("OnBuild", "[]"),
        ("ExposedPorts", "{}"),
        ("Volumes", "{}"),
        ("Labels", "{}"),
    ];
    for (name, empty) in fields {
        check_config(&format!("\"{name}\":{empty}"), &[(name, empty)]);
        check_config(&format!("\"{name}\":null"), &[]);
    }
}

#[test]
fn commands_are_lists_or_one_string() {
    for name in ["Cmd", "Entrypoint"] {
        let check = |value: &str, expected| {
            check_config(&format!("\"{name}\":{value}"), &[(name, expected)]);
        };
        check(r#""echo \"hi\"""#, r#"["echo \"hi\""]"#);
        check(r#""""#, r#"[""]"#);
        check(r#"["a",null,"b"]"#, r#"["a","","b"]"#);
        for bad in ["7", "true", "{}", "[1]", r#"["a",["b"]]"#] {
            let input = format!(r#"{{"config":{{"{name}":{bad}}}}}"#);
            let error = Image::decode(input.as_bytes()).unwrap_err();
            assert!(matches!(error, DecodeError::Mismatch { .. }), "{error}");
        }
    }
    check_refused(
        r#"{"config":{"Cmd":{}}}"#,
        "image JSON: expected a string or a list of strings at byte 17, found an object",
    );
}

#[test]
fn maps_are_sorted_by_the_bytes_of_their_keys() {
    // By UTF-16, U+1F600 would come before U+FF01, and by words, `B` after `a`.
    check_config(
        "\"Labels\":{\"\u{1f600}\":\"5\",\"b\":\"3\",\"\u{ff01}\":\"4\",\"a\":\"2\",\"B\":\"1\",\
         \"\":\"0\",\"<\":\"\"}",
        &[(
            "Labels",
            "{\"\":\"0\",\"\\u003c\":\"\",\"B\":\"1\",\"a\":\"2\",\"b\":\"3\",\
             \"\u{ff01}\":\"4\",\"\u{1f600}\":\"5\"}",
        )],
    );
    check_config(
        r#""ExposedPorts":{"80/tcp":{},"443/tcp":{"x":1},"8/udp":null}"#,
        &[("ExposedPorts", r#"{"443/tcp":{},"8/udp":{},"80/tcp":{}}"#)],
    );
}

#[test]
fn texts_are_escaped_as_for_html() {
    check_text("<a href='/x?y&z'>", r"\u003ca href='/x?y\u0026z'\u003e");
    check_text(r"\u003C\u003e\u0026\/", r"\u003c\u003e\u0026/");
    check_text("\u{2028}\\u2029", r"\u2028\u2029");
    check_text(r#"\"\\"#, r#"\"\\"#);
    check_text(r"\n\r\t\b\f", r"\n\r\u0009\u0008\u000c");
    check_text(r"\u0000\u001F\u007f", "\\u0000\\u001f\u{7f}");
    check_text("gr\u{e4}nd \u{1f600}", "gr\u{e4}nd \u{1f600}");
}

#[test]
fn what_is_no_character_becomes_one_replacement_per_byte() {
    check_text(b"a\xffb", "a\u{fffd}b");
    check_text(b"\xe2\x82", "\u{fffd}\u{fffd}");
    check_text(b"\xf0\x9f\x98\\n", "\u{fffd}\u{fffd}\u{fffd}\\n");
    // A surrogate in UTF-8, and an overlong form.
    check_text(b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}");
    check_text(b"\xc0\x80", "\u{fffd}\u{fffd}");
    // In keys as well, where two may become one.
    check(
        b"{\"config\":{\"Labels\":{\"\xff\":\"1\",\"\xfe\":\"2\"}}}",
        &[("config", &config(&[("Labels", "{\"\u{fffd}\":\"2\"}")]))],
    );
}

#[test]
fn surrogates_are_paired_or_replaced() {
    check_text(r"\ud83d\ude00", "\u{1f600}");
    check_text(r"\uD83D\uDE00", "\u{1f600}");
    check_text(r"\ud83d", "\u{fffd}");
    check_text(r"\ude00", "\u{fffd}");
    check_text(r"\ude00\ud83d", "\u{fffd}\u{fffd}");
    check_text(r"\ud83dx", "\u{fffd}x");
    check_text(r"\ud83d\n", r"�\n");
    check_text(r"\ud83d\u0041", "\u{fffd}A");
    check_text(r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}");
    check_text(r"\ud83d\\ude00", r"�\\ude00");
}

#[test]
fn sizes_are_whole_numbers_of_64_bits() {
    for (size, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("12345", "12345"),
        ("-1", "-1"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
    ] {
        check(format!(r#"{{"Size":{size}}}"#), &[("Size", expected)]);
    }
    for size in ["9223372036854775808", "-9223372036854775809", "1.0", "1e3"] {
        check_refused(
            format!(r#"{{"Size":{size}}}"#),
            "image JSON: expected a whole number of 64 bits at byte 8, found a number",
        );
    }
    check_refused(
        r#"{"Size":"12"}"#,
        "image JSON: expected a whole number of 64 bits at byte 8, found a string",
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_refused() {
    for (input, expected, found) in [
        (r#"{"id":7}"#, "a string", Kind::Number),
        (r#"{"os":["linux"]}"#, "a string", Kind::List),
        (r#"{"created":1433116800}"#, "a time", Kind::Number),
        (r#"{"created":{}}"#, "a time", Kind::Object),
        (r#"{"config":[]}"#, "a configuration", Kind::List),
        (
            r#"{"container_config":""}"#,
            "a configuration",
            Kind::String,
        ),
        (r#"{"config":{"Tty":1}}"#, "true or false", Kind::Number),
        (
            r#"{"config":{"Env":"A=b"}}"#,
            "a list of strings",
            Kind::String,
        ),
        (r#"{"config":{"Env":[true]}}"#, "a string", Kind::Bool),
        (
            r#"{"config":{"Labels":[]}}"#,
            "a map of strings",
            Kind::List,
        ),
        (
            r#"{"config":{"Labels":{"a":{}}}}"#,
            "a string",
            Kind::Object,
        ),
        (
            r#"{"config":{"Volumes":["/a"]}}"#,
            "a map of objects",
            Kind::List,
        ),
        (
            r#"{"config":{"Volumes":{"/a":1}}}"#,
            "an object",
            Kind::Number,
        ),
        ("[]", "an image", Kind::List),
        ("\"x\"", "an image", Kind::String),
    ] {
        match Image::decode(input.as_bytes()).unwrap_err() {
            DecodeError::Mismatch {
                expected: e,
                found: f,
                ..
            } => assert_eq!((e, f), (expected, found), "{input}"),
            other => panic!("{input}: {other}"),
        }
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for (input, at, expected) in [
        ("x", 0, "a value"),
        ("\u{feff}{}", 0, "a value"),
        ("\u{b}{}", 0, "a value"),
        ("{} {}", 3, "the end of the text"),
        ("{}\0", 2, "the end of the text"),
        ("{,}", 1, "a key in quotes"),
        (r#"{"a":1,}"#, 7, "a key in quotes"),
        ("{1:2}", 1, "a key in quotes"),
        ("{'a':1}", 1, "a key in quotes"),
        (r#"{"a" 1}"#, 5, "a colon after the key"),
        (r#"{"a":1 "b":2}"#, 7, "a comma or the end of the object"),
        (r#"{"a":[1}"#, 7, "a comma or the end of the list"),
        (r#"{"a":[1,]}"#, 8, "a value"),
        (r#"{"a":nul}"#, 8, "null, true or false"),
        (r#"{"a":True}"#, 5, "a value"),
        (r#"{"a":+1}"#, 5, "a value"),
        (r#"{"a":.5}"#, 5, "a value"),
        (r#"{"a":01}"#, 6, "a comma or the end of the object"),
        (r#"{"a":1.}"#, 7, "a digit"),
        (r#"{"a":-}"#, 6, "a digit"),
        (r#"{"a":1e}"#, 7, "a digit"),
        (r#"{"a":1e+}"#, 8, "a digit"),
        (r#"{"a":0x1}"#, 6, "a comma or the end of the object"),
        ("{\"a\":\"\t\"}", 6, "an escape of this control character"),
        ("{\"a\":\"\n\"}", 6, "an escape of this control character"),
        (r#"{"a":"\x"}"#, 7, "an escape"),
        (r#"{"a":"\'"}"#, 7, "an escape"),
        (r#"{"a":"\u12g4"}"#, 10, "a hex digit"),
        (r#"{"a":"\u+123"}"#, 8, "a hex digit"),
        ("{/**/}", 1, "a key in quotes"),
    ] {
        let error = Image::decode(input.as_bytes()).unwrap_err();
        assert_eq!(error, DecodeError::Syntax { at, expected }, "{input}");
    }
}

#[test]
fn what_follows_the_first_value_is_ignored_where_that_is_asked_for() {
    for rest in ["", "\ngarbage after\n", "{}", "\"", "\0\u{1}"] {
        let text = format!(r#"{{"id":"a"}}{rest}"#);
        assert_eq!(Image::decode_first(text.as_bytes()).unwrap().id, "a");
    }
    assert_eq!(Image::decode_first(b" null x"), Ok(Image::default()));
}

#[test]
fn a_text_cut_off_anywhere_is_told_from_one_that_is_empty() {
    let text = br#"{"id":"a\u00e4","Size":-1,"config":{"Cmd":["x",null],"Tty":true,"a":{}}}"#;
    Image::decode(text).unwrap();
    for len in 1..text.len() {
        let cut = &text[..len];
        assert_eq!(Image::decode(cut), Err(DecodeError::Truncated), "{len}");
        assert_eq!(Image::decode_first(cut), Err(DecodeError::Truncated));
    }
    for blank in ["", " ", "\t\r\n"] {
        assert_eq!(Image::decode(blank.as_bytes()), Err(DecodeError::Empty));
    }
    assert_eq!(DecodeError::Empty.to_string(), "EOF");
    assert_eq!(DecodeError::Truncated.to_string(), "unexpected EOF");
}

#[test]
fn a_value_made_here_is_written_like_one_that_was_read() {
    let controls: String = (0..=0x20_u8).map(char::from).collect();
    let image = Image {
        comment: format!("{controls}\u{7f}<&>"),
        created: Timestamp::new(1_433_116_800, 120_000_000, 3_600).unwrap(),
        size: i64::MIN,
        config: Some(Config {
            env: Some(vec![String::new(), "A=<b>".to_owned()]),
            cmd: Some(Vec::new()),
            exposed_ports: Some(BTreeSet::from(["80/tcp".to_owned()])),
            volumes: Some(BTreeSet::new()),
            labels: Some(BTreeMap::from([("b".to_owned(), String::new())])),
            ..Config::default()
        }),
        ..Image::default()
    };
    let comment: String = (0..0x20)
        .map(|control| match control {
            0x0a => r"\n".to_owned(),
            0x0d => r"\r".to_owned(),
            _ => format!(r"\u{control:04x}"),
        })
        .collect();
    let expected = line(&[
        (
            "comment",
            &format!("\"{comment} \u{7f}\\u003c\\u0026\\u003e\""),
        ),
        ("created", r#""2015-06-01T01:00:00.12+01:00""#),
        ("Size", "-9223372036854775808"),
        (
            "config",
            &config(&[
                ("Env", r#"["","A=\u003cb\u003e"]"#),
                ("Cmd", "[]"),
                ("ExposedPorts", r#"{"80/tcp":{}}"#),
                ("Volumes", "{}"),
                ("Labels", r#"{"b":""}"#),
            ]),
        ),
    ]);
    assert_eq!(String::from_utf8(image.encode()).unwrap(), expected);
    assert_eq!(Image::decode(expected.as_bytes()), Ok(image));
}
