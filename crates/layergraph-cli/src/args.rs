//! The arguments of the command, and what `--help` says of them.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use layergraph_archive::Ownership;

/// Unpacks, packs and lists the layers of container images.
#[derive(Debug, Parser)]
#[command(
    name = "layergraph",
    bin_name = "layergraph",
    version,
    max_term_width = 100
)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Print the result of unpack or pack as one JSON document on stdout.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print no notes on stderr, only warnings and errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  failed
  2  wrong usage
  3  a file or directory was not found
  7  the input was refused: a bad archive, a limit, a name that cannot be
  9  no space
  10 not permitted, or not supported here";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Unpack(Unpack),
    Pack(Pack),
    Listing(Listing),
}

/// Apply a layer to a directory, whiteouts and all.
///
/// Entries replace what is there, directories merge, and whiteouts remove what was in DIR before.
/// No entry reaches anything outside of DIR.
///
/// Where there is no DIR, it appears only when the whole layer is unpacked. A DIR that is there
/// keeps what was unpacked until an error, unless --atomic is given.
///
/// With --json, the result is an object of numbers: `entries`, `size`, `dropped_xattrs` and
/// `recorded_nodes`.
#[derive(Debug, clap::Args)]
pub(crate) struct Unpack {
    /// A tar file, plain or packed by gzip, zstd, xz or bzip2; `-` for stdin.
    #[arg(value_name = "LAYER")]
    pub(crate) layer: PathBuf,

    /// Where to; made if it is missing, but not the directory that it is to be in.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// How owners, modes and devices are kept [default: preserve for root, squash for others].
    #[arg(long, value_name = "HOW")]
    pub(crate) ownership: Option<HowOwned>,

    /// Apply the whole layer or nothing of it.
    ///
    /// The layer is applied to a copy of DIR, which then takes DIR's place; the copy shares content
    /// with DIR where the file system can, and else needs room for it. After an error or a signal
    /// DIR is as it was; after a power loss shortly after the end it may not be. What a killed run
    /// leaves beside DIR (`.layergraph-*`) is removed by the next one there. DIR becomes another
    /// directory of the same name: who works in the old one does not see the new one. A mount
    /// point cannot be replaced.
    #[arg(long)]
    pub(crate) atomic: bool,
}

/// Write a directory, or what has changed in it, as a layer.
///
/// The same tree gives the same bytes. The layer is a plain tar. Sockets are left out.
///
/// With --json and -o, the result is an object: the numbers `entries` and `size`, and in `sockets`
/// an object with the `path` of each.
#[derive(Debug, clap::Args)]
pub(crate) struct Pack {
    /// What to pack.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Pack only what makes DIR of this directory: what is added or changed, and whiteouts for what
    /// is gone.
    #[arg(long, value_name = "DIR")]
    pub(crate) against: Option<PathBuf>,

    /// Where to, instead of stdout; `-` is stdout as well. FILE appears, or is replaced, only when
    /// the whole layer is written. It must not be in DIR.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// How the owners, modes and devices of the tree are kept on disk [default: preserve for root,
    /// squash for others].
    #[arg(long, value_name = "HOW")]
    pub(crate) ownership: Option<HowOwned>,
}

/// Print one line for each object in a directory.
///
/// Equal trees have equal listings. The fields are separated by tabs: path, type, mode, uid:gid,
/// content (size and sha256, target, or device number), time of modification, first name of a file
/// that has several, extended attributes. Unusual bytes are written \xHH.
#[derive(Debug, clap::Args)]
pub(crate) struct Listing {
    /// What to list.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// How the owners, modes and devices of the tree are kept on disk.
    #[arg(long, value_name = "HOW", default_value = "preserve")]
    pub(crate) ownership: HowOwned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HowOwned {
    /// As they are; to unpack a layer so takes root.
    Preserve,
    /// Everything belongs to the user; the true ones are recorded in an extended attribute.
    Squash,
}

impl From<HowOwned> for Ownership {
    fn from(how: HowOwned) -> Ownership {
        match how {
            HowOwned::Preserve => Ownership::Preserve,
            HowOwned::Squash => Ownership::Squash,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_and_behind_the_command() {
        for line in [
            "layergraph --json -q listing d",
            "layergraph listing d --json --quiet",
        ] {
            let args = Args::try_parse_from(line.split(' ')).expect("these are the options");
            assert!(args.json && args.quiet);
        }
    }
}
