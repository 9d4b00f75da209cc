//! The JSON of one entry, as tar-split has it: its fields, their order, which are left out.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Entry, FileEntry, RecipeError};

const FILE: i64 = 1;
const SEGMENT: i64 = 2;

/// A line; unknown fields are passed over, and `null` is the same as nothing.
#[derive(Debug, Serialize, Deserialize)]
struct Line<Text> {
    #[serde(rename = "type")]
    kind: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_raw: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<i64>,
    payload: Option<Text>,
    position: u64,
}

/// Makes lines, in buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Lines {
    payload: String,
    name: String,
    line: Vec<u8>,
    /// The line of a segment, which is most of a recipe.
    segment: String,
}

impl Lines {
    /// Makes the line of a segment. Nothing in it takes a serializer to be escaped.
    pub(super) fn segment(&mut self, bytes: &[u8], position: u64) -> &[u8] {
        let line = &mut self.segment;
        line.clear();
        // A string takes anything.
        let _ = write!(line, "{{\"type\":{SEGMENT},\"payload\":\"");
        STANDARD.encode_string(bytes, line);
        let _ = writeln!(line, "\",\"position\":{position}}}");
        line.as_bytes()
    }

    /// Makes the line of a file.
    pub(super) fn file(
        &mut self,
        name: &[u8],
        size: u64,
        checksum: u64,
        position: u64,
    ) -> serde_json::Result<&[u8]> {
        let (name, name_raw) = match str::from_utf8(name) {
            Ok("") => (None, None),
            Ok(name) => (Some(name), None),
            Err(_) => (None, Some(encoded(name, &mut self.name))),
        };
        // The reader of archives lets no larger size pass.
        let size = i64::try_from(size).map_err(serde::ser::Error::custom)?;
        let checksum = checksum.to_be_bytes();
        let payload = (size > 0).then(|| encoded(&checksum, &mut self.payload));
        finish(
            &mut self.line,
            &Line {
                kind: FILE,
                name,
                name_raw,
                size: (size > 0).then_some(size),
                payload,
                position,
            },
        )
    }
}

fn encoded<'a>(bytes: &[u8], into: &'a mut String) -> &'a str {
    into.clear();
    STANDARD.encode_string(bytes, into);
    into
}

fn finish<'a>(into: &'a mut Vec<u8>, line: &Line<&str>) -> serde_json::Result<&'a [u8]> {
    into.clear();
    serde_json::to_writer(&mut *into, line)?;
    into.push(b'\n');
    Ok(into)
}

/// Reads the position and the entry of a line. Where the entry is in the archive is not in it:
/// `offset` is 0.
pub(super) fn parse(text: &[u8], line: u64) -> Result<(u64, Entry), RecipeError> {
    let invalid = |reason| RecipeError::Entry { line, reason };
    let parsed: Line<String> =
        serde_json::from_slice(text).map_err(|source| RecipeError::Parse {
            line,
            source: source.into(),
        })?;
    let decoded = |text: Option<String>| {
        let bytes = text.map(|text| STANDARD.decode(text)).transpose();
        bytes.map_err(|source| RecipeError::Parse {
            line,
            source: source.into(),
        })
    };
    let payload = decoded(parsed.payload)?;
    let position = parsed.position;
    let entry = match parsed.kind {
        SEGMENT => Entry::Segment(payload.unwrap_or_default()),
        FILE => {
            let name = match decoded(parsed.name_raw)? {
                Some(raw) if !raw.is_empty() => raw,
                _ => parsed.name.unwrap_or_default().into_bytes(),
            };
            let size = u64::try_from(parsed.size.unwrap_or(0))
                .map_err(|_| invalid("its size is negative"))?;
            let checksum = match payload.map(<[u8; 8]>::try_from) {
                _ if size == 0 => 0,
                Some(Ok(bytes)) => u64::from_be_bytes(bytes),
                Some(Err(_)) => return Err(invalid("its checksum has not eight bytes")),
                None => return Err(invalid("it has a size and no checksum")),
            };
            Entry::File(FileEntry {
                name,
                size,
                checksum,
                position,
                offset: 0,
            })
        }
        _ => return Err(invalid("it is neither a file nor a segment")),
    };
    Ok((position, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_segment_is_what_a_serializer_makes_of_it() -> serde_json::Result<()> {
        let mut lines = Lines::default();
        for (bytes, position) in [(&b""[..], 0), (b"\0\xff\xfe?", 7), (&[7; 1000], u64::MAX)] {
            let payload = STANDARD.encode(bytes);
            let line = Line {
                kind: SEGMENT,
                name: None,
                name_raw: None,
                size: None,
                payload: Some(&payload[..]),
                position,
            };
            let expected = serde_json::to_string(&line)? + "\n";
            assert_eq!(lines.segment(bytes, position), expected.as_bytes());
        }
        Ok(())
    }
}
