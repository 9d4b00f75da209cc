//! How long does it take to mount an image of many layers, and to begin a writable layer on it?
//!
//! Images of 1, 20 and 127 layers are mounted to be read, and unmounted, by each of the ways that
//! the kernel takes. Then empty layers are staged and committed on them, with and without syncs;
//! beside it stands what the calls that cannot be left out take by themselves, made directly: the
//! directories, the two texts of what is below, the short name, the rename, and the syncs.
//!
//! The ways take turns, on a file system of its own, because ext4 makes files slowly for minutes
//! after others were removed. A figure is a median, with the tenth and the ninetieth of a hundred.
//!
//! `cargo bench -p layergraph-benches --bench mount`, as root; with `-- --test` each thing is done
//! once.

#![forbid(unsafe_code)]

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use layergraph::driver::{Driver, DriverOptions, LayerId, MountOptions};
use layergraph::fs::Durability;
use layergraph_driver_overlay::{MountMethod, OverlayDriver};
use layergraph_tests::Volume;
use rustix::fs::{AtFlags, Mode, OFlags, fsync, mkdirat, openat, renameat, symlinkat, syncfs};
use rustix::fs::{CWD, unlinkat};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Of how many layers the images are.
const DEPTHS: [usize; 3] = [1, 20, 127];

/// How often each thing is done.
const ROUNDS: usize = 200;

fn main() -> Result {
    let is_test = std::env::args().any(|arg| arg == "--test");
    let rounds = if is_test { 1 } else { ROUNDS };
    mounts(rounds)?;
    for durability in [Durability::None, Durability::Full] {
        new_layers(durability, rounds)?;
    }
    Ok(())
}

/// Makes a store with an image of each depth.
fn store(root: &Path, durability: Durability) -> Result<OverlayDriver> {
    let driver = open(root, Durability::None)?;
    for depth in DEPTHS {
        for at in 0..depth {
            let below = at.checked_sub(1).map(|at| id(depth, at)).transpose()?;
            let staged = driver.stage(below.as_ref())?;
            let name = format!("file-{at}");
            let mut file = staged.dir().create_file(name.as_ref(), 0o644)?;
            file.write_all(b"content")?;
            drop(file);
            staged.commit(&id(depth, at)?, below.as_ref())?;
        }
    }
    syncfs(File::open(root)?)?;
    open(root, durability)
}

fn open(root: &Path, durability: Durability) -> Result<OverlayDriver> {
    let mut options = DriverOptions::default();
    options.durability = durability;
    Ok(OverlayDriver::open(root, &options)?)
}

/// The id of a layer of the image of a depth.
fn id(depth: usize, at: usize) -> Result<LayerId> {
    Ok(format!("image-{depth}-{at}").parse()?)
}

fn mounts(rounds: usize) -> Result {
    let volume = Volume::with_size("mkfs.ext4", 4 << 30)?;
    let driver = store(&volume.path(), Durability::None)?;
    println!("mount and unmount, {rounds} rounds");
    for depth in DEPTHS {
        let top = id(depth, depth - 1)?;
        let mut times = MountMethod::ALL.map(|_| Vec::new());
        for _ in 0..rounds {
            for (method, times) in MountMethod::ALL.iter().zip(&mut times) {
                let driver = driver.clone().with_mount_methods(&[*method]);
                times.push(time(|| {
                    driver.mount(&top, &MountOptions::default())?;
                    Ok(driver.unmount(&top)?)
                })?);
            }
        }
        for (method, times) in MountMethod::ALL.iter().zip(times) {
            tell(&format!("{depth} layers, {method}"), times);
        }
    }
    Ok(())
}

fn new_layers(durability: Durability, rounds: usize) -> Result {
    let volume = Volume::with_size("mkfs.ext4", 4 << 30)?;
    let driver = store(&volume.path(), durability)?;
    let bare = volume.path().join("bare");
    for name in ["", "l", ".staging"] {
        std::fs::create_dir(bare.join(name))?;
    }
    println!("an empty layer, durability {durability:?}, {rounds} rounds");
    for depth in DEPTHS {
        let top = id(depth, depth - 1)?;
        let lower = vec![format!("l/{:026}", 0); depth].join(":");
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let new: LayerId = format!("new-{depth}-{round}").parse()?;
            ours.push(time(|| {
                Ok(driver.stage(Some(&top))?.commit(&new, Some(&top))?)
            })?);
            floor.push(time(|| {
                make_barely(&bare, new.as_str(), &lower, durability)
            })?);
        }
        tell(&format!("on {depth} layers"), ours);
        tell("  the calls alone", floor);
    }
    Ok(())
}

/// Makes what a layer is on disk, by the calls that cannot be left out.
fn make_barely(home: &Path, id: &str, lower: &str, durability: Durability) -> Result {
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |at: &Path| openat(CWD, at, directory, Mode::empty());
    let private = Mode::RWXU;
    let (home_dir, stagings) = (open(home)?, open(&home.join(".staging"))?);
    mkdirat(&stagings, id, private)?;
    let staging = openat(&stagings, id, directory, Mode::empty())?;
    mkdirat(&staging, "layer", private)?;
    let layer = openat(&staging, "layer", directory, Mode::empty())?;
    mkdirat(&layer, "diff", private)?;
    let links = openat(&home_dir, "l", directory, Mode::empty())?;
    symlinkat(format!("../{id}/diff"), &links, id)?;
    for (name, text) in [("lower", lower), ("link", id)] {
        let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&layer, name, create, Mode::RUSR | Mode::WUSR)?;
        rustix::io::write(&file, text.as_bytes())?;
    }
    if durability == Durability::Full {
        syncfs(&staging)?;
        fsync(&links)?;
    }
    renameat(&staging, "layer", &home_dir, id)?;
    if durability == Durability::Full {
        fsync(&home_dir)?;
        fsync(&staging)?;
    }
    Ok(unlinkat(&stagings, id, AtFlags::REMOVEDIR)?)
}

fn time(act: impl FnOnce() -> Result) -> Result<Duration> {
    let clock = Instant::now();
    act()?;
    Ok(clock.elapsed())
}

/// Prints the median of the times, and the tenth and the ninetieth of a hundred.
fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| 1e3 * times[(times.len() - 1) * percent / 100].as_secs_f64();
    println!(
        "  {what:24} {:8.3} ms  ({:.3} to {:.3})",
        at(50),
        at(10),
        at(90)
    );
}
