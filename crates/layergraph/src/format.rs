//! The file `layergraph.json`: how a store was made, so that nobody opens it in a way that would
//! read it wrongly.
//!
//! A store as the original made them has no such file: the driver vfs or overlay, and owners as
//! they are. Such a store stays without one, so that the original can go on with it.

use std::error::Error;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;

use layergraph_archive::{Dialect, Ownership};
use layergraph_core::holds_store;
use layergraph_driver::{Driver, DriverChoice};
use layergraph_fs::{Dir, Durability, FsError, NamespaceRange, UserNamespace, write_atomic};
use serde::{Deserialize, Serialize};

/// The name of the file, in the store's root.
const NAME: &str = "layergraph.json";
/// The version that is written and read here.
const VERSION: u32 = 1;
/// More than any such file has, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// What an incompatible feature begins with that says how owners are kept.
const OWNERSHIP: &str = "ownership=";
/// What those begin with that say which ids on disk stand for which of layers, where owners are
/// mapped.
const UID_MAP: &str = "uid-map=";
const GID_MAP: &str = "gid-map=";
/// What those begin with that say which ids the user namespace had that the store was made in, if
/// it had not all of them: owners on disk are seen through it.
const NAMESPACE_UIDS: &str = "namespace-uids=";
const NAMESPACE_GIDS: &str = "namespace-gids=";
/// What an incompatible feature begins with that says which driver keeps the trees.
const DRIVER: &str = "driver=";
/// What one begins with that says which attributes hold the signs of overlayfs.
const WHITEOUTS: &str = "whiteouts=";
/// Those that root of the machine may set, and those that anybody may.
const TRUSTED: &str = "trusted";
const USER: &str = "user";

/// The driver whose trees the original reads and writes.
const PLAIN_DRIVER: &str = layergraph_driver_vfs::NAME;

/// Why ranges of ids cannot be.
type Reason = Box<dyn Error + Send + Sync>;

/// Why a store cannot be opened as it is, or as it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file is not what it should be.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The store was made by a later version.
    #[error("the store {} has format version {version}, and {VERSION} is known here", root.display())]
    Version {
        /// The store.
        root: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The store has something that has to be known to read it.
    #[error("the store {} has the feature {feature:?}, which is not known here", root.display())]
    Feature {
        /// The store.
        root: PathBuf,
        /// What it has.
        feature: String,
    },
    /// The store keeps owners in another way than was asked for.
    #[error("the store keeps owners by {found}, not by {wanted}")]
    Ownership {
        /// How it keeps them.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The store maps ids in another way than was asked for.
    #[error("the store maps ids by {found}, not by {wanted}")]
    Ids {
        /// How it maps them.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The store was made in a user namespace with other ids.
    #[error("the store keeps owners as seen with the ids {found}, and this process sees {here}")]
    Namespace {
        /// The ids that it was made with, as in `/proc/self/uid_map`.
        found: String,
        /// Those that this process has.
        here: String,
    },
    /// What the file says of the ownership contradicts itself, or its ranges of ids are none that a
    /// store could have been made with.
    #[error("the store {} has an ownership that cannot be", root.display())]
    InvalidOwnership {
        /// The store.
        root: PathBuf,
        /// What is wrong with them.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store belongs to another driver than was asked for.
    #[error("the store was made for the driver {found}, not for {wanted}")]
    Driver {
        /// The driver it was made for.
        found: String,
        /// The one that was asked for.
        wanted: String,
    },
    /// A call on the file system failed.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// How a store was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    ownership: Ownership,
    driver: Option<String>,
    /// The dialect of whiteouts, if the driver has any.
    whiteouts: Option<Dialect>,
    /// The user namespace it was made in, if that has not all ids.
    namespace: Option<Ids>,
    /// What the file says, if there is one.
    features: Option<Features>,
}

/// The ids of a user namespace, as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ids {
    users: String,
    groups: String,
}

/// What every version of the file has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    features: Features,
}

/// What is said of a store that other versions may not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Features {
    /// What one may ignore.
    pub compatible: Vec<String>,
    /// What one may ignore who only reads.
    pub read_only_compatible: Vec<String>,
    /// What one must know.
    pub incompatible: Vec<String>,
}

impl Format {
    /// The format of a new store.
    pub(crate) fn new(ownership: Ownership) -> Format {
        Format {
            ownership,
            driver: None,
            whiteouts: None,
            namespace: None,
            features: None,
        }
    }

    /// Says in which user namespace a new store is made.
    pub(crate) fn made_in(mut self, namespace: &UserNamespace) -> Format {
        self.namespace = (self.ownership != Ownership::Squash)
            .then(|| Ids::of(namespace))
            .flatten();
        self
    }

    /// Says which driver keeps the trees of a new store.
    pub(crate) fn with_driver(mut self, driver: &dyn Driver) -> Format {
        let dialect = driver.capabilities().dialect;
        self.driver = Some(driver.name().to_owned());
        self.whiteouts = (dialect != Dialect::Plain).then_some(dialect);
        self
    }

    /// Reads how the store in this directory was made; nothing if there is none.
    pub(crate) fn read(root: &Dir) -> Result<Option<Format>, FormatError> {
        if root.find(OsStr::new(NAME))?.is_none() {
            // One of 2015, or none.
            let is_store = holds_store(root)?;
            return Ok(is_store.then(|| Format::new(Ownership::Preserve)));
        }
        // A link there, or anything else that is no file, is an error: it is not missing.
        let text = root.read_file(OsStr::new(NAME), MAX_BYTES)?;
        let path = root.path().join(NAME);
        let unreadable = |source| FormatError::Unreadable {
            path: path.clone(),
            source,
        };
        // Of another version the rest may be of another form.
        let Versioned { version } = serde_json::from_slice(&text).map_err(unreadable)?;
        if version != VERSION {
            let root = root.path().to_owned();
            return Err(FormatError::Version { root, version });
        }
        let file: File = serde_json::from_slice(&text).map_err(unreadable)?;
        let features = Some(file.features.clone());
        Ok(Some(Format {
            features,
            ..Format::parse(root, &file)?
        }))
    }

    fn parse(root: &Dir, file: &File) -> Result<Format, FormatError> {
        let root = root.path().to_owned();
        // A store is always opened to be written, so these have to be known as well.
        let Features {
            read_only_compatible,
            incompatible,
            ..
        } = &file.features;
        let [mut ownership, mut driver, mut users, mut groups] = [None; 4];
        let [mut namespace_users, mut namespace_groups, mut whiteouts] = [None; 3];
        for feature in incompatible.iter().chain(read_only_compatible) {
            let said = if let Some(name) = feature.strip_prefix(OWNERSHIP).and_then(known_ownership)
            {
                ownership.replace(name)
            } else if let Some(ranges) = feature.strip_prefix(UID_MAP) {
                users.replace(ranges)
            } else if let Some(ranges) = feature.strip_prefix(GID_MAP) {
                groups.replace(ranges)
            } else if let Some(ranges) = feature.strip_prefix(NAMESPACE_UIDS) {
                namespace_users.replace(ranges)
            } else if let Some(ranges) = feature.strip_prefix(NAMESPACE_GIDS) {
                namespace_groups.replace(ranges)
            } else if let Some(kind @ (TRUSTED | USER)) = feature.strip_prefix(WHITEOUTS) {
                whiteouts.replace(kind)
            } else if let Some(name) = feature.strip_prefix(DRIVER) {
                driver.replace(name)
            } else {
                let feature = feature.clone();
                return Err(FormatError::Feature { root, feature });
            };
            if said.is_some() {
                let source = format!("{feature} is not all that it says of this").into();
                return Err(FormatError::InvalidOwnership { root, source });
            }
        }
        let driver = driver.map(str::to_owned);
        let ownership = ownership.unwrap_or(PRESERVE);
        let ownership = match (ownership, users, groups) {
            (MAPPED, Some(users), Some(groups)) => parse_mapped(users, groups),
            (MAPPED, ..) => Err("the ranges of users or of groups are missing".into()),
            (_, None, None) if ownership == SQUASH => Ok(Ownership::Squash),
            (_, None, None) => Ok(Ownership::Preserve),
            _ => Err(format!("there are no ranges with the ownership {ownership}").into()),
        };
        let ownership =
            ownership.map_err(|source| FormatError::InvalidOwnership { root, source })?;
        let namespace = namespace_users.zip(namespace_groups);
        let namespace = namespace.map(|(users, groups)| Ids {
            users: users.to_owned(),
            groups: groups.to_owned(),
        });
        let whiteouts = whiteouts.map(|kind| match kind {
            USER => Dialect::OverlayUser,
            _ => Dialect::Overlay,
        });
        Ok(Format {
            ownership,
            driver,
            whiteouts,
            namespace,
            features: None,
        })
    }

    /// Writes the file, if the store is not one that the original could use.
    pub(crate) fn write(&self, root: &Dir, durability: Durability) -> Result<(), FormatError> {
        let is_plain = self.ownership == Ownership::Preserve && self.namespace.is_none();
        if is_plain
            && self
                .driver
                .as_deref()
                .is_none_or(|driver| driver == PLAIN_DRIVER)
        {
            return Ok(());
        }
        let mut incompatible = vec![format!("{OWNERSHIP}{}", name_of(&self.ownership))];
        if let Ownership::Mapped(maps) = &self.ownership {
            incompatible.push(format!("{UID_MAP}{}", maps.users()));
            incompatible.push(format!("{GID_MAP}{}", maps.groups()));
        }
        if let Some(Ids { users, groups }) = &self.namespace {
            incompatible.push(format!("{NAMESPACE_UIDS}{users}"));
            incompatible.push(format!("{NAMESPACE_GIDS}{groups}"));
        }
        incompatible.extend(self.whiteouts.map(|dialect| {
            let kind = match dialect {
                Dialect::OverlayUser => USER,
                _ => TRUSTED,
            };
            format!("{WHITEOUTS}{kind}")
        }));
        incompatible.extend(self.driver.iter().map(|driver| format!("{DRIVER}{driver}")));
        let file = File {
            version: VERSION,
            features: Features {
                incompatible,
                ..Features::default()
            },
        };
        let mut text = serde_json::to_vec(&file).expect("it has texts and a number only");
        text.push(b'\n');
        write_atomic(root, OsStr::new(NAME), 0o600, &text, durability)?;
        Ok(())
    }

    /// Writes the file, unless it is there. A store of 2015 stays without one as long as the
    /// original could read all of it.
    pub(crate) fn write_if_missing(
        &self,
        root: &Dir,
        durability: Durability,
    ) -> Result<(), FormatError> {
        match root.find(OsStr::new(NAME))? {
            Some(_) => Ok(()),
            None => self.write(root, durability),
        }
    }

    /// Returns whether signs of overlayfs are in attributes that anybody may set, if that is fixed.
    pub(crate) fn overlay_userxattr(&self) -> Option<bool> {
        self.whiteouts
            .map(|dialect| dialect == Dialect::OverlayUser)
    }

    /// Returns version and features that the file says, if there is one.
    pub(crate) fn written(&self) -> Option<(u32, &Features)> {
        let features = self.features.as_ref();
        features.map(|features| (VERSION, features))
    }

    /// Returns how owners are kept.
    pub(crate) fn ownership(&self) -> Ownership {
        self.ownership.clone()
    }

    /// Refuses what was asked for if it is not how the store was made.
    pub(crate) fn check_ownership(&self, wanted: Option<&Ownership>) -> Result<(), FormatError> {
        let found = &self.ownership;
        match wanted {
            None => Ok(()),
            Some(wanted) if wanted == found => Ok(()),
            Some(wanted) if name_of(wanted) == name_of(found) => Err(FormatError::Ids {
                found: ids_of(found),
                wanted: ids_of(wanted),
            }),
            Some(wanted) => Err(FormatError::Ownership {
                found: name_of(found),
                wanted: name_of(wanted),
            }),
        }
    }

    /// Refuses a process that would see other owners on disk than whoever made the store.
    pub(crate) fn check_namespace(&self, here: &UserNamespace) -> Result<(), FormatError> {
        let here = Ids::of(here);
        if self.ownership == Ownership::Squash || self.namespace == here {
            return Ok(());
        }
        let shown = |ids: &Option<Ids>| match ids {
            Some(Ids { users, groups }) => format!("{users} and {groups}"),
            None => "of all users and groups".to_owned(),
        };
        Err(FormatError::Namespace {
            found: shown(&self.namespace),
            here: shown(&here),
        })
    }

    /// Returns the driver to open, given the one that was asked for.
    pub(crate) fn driver(&self, wanted: &DriverChoice) -> Result<DriverChoice, FormatError> {
        match (&self.driver, wanted) {
            (Some(found), DriverChoice::Named(wanted)) if wanted != found => {
                Err(FormatError::Driver {
                    found: found.clone(),
                    wanted: wanted.clone(),
                })
            }
            (Some(found), _) => Ok(DriverChoice::Named(found.clone())),
            (None, wanted) => Ok(wanted.clone()),
        }
    }
}

impl Ids {
    /// Returns those of a namespace that has not all.
    fn of(namespace: &UserNamespace) -> Option<Ids> {
        let text = |ranges: &[NamespaceRange]| {
            let ranges = ranges.iter();
            let texts: Vec<_> = ranges
                .map(|(inside, outside, count)| format!("{inside}:{outside}:{count}"))
                .collect();
            texts.join(",")
        };
        (!namespace.has_all_ids()).then(|| Ids {
            users: text(&namespace.users),
            groups: text(&namespace.groups),
        })
    }
}

/// The names of the ways to keep owners.
const PRESERVE: &str = "preserve";
const SQUASH: &str = "squash";
const MAPPED: &str = "mapped";

fn name_of(ownership: &Ownership) -> &'static str {
    match ownership {
        Ownership::Squash => SQUASH,
        Ownership::Mapped(_) => MAPPED,
        _ => PRESERVE,
    }
}

fn known_ownership(name: &str) -> Option<&'static str> {
    [PRESERVE, SQUASH, MAPPED]
        .into_iter()
        .find(|known| *known == name)
}

/// Prints by which ranges ids are mapped.
fn ids_of(ownership: &Ownership) -> String {
    match ownership {
        Ownership::Mapped(maps) => {
            format!("{UID_MAP}{} {GID_MAP}{}", maps.users(), maps.groups())
        }
        _ => String::new(),
    }
}

/// Reads the ranges of users and of groups.
fn parse_mapped(users: &str, groups: &str) -> Result<Ownership, Reason> {
    Ok(Ownership::mapped(split(users)?, split(groups)?)?)
}

/// Reads what stands between commas.
fn split<T>(texts: &str) -> Result<Vec<T>, T::Err>
where
    T: FromStr,
{
    texts.split(',').map(str::parse).collect()
}
