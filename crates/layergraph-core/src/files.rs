//! The files of a node: `json`, `layersize`, `checksum`, as the original wrote them, and the recipe
//! of its layer, `tar-data.json.gz`, as Docker 1.8 did.

use std::ffi::OsStr;
use std::path::Path;

use layergraph_digest::{Checksum, parse_checksum};
use layergraph_fs::{Dir, Durability, RenameMode, Staging};
use layergraph_image::NodeId;
use layergraph_image::v1::{Image, MAX_BYTES};

use crate::error::{Attempted, of_store};
use crate::{GraphError, GraphErrorKind, Result};

pub(crate) const JSON: &str = "json";
pub(crate) const RECIPE: &str = "tar-data.json.gz";
/// What whoever prepared the layer says of it; not there for a layer that was registered.
pub(crate) const MARK: &str = "mark";
const LAYER_SIZE: &str = "layersize";
const CHECKSUM: &str = "checksum";

/// For the owner alone.
const MODE: u32 = 0o600;

/// More than the digits of any number and than any digest, with what else the original let stand
/// in a checksum.
const SHORT: u64 = 64 << 10;

/// Writes the files of a new node, which nobody can see yet.
pub(crate) fn write(dir: &Dir, image: &Image) -> Result<()> {
    let size = image.size.to_string();
    create(dir, LAYER_SIZE, size.as_bytes()).attempted(|| storing_size(dir))?;
    create(dir, JSON, &image.encode())
        .attempted(|| format!("cannot write the JSON of image {}", image.id))
}

pub(crate) fn create(dir: &Dir, name: &str, bytes: &[u8]) -> layergraph_fs::Result<()> {
    let mut file = dir.create_file(OsStr::new(name), MODE)?;
    // Whatever the umask is.
    file.set_mode(MODE)?;
    file.write_all(bytes)
}

/// Writes one more file of a node that others can see, in the place of an old one.
///
/// It is made in `staging`, where a sweep finds it if the process is killed meanwhile.
fn replace(
    staging: &Dir,
    dir: &Dir,
    name: &str,
    bytes: &[u8],
    durability: Durability,
) -> layergraph_fs::Result<()> {
    let staging = Staging::new(staging)?;
    create(staging.dir(), name, bytes)?;
    let name = OsStr::new(name);
    // The file is there. If the emptied directory is still too, a sweep removes it.
    let published = staging.publish_entry(name, dir, name, RenameMode::Replace, durability);
    published.map(|_| ())
}

/// Reads what the node that is called `name` says of itself. Its size is negative if none is
/// written down.
pub(crate) fn read(dir: &Dir, name: &str) -> Result<(NodeId, Image)> {
    let json = read_json(dir)?;
    let damaged = |text: String| GraphError::new(GraphErrorKind::Damaged, text);
    let mut image = Image::decode_first(&json)
        .map_err(|error| damaged(format!("cannot read the JSON of image {name}")).because(error))?;
    let id = image
        .node_id()
        .map_err(|error| damaged(format!("cannot take image {name}")).because(error))?;
    image.size = read_size(dir, name)?.unwrap_or(-1);
    if id.to_string() != name {
        let text = format!("Image stored at '{name}' has wrong id '{id}'");
        return Err(damaged(text));
    }
    Ok((id, image))
}

/// Reads the parent that a node names, which may be empty.
pub(crate) fn read_parent(dir: &Dir) -> Result<String> {
    let json = read_json(dir)?;
    Image::decode_first(&json)
        .map(|image| image.parent)
        .map_err(|error| {
            let text = "cannot read the JSON of an image";
            GraphError::new(GraphErrorKind::Damaged, text).because(error)
        })
}

/// Reads the JSON in its exact bytes.
pub(crate) fn read_json(dir: &Dir) -> Result<Vec<u8>> {
    // A byte more than is taken, so that a longer one is refused where it is decoded.
    dir.read_file(OsStr::new(JSON), MAX_BYTES as u64 + 1)
        .map_err(|error| of_store("cannot read the JSON of an image", error))
}

/// Reads the size that is written down, if one is.
fn read_size(dir: &Dir, name: &str) -> Result<Option<i64>> {
    let text = match dir.read_file(OsStr::new(LAYER_SIZE), SHORT) {
        Err(error) if error.leads_nowhere() => return Ok(None),
        result => result
            .map_err(|error| of_store(format!("cannot read the size of image {name}"), error))?,
    };
    let text = String::from_utf8_lossy(&text);
    let size = parse_size(&text).ok_or_else(|| {
        let text = format!("image {name} has the size {text:?}, which is no number");
        GraphError::new(GraphErrorKind::Damaged, text)
    })?;
    Ok(Some(size))
}

/// As Go's `strconv.ParseInt` in base 10: digits, perhaps behind a sign, and nothing else.
fn parse_size(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Writes the size down, by way of the directory `staging`.
pub(crate) fn write_size(
    staging: &Dir,
    dir: &Dir,
    size: i64,
    durability: Durability,
) -> Result<()> {
    // A file that is empty after a power loss would be damage, although its content can be found
    // out again.
    let bytes = size.to_string();
    replace(staging, dir, LAYER_SIZE, bytes.as_bytes(), durability).attempted(|| storing_size(dir))
}

fn storing_size(dir: &Dir) -> String {
    let path = dir.path().display();
    format!("Error storing image size in {path}/{LAYER_SIZE}")
}

/// Writes the digest of the layer down, by way of the directory `staging`.
pub(crate) fn write_checksum(
    staging: &Dir,
    dir: &Dir,
    digest: &Checksum,
    durability: Durability,
) -> Result<()> {
    let bytes = digest.as_str().as_bytes();
    replace(staging, dir, CHECKSUM, bytes, durability).attempted(|| storing_digest(dir.path()))
}

/// What is attempted when the digest is written in the directory `path`.
pub(crate) fn storing_digest(path: &Path) -> String {
    format!("Error storing digest in {}/{CHECKSUM}", path.display())
}

/// Reads the digest of the layer.
pub(crate) fn read_checksum(dir: &Dir) -> Result<Checksum> {
    let text = match dir.read_file(OsStr::new(CHECKSUM), SHORT) {
        Err(error) if error.leads_nowhere() => return Err(no_checksum()),
        result => result.map_err(|error| of_store("cannot read the digest of a layer", error))?,
    };
    let text = String::from_utf8_lossy(&text);
    parse_checksum(&text).map_err(|error| {
        let text = format!("the layer's digest is written down as {text:?}");
        GraphError::new(GraphErrorKind::Damaged, text).because(error)
    })
}

pub(crate) fn no_checksum() -> GraphError {
    GraphError::new(GraphErrorKind::NotFound, "digest is not set for layer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_of_64_bits_and_nothing_else() {
        for (text, size) in [
            ("0", Some(0)),
            ("+7", Some(7)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("", None),
            ("12x", None),
            ("12\n", None),
            (" 12", None),
            ("1_000", None),
            ("0x10", None),
        ] {
            assert_eq!(parse_size(text), size, "{text:?}");
        }
    }
}
