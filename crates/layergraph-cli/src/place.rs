//! Places that arguments name: a name in a directory, where something is to appear or be replaced.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layergraph::fs::{Dir, FsError};

use crate::console::{Console, count};
use crate::report::Why;

/// A name in an open directory.
///
/// Arguments are trusted: links in them are followed, the last one too, so that what a link points
/// to is replaced and not the link.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) parent: Dir,
    pub(crate) name: OsString,
    /// Whether something has the name.
    pub(crate) is_taken: bool,
}

impl Place {
    /// Finds the place of `path`, whose directory must be there.
    pub(crate) fn find(path: &Path) -> Result<Place, Why> {
        match fs::canonicalize(path) {
            Ok(real) => match (real.parent(), real.file_name()) {
                (Some(parent), Some(name)) => Ok(Place {
                    parent: Dir::open(parent)?,
                    name: name.to_owned(),
                    is_taken: true,
                }),
                _ => Err(Why::Unsupported("the root directory cannot be replaced")),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Place::vacant(path, error),
            Err(error) => Err(argument("realpath", path, error)),
        }
    }

    /// The place of what is not there.
    fn vacant(path: &Path, error: io::Error) -> Result<Place, Why> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(argument("realpath", path, error));
        };
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        match fs::canonicalize(parent) {
            Ok(real) => Ok(Place {
                parent: Dir::open(&real)?,
                name: name.to_owned(),
                is_taken: false,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Why::NoDirectory {
                path: parent.to_owned(),
            }),
            Err(error) => Err(argument("realpath", parent, error)),
        }
    }

    /// Removes what killed runs left beside the place. What cannot be removed is no reason to stop.
    pub(crate) fn sweep(&self, console: &Console) {
        let shown = self.parent.path().display();
        match layergraph::fs::sweep(&self.parent) {
            Ok(0) => {}
            Ok(number) => {
                let what = count(number as u64, "leftover", "leftovers");
                console.note(&format!("removed {what} of killed runs in {shown}"));
            }
            Err(error) => console.warn(&format!("remove leftovers in {shown}"), &error),
        }
    }
}

/// Opens a directory that an argument names.
pub(crate) fn open_dir(path: &Path) -> Result<Dir, Why> {
    Dir::open(path).map_err(Why::Argument)
}

/// Makes an error of a call on an argument.
pub(crate) fn argument(call: &'static str, path: &Path, error: io::Error) -> Why {
    Why::Argument(FsError::new(call, path, error))
}

/// Refuses to replace a file by something that is made of it.
pub(crate) fn refuse_same(file: &Path, input: &File) -> Result<(), Why> {
    let id = |found: fs::Metadata| found.is_file().then(|| (found.dev(), found.ino()));
    let input = input.metadata().ok().and_then(id);
    let file = fs::metadata(file).ok().and_then(id);
    if file.is_some() && file == input {
        return Err(Why::Usage(
            "the result would take the place of what it is made of",
        ));
    }
    Ok(())
}

/// Tells whether two paths, of which nothing need be there, are one name in one directory.
pub(crate) fn is_one_place(one: &Path, other: &Path) -> Result<bool, Why> {
    let (one, other) = (Place::find(one)?, Place::find(other)?);
    let (above, others) = (one.parent.metadata_here()?, other.parent.metadata_here()?);
    Ok(one.name == other.name && above.is_same_object(&others))
}

/// Returns the one of `trees` that a directory is in, or is.
///
/// Directories are compared as objects: a tree may be mounted at several paths.
pub(crate) fn tree_around<'a>(
    directory: &Path,
    trees: &[&'a Path],
) -> Result<Option<&'a Path>, Why> {
    let id = |path: &Path| match fs::metadata(path) {
        Ok(metadata) => Ok((metadata.dev(), metadata.ino())),
        Err(error) => Err(argument("stat", path, error)),
    };
    let real: PathBuf =
        fs::canonicalize(directory).map_err(|error| argument("realpath", directory, error))?;
    let mut above = Vec::new();
    for ancestor in real.ancestors() {
        above.push(id(ancestor)?);
    }
    for tree in trees {
        if above.contains(&id(tree)?) {
            return Ok(Some(tree));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    type Result = std::result::Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_place_that_is_taken_is_found_through_links() -> Result {
        let home = tempfile::tempdir()?;
        fs::create_dir(home.path().join("real"))?;
        symlink("real", home.path().join("link"))?;
        let place = Place::find(&home.path().join("link"))?;
        assert!(place.is_taken);
        assert_eq!(place.name, "real");
        Ok(())
    }

    #[test]
    fn a_vacant_place_needs_its_directory() -> Result {
        let home = tempfile::tempdir()?;
        for path in ["new", "new/", "./new"] {
            let place = Place::find(&home.path().join(path))?;
            assert!(!place.is_taken);
            assert_eq!(place.name, "new");
        }
        let missing = Place::find(&home.path().join("no/new"));
        assert!(
            matches!(missing, Err(Why::NoDirectory { .. })),
            "{missing:?}"
        );
        let nameless = Place::find(&home.path().join("no/.."));
        assert!(matches!(nameless, Err(Why::Argument(_))), "{nameless:?}");
        Ok(())
    }

    #[test]
    fn the_root_directory_is_no_place() {
        assert!(matches!(
            Place::find(Path::new("/")),
            Err(Why::Unsupported(_))
        ));
    }

    #[test]
    fn a_directory_is_in_the_trees_above_it_and_in_itself() -> Result {
        let home = tempfile::tempdir()?;
        let [a, b] = ["a", "b"].map(|name| home.path().join(name));
        fs::create_dir_all(a.join("c"))?;
        fs::create_dir(&b)?;
        assert_eq!(tree_around(&a.join("c"), &[&b, &a])?, Some(a.as_path()));
        assert_eq!(tree_around(&a, &[&a])?, Some(a.as_path()));
        assert_eq!(tree_around(&b, &[&a])?, None);
        Ok(())
    }
}
