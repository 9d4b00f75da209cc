//! Sizes for people.

use layergraph::progress::human_size;

/// Prints a size with four digits and a unit.
#[allow(
    clippy::cast_precision_loss,
    reason = "four digits of it are printed, and a float has fifteen"
)]
pub(crate) fn human(bytes: i64) -> String {
    human_size(bytes as f64)
}
