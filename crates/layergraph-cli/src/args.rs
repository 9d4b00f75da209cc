//! The arguments of the command, and what `--help` says of them.

pub(crate) mod graph;
pub(crate) mod images;
mod owned;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use layergraph::DriverChoice;

pub(crate) use self::owned::Owned;

/// Stores the layers of container images, and unpacks, packs and lists them.
#[derive(Debug, Parser)]
#[command(
    name = "layergraph",
    bin_name = "layergraph",
    version,
    max_term_width = 100
)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) store: Store,

    /// Print the result as one JSON document on stdout.
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,

    /// Print no notes on stderr, only warnings and errors; as --log warn.
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub(crate) quiet: bool,

    /// How much is told on stderr.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "LEVEL", default_value = "info")]
    pub(crate) log: Level,

    /// How it is told on stderr how far a long work has come.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: HowTold,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  failed
  2  wrong usage
  3  a node, a store, a file or a directory was not found
  4  several ids begin so
  5  a node has the id already
  6  a node is in use: others build on it, or it is mounted
  7  the input was refused: a bad archive, a limit, a name that cannot be
  8  the store is damaged, or the node is broken
  9  no space
  10 not permitted, or not supported here";

/// Where the help of each command lists the options that all have.
const GLOBAL: &str = "Global options";

const WHERE: &str = "\
Where the store is [default: $LAYERGRAPH_ROOT; else /var/lib/layergraph for root, \
$XDG_DATA_HOME/layergraph for others]";

/// Which store.
#[derive(Debug, clap::Args)]
pub(crate) struct Store {
    // The text names variables as a shell does, which no documentation of code would.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR", help = WHERE)]
    pub(crate) root: Option<PathBuf>,

    /// Which driver keeps the trees of the store.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DRIVER", default_value = "auto")]
    pub(crate) driver: DriverName,
}

/// Which driver keeps the trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DriverName {
    /// The one that the store has; for a new store the first that works here.
    Auto,
    /// Only what a layer changed, united by overlayfs.
    Overlay,
    /// A whole tree for each layer.
    Vfs,
}

impl From<DriverName> for DriverChoice {
    fn from(name: DriverName) -> DriverChoice {
        match name {
            DriverName::Auto => DriverChoice::Auto,
            DriverName::Overlay => DriverChoice::Named("overlay".to_owned()),
            DriverName::Vfs => DriverChoice::Named("vfs".to_owned()),
        }
    }
}

/// How much is told on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    /// Why the command failed.
    Error,
    /// What went wrong without keeping the command from its work, too.
    Warn,
    /// What is good to know, too.
    Info,
}

/// How it is told how far a work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HowTold {
    /// By a bar if stderr is a terminal and nobody wants quiet, else not.
    Auto,
    /// By a bar.
    Bar,
    /// By JSON documents, one a line, as Docker's API sent them.
    Json,
    /// Not at all.
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Load(images::Load),
    Save(images::Save),
    Images(images::Images),
    Inspect(images::Inspect),
    Tag(images::Tag),
    Untag(images::Untag),
    Rm(images::Rm),
    Gc(images::Gc),
    Register(graph::Register),
    Layers(graph::Layers),
    Tree(graph::Tree),
    History(graph::History),
    RawJson(graph::RawJson),
    Digest(graph::Digest),
    Changes(graph::Changes),
    DiffSize(graph::DiffSize),
    ExportLayer(graph::ExportLayer),
    RmLayer(graph::RmLayer),
    Mount(graph::Mount),
    Unmount(graph::Unmount),
    Info(graph::Info),
    Unpack(Unpack),
    Pack(Pack),
    Split(Split),
    Assemble(Assemble),
    Listing(Listing),
    Unshare(Unshare),
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

    #[command(flatten)]
    pub(crate) ownership: Owned,

    /// Write the layer's recipe to this file when the layer is unpacked; `-` for stdout. FILE
    /// appears, or is replaced, only then, and must not be in DIR. See `split`.
    #[arg(long, value_name = "FILE")]
    pub(crate) recipe: Option<PathBuf>,

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

    #[command(flatten)]
    pub(crate) ownership: Owned,
}

/// Write the recipe of a layer: all of it but the contents of its files.
///
/// With the recipe and the files, `assemble` makes the same layer again, to the byte. The form is
/// that of tar-split, which Docker, containers/storage and others keep beside their layers. What
/// the files cannot give back is in the recipe itself, such as a content that the layer overwrites;
/// to find that out, a layer is unpacked beside FILE if its names leave it open.
///
/// With --json and -o, the result is an object with the number `entries`.
#[derive(Debug, clap::Args)]
pub(crate) struct Split {
    /// A tar file, plain or packed by gzip, zstd, xz or bzip2; `-` for stdin.
    #[arg(value_name = "LAYER")]
    pub(crate) layer: PathBuf,

    /// Where to, instead of stdout; `-` is stdout as well. FILE appears, or is replaced, only when
    /// the whole recipe is written.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Make the layer again, to the byte, that a recipe was made of.
///
/// The layer is plain, whatever it was packed by. The first file in DIR that is missing or has
/// another content is an error.
///
/// With --json and -o, the result is an object with the number `size`.
#[derive(Debug, clap::Args)]
pub(crate) struct Assemble {
    /// The recipe, as `split` or `unpack --recipe` writes it, or Docker (`tar-data.json.gz`) or
    /// containers/storage (`*.tar-split.gz`); `-` for stdin.
    #[arg(value_name = "RECIPE")]
    pub(crate) recipe: PathBuf,

    /// The tree that the layer was unpacked to.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Where to, instead of stdout; `-` is stdout as well. FILE appears, or is replaced, only when
    /// the whole layer is written. It must not be in DIR.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
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

    #[command(flatten)]
    pub(crate) ownership: Owned,
}

/// Run a program in a user namespace, where an ordinary user may mount.
///
/// In it the user is root. Besides, it has the ids that /etc/subuid and /etc/subgid lend to the
/// user, if newuidmap and newgidmap are installed. What the program mounts is gone when it ends.
///
/// The command ends with the status of the program, with 128 and the number of the signal that
/// ended it, or, as docker run, with 125 if there is no namespace to be had, 126 if the program
/// cannot be executed, and 127 if it was not found.
#[derive(Debug, clap::Args)]
pub(crate) struct Unshare {
    /// The program.
    #[arg(value_name = "CMD")]
    pub(crate) program: PathBuf,

    /// Its arguments.
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) arguments: Vec<OsString>,
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
