//! Writes an image as the 2015 program did.
//!
//! The layout is that of `serde_json`: no white space, maps sorted by the bytes of their keys.
//! What differs is the escaping within strings.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

use super::Image;

impl Image {
    /// Writes the image as one line of JSON, with its newline.
    ///
    /// The bytes depend on the value alone. Decoding them gives the value back as long as they
    /// keep to the limits of [`decode`](Image::decode), but for the seconds of a zone's offset,
    /// which the text has no room for.
    #[allow(
        clippy::missing_panics_doc,
        reason = "every value of this type can be written"
    )]
    pub fn encode(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(1024);
        let mut serializer = serde_json::Serializer::with_formatter(&mut line, GoFormatter);
        self.serialize(&mut serializer)
            .expect("all keys are strings, and a Vec takes every byte");
        line.push(b'\n');
        line
    }
}

/// Serializes a set as a map from its members to `{}`, which is how Go encodes a set.
#[allow(
    clippy::ref_option,
    reason = "serde hands over a reference to the field"
)]
pub(super) fn keys_of_empty_objects<S: Serializer>(
    set: &Option<BTreeSet<String>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Empty {}

    match set {
        Some(set) => serializer.collect_map(set.iter().map(|key| (key, Empty {}))),
        None => serializer.serialize_none(),
    }
}

/// Escapes strings as Go 1.4 did: so that they can stand within HTML and JavaScript, and with
/// short forms for the newline and the carriage return only.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        mut fragment: &str,
    ) -> io::Result<()> {
        const ESCAPED: [char; 5] = ['<', '>', '&', '\u{2028}', '\u{2029}'];
        while let Some(at) = fragment.find(ESCAPED) {
            let (plain, rest) = fragment.split_at(at);
            let mut rest = rest.chars();
            let escaped = rest.next().expect("a character was found here");
            write!(writer, "{plain}\\u{:04x}", u32::from(escaped))?;
            fragment = rest.as_str();
        }
        writer.write_all(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let escape = match escape {
            CharEscape::Tab => CharEscape::AsciiControl(b'\t'),
            CharEscape::Backspace => CharEscape::AsciiControl(0x08),
            CharEscape::FormFeed => CharEscape::AsciiControl(0x0c),
            other => other,
        };
        CompactFormatter.write_char_escape(writer, escape)
    }
}
