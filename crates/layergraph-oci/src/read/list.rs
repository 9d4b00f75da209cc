//! The JSON documents that are neither OCI's nor of one image: `manifest.json`, `repositories`,
//! `oci-layout`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use layergraph_image::oci::check_limits;
use serde::de::{
    self, Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor,
};
use serde::{Deserialize as Derived, Serialize};

use super::files::Files;
use super::{LIST, REPOSITORIES};
use crate::error::OciError;

/// How many bytes a document may have that is read here: 4 MiB, as other tools allow. What is made
/// of it may take ten times as much memory.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// How many bytes the list of a docker-archive may have, twice as many as other tools allow: a name
/// of few bytes takes many in memory.
const MAX_LIST: usize = 2 << 20;
/// The same of the names of an archive, each of which may take a map of its own.
const MAX_REPOSITORIES: usize = 1 << 20;

/// An image in a docker-archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    /// The member with its config.
    pub(crate) config: String,
    /// Its names.
    pub(crate) repo_tags: Option<Vec<String>>,
    /// The members with its layers, the lowest first.
    pub(crate) layers: Vec<String>,
}

/// The document in a layout that says that it is one.
#[derive(Debug, Serialize, Derived)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayoutVersion {
    pub(crate) image_layout_version: String,
}

/// The names in an archive: the id of an image by repository and tag.
pub(crate) type Repositories = BTreeMap<String, BTreeMap<String, String>>;

/// Reads the list of a docker-archive, if there is one.
pub(super) fn read_list(files: &Files) -> Result<Option<Vec<Listed>>, OciError> {
    let Some(bytes) = files.read(LIST, MAX_LIST)? else {
        return Ok(None);
    };
    parse(&bytes, LIST, files.path()).map(Some)
}

/// Reads the names of an archive, if there are any.
pub(super) fn read_repositories(files: &Files) -> Result<Option<Repositories>, OciError> {
    let Some(bytes) = files.read(REPOSITORIES, MAX_REPOSITORIES)? else {
        return Ok(None);
    };
    parse(&bytes, REPOSITORIES, files.path()).map(Some)
}

/// Reads a document, called `name` in the archive or layout `path`.
pub(crate) fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    name: &str,
    path: &Path,
) -> Result<T, OciError> {
    check_limits(bytes).map_err(|source| OciError::Document {
        path: path.to_owned(),
        name: name.to_owned(),
        source,
    })?;
    serde_json::from_slice(bytes).map_err(|source| OciError::List {
        path: path.to_owned(),
        name: name.to_owned(),
        source,
    })
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Listed, D::Error> {
        deserializer.deserialize_map(OfObject)
    }
}

struct OfObject;

impl<'de> Visitor<'de> for OfObject {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an image with its config and layers")
    }

    /// Readers in Go do not look at the case of a field, and take the last of two: what is one
    /// field to them and none or another here is refused.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
        let (mut config, mut repo_tags, mut layers) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "Config" => once(&mut config, "Config", map.next_value()?)?,
                "RepoTags" => once(&mut repo_tags, "RepoTags", map.next_value()?)?,
                "Layers" => once(&mut layers, "Layers", map.next_value::<Option<_>>()?)?,
                other => {
                    let is_it = |name: &&str| other.eq_ignore_ascii_case(name);
                    if ["Config", "RepoTags", "Layers"].iter().any(is_it) {
                        let reason = "a field is written in another case than others write it";
                        return Err(de::Error::custom(reason));
                    }
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Listed {
            config: config.ok_or_else(|| de::Error::missing_field("Config"))?,
            repo_tags: repo_tags.flatten(),
            layers: layers.flatten().unwrap_or_default(),
        })
    }
}

fn once<T, E: de::Error>(field: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}
