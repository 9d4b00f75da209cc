//! The ids of nodes: 64 hex digits, drawn at random or given, and their short forms.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many bytes a short id has.
const SHORT: usize = 12;

/// Names a node of the graph: 64 lower-case hex digits, held as 32 bytes.
///
/// The digits mean nothing. Ids sort as their texts do.
///
/// ```
/// use layergraph_image::NodeId;
///
/// let text = "b45e00c0ffee50bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2";
/// let id: NodeId = text.parse()?;
/// assert_eq!(id.to_string(), text);
/// assert_eq!(
///     "b45e".parse::<NodeId>().unwrap_err().to_string(),
///     "image ID 'b45e' is invalid"
/// );
/// # Ok::<(), layergraph_image::InvalidId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 32]);

/// The text is not 64 digits of `0123456789abcdef`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image ID '{id}' is invalid")]
pub struct InvalidId {
    /// The text; each byte that is not UTF-8 is shown as U+FFFD.
    pub id: String,
}

impl NodeId {
    /// Draws a new id from the random source of the operating system.
    ///
    /// An id whose short form has decimal digits only is drawn again, since that form is also
    /// used as a host name, and one of digits alone is taken for an address.
    ///
    /// # Errors
    ///
    /// The random source could not be read.
    pub fn random() -> io::Result<NodeId> {
        NodeId::draw(|bytes| getrandom::fill(bytes).map_err(io::Error::from))
    }

    fn draw(mut fill: impl FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<NodeId> {
        loop {
            let mut id = [0; 32];
            fill(&mut id)?;
            // A byte is two digits; both are decimal if neither half is above nine.
            let decimal = |byte: &u8| byte >> 4 <= 9 && byte & 0xf <= 9;
            if !id[..SHORT / 2].iter().all(decimal) {
                return Ok(NodeId(id));
            }
        }
    }

    /// Reads an id from its text, which may come from a file name and be any bytes.
    ///
    /// # Errors
    ///
    /// The text is anything but 64 lower-case hex digits.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<NodeId, InvalidId> {
        let text = text.as_ref();
        decode_hex(text).map(NodeId).ok_or_else(|| InvalidId {
            id: crate::text::lossy(text),
        })
    }

    /// Makes the id whose digits are these bytes in hex.
    pub fn from_bytes(bytes: [u8; 32]) -> NodeId {
        NodeId(bytes)
    }

    /// Returns the 32 bytes that the digits stand for.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn decode_hex(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text: &[u8; 64] = text.try_into().ok()?;
    let mut id = [0; 32];
    for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(id)
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(DIGITS[usize::from(byte >> 4)].into());
            text.push(DIGITS[usize::from(byte & 0xf)].into());
        }
        f.pad(&text)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<NodeId, InvalidId> {
        NodeId::parse(text)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
        let text = String::deserialize(deserializer)?;
        NodeId::parse(text).map_err(serde::de::Error::custom)
    }
}

/// Returns the short form of an id: its first 12 bytes, or all of it.
///
/// The form is cut by bytes whatever the id holds, so it may end within a character.
pub fn truncate_id(id: &[u8]) -> &[u8] {
    &id[..id.len().min(SHORT)]
}

/// Tells whether a text has the form of a short id: 12 bytes of `0` to `9` and `a` to `z`.
///
/// All letters count, not only hex digits.
pub fn is_short_id(id: &[u8]) -> bool {
    let allowed = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z');
    id.len() == SHORT && id.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A random source that gives these first six bytes, one row a draw, then fails.
    fn source(rows: &'static [[u8; 6]]) -> impl FnMut(&mut [u8]) -> io::Result<()> {
        let mut rows = rows.iter();
        move |bytes| {
            let row = rows.next().ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes[..6].copy_from_slice(row);
            Ok(())
        }
    }

    #[test]
    fn an_id_with_a_short_form_of_decimal_digits_is_drawn_again() {
        let id = NodeId::draw(source(&[
            [0x12, 0x34, 0x56, 0x78, 0x90, 0x12],
            [0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
            [0x99, 0x99, 0x99, 0x99, 0x99, 0x9a],
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ]));
        assert_eq!(
            id.unwrap().to_string(),
            format!("99999999999a{}", "0".repeat(52))
        );
    }

    #[test]
    fn one_letter_anywhere_in_the_short_form_is_enough() {
        for byte in 0..6 {
            for letter in [0xa0, 0x0a] {
                let id = NodeId::draw(|bytes| {
                    bytes[byte] = letter;
                    Ok(())
                });
                assert_eq!(id.unwrap().as_bytes()[byte], letter);
            }
        }
    }

    #[test]
    fn a_failing_random_source_is_an_error() {
        let id = NodeId::draw(source(&[[0; 6]]));
        assert_eq!(id.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(NodeId::random().unwrap(), NodeId::random().unwrap());
    }

    #[test]
    fn serde_takes_and_gives_the_text_and_nothing_else() {
        let text = format!("\"{}\"", "0a".repeat(32));
        let id: NodeId = serde_json::from_str(&text).unwrap();
        assert_eq!(id, NodeId::from_bytes([0x0a; 32]));
        assert_eq!(serde_json::to_string(&id).unwrap(), text);
        for bad in ["\"0A\"", "\"\"", "7", &text.to_uppercase()] {
            assert!(serde_json::from_str::<NodeId>(bad).is_err(), "{bad}");
        }
    }
}
