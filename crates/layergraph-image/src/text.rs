//! Bytes made into text the way Go does it.

/// Decodes UTF-8, with one U+FFFD for each byte that is not part of a character.
///
/// [`String::from_utf8_lossy`] differs: it replaces a truncated character as a whole.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}
