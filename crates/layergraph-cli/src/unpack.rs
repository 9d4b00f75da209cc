//! `layergraph unpack`: applies a layer to a directory.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use layergraph::archive::codec::DecodeOptions;
use layergraph::archive::{ApplyError, ApplyOptions, Ownership, Unpacked, apply, change_atomic};
use layergraph::fs::{Dir, Durability};
use nix::errno::Errno;
use nix::unistd::Uid;
use serde::Serialize;

use crate::args;
use crate::console::{Console, count};
use crate::output::print_json;
use crate::place::{Place, argument, is_one_place, open_dir, refuse_same};
use crate::recipe::RecipeFile;
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
    let ownership = console.ownership(&args.ownership, consequence);
    let (layer, dir) = (args.layer.display(), args.dir.display());
    attempt(args, &ownership, json, console).map_err(|why| Failure {
        attempted: if is_stdin(&args.layer) {
            format!("unpack stdin to {dir}")
        } else {
            format!("unpack {layer} to {dir}")
        },
        hint: hint(&why, args, &ownership),
        why: why.into(),
    })
}

fn attempt(
    args: &args::Unpack,
    ownership: &Ownership,
    json: bool,
    console: &Console,
) -> Result<(), Why> {
    let mut layer = open_layer(&args.layer)?;
    let way = way(args, console)?;
    let recipe = recipe(args, json, &layer, console)?;
    let place = recipe.as_ref().map(RecipeFile::place);
    let mut options = within_memory(ApplyOptions::default());
    options.unpack.ownership = ownership.clone();
    // Who has sent a layer that is refused may not end, and then nobody waits for him.
    options.single_thread = !layer.metadata().map_err(Why::Layer)?.is_file();
    let applied = match way {
        Way::InPlace(dir) => apply(&mut layer, &dir, place, &options),
        Way::AtOnce(Place { parent, name, .. }) => {
            let none = Durability::None;
            change_atomic(&parent, &name, ownership, none, |copy| {
                apply(&mut layer, copy, place, &options)
            })
            .map(|replaced| {
                if let Some(error) = &replaced.leftover {
                    console.warn("the old directory was not removed", error);
                }
                replaced.done
            })
        }
    };
    let done = applied.map_err(not_applied)?.unpacked;
    if let Some(recipe) = recipe {
        recipe
            .publish(console)
            .map_err(|why| Why::Recipe(why.into()))?;
    }
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
/// headers can hold, and a map of as many segments. A recipe takes some MiB more, and 40 bytes for
/// each file.
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

fn way(args: &args::Unpack, console: &Console) -> Result<Way, Why> {
    if !args.atomic && args.dir.exists() {
        return Ok(Way::InPlace(open_dir(&args.dir)?));
    }
    let place = Place::find(&args.dir)?;
    place.sweep(console);
    if place.is_taken {
        // The kernel refuses that too (EBUSY), but only when all is unpacked.
        let here = open_dir(&args.dir)?.metadata_here()?.filesystem;
        if here != place.parent.metadata_here()?.filesystem {
            return Err(Why::Unsupported("a mount point cannot be replaced"));
        }
    }
    Ok(Way::AtOnce(place))
}

/// Prepares for the recipe, if one is wanted.
fn recipe(
    args: &args::Unpack,
    json: bool,
    layer: &File,
    console: &Console,
) -> Result<Option<RecipeFile>, Why> {
    let Some(file) = &args.recipe else {
        return Ok(None);
    };
    if file == Path::new("-") && json {
        return Err(Why::Usage(
            "--json needs --recipe FILE: the result takes stdout",
        ));
    }
    let file = Some(file.as_path()).filter(|file| *file != Path::new("-"));
    if let Some(file) = file {
        refuse_same(file, layer)?;
    }
    if !args.dir.exists() {
        if let Some(file) = file
            && is_one_place(file, &args.dir)?
        {
            return Err(Why::Usage("the recipe and DIR cannot have one name"));
        }
        return RecipeFile::new(file, &[], console).map(Some);
    }
    RecipeFile::new(file, &[&args.dir], console).map(Some)
}

/// Tells why a layer was not applied.
pub(crate) fn not_applied(error: ApplyError) -> Why {
    match error {
        ApplyError::Read(error) => Why::Layer(error),
        ApplyError::Unpack(error) => Why::Unpack(error),
        other => Why::Apply(other),
    }
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

fn hint(why: &Why, args: &args::Unpack, ownership: &Ownership) -> Option<String> {
    let Why::Unpack(_) = why else {
        let instead = matches!(why, Why::Unsupported(_)).then_some("unpack without --atomic");
        return instead.map(str::to_owned).or_else(|| why.hint());
    };
    let squashes = *ownership == Ownership::Squash;
    let was_there = args.dir.exists();
    let fixed = match (why.status(), why.errno()) {
        // EINVAL is for owners that a user namespace does not map.
        (Status::NotPermitted, Some(Errno::EPERM | Errno::EINVAL)) if !squashes => {
            if Uid::effective().is_root() {
                "it may be possible with --ownership squash"
            } else {
                "run as root, or with --ownership squash"
            }
        }
        // No call of the system refused that.
        (Status::NotPermitted, None) if matches!(ownership, Ownership::Mapped(_)) => {
            "give ranges that have it by --uid-map and --gid-map"
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
