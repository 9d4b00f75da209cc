//! What a layer may cost.

/// What one layer may cost; more is refused with [`UnpackError::Limit`](crate::UnpackError::Limit).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// How many entries it may have. Default: 10 million.
    pub entries: u64,
    /// How many bytes its files may have in all, holes included, and with them the files of the
    /// layers below that hard links of it copy. Default: 1 TiB.
    pub unpacked_bytes: u64,
    /// How many directories may stand one in another. Default: 500.
    pub depth: usize,
    /// How many steps it may take to find the way to its entries. A step is a name that is looked
    /// up by itself, because a symbolic link stands in the way or the kernel has no `openat2(2)`,
    /// or in one of the layers below; and a directory counts for 32 that is made only because an
    /// entry is in it. Default: 20 million of either kind. [Settling](crate::Unsettled::settle)
    /// what was left open may take as many once more.
    ///
    /// One path can take 4,096 names and more, and a deep directory that is replaced again and
    /// again has to be made as often. A layer made for the purpose would else be unpacked for days.
    pub steps: u64,
    /// How many bytes of memory the records of its directories may take, at most 4 GiB, and as many
    /// once more [what is left open](crate::Unsettled). Default: 20 MiB.
    ///
    /// A directory takes 60 bytes and what its name has, as long as each comes soon after the one
    /// it is in, and else 60 and what its path has. An object that is made in a directory of the
    /// layers below takes 15, and so does one there that is copied for a hard link. So by default a
    /// layer may have 250,000 directories, or 1,400,000 objects in directories that were there.
    /// With what [decoding](crate::codec::DecodeOptions::memory) takes by default and 10 MiB for
    /// everything else, unpacking needs no more than 64 MiB.
    pub directory_bytes: usize,
}

impl Limits {
    /// Refuses nothing.
    pub(crate) fn none() -> Limits {
        Limits {
            entries: u64::MAX,
            unpacked_bytes: u64::MAX,
            depth: usize::MAX,
            steps: u64::MAX,
            directory_bytes: usize::MAX,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entries: 10_000_000,
            unpacked_bytes: 1 << 40,
            depth: 500,
            steps: 20_000_000,
            directory_bytes: 20 << 20,
        }
    }
}
