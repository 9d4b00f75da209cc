//! What a driver calls a layer.

use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;

use layergraph_image::NodeId;

/// The longest name that file systems take, in bytes (`NAME_MAX`).
const LONGEST: usize = 255;

/// Names a layer of a driver: one plain component of a path, that does not begin with a dot.
///
/// The layer of a node of the graph has the node's id. Others, such as those of containers in 2015
/// (`<id>-init`), may have any name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId(Box<str>);

/// The text cannot be the name of a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layer id {id:?} is invalid")]
pub struct InvalidLayerId {
    /// The text.
    pub id: String,
}

impl LayerId {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text as a file name.
    pub fn as_name(&self) -> &OsStr {
        OsStr::new(self.as_str())
    }
}

impl FromStr for LayerId {
    type Err = InvalidLayerId;

    fn from_str(text: &str) -> Result<LayerId, InvalidLayerId> {
        let plain = !text.is_empty()
            && text.len() <= LONGEST
            && !text.starts_with('.')
            && !text.contains(['/', '\0']);
        if plain {
            Ok(LayerId(text.into()))
        } else {
            Err(InvalidLayerId { id: text.into() })
        }
    }
}

impl From<NodeId> for LayerId {
    fn from(id: NodeId) -> LayerId {
        LayerId(id.to_string().into())
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LayerId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_plain_name_that_is_not_hidden() {
        let longest = "a".repeat(255);
        for text in ["a", "a.b", "a b", "é", "c0ffee-init", &longest] {
            assert_eq!(
                text.parse::<LayerId>().map(|id| id.to_string()),
                Ok(text.into())
            );
        }
        let longer = "a".repeat(256);
        for text in [
            "", ".", "..", ".staging", "a/b", "/", "../a", "a\0", &longer,
        ] {
            let refused = text.parse::<LayerId>().expect_err("it is no plain name");
            assert_eq!(refused.id, text);
        }
    }
}
