//! Rust source as text: what is code in it, and what of that is not for tests.
//!
//! The checks look for words. A word in a comment or a string is not code, and a brace in one
//! ends no function, so both are blanked out first. Lines and columns stay where they were.

use std::ops::Range;

/// Returns the source with comments, and the contents of strings and characters, as spaces.
pub(crate) fn code(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let (length, content) = token(&bytes[at..]);
        blank(&mut out, at + content.start..at + content.end);
        at += length;
    }
    String::from_utf8(out).expect("whole characters were replaced by spaces")
}

/// Returns code as [`code`] gives it, with the items under `#[cfg(test)]` blank as well.
pub(crate) fn without_tests(code: &str) -> String {
    const GATE: &str = "#[cfg(test)]";
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(at) = code[from..].find(GATE).map(|at| from + at) {
        from = item_end(code, at + GATE.len());
        blank(&mut out, at..from);
    }
    String::from_utf8(out).expect("whole characters were replaced by spaces")
}

/// Returns where the item ends that begins at `from`: after its block, or at its semicolon.
pub(crate) fn item_end(code: &str, from: usize) -> usize {
    body(code, from).end
}

/// Returns the block of the item that begins at `from`, braces included; an item that ends in a
/// semicolon has an empty one.
pub(crate) fn body(code: &str, from: usize) -> Range<usize> {
    let mut start = None;
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'{' if depth == 0 && start.is_none() => {
                start = Some(at);
                depth = 1;
            }
            b';' if depth == 0 => return at + 1..at + 1,
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Some(start) = start
            && depth == 0
        {
            return start..at + 1;
        }
    }
    code.len()..code.len()
}

/// Returns the offsets at which `code` names `name`, a word or a path such as `std::fs`.
///
/// A path is found in a group of imports too: `std::{fs, io}`.
pub(crate) fn mentions(code: &str, name: &str) -> Vec<usize> {
    let mut found = words(code, name);
    if let Some((parent, last)) = name.rsplit_once("::") {
        for at in words(code, parent) {
            let rest = at + parent.len();
            if code[rest..].starts_with("::{") {
                let group = body(code, rest);
                let inner = &code[group.clone()];
                found.extend(words(inner, last).iter().map(|at| group.start + at));
            }
        }
    }
    found
}

/// Returns the line, from 1, of an offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

fn words(code: &str, word: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| at == 0 || !is_ident(bytes[at - 1]))
        .filter(|&at| {
            bytes
                .get(at + word.len())
                .is_none_or(|&next| !is_ident(next))
        })
        .collect()
}

fn is_ident(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn blank(out: &mut [u8], range: Range<usize>) {
    for byte in &mut out[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

/// Returns the length of the first token, and what of it is not code. A token is a comment, a
/// literal, a word, or any other single byte.
fn token(rest: &[u8]) -> (usize, Range<usize>) {
    let literal = |length: usize| (length, 1..length.saturating_sub(1).max(1));
    match rest {
        [b'/', b'/', ..] => {
            let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
            (length, 0..length)
        }
        [b'/', b'*', ..] => {
            let length = block_comment(rest);
            (length, 0..length)
        }
        [b'"', ..] => literal(string(rest)),
        [b'\'', ..] => literal(character(rest)),
        [b'r', b'"' | b'#', ..] => literal(raw_string(rest)),
        // `b"…"`, `br"…"` and their like: the first letter is a token of its own.
        [b'b' | b'c', b'r' | b'"' | b'\'', ..] => (1, 0..0),
        [first, ..] if is_ident(*first) => {
            (rest.iter().take_while(|&&b| is_ident(b)).count(), 0..0)
        }
        _ => (1, 0..0),
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&b| b == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 1 + hashes; // a raw identifier: `r#type`
    }
    let body = 2 + hashes;
    let closes = |at: &usize| {
        rest[*at] == b'"' && rest[at + 1..].iter().take_while(|&&b| b == b'#').count() >= hashes
    };
    (body..rest.len())
        .find(closes)
        .map_or(rest.len(), |at| at + 1 + hashes)
}

/// A quote begins a character only if it ends after one; else it begins a lifetime or a label.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        let end = rest.iter().skip(3).position(|&b| b == b'\'');
        return end.map_or(rest.len(), |end| end + 4);
    }
    // One character is one to four bytes in UTF-8.
    let width = match rest.get(1) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        _ => 1,
    };
    if rest.get(1 + width) == Some(&b'\'') {
        width + 2
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let cases = [
            ("a // unsafe\nb", "a          \nb"),
            ("/* x /* y */ z */ b", "                  b"),
            (r#"f("{ \" }") }"#, r#"f("      ") }"#),
            ("'{' '\\'' 'a: &'b", "' ' '  ' 'a: &'b"),
            ("b'\"' x", "b' ' x"),
            ("'é' x", "'  ' x"),
            ("for'a'", "for' '"),
            ("r#type x", "r#type x"),
            ("return crate break", "return crate break"),
            ("br\"\\\" }", "br  \" }"),
        ];
        for (source, expected) in cases {
            assert_eq!(code(source), expected, "of {source}");
        }
        let raw = code("x(r##\"{ \"# unsafe\"##) }");
        assert!(
            !raw.contains("unsafe") && !raw.contains('{') && raw.ends_with(") }"),
            "{raw}"
        );
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_file() {
        for source in [
            "\"",
            "\"abc",
            "\"abc\\",
            "r#\"abc\"",
            "/* abc",
            "'\\",
            "'",
            "r",
            "r#",
        ] {
            assert_eq!(code(source).len(), source.len(), "of {source}");
        }
    }

    #[test]
    fn items_under_cfg_test_are_left_out() {
        let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { [(); 2]; }\n}\nfn c() {}\n#[cfg(test)]\nmod d;\nfn e() {}";
        let left = without_tests(&code(source));
        assert!(left.contains("fn a") && left.contains("fn c") && left.contains("fn e"));
        assert!(!left.contains("fn b") && !left.contains("mod d"), "{left}");
        assert_eq!(left.matches('\n').count(), source.matches('\n').count());
    }

    #[test]
    fn a_path_is_found_alone_and_in_a_group_of_imports() {
        assert_eq!(mentions("use std::fs;", "std::fs").len(), 1);
        assert_eq!(mentions("use std::{fmt, fs::File};", "std::fs").len(), 1);
        assert_eq!(
            mentions("use std::{\n    fmt,\n    fs,\n};", "std::fs"),
            [24]
        );
        assert_eq!(
            mentions("use std::fsx; use mystd::fs; std::{fmt};", "std::fs").len(),
            0
        );
        assert_eq!(mentions("unsafe_code unsafe {}", "unsafe"), [12]);
    }
}
