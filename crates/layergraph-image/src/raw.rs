//! A document together with the exact bytes it was read from.

/// Keeps the bytes of a document beside the value they stand for.
///
/// The bytes are what gets stored, hashed and passed on; the value is for asking questions. There
/// is no way to change one without the other, so reading a document and writing it back never
/// alters it. To make a changed document, take the value, change it, and encode that.
///
/// ```
/// use layergraph_image::{Raw, v1::Image};
///
/// let stored = br#"{"id":"b45e", "layer_id":"dropped by encode()"}"#;
/// let image = Raw::parse(stored.to_vec(), Image::decode)?;
/// assert_eq!(image.value().id, "b45e");
/// assert_eq!(image.bytes(), stored);
/// # Ok::<(), layergraph_image::v1::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw<T> {
    bytes: Vec<u8>,
    value: T,
}

impl<T> Raw<T> {
    /// Parses `bytes` and keeps them.
    ///
    /// # Errors
    ///
    /// Whatever `parse` returns; the bytes are then gone.
    pub fn parse<E>(
        bytes: Vec<u8>,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Raw<T>, E> {
        let value = parse(&bytes)?;
        Ok(Raw { bytes, value })
    }

    /// Returns the bytes as they were read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns what the bytes say.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Gives up the bytes and returns the value, free to be changed.
    pub fn into_value(self) -> T {
        self.value
    }
}
