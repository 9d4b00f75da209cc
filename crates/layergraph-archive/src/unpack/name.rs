//! What an entry's name in a layer means, decided from its bytes alone.

use super::{Limits, UnpackError};

/// The start of every name that is a sign and not a file.
pub(crate) const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// The sign in a directory that hides everything below it.
pub(crate) const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
/// The start of the names in which AUFS kept its own affairs.
const AUFS_PREFIX: &[u8] = b".wh..wh.";
/// Where AUFS kept the files that have several names.
const AUFS_LINKS: &[u8] = b".wh..wh.plnk";

/// The longest name of one file, in bytes (`NAME_MAX`).
const MAX_NAME: usize = 255;
/// The longest path, in bytes (`PATH_MAX` less its NUL).
const MAX_PATH: usize = 4095;

/// What an entry stands for: a path below the root, taken apart.
///
/// The `directory` is a clean path without a slash at either end, empty for the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryName {
    /// The root directory itself.
    Root,
    /// An object called `name`.
    Object { directory: Vec<u8>, name: Vec<u8> },
    /// Removes `name` of the layers below.
    Whiteout { directory: Vec<u8>, name: Vec<u8> },
    /// Removes everything of the layers below from `directory`.
    Opaque { directory: Vec<u8> },
    /// A file that AUFS kept for hard links to it, called `name` there.
    AufsLink { name: Vec<u8> },
    /// AUFS's own, of no meaning to us.
    Aufs,
}

impl EntryName {
    /// Reads the name of an entry as the layer has it.
    pub(crate) fn read(path: &[u8], limits: &Limits) -> Result<EntryName, UnpackError> {
        let mut components = clean(path, limits)?;
        let refuse = |reason| UnpackError::Name {
            path: super::shown(path),
            reason,
        };
        let Some(name) = components.pop() else {
            return Ok(EntryName::Root);
        };
        if components.first().copied() == Some(AUFS_LINKS) {
            return Ok(match components.len() {
                1 => EntryName::AufsLink {
                    name: name.to_vec(),
                },
                _ => EntryName::Aufs,
            });
        }
        if components
            .first()
            .is_some_and(|first| first.starts_with(AUFS_PREFIX))
        {
            return Ok(EntryName::Aufs);
        }
        if components
            .iter()
            .any(|directory| directory.starts_with(WHITEOUT_PREFIX))
        {
            return Err(refuse("a whiteout is no directory"));
        }
        let directory = components.join(&b'/');
        let Some(hidden) = name.strip_prefix(WHITEOUT_PREFIX) else {
            return Ok(EntryName::Object {
                directory,
                name: name.to_vec(),
            });
        };
        if name == OPAQUE_MARKER {
            return Ok(EntryName::Opaque { directory });
        }
        if name.starts_with(AUFS_PREFIX) {
            return Ok(EntryName::Aufs);
        }
        match hidden {
            b"" | b"." | b".." => Err(refuse("a whiteout of no name")),
            _ => Ok(EntryName::Whiteout {
                directory,
                name: hidden.to_vec(),
            }),
        }
    }
}

const TOO_LONG: &str = "the path is longer than 4095 bytes";

/// Returns the name of what is meant by a component, which may be a sign for it.
fn named(component: &[u8]) -> &[u8] {
    component.strip_prefix(WHITEOUT_PREFIX).unwrap_or(component)
}

/// Returns the components of a path below the root, with `.` and `..` resolved by text.
///
/// As in `chroot(2)`, a path starts at the root with or without a slash, and `..` stops there.
fn clean<'a>(path: &'a [u8], limits: &Limits) -> Result<Vec<&'a [u8]>, UnpackError> {
    let refuse = |reason| UnpackError::Name {
        path: super::shown(path),
        reason,
    };
    // Before anything is made of a path of a mebibyte.
    if path.len() > MAX_PATH + OPAQUE_MARKER.len() + 1 {
        return Err(refuse(TOO_LONG));
    }
    let mut components = Vec::new();
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop();
            }
            _ if named(component).len() > MAX_NAME => {
                return Err(refuse("a name in it is longer than 255 bytes"));
            }
            _ if component.contains(&0) => return Err(refuse("it has a NUL byte in it")),
            _ => components.push(component),
        }
    }
    // A sign is no file: what it is for has to have room.
    let sign = components.last().map_or(0, |&last| match last {
        OPAQUE_MARKER => last.len() + 1,
        _ => last.len() - named(last).len(),
    });
    if path.len() > MAX_PATH + sign {
        return Err(refuse(TOO_LONG));
    }
    if components.len() > limits.depth {
        return Err(UnpackError::Limit {
            path: super::shown(path),
            what: "directories one in another",
            limit: limits.depth as u64,
        });
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<EntryName, UnpackError> {
        EntryName::read(path.as_bytes(), &Limits::default())
    }

    fn object(directory: &str, name: &str) -> EntryName {
        EntryName::Object {
            directory: directory.into(),
            name: name.into(),
        }
    }

    #[test]
    fn a_path_is_cleaned_as_after_chroot() {
        for (path, directory, name) in [
            ("a", "", "a"),
            ("/a/b", "a", "b"),
            ("./a//b/", "a", "b"),
            ("../a", "", "a"),
            ("a/../../b", "", "b"),
            ("a/./b/../c", "a", "c"),
            ("..gitme", "", "..gitme"),
        ] {
            assert_eq!(read(path).expect(path), object(directory, name), "{path}");
        }
        for path in ["", "/", ".", "./", "..", "a/.."] {
            assert_eq!(read(path).expect(path), EntryName::Root, "{path}");
        }
    }

    #[test]
    fn signs_are_told_from_files() {
        let whiteout = EntryName::Whiteout {
            directory: b"d".into(),
            name: b"f".into(),
        };
        assert_eq!(read("d/.wh.f").expect("a whiteout"), whiteout);
        assert_eq!(read("d/.wh.f/").expect("a whiteout"), whiteout);
        let opaque = EntryName::Opaque {
            directory: b"d".into(),
        };
        assert_eq!(read("d/.wh..wh..opq").expect("a marker"), opaque);
        let link = EntryName::AufsLink {
            name: b"1.2".into(),
        };
        assert_eq!(read(".wh..wh.plnk/1.2").expect("a link"), link);
        for path in [
            ".wh..wh.aufs",
            ".wh..wh.plnk",
            ".wh..wh.orph/x/y",
            "d/.wh..wh.plnk",
        ] {
            assert_eq!(read(path).expect(path), EntryName::Aufs, "{path}");
        }
    }

    #[test]
    fn r12_a_whiteout_has_a_name_and_holds_nothing() {
        for path in [".wh.", "d/.wh..", ".wh...", ".wh.d/inside", "a/.wh.b/.wh.c"] {
            assert!(
                matches!(read(path), Err(UnpackError::Name { .. })),
                "{path}"
            );
        }
    }

    #[test]
    fn r27_names_that_no_file_system_holds_are_refused() {
        assert!(matches!(
            read(&"n".repeat(256)),
            Err(UnpackError::Name { .. })
        ));
        assert!(matches!(
            read(&"p/".repeat(2048)),
            Err(UnpackError::Name { .. })
        ));
        assert!(matches!(read("a\0b"), Err(UnpackError::Name { .. })));
        assert!(matches!(
            read(&"d/".repeat(1000)),
            Err(UnpackError::Limit { .. })
        ));
        assert!(read(&"n".repeat(255)).is_ok());
    }

    #[test]
    fn r44_a_sign_may_be_longer_than_a_file_by_what_makes_it_one() {
        for (length, is_good) in [(255, true), (256, false)] {
            let name = "n".repeat(length);
            assert_eq!(read(&format!(".wh.{name}")).is_ok(), is_good);
            assert_eq!(read(&name).is_ok(), is_good);
        }
        let names = format!("{}/", "d".repeat(200)).repeat(21);
        for (length, is_good) in [(4095, true), (4096, false)] {
            let directory = &names[..length - 2];
            for path in [
                format!("{directory}/f"),
                format!("{directory}/.wh.f"),
                format!("{directory}/f/.wh..wh..opq"),
            ] {
                let read = read(&path);
                assert_eq!(read.is_ok(), is_good, "{read:?}");
            }
        }
    }
}
