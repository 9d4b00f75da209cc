//! How much a header may ask for.

/// What the headers of one member may cost in memory.
///
/// A reader never allocates what a header merely claims; these limits bound what it collects from
/// bytes that are really there. The defaults pass every archive that real tools make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest body of one extension header (PAX `x` and `g`, GNU `L` and `K`) in bytes.
    /// Default: 1 MiB, as in Go's archive/tar.
    pub extension_bytes: u64,
    /// How many extension headers may stand before one member. Default: 64.
    pub extensions: u32,
    /// How many segments the map of a sparse member may have. Default: 262,144 (4 MiB).
    pub sparse_segments: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            extension_bytes: 1 << 20,
            extensions: 64,
            sparse_segments: 1 << 18,
        }
    }
}
