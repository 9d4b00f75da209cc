//! What two views have in common: layers, and with them whatever nothing but these layers holds.

use layergraph_fs::FsError;

use super::{Entry, Part, View, ViewDir, names};

/// Two views, of which one has the layers of the other and some on top of them, and both show the
/// layers in the same way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared {
    /// How many are on top.
    top: usize,
}

impl Shared {
    /// Returns nothing if the layers of `lower` are not the lowest of `upper`.
    pub(crate) fn new(upper: &View, lower: &View) -> Result<Option<Shared>, FsError> {
        let Some(top) = upper.layers.len().checked_sub(lower.layers.len()) else {
            return Ok(None);
        };
        if upper.dialect != lower.dialect || upper.ownership != lower.ownership {
            return Ok(None);
        }
        for (a, b) in upper.layers[top..].iter().zip(&lower.layers) {
            if !a.metadata_here()?.is_same_object(&b.metadata_here()?) {
                return Ok(None);
            }
        }
        Ok(Some(Shared { top }))
    }

    /// Returns how many parts a directory has on top of those of one in the lower view; nothing if
    /// it does not have the same ones below, as where it is opaque or redirected.
    ///
    /// Then a name that is not in the parts on top is the same object in both, and if that is a
    /// directory so is all in it: its signs, redirects included, lead to the same layers.
    pub(crate) fn parts_on_top(
        self,
        upper: &ViewDir<'_>,
        lower: &ViewDir<'_>,
    ) -> Result<Option<usize>, FsError> {
        let on_top = upper.parts.partition_point(|part| part.layer < self.top);
        let below = &upper.parts[on_top..];
        if below.len() != lower.parts.len() {
            return Ok(None);
        }
        for (a, b) in below.iter().zip(&lower.parts) {
            if a.layer != b.layer + self.top || !is_same(a, b)? {
                return Ok(None);
            }
        }
        Ok(Some(on_top))
    }

    /// Returns whether an object of the upper view is in a layer that the lower one has, too.
    pub(crate) fn has(self, dir: &ViewDir<'_>, entry: &Entry) -> bool {
        dir.parts[entry.part].layer >= self.top
    }
}

fn is_same(a: &Part, b: &Part) -> Result<bool, FsError> {
    Ok(a.dir
        .metadata_here()?
        .is_same_object(&b.dir.metadata_here()?))
}

impl ViewDir<'_> {
    /// Lists the objects in the directory, and those in `lower`, whose names are in the first
    /// `parts` parts of this one, each list sorted by the bytes of the names.
    pub(crate) fn entries_on_top(
        &self,
        parts: usize,
        lower: &ViewDir<'_>,
    ) -> Result<(Vec<Entry>, Vec<Entry>), FsError> {
        let (mut above, mut below) = (Vec::new(), Vec::new());
        for (name, part) in names(&self.parts[..parts])? {
            above.extend(self.shown(part, &name)?);
            below.extend(lower.entry(&name)?);
        }
        Ok((above, below))
    }
}
