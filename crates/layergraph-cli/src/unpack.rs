//! `layergraph unpack`: applies a layer to a directory.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use layergraph::archive::codec::{DecodeOptions, decode};
use layergraph::archive::{
    ApplyOptions, Ownership, UnpackOptions, Unpacked, unpack, unpack_atomic,
};
use layergraph::fs::{Dir, Durability};
use nix::errno::Errno;
use nix::unistd::Uid;
use serde::Serialize;

use crate::args;
use crate::console::{Console, count};
use crate::output::print_json;
use crate::place::{Place, argument, open_dir};
use crate::report::{Failure, Why};
use crate::status::Status;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    entries: u64,
    size: u64,
    dropped_xattrs: u64,
    recorded_nodes: u64,
}

pub(crate) fn run(args: &args::Unpack, json: bool, console: &Console) -> Result<(), Failure> {
    let consequence = "owners, modes and devices are recorded in extended attributes";
    let ownership = console.ownership(args.ownership, consequence);
    let (layer, dir) = (args.layer.display(), args.dir.display());
    attempt(args, ownership, json, console).map_err(|why| Failure {
        attempted: if is_stdin(&args.layer) {
            format!("unpack stdin to {dir}")
        } else {
            format!("unpack {layer} to {dir}")
        },
        hint: hint(&why, args, ownership),
        why: why.into(),
    })
}

fn attempt(
    args: &args::Unpack,
    ownership: Ownership,
    json: bool,
    console: &Console,
) -> Result<(), Why> {
    let layer = open_layer(&args.layer)?;
    let way = way(args)?;
    let mut layer = decode(layer, &DECODING).map_err(Why::Layer)?;
    let mut options = UnpackOptions::default();
    options.ownership = ownership;
    let rest = layer.divide_memory(MEMORY).map_err(Why::Layer)?;
    // With a usual window that is enough for 400,000 directories, with the largest for 100,000.
    options.limits.directory_bytes = usize::try_from(rest).unwrap_or(usize::MAX);
    let done = match way {
        Way::InPlace(dir) => unpack(&mut layer, &dir, &options)?,
        Way::AtOnce(place) => {
            place.sweep(console);
            let Place { parent, name, .. } = &place;
            let replaced = unpack_atomic(&mut layer, parent, name, &options, Durability::None)?;
            if let Some(error) = &replaced.leftover {
                console.warn("the old directory was not removed", error);
            }
            replaced.unpacked
        }
    };
    tell(&done, console);
    if json {
        print_json(&Document {
            entries: done.entries,
            size: done.size,
            dropped_xattrs: done.dropped_xattrs,
            recorded_nodes: done.recorded_nodes,
        })?;
    }
    Ok(())
}

pub(crate) fn is_stdin(layer: &Path) -> bool {
    layer == Path::new("-")
}

/// Opens the layer that an argument names.
pub(crate) fn open_layer(layer: &Path) -> Result<File, Why> {
    if is_stdin(layer) {
        let handle = io::stdin().as_fd().try_clone_to_owned();
        return handle.map(File::from).map_err(Why::Layer);
    }
    File::open(layer).map_err(|error| argument("open", layer, error))
}

/// How much memory the decoder and the records of directories may take, so that no layer makes the
/// command need more than 64 MiB.
///
/// Everything else takes 6 MiB, and 16 MiB more for an entry that has as many attributes as its
/// headers can hold, and a map of as many segments.
const MEMORY: u64 = 42 << 20;

/// How layers are decoded: with room for a window of 32 MiB, as `xz -8` and `zstd --ultra -20` use.
pub(crate) const DECODING: DecodeOptions = DecodeOptions {
    memory: 33 << 20,
    output: None,
};

/// Keeps what applying a layer may take within [`MEMORY`]. With a usual window that is enough for
/// 400,000 directories, with the largest for 100,000.
pub(crate) fn within_memory(mut options: ApplyOptions) -> ApplyOptions {
    let records = MEMORY - DECODING.memory;
    options.decode = DECODING;
    options.unpack.limits.directory_bytes = usize::try_from(records).unwrap_or(usize::MAX);
    options
}

/// How the layer gets into the directory.
enum Way {
    /// Entry by entry.
    InPlace(Dir),
    /// Into a new directory that then appears at the place.
    AtOnce(Place),
}

fn way(args: &args::Unpack) -> Result<Way, Why> {
    if !args.atomic && args.dir.exists() {
        return Ok(Way::InPlace(open_dir(&args.dir)?));
    }
    let place = Place::find(&args.dir)?;
    if place.is_taken {
        // The kernel refuses that too (EBUSY), but only when all is unpacked.
        let here = open_dir(&args.dir)?.metadata_here()?.filesystem;
        if here != place.parent.metadata_here()?.filesystem {
            return Err(Why::Unsupported("a mount point cannot be replaced"));
        }
    }
    Ok(Way::AtOnce(place))
}

/// Says what of the layer is not in the tree as the layer has it.
fn tell(done: &Unpacked, console: &Console) {
    if done.dropped_xattrs > 0 {
        let what = count(
            done.dropped_xattrs,
            "extended attribute was",
            "extended attributes were",
        );
        console.note(&format!(
            "{what} left out: of overlayfs, or such as only root may set"
        ));
    }
    if done.recorded_nodes > 0 {
        let what = count(
            done.recorded_nodes,
            "device or named pipe was",
            "devices and named pipes were",
        );
        console.note(&format!("{what} recorded and not made"));
    }
}

fn hint(why: &Why, args: &args::Unpack, ownership: Ownership) -> Option<String> {
    let Why::Unpack(_) = why else {
        let instead = matches!(why, Why::Unsupported(_)).then_some("unpack without --atomic");
        return instead.map(str::to_owned).or_else(|| why.hint());
    };
    let preserves = ownership == Ownership::Preserve;
    let was_there = args.dir.exists();
    let fixed = match (why.status(), why.errno()) {
        // EINVAL is for owners that a user namespace does not map.
        (Status::NotPermitted, Some(Errno::EPERM | Errno::EINVAL)) if preserves => {
            if Uid::effective().is_root() {
                "it may be possible with --ownership squash"
            } else {
                "run as root, or with --ownership squash"
            }
        }
        (Status::NoSpace, Some(Errno::ENOSPC)) if args.atomic && was_there => {
            "--atomic needs room for a copy of the directory, which is as it was"
        }
        (_, Some(Errno::EBUSY)) if args.atomic => {
            "a mount point cannot be replaced: unpack without --atomic"
        }
        _ => match why.hint() {
            Some(hint) => return Some(hint),
            None if was_there && !args.atomic => {
                "the directory holds what was unpacked until then; --atomic leaves it as it was"
            }
            None => return None,
        },
    };
    Some(fixed.to_owned())
}
