//! Where a layer is unpacked, and over what.

use layergraph_fs::Dir;

use crate::view::View;

/// Where a layer is unpacked: a directory, and what is known of the layers below.
///
/// ```
/// use layergraph_archive::{Dialect, Place, View};
/// # use layergraph_fs::Dir;
/// # let (upper, lower) = (tempfile::tempdir()?, tempfile::tempdir()?);
/// # let (upper, lower) = (Dir::open(upper.path())?, Dir::open(lower.path())?);
/// // The directory is the tree that the layer changes.
/// let place = Place::from(&upper);
/// // It takes what the layer changes of another tree, and that tree stays as it is.
/// let below = View::union(vec![lower], Dialect::OverlayUser);
/// let place = Place::over(&upper, &below);
/// # let _ = place;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    dir: &'a Dir,
    below: Below<'a>,
}

/// What is known of the layers below.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Below<'a> {
    /// They are in the directory.
    Here,
    /// They are these, and stay as they are.
    Layers(&'a View),
    /// There are some, which nobody knows yet.
    Unknown,
}

impl<'a> Place<'a> {
    /// Takes a directory that is to hold only what the layer changes of the tree `below`, in the
    /// dialect of that.
    ///
    /// The directory is empty and has the metadata of the root of `below`, or is what this has
    /// made before.
    pub fn over(dir: &'a Dir, below: &'a View) -> Place<'a> {
        Place {
            dir,
            below: Below::Layers(below),
        }
    }

    /// Takes a directory that is to hold only what the layer changes of a tree that is not there
    /// yet. It is empty.
    ///
    /// What the layer means can depend on that tree; see [`Unsettled`](crate::Unsettled).
    pub fn detached(dir: &'a Dir) -> Place<'a> {
        Place {
            dir,
            below: Below::Unknown,
        }
    }

    /// Returns the directory.
    pub fn dir(&self) -> &'a Dir {
        self.dir
    }

    pub(crate) fn below(&self) -> Below<'a> {
        self.below
    }
}

impl<'a> From<&'a Dir> for Place<'a> {
    /// Takes a directory that is the whole tree.
    fn from(dir: &'a Dir) -> Place<'a> {
        Place {
            dir,
            below: Below::Here,
        }
    }
}
