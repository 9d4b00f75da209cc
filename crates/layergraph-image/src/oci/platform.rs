//! What an image runs on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::document::null_is_default;

/// An operating system and a processor, in Go's words (`GOOS`, `GOARCH`), and more if it matters.
///
/// ```
/// use layergraph_image::oci::Platform;
///
/// let wanted: Platform = "linux/aarch64".parse()?;
/// assert_eq!(wanted.to_string(), "linux/arm64/v8");
/// let offered: Platform = "linux/arm64".parse()?;
/// assert!(wanted.runs(&offered));
/// # Ok::<(), layergraph_image::oci::PlatformError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Platform {
    /// The processor.
    #[serde(default, deserialize_with = "null_is_default")]
    pub architecture: String,
    /// The operating system.
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    /// The version of the operating system.
    #[serde(
        rename = "os.version",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// What it needs of it.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// The variant of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// The text is not the name of a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a platform such as linux/amd64 or linux/arm/v7, not {0:?}")]
pub struct PlatformError(String);

impl Platform {
    /// Returns that of this machine.
    pub fn here() -> Platform {
        Platform {
            os: "linux".to_owned(),
            architecture: architecture().to_owned(),
            ..Platform::default()
        }
        .normal()
    }

    /// Returns whether an image for `offered` runs on this.
    ///
    /// A processor runs what was made for an earlier variant of it (`arm/v7` runs `arm/v6`); a
    /// variant that is not said is the usual one.
    pub fn runs(&self, offered: &Platform) -> bool {
        self.rank(offered).is_some()
    }

    /// Tells how well an image for `offered` fits, the best with the highest number; nothing if it
    /// does not run here.
    pub fn rank(&self, offered: &Platform) -> Option<u32> {
        let (here, there) = (self.clone().normal(), offered.clone().normal());
        if here.os != there.os || here.architecture != there.architecture {
            return None;
        }
        let version = |platform: &Platform| {
            let variant = platform.variant.as_deref().unwrap_or("v1");
            variant
                .strip_prefix('v')
                .and_then(|number| number.parse::<u32>().ok())
        };
        match (version(&here), version(&there)) {
            (Some(here), Some(there)) => (there <= here).then_some(there + 1),
            _ => (here.variant == there.variant).then_some(1),
        }
    }

    /// Returns it in the words that everybody uses.
    #[must_use]
    fn normal(mut self) -> Platform {
        let lower = |text: &mut String| text.make_ascii_lowercase();
        lower(&mut self.os);
        lower(&mut self.architecture);
        if self.os == "macos" {
            "darwin".clone_into(&mut self.os);
        }
        let variant = self
            .variant
            .take()
            .map(|variant| variant.to_ascii_lowercase());
        let architecture = std::mem::take(&mut self.architecture);
        let (architecture, usual) = match architecture.as_str() {
            "x86_64" | "x86-64" => ("amd64", variant.filter(|variant| variant != "v1")),
            "i386" | "i686" | "x86" => ("386", variant),
            "aarch64" | "arm64" => ("arm64", variant.or_else(|| Some("v8".to_owned()))),
            "armhf" => ("arm", Some("v7".to_owned())),
            "armel" => ("arm", Some("v6".to_owned())),
            "arm" => ("arm", variant.or_else(|| Some("v7".to_owned()))),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", variant),
            other => (other, variant),
        };
        let with_v = |variant: String| match variant.as_str() {
            "5" | "6" | "7" | "8" => format!("v{variant}"),
            _ => variant,
        };
        self.variant = usual.map(with_v);
        architecture.clone_into(&mut self.architecture);
        self
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads `os/architecture` or `os/architecture/variant`, in any usual spelling.
    fn from_str(text: &str) -> Result<Platform, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &&str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            part.starts_with(|sign: char| sign.is_ascii_alphanumeric()) && part.bytes().all(known)
        };
        let (os, architecture, variant) = match parts[..] {
            _ if !parts.iter().all(is_word) => return Err(PlatformError(text.to_owned())),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return Err(PlatformError(text.to_owned())),
        };
        let platform = Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant,
            ..Platform::default()
        };
        Ok(platform.normal())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// The processor this runs on, in Go's words.
fn architecture() -> &'static str {
    const NAMES: &[(bool, &str)] = &[
        (cfg!(target_arch = "x86_64"), "amd64"),
        (cfg!(target_arch = "x86"), "386"),
        (cfg!(target_arch = "aarch64"), "arm64"),
        (cfg!(target_arch = "arm"), "arm"),
        (cfg!(target_arch = "riscv64"), "riscv64"),
        (cfg!(target_arch = "s390x"), "s390x"),
        (
            cfg!(all(target_arch = "powerpc64", target_endian = "little")),
            "ppc64le",
        ),
    ];
    NAMES
        .iter()
        .find(|(is, _)| *is)
        .map_or("unknown", |(_, name)| name)
}
