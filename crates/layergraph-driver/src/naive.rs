//! Differences between layers found by reading both trees, whoever keeps them.

use std::io::Write;

use layergraph_archive::{Change, ChangeKind, CompareOptions, PackError, Packed};

use crate::error::Attempted;
use crate::{Driver, LayerId, Result};

/// Lists what makes the tree `id` of the tree `against`, or of an empty one; see
/// [`layergraph_archive::changes`].
pub fn changes<D: Driver + ?Sized>(
    driver: &D,
    id: &LayerId,
    against: Option<&LayerId>,
) -> Result<Vec<Change>> {
    let upper = driver.view(id)?;
    let lower = against.map(|id| driver.view(id)).transpose()?;
    layergraph_archive::changes(&upper, lower.as_ref(), &CompareOptions::default())
        .attempted(|| format!("cannot compare layer {id}"))
}

/// Writes `changes` of the layer `id` to `out` as a layer.
///
/// # Errors
///
/// The driver's own stand in the outer result, those of packing in the inner one.
pub fn pack<D: Driver + ?Sized>(
    driver: &D,
    id: &LayerId,
    changes: &[Change],
    out: &mut dyn Write,
) -> Result<Result<Packed, PackError>> {
    let view = driver.view(id)?;
    Ok(layergraph_archive::pack(&view, changes, out))
}

/// Returns the bytes in the files and links that `changes` add or modify: the size of a layer as
/// the original computed it from its changes. Of a file with several names each one counts.
pub fn diff_size(changes: &[Change]) -> u64 {
    let present = changes
        .iter()
        .filter(|change| change.kind != ChangeKind::Deleted);
    present.map(|change| change.size).sum()
}
