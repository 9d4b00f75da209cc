//! What holds for every document: how large it may be, and that it means one thing only.

use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};

/// How many bytes a document may have: 20 MiB, far more than any real one.
pub const MAX_BYTES: usize = 20 << 20;

/// How deep a document may nest: as deep as most readers go.
pub const MAX_DEPTH: usize = 128;

/// How many values the objects and lists of a document may hold together.
///
/// An object with one field takes up to a kilobyte. This many values take 40 MB at most.
pub const MAX_VALUES: usize = 1 << 16;

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It has more than [`MAX_BYTES`].
    #[error("it has {bytes} bytes, and {MAX_BYTES} are allowed")]
    Size {
        /// How many it has.
        bytes: usize,
    },
    /// It nests deeper than [`MAX_DEPTH`].
    #[error("it nests deeper than {MAX_DEPTH} levels")]
    Depth,
    /// Its objects and lists hold more than [`MAX_VALUES`].
    #[error("its objects and lists hold more than {MAX_VALUES} values")]
    Values,
    /// It is no JSON, or not of the form that the specification says.
    #[error("it is not of the form that a {what} has")]
    Form {
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It would mean different things to different readers.
    #[error("it is ambiguous: {reason}")]
    Ambiguous {
        /// In what way.
        reason: String,
    },
    /// It is something else than it should be.
    #[error("it is a {found}, not a {wanted}")]
    Other {
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// It is of a version that is not known here.
    #[error("its schema version is {0}, and 2 is known here")]
    Version(u64),
    /// Its parts contradict each other.
    #[error("it contradicts itself: {reason}")]
    Contradiction {
        /// In what way.
        reason: String,
    },
}

/// Reads a document, and the names of its fields.
pub(super) fn read<T: DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
    known: &[&str],
) -> Result<(T, Vec<String>), DocumentError> {
    check_limits(bytes)?;
    let form = |source| DocumentError::Form { what, source };
    let Keys(keys) = serde_json::from_slice(bytes).map_err(form)?;
    for (at, key) in keys.iter().enumerate() {
        let means = |name: &str| key.eq_ignore_ascii_case(name);
        let reason = if keys[..at].iter().any(|other| means(other)) {
            format!("it has the field {key:?} twice")
        } else if known.iter().any(|name| means(name) && key != name) {
            format!("to some readers {key:?} is a field that others do not know")
        } else {
            continue;
        };
        return Err(DocumentError::Ambiguous { reason });
    }
    Ok((serde_json::from_slice(bytes).map_err(form)?, keys))
}

/// Tells whether JSON is small enough to be read: at most [`MAX_BYTES`] long, [`MAX_DEPTH`] deep,
/// and of [`MAX_VALUES`]. Of what is no JSON it says nothing.
///
/// # Errors
///
/// [`DocumentError::Size`], [`DocumentError::Depth`] and [`DocumentError::Values`].
pub fn check_limits(bytes: &[u8]) -> Result<(), DocumentError> {
    if bytes.len() > MAX_BYTES {
        let bytes = bytes.len();
        return Err(DocumentError::Size { bytes });
    }
    // A list or an object has a value more than it has commas, unless it is empty.
    let (mut depth, mut values, mut in_text) = (0_usize, 0, false);
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_text => drop(bytes.next()),
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => (depth, values) = (depth + 1, values + 1),
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            b',' if !in_text => values += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(DocumentError::Depth);
        }
        if values > MAX_VALUES {
            return Err(DocumentError::Values);
        }
    }
    Ok(())
}

/// The names of the fields of an object, as often as they stand there.
struct Keys(Vec<String>);

impl<'de> de::Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
        struct OfObject;

        impl<'de> Visitor<'de> for OfObject {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = map.next_key()? {
                    // A document of ours has a dozen; comparing all with all must stay cheap.
                    if keys.len() == MAX_FIELDS {
                        return Err(de::Error::custom("it has too many fields"));
                    }
                    keys.push(key);
                    map.next_value::<IgnoredAny>()?;
                }
                Ok(Keys(keys))
            }
        }

        deserializer.deserialize_map(OfObject)
    }
}

/// How many fields a document may have at its top.
const MAX_FIELDS: usize = 1000;

/// Takes `null` for what is left out, as Go does, and writes it for a list that is none.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: de::Deserialize<'de> + Default,
{
    let value: Option<T> = de::Deserialize::deserialize(deserializer)?;
    Ok(value.unwrap_or_default())
}
