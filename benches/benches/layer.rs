//! What do a layer's digests and its recipe cost, next to unpacking it?
//!
//! Each way goes through the same packed layer: unpacked only; with the digests of blob and tar;
//! with the recipe; with all; on one thread and on two. The ways take turns, and each run has a
//! file system of its own, because ext4 makes files slowly for minutes after others were removed.
//! Times are of the processor (user and system) and of the clock, medians of the rounds; the ratios
//! are to the plain way on one thread in the same round.
//!
//! `cargo bench -p layergraph-benches --bench layer [-- LAYER…]`, as root. Without a LAYER it makes
//! one of 20,000 files. Two more questions are asked of layers that are made for them: what opaque
//! markers cost (R31), and how much memory a million entries take. With `--test` each thing is done
//! once, on small layers.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use layergraph::archive::recipe::NewRecipe;
use layergraph::archive::{ApplyOptions, apply};
use layergraph::fs::Dir;
use layergraph::tar::{Kind, NewMember, Writer};
use layergraph_benches::Random;
use layergraph_tests::Volume;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How often each way is gone.
const ROUNDS: usize = 7;

/// A way through a layer.
#[derive(Debug, Clone, Copy)]
struct Way {
    name: &'static str,
    digests: bool,
    recipe: bool,
    single_thread: bool,
}

const WAYS: [Way; 6] = [
    Way {
        name: "unpack",
        digests: false,
        recipe: false,
        single_thread: true,
    },
    Way {
        name: "and digests",
        digests: true,
        recipe: false,
        single_thread: true,
    },
    Way {
        name: "and recipe",
        digests: false,
        recipe: true,
        single_thread: true,
    },
    Way {
        name: "and both",
        digests: true,
        recipe: true,
        single_thread: true,
    },
    Way {
        name: "two threads",
        digests: false,
        recipe: false,
        single_thread: false,
    },
    Way {
        name: "and both",
        digests: true,
        recipe: true,
        single_thread: false,
    },
];

/// What a run took.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    clock: Duration,
    processor: Duration,
    recipe: u64,
}

fn main() -> Result {
    let mut layers: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let is_test = layers.iter().any(|arg| arg == "--test");
    layers.retain(|arg| !arg.as_os_str().as_encoded_bytes().starts_with(b"--"));
    let rounds = if is_test { 1 } else { ROUNDS };
    let home = tempfile::tempdir()?;
    if layers.is_empty() {
        let layer = home.path().join("made.tar.gz");
        write_layer(&layer, if is_test { 100 } else { 20_000 })?;
        layers.push(layer);
    }
    for layer in &layers {
        compare_ways(layer, rounds)?;
    }
    opaque_markers(home.path(), if is_test { 100 } else { 12_000 }, rounds)?;
    many_entries(home.path(), if is_test { 1_000 } else { 1_000_000 })
}

/// Goes each way through a layer, in turns.
fn compare_ways(layer: &Path, rounds: usize) -> Result {
    let blob = fs::read(layer)?;
    let mut costs = vec![Vec::new(); WAYS.len()];
    let mut size = 0;
    for _ in 0..rounds {
        for (way, costs) in WAYS.iter().zip(&mut costs) {
            let (cost, tar) = run(&blob, *way)?;
            size = size.max(tar);
            costs.push(cost);
        }
    }
    println!(
        "{}: {} MB packed, {} MB of tar",
        layer.display(),
        blob.len() / 1_000_000,
        size / 1_000_000
    );
    println!(
        "  {:12} {:>9} {:>7} {:>9} {:>7} {:>8}",
        "", "clock", "ratio", "processor", "ratio", "recipe"
    );
    for (way, own) in WAYS.iter().zip(&costs) {
        let ratio = |of: fn(&Cost) -> Duration| {
            let ratios = own.iter().zip(&costs[0]);
            median(ratios.map(|(own, plain)| of(own).as_secs_f64() / of(plain).as_secs_f64()))
        };
        let recipe = own.iter().map(|cost| cost.recipe).max().unwrap_or(0);
        println!(
            "  {:12} {:6.0} ms {:7.2} {:6.0} ms {:7.2} {:6.2} %",
            way.name,
            1e3 * median(own.iter().map(|cost| cost.clock.as_secs_f64())),
            ratio(|cost| cost.clock),
            1e3 * median(own.iter().map(|cost| cost.processor.as_secs_f64())),
            ratio(|cost| cost.processor),
            100.0 * mega(recipe) / mega(size.max(1)),
        );
    }
    Ok(())
}

/// Where a layer is unpacked: a file system of its own.
struct Ground {
    home: Dir,
    into: Dir,
    volume: Volume,
}

impl Ground {
    fn new(gibibytes: u64) -> Result<Ground> {
        let volume = Volume::with_size("mkfs.ext4", gibibytes << 30)?;
        let tree = volume.path().join("tree");
        fs::create_dir(&tree)?;
        Ok(Ground {
            home: Dir::open(&volume.path())?,
            into: Dir::open(&tree)?,
            volume,
        })
    }

    fn recipe(&self) -> NewRecipe<'_> {
        NewRecipe {
            home: &self.home,
            name: OsStr::new("recipe"),
        }
    }
}

/// Goes one way through a layer, on a file system of its own.
fn run(mut blob: &[u8], way: Way) -> Result<(Cost, u64)> {
    let ground = Ground::new(16)?;
    let mut options = ApplyOptions::default();
    options.digests = way.digests;
    options.single_thread = way.single_thread;
    let recipe = way.recipe.then(|| ground.recipe());
    let before = processor()?;
    let clock = Instant::now();
    let applied = apply(&mut blob, &ground.into, recipe, &options)?;
    let mut cost = Cost {
        clock: clock.elapsed(),
        processor: processor()?.saturating_sub(before),
        recipe: 0,
    };
    if way.recipe {
        cost.recipe = fs::metadata(ground.volume.path().join("recipe"))?.len();
    }
    Ok((cost, applied.digests.map_or(0, |digests| digests.size)))
}

/// What this process has taken of the processor.
fn processor() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// In millions.
fn mega(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1e3
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn member(path: &str, kind: Kind, size: u64) -> NewMember<'_> {
    NewMember {
        mode: if kind == Kind::Directory {
            0o755
        } else {
            0o644
        },
        size,
        ..NewMember::new(path.as_bytes(), kind)
    }
}

/// Writes a packed layer of files as they are in a system: most are small, some are large.
fn write_layer(path: &Path, files: u64) -> Result {
    let encoder = GzEncoder::new(io::BufWriter::new(File::create(path)?), Compression::new(6));
    let mut writer = Writer::new(encoder);
    let mut random = Random::new(1);
    for at in 0..files {
        if at % 20 == 0 {
            let name = format!("usr/share/directory-{:05}/", at / 20);
            writer.append(&member(&name, Kind::Directory, 0), io::empty())?;
        }
        let size = match random.next_u64() % 100 {
            0 => 400_000,
            1..10 => 50_000,
            _ => random.next_u64() % 8_000,
        };
        let mut content = Vec::new();
        while (content.len() as u64) < size {
            // Words repeat in files, and so some of this does.
            let word = random.next_u64() % 4_000;
            write!(content, "{word:x} word {} ", word * 7)?;
        }
        content.truncate(usize::try_from(size)?);
        let name = format!("usr/share/directory-{:05}/file-{at}", at / 20);
        writer.append(&member(&name, Kind::File, size), &content[..])?;
    }
    writer.finish()?.finish()?.flush()?;
    Ok(())
}

/// R31: compares a layer of which half are opaque markers with one of as many plain entries.
fn opaque_markers(home: &Path, entries: u64, rounds: usize) -> Result {
    let plain = home.join("plain.tar.gz");
    let marked = home.join("marked.tar.gz");
    for (path, has_markers) in [(&plain, false), (&marked, true)] {
        let encoder = GzEncoder::new(File::create(path)?, Compression::fast());
        let mut writer = Writer::new(encoder);
        for at in 0..entries / 2 {
            let (directory, file) = (format!("d/{at}/"), format!("d/{at}/.wh..wh..opq"));
            let file = if has_markers {
                file
            } else {
                format!("d/{at}/file")
            };
            writer.append(&member(&directory, Kind::Directory, 0), io::empty())?;
            writer.append(&member(&file, Kind::File, 0), io::empty())?;
        }
        writer.finish()?.finish()?;
    }
    let (plain, marked) = (fs::read(plain)?, fs::read(marked)?);
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let cost = |blob: &[u8]| run(blob, WAYS[0]).map(|(cost, _)| cost.processor.as_secs_f64());
        ratios.push(cost(&marked)? / cost(&plain)?);
    }
    println!(
        "{entries} entries, half of them opaque markers: {:.2} times what plain ones cost",
        median(ratios.into_iter())
    );
    Ok(())
}

/// Says how much memory many entries take, with recipe and digests.
fn many_entries(home: &Path, entries: u64) -> Result {
    let path = home.join("many.tar.gz");
    let encoder = GzEncoder::new(File::create(&path)?, Compression::fast());
    let mut writer = Writer::new(encoder);
    for at in 0..entries {
        if at % 1000 == 0 {
            let name = format!("directory-{:04}/", at / 1000);
            writer.append(&member(&name, Kind::Directory, 0), io::empty())?;
        }
        let name = format!("directory-{:04}/file-{at}", at / 1000);
        writer.append(&member(&name, Kind::File, 1), &b"x"[..])?;
    }
    writer.finish()?.finish()?;
    let ground = Ground::new(64)?;
    let mut options = ApplyOptions::default();
    options.digests = true;
    let mut blob = File::open(&path)?;
    fs::write("/proc/self/clear_refs", "5")?;
    let clock = Instant::now();
    apply(&mut blob, &ground.into, Some(ground.recipe()), &options)?;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    println!(
        "{entries} entries: {:.1} s, peak memory {}",
        clock.elapsed().as_secs_f64(),
        peak.unwrap_or("unknown").trim()
    );
    Ok(())
}
