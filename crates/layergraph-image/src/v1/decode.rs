//! Reads an image as the 2015 program did.
//!
//! Keys are matched without regard to case, and the last of several wins; an object or map given
//! twice is merged. `null` leaves a text, number, flag or the configuration of the container as it
//! was, and makes a list, a map or the configuration of the image absent. Unknown keys are dropped.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{Kind, Parser};
use super::{Config, Image};
use crate::{Timestamp, TimestampError};

/// The length of the longest document that is read.
pub const MAX_BYTES: usize = 4 << 20;

/// Why a text is not an image.
///
/// Places are counted in bytes from the beginning of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There is nothing but white space.
    #[error("EOF")]
    Empty,
    /// The text ends before its value does.
    #[error("unexpected EOF")]
    Truncated,
    /// The text is not JSON.
    #[error("image JSON: expected {expected} at byte {at}")]
    Syntax {
        /// Where it stops being JSON.
        at: usize,
        /// What JSON would have there.
        expected: &'static str,
    },
    /// A field has a value that it cannot hold.
    #[error("image JSON: expected {expected} at byte {at}, found {found}")]
    Mismatch {
        /// Where the value begins.
        at: usize,
        /// What the field holds.
        expected: &'static str,
        /// What stands there.
        found: Kind,
    },
    /// The time of creation is a string, but no time.
    #[error("image JSON: bad time in `created`")]
    Time {
        /// What is wrong with it.
        source: TimestampError,
    },
    /// The text is longer than [`MAX_BYTES`].
    #[error("image JSON of {len} bytes is longer than {MAX_BYTES} bytes")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// Objects and lists are nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("image JSON is nested too deep at byte {at}")]
    TooDeep {
        /// Where the first that is too deep begins.
        at: usize,
    },
    /// Objects and lists hold more values than [`MAX_VALUES`](super::MAX_VALUES).
    #[error("image JSON has too many values from byte {at} on")]
    TooMany {
        /// Where the first that is too many begins.
        at: usize,
    },
}

type Result<T> = std::result::Result<T, DecodeError>;

impl Image {
    /// Reads an image from a text that holds nothing else, such as one from an archive.
    ///
    /// Fields that are missing are empty. The id is not looked at.
    ///
    /// # Errors
    ///
    /// The text is not one JSON value, is longer, deeper or richer than the limits, or has a value
    /// that its field cannot hold.
    pub fn decode(text: &[u8]) -> Result<Image> {
        let mut parser = parser(text)?;
        let image = image(&mut parser)?;
        parser.end()?;
        Ok(image)
    }

    /// Reads an image from the first value of a text, and ignores what follows it.
    ///
    /// This is how the files of a graph are read.
    ///
    /// # Errors
    ///
    /// As [`decode`](Image::decode), but for what follows the value.
    pub fn decode_first(text: &[u8]) -> Result<Image> {
        image(&mut parser(text)?)
    }
}

fn parser(text: &[u8]) -> Result<Parser<'_>> {
    match text.len() {
        ..=MAX_BYTES => Ok(Parser::new(text)),
        len => Err(DecodeError::TooLong { len }),
    }
}

fn image(json: &mut Parser<'_>) -> Result<Image> {
    let mut image = Image::default();
    if json.null()? {
        return Ok(image);
    }
    json.object("an image", |json, key| match fold(&key).as_str() {
        "id" => text(json, &mut image.id),
        "parent" => text(json, &mut image.parent),
        "comment" => text(json, &mut image.comment),
        "created" => time(json, &mut image.created),
        "container" => text(json, &mut image.container),
        "container_config" => config(json, &mut image.container_config),
        "docker_version" => text(json, &mut image.docker_version),
        "author" => text(json, &mut image.author),
        "config" => optional_config(json, &mut image.config),
        "architecture" => text(json, &mut image.architecture),
        "os" => text(json, &mut image.os),
        "size" => integer(json, &mut image.size),
        _ => json.skip(),
    })?;
    Ok(image)
}

fn config(json: &mut Parser<'_>, config: &mut Config) -> Result<()> {
    if json.null()? {
        return Ok(());
    }
    json.object("a configuration", |json, key| match fold(&key).as_str() {
        "hostname" => text(json, &mut config.hostname),
        "domainname" => text(json, &mut config.domainname),
        "user" => text(json, &mut config.user),
        "attachstdin" => flag(json, &mut config.attach_stdin),
        "attachstdout" => flag(json, &mut config.attach_stdout),
        "attachstderr" => flag(json, &mut config.attach_stderr),
        "exposedports" => set(json, &mut config.exposed_ports),
        "publishservice" => text(json, &mut config.publish_service),
        "tty" => flag(json, &mut config.tty),
        "openstdin" => flag(json, &mut config.open_stdin),
        "stdinonce" => flag(json, &mut config.stdin_once),
        "env" => list(json, &mut config.env),
        "cmd" => command(json, &mut config.cmd),
        "image" => text(json, &mut config.image),
        "volumes" => set(json, &mut config.volumes),
        "volumedriver" => text(json, &mut config.volume_driver),
        "workingdir" => text(json, &mut config.working_dir),
        "entrypoint" => command(json, &mut config.entrypoint),
        "networkdisabled" => flag(json, &mut config.network_disabled),
        "macaddress" => text(json, &mut config.mac_address),
        "onbuild" => list(json, &mut config.on_build),
        "labels" => map(json, &mut config.labels),
        _ => json.skip(),
    })
}

fn optional_config(json: &mut Parser<'_>, field: &mut Option<Config>) -> Result<()> {
    if json.null()? {
        *field = None;
        return Ok(());
    }
    config(json, field.get_or_insert_default())
}

fn text(json: &mut Parser<'_>, field: &mut String) -> Result<()> {
    if !json.null()? {
        *field = json.string()?;
    }
    Ok(())
}

fn flag(json: &mut Parser<'_>, field: &mut bool) -> Result<()> {
    if !json.null()? {
        *field = json.bool()?;
    }
    Ok(())
}

fn integer(json: &mut Parser<'_>, field: &mut i64) -> Result<()> {
    if !json.null()? {
        *field = json.integer()?;
    }
    Ok(())
}

/// Reads a time. It had a decoder of its own, which knew neither `null` nor escapes.
fn time(json: &mut Parser<'_>, field: &mut Timestamp) -> Result<()> {
    let literal = json.literal("a time")?;
    *field = Timestamp::parse(literal).map_err(|source| DecodeError::Time { source })?;
    Ok(())
}

/// Reads a list of strings. A list given before is read over in place, so that a `null` leaves the
/// text which stood there.
fn list(json: &mut Parser<'_>, field: &mut Option<Vec<String>>) -> Result<()> {
    if json.null()? {
        *field = None;
        return Ok(());
    }
    let list = field.get_or_insert_default();
    let mut len = 0;
    json.list("a list of strings", |json| {
        if len == list.len() {
            list.push(String::new());
        }
        text(json, &mut list[len])?;
        len += 1;
        Ok(())
    })?;
    list.truncate(len);
    Ok(())
}

/// Reads a list of strings, or one string as a list of one. It had a decoder of its own, which
/// began anew each time.
fn command(json: &mut Parser<'_>, field: &mut Option<Vec<String>>) -> Result<()> {
    *field = None;
    match json.kind()? {
        Kind::Null | Kind::List => list(json, field)?,
        Kind::String => *field = Some(vec![json.string()?]),
        other => json.mismatch("a string or a list of strings", other)?,
    }
    Ok(())
}

fn map(json: &mut Parser<'_>, field: &mut Option<BTreeMap<String, String>>) -> Result<()> {
    if json.null()? {
        *field = None;
        return Ok(());
    }
    let map = field.get_or_insert_default();
    json.object("a map of strings", |json, key| {
        let mut value = String::new();
        text(json, &mut value)?;
        map.insert(key, value);
        Ok(())
    })
}

/// Reads a map whose values are objects without a field: the keys are all there is to it.
fn set(json: &mut Parser<'_>, field: &mut Option<BTreeSet<String>>) -> Result<()> {
    if json.null()? {
        *field = None;
        return Ok(());
    }
    let set = field.get_or_insert_default();
    json.object("a map of objects", |json, key| {
        if !json.null()? {
            json.object("an object", |json, _| json.skip())?;
        }
        set.insert(key);
        Ok(())
    })
}

/// Makes keys equal that Go takes for equal: those that differ in the case of ASCII letters, and
/// in the two other characters whose other case is such a letter.
fn fold(key: &str) -> String {
    let fold = |char| match char {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).collect()
}
