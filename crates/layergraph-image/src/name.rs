//! The names of images.

use std::fmt;
use std::str::FromStr;

use layergraph_digest::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a name without a registry belongs.
const DEFAULT_DOMAIN: &str = "docker.io";
/// Docker's former name of it.
const OLD_DOMAIN: &str = "index.docker.io";
/// What a name there has without an owner.
const OFFICIAL: &str = "library/";
/// The tag of a name that says none.
const DEFAULT_TAG: &str = "latest";
/// How long the part before the tag may be, in bytes.
const MAX_REPOSITORY: usize = 255;
/// How long a tag may be, in bytes.
const MAX_TAG: usize = 128;

/// The name of an image in full: registry, repository and tag (distribution-spec, *reference*).
///
/// A name is read in its full and in its familiar form, and shown in either; names are compared and
/// kept in full.
///
/// ```
/// use layergraph_image::ImageName;
///
/// let name: ImageName = "busybox".parse()?;
/// assert_eq!(name.to_string(), "docker.io/library/busybox:latest");
/// assert_eq!(name.familiar().to_string(), "busybox:latest");
/// assert_eq!(name, "docker.io/library/busybox:latest".parse()?);
/// assert!("Busybox".parse::<ImageName>().is_err());
/// # Ok::<(), layergraph_image::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    domain: String,
    path: String,
    tag: String,
}

/// What an image is asked for by: a name, and perhaps the digest that its manifest must have.
///
/// With a digest and without a tag, the name says only where the image is from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Reference {
    /// The name; its tag is the usual one where none was said.
    pub name: ImageName,
    /// Whether a tag was said.
    pub has_tag: bool,
    /// The digest of the manifest.
    pub digest: Option<Digest>,
}

/// Why a text is not the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no name of an image: {reason}")]
pub struct NameError {
    text: String,
    reason: &'static str,
}

impl ImageName {
    /// Returns the registry's host, with its port if it has one.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Returns the repository in the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Shows registry and repository, without the tag, as people know them.
    pub fn familiar_repository(&self) -> impl fmt::Display + '_ {
        Familiar {
            name: self,
            has_tag: false,
        }
    }

    /// Shows the name as people know it: without the usual registry.
    pub fn familiar(&self) -> impl fmt::Display + '_ {
        Familiar {
            name: self,
            has_tag: true,
        }
    }
}

struct Familiar<'a> {
    name: &'a ImageName,
    has_tag: bool,
}

impl fmt::Display for Familiar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ImageName { domain, path, tag } = self.name;
        let official = path
            .strip_prefix(OFFICIAL)
            .filter(|path| !path.contains('/'));
        let first = path.split('/').next().unwrap_or_default();
        match official {
            // Without the registry, it would be taken for one.
            _ if domain != DEFAULT_DOMAIN || is_host(first) => write!(f, "{domain}/{path}"),
            Some(path) => f.write_str(path),
            None => f.write_str(path),
        }?;
        if self.has_tag {
            write!(f, ":{tag}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ImageName {
    /// In full.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ImageName { domain, path, tag } = self;
        write!(f, "{domain}/{path}:{tag}")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.digest, self.has_tag) {
            (None, _) => write!(f, "{}", self.name),
            (Some(digest), true) => write!(f, "{}@{digest}", self.name),
            (Some(digest), false) => {
                let ImageName { domain, path, .. } = &self.name;
                write!(f, "{domain}/{path}@{digest}")
            }
        }
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    /// Reads a name without a digest.
    fn from_str(text: &str) -> Result<ImageName, NameError> {
        let Reference { name, digest, .. } = text.parse()?;
        match digest {
            None => Ok(name),
            Some(_) => Err(error(text, "it has a digest, and names an image for good")),
        }
    }
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Reference, NameError> {
        let refuse = |reason| error(text, reason);
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest
                    .parse()
                    .map_err(|_| refuse("what follows @ is no digest"))?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        // A colon before the last slash is that of a port.
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        let (repository, tag) = match name[slash..].rfind(':') {
            Some(colon) => (&name[..slash + colon], Some(&name[slash + colon + 1..])),
            None => (name, None),
        };
        let (domain, path) = split_domain(repository);
        let is_official = domain == DEFAULT_DOMAIN && !path.contains('/');
        let path = format!("{}{path}", if is_official { OFFICIAL } else { "" });
        if domain.len() + 1 + path.len() > MAX_REPOSITORY {
            return Err(refuse("it is longer than 255 bytes"));
        }
        if !is_domain(domain) {
            return Err(refuse("its first part is no host"));
        }
        if !path.split('/').all(is_component) {
            return Err(refuse(
                "a part of it has other signs than a-z, 0-9, and . _ - between them",
            ));
        }
        if digest.is_none() && tag.is_none() && is_id(repository) {
            return Err(refuse("it would be taken for an id"));
        }
        let has_tag = tag.is_some();
        let tag = tag.unwrap_or(DEFAULT_TAG);
        if !is_tag(tag) {
            return Err(refuse(
                "its tag is not of up to 128 letters, digits, _ . - without . - first",
            ));
        }
        let domain = domain.to_owned();
        let tag = tag.to_owned();
        let name = ImageName { domain, path, tag };
        Ok(Reference {
            name,
            has_tag,
            digest,
        })
    }
}

fn error(text: &str, reason: &'static str) -> NameError {
    let text = text.chars().take(2 * MAX_REPOSITORY).collect();
    NameError { text, reason }
}

/// Splits off the registry: a first part that only a host can be.
fn split_domain(repository: &str) -> (&str, &str) {
    match repository.split_once('/') {
        Some((first, rest)) if is_host(first) => match first {
            OLD_DOMAIN => (DEFAULT_DOMAIN, rest),
            first => (first, rest),
        },
        _ => (DEFAULT_DOMAIN, repository),
    }
}

fn is_host(first: &str) -> bool {
    first.contains(['.', ':', '[']) || first == "localhost" || first.contains(char::is_uppercase)
}

fn is_domain(domain: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(address) = domain.strip_prefix('[') {
        let Some((address, rest)) = address.split_once(']') else {
            return false;
        };
        let known = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
        let port = rest.strip_prefix(':');
        return !address.is_empty()
            && address.bytes().all(known)
            && (rest.is_empty() || port.is_some_and(is_port));
    }
    let (host, port) = match domain.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (domain, None),
    };
    let is_label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        label.bytes().all(known)
            && label.starts_with(|sign: char| sign.is_ascii_alphanumeric())
            && label.ends_with(|sign: char| sign.is_ascii_alphanumeric())
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Letters and digits, with one dot, one or two underscores, or any number of hyphens between them.
fn is_component(component: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends_plain = |byte: Option<&u8>| byte.copied().is_some_and(is_plain);
    if !ends_plain(bytes.first()) || !ends_plain(bytes.last()) {
        return false;
    }
    bytes.split(|&byte| is_plain(byte)).all(|between| {
        matches!(between, b"" | b"." | b"_" | b"__") || between.iter().all(|&byte| byte == b'-')
    })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag
            .bytes()
            .all(|byte| is_word(byte) || b".-".contains(&byte))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Serialize for ImageName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ImageName, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
