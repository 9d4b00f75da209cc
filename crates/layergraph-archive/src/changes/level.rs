//! Two directories of the same name, and the names in them that can differ.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec;

use layergraph_fs::FsError;

use crate::view::{Entry, ViewDir};

/// Two directories of the same name while what is in them is compared.
pub(super) struct Level<'v> {
    pub(super) upper: ViewDir<'v>,
    pub(super) lower: Option<ViewDir<'v>>,
    pub(super) left: Paired,
    pub(super) pending: Option<Pending>,
}

/// The change of a directory, which stands before those of what is in it, while nobody knows yet
/// whether there are any. Its path is still empty.
pub(super) struct Pending {
    pub(super) at: usize,
    /// Whether the directory itself differs: then it is a change anyway.
    pub(super) differs: bool,
}

impl<'v> Level<'v> {
    /// Takes a directory of the upper tree that the lower one has not.
    pub(super) fn added(upper: ViewDir<'v>) -> Result<Level<'v>, FsError> {
        let left = Paired::new(upper.entries()?, Vec::new());
        Ok(Level {
            upper,
            lower: None,
            left,
            pending: None,
        })
    }

    /// Takes a directory of each tree. If `on_top` is said, only the names in so many parts of the
    /// upper one, from the first on, can differ.
    pub(super) fn of_both(
        upper: ViewDir<'v>,
        lower: ViewDir<'v>,
        on_top: Option<usize>,
        pending: Option<Pending>,
    ) -> Result<Level<'v>, FsError> {
        let (above, below) = match on_top {
            Some(parts) => upper.entries_on_top(parts, &lower)?,
            None => (upper.entries()?, lower.entries()?),
        };
        Ok(Level {
            upper,
            lower: Some(lower),
            left: Paired::new(above, below),
            pending,
        })
    }
}

/// Walks two sorted lists side by side, equal names together.
pub(super) struct Paired {
    upper: Peekable<vec::IntoIter<Entry>>,
    lower: Peekable<vec::IntoIter<Entry>>,
}

impl Paired {
    fn new(upper: Vec<Entry>, lower: Vec<Entry>) -> Paired {
        Paired {
            upper: upper.into_iter().peekable(),
            lower: lower.into_iter().peekable(),
        }
    }
}

impl Iterator for Paired {
    type Item = (Option<Entry>, Option<Entry>);

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.upper.peek(), self.lower.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(above), Some(below)) => above.name().cmp(below.name()),
        };
        Some(match order {
            Ordering::Less => (self.upper.next(), None),
            Ordering::Equal => (self.upper.next(), self.lower.next()),
            Ordering::Greater => (None, self.lower.next()),
        })
    }
}
