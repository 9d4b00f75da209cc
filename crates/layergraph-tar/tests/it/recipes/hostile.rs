//! Recipes from others: of unusual form, damaged, or made to do harm.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use layergraph_tar::recipe::{Entry, FileEntry, Recipe, RecipeError, assemble};
use proptest::prelude::*;

use super::{Result, entries, split, text};
use crate::support::craft::{END, file};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn recipe() -> Vec<u8> {
    let archive = [
        file(b"a", b"hello"),
        file(b"\xff", b"world"),
        file(b"empty", b""),
        END.to_vec(),
    ];
    split(&archive.concat()[..], &[false])
        .expect("it is accepted")
        .recipe
}

/// Checks what reading lines says.
fn check(lines: &str, expected: &str) {
    let read = entries(lines.as_bytes());
    let outcome = match &read {
        Ok(entries) => format!("{} entries", entries.len()),
        Err(error) => error.to_string(),
    };
    assert_eq!(outcome, expected, "{lines}");
}

#[test]
fn forms_that_go_reads_are_read() -> Result {
    let lines = r#"
{"position":0,"payload":"AAE=","type":2}
 { "type" : 1 , "name" : "\u0061\/\"\n\ud83d\ude00" , "size" : 3, "payload" : "AAAAAAAAAAE=", "position" : 1 }

{"type":1,"name":"replaced","name_raw":"/w==","size":0,"payload":null,"position":2,"new":{"a":[1]}}
{"type":1,"name":null,"name_raw":"","size":null,"position":3}
{"type":2,"payload":null,"position":4}
{"type":2,"payload":"","position":5}"#;
    let read = entries(lines.as_bytes())?;
    assert_eq!(read[0], Entry::Segment(vec![0, 1]));
    let files: Vec<_> = read
        .iter()
        .filter_map(|entry| match entry {
            Entry::File(file) => Some((&file.name[..], file.size, file.checksum, file.offset)),
            _ => None,
        })
        .collect();
    let expected: [(&[u8], u64, u64, u64); 3] = [
        ("a/\"\n\u{1f600}".as_bytes(), 3, 1, 2),
        (b"\xff", 0, 0, 5),
        (b"", 0, 0, 5),
    ];
    assert_eq!(files, expected);
    assert_eq!(read[4..], [Entry::Segment(vec![]), Entry::Segment(vec![])]);

    let (first, second) = lines.split_at(60);
    let two_streams = [gzip(first.as_bytes()), gzip(second.as_bytes())].concat();
    assert_eq!(entries(&two_streams)?, read);
    Ok(())
}

#[test]
fn entries_that_none_can_be_are_refused() {
    check(
        r#"{"type":2,"payload":"","position":1}"#,
        "line 1 of the recipe is invalid: its position is not the next one",
    );
    check(
        "{\"type\":2,\"position\":0}\n\n{\"type\":2,\"position\":0}",
        "line 3 of the recipe is invalid: its position is not the next one",
    );
    check(
        r#"{"type":3,"position":0}"#,
        "line 1 of the recipe is invalid: it is neither a file nor a segment",
    );
    check(
        r#"{"type":1,"size":-1,"payload":"AAAAAAAAAAA=","position":0}"#,
        "line 1 of the recipe is invalid: its size is negative",
    );
    check(
        r#"{"type":1,"size":1,"position":0}"#,
        "line 1 of the recipe is invalid: it has a size and no checksum",
    );
    check(
        r#"{"type":1,"size":1,"payload":"AAAA","position":0}"#,
        "line 1 of the recipe is invalid: its checksum has not eight bytes",
    );
    let huge = |position| {
        format!(
            r#"{{"type":1,"size":{},"payload":"AAAAAAAAAAA=","position":{position}}}"#,
            i64::MAX
        )
    };
    check(
        &[huge(0), huge(1), huge(2)].join("\n"),
        "line 3 of the recipe is invalid: an archive cannot be so large",
    );
    for line in [
        "{",
        "[]",
        "nothing",
        r#"{"type":2}"#,
        r#"{"position":0}"#,
        r#"{"type":"2","position":0}"#,
        r#"{"type":2,"position":-1}"#,
        r#"{"type":2,"position":0.5}"#,
        r#"{"type":2,"payload":"=","position":0}"#,
        r#"{"type":2,"payload":[1,2],"position":0}"#,
        r#"{"type":1,"name_raw":"!","position":0}"#,
        r#"{"type":1,"name":"\ud800","position":0}"#,
        r#"{"type":2,"position":0}{"type":2,"position":1}"#,
        r#"{"type":2,"type":2,"position":0}"#,
    ] {
        check(line, "line 1 of the recipe cannot be parsed");
    }
    check(
        &format!("{{\"type\":2,\"x\":{}", "[".repeat(100_000)),
        "line 1 of the recipe cannot be parsed",
    );
}

#[test]
fn after_an_error_there_are_no_more_entries() -> Result {
    let lines = "nothing\n{\"type\":2,\"position\":0}\n";
    let mut recipe = Recipe::new(lines.as_bytes())?;
    assert!(matches!(
        recipe.next(),
        Some(Err(RecipeError::Parse { line: 1, .. }))
    ));
    assert!(recipe.next().is_none());
    Ok(())
}

#[test]
fn a_recipe_that_is_cut_off_is_an_error_wherever_it_is() {
    let recipe = recipe();
    for length in 0..recipe.len() {
        let read = entries(&recipe[..length]);
        assert!(
            matches!(read, Err(RecipeError::Read(_))),
            "{length}: {read:?}"
        );
    }
}

/// Makes as many bytes as are asked for, and counts them.
struct Endless(u8, u64);

impl Read for &mut Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(self.0);
        self.1 += buffer.len() as u64;
        Ok(buffer.len())
    }
}

#[test]
fn lines_without_an_end_and_lines_of_nothing_are_read_up_to_the_limits() {
    for (byte, most) in [(b' ', 9 << 20), (b'{', 9 << 20), (b'\n', 33 << 20)] {
        let limits = layergraph_tar::recipe::RecipeLimits {
            bytes: 32 << 20,
            ..Default::default()
        };
        let mut endless = Endless(byte, 0);
        let mut recipe = Recipe::with_limits(&mut endless, limits).expect("it begins");
        let failed = recipe.next();
        assert!(
            matches!(failed, Some(Err(RecipeError::Limit { .. }))),
            "{failed:?}"
        );
        drop(recipe);
        assert!(endless.1 <= most, "{} bytes were read", endless.1);
    }
}

fn consume(recipe: &[u8]) {
    let source = |file: &FileEntry| Ok(io::repeat(b'x').take(file.size.min(1 << 16)));
    if let Ok(recipe) = Recipe::new(recipe) {
        drop(assemble(recipe, source, io::sink()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn damage_of_any_kind_ends_reading_and_nothing_else(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        swap in prop::option::of(any::<[prop::sample::Index; 2]>()),
        is_compressed in any::<bool>(),
    ) {
        let recipe = recipe();
        let mut damaged = if is_compressed {
            recipe
        } else {
            text(&recipe).expect("it is whole").into_bytes()
        };
        if let Some([from, to]) = swap {
            let (from, to) = (from.index(damaged.len()), to.index(damaged.len()));
            damaged.drain(from.min(to)..from.max(to));
        }
        for (at, byte) in flips {
            if !damaged.is_empty() {
                let at = at.index(damaged.len());
                damaged[at] = byte;
            }
        }
        consume(&damaged);
        if !is_compressed {
            consume(&gzip(&damaged));
        }
    }

    #[test]
    fn entries_of_any_values_end_reading_and_nothing_else(
        lines in prop::collection::vec(
            (
                prop::sample::select(vec!["0", "1", "2", "null", "1e9"]),
                prop::sample::select(vec!["\"n\"", "\"\"", "null", "7", "\"\\u0000\""]),
                prop::sample::select(vec!["0", "1", "-1", "9223372036854775807", "1e400", "null"]),
                prop::sample::select(vec!["\"AAAAAAAAAAA=\"", "\"\"", "null", "\"AA\"", "{}"]),
            ),
            0..6,
        ),
    ) {
        let line = |(at, (kind, name, size, payload))| {
            format!(
                "{{\"type\":{kind},\"name\":{name},\"size\":{size},\"payload\":{payload},\"position\":{at}}}\n"
            )
        };
        let text: String = lines.into_iter().enumerate().map(line).collect();
        consume(text.as_bytes());
    }
}
