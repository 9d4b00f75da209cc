//! The attackers: whatever an operation works on becomes a link to the canary, and back.
//!
//! They go by handle, and through no link, so they never work on the canary themselves. They go
//! their own ways to do it, and not those of the crates under test.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, ResolveFlags, openat2, renameat_with};
use rustix::io::Errno;

use super::canary::LURE;
use super::ground::{CANARY, COPY, Ground, RECIPE, RECIPES, TREE};

/// What is swapped in a tree: a directory in it and the name there.
const SITES: &[(&str, &str)] = &[
    (".", "a"),
    ("a", "swap"),
    ("a/swap", "below"),
    ("a/swap", "gone"),
    ("a/swap", "implied"),
    (".", "f"),
    ("a", "f"),
    ("a/swap", "f"),
    ("a/swap", "large"),
    ("a/swap/below", "f"),
];

/// What is swapped with a link beside it, which was there all the time.
const NEIGHBOURS: &[(&str, &str, &str)] = &[("a", "swap", "link"), ("a/swap", "below", "link")];

/// Enough to lead to `/` from anywhere.
const UPWARDS: &str = "../../../../../../../../../../../../../../../../../../../../../../../..";

/// A place of a swap, for a few swaps.
struct Site {
    /// The directory, from the arena.
    parent: PathBuf,
    name: OsString,
    with: With,
}

enum With {
    /// A link among the lures, to this place in the canary.
    Lure { name: String, target: PathBuf },
    /// Another name in the same directory.
    Neighbour(&'static str),
}

/// Opens the directory of what is swapped in, for [`attack`].
pub(crate) fn open_lures(ground: &Ground) -> crate::Result<OwnedFd> {
    let lures = open(CWD, &ground.canary.lures());
    Ok(lures.map_err(|error| format!("the attackers cannot open their directory: {error}"))?)
}

/// Swaps until it is over. `number` tells the attackers apart.
pub(crate) fn attack(ground: &Ground, lures: &OwnedFd, number: u32) {
    let mut chance = Chance::new(number);
    while let Some(permission) = ground.attacking() {
        let site = choose(ground, number, &mut chance);
        swap(ground, &site, lures, &mut chance);
        drop(permission);
        if chance.below(8) == 0 {
            thread::yield_now();
        }
    }
}

/// Takes a site that the attackers are after in this round.
fn choose(ground: &Ground, number: u32, chance: &mut Chance) -> Site {
    let focus = ground.focus.load(Ordering::Relaxed);
    let (place, top) = choose_top(ground, focus, chance);
    let sites = 1 + SITES.len() + NEIGHBOURS.len();
    let all = (0..sites).filter(|index| focus >> index & 1 == 1);
    let nth = chance.below(all.clone().count().max(1));
    let index = match all.clone().nth(nth) {
        Some(index) if top != RECIPE => index,
        // The top itself.
        _ => 0,
    };
    if let Some(index) = index.checked_sub(SITES.len() + 1) {
        let (parent, name, neighbour) = NEIGHBOURS[index];
        return Site {
            parent: place.join(top).join(parent),
            name: name.into(),
            with: With::Neighbour(neighbour),
        };
    }
    let (parent, name, within) = match index.checked_sub(1) {
        Some(index) => {
            let (parent, name) = SITES[index];
            let within = Path::new(parent).join(name);
            (place.join(&top).join(parent), name.into(), within)
        }
        None if top == RECIPE => (place, top, RECIPE.into()),
        // Among the recipes all else are files.
        None if place.starts_with(RECIPES) => (place, top, "f".into()),
        None => (place, top, PathBuf::new()),
    };
    let target = target(ground, &parent, &within, chance);
    // One for each place, so that what is taken out comes back where it was.
    let text = parent.display().to_string().replace('/', "-");
    let lure = format!("{LURE}{number}-{text}-{}", name.display());
    Site {
        parent,
        name,
        with: With::Lure { name: lure, target },
    }
}

/// Returns what a link in a directory of the arena says to lead to a place in the canary.
fn target(ground: &Ground, parent: &Path, within: &Path, chance: &mut Chance) -> PathBuf {
    let absolute = ground.canary.path().join(within);
    let below_root = absolute.strip_prefix("/").unwrap_or(&absolute);
    match chance.below(4) {
        0 => Path::new(UPWARDS).join(below_root),
        1 => absolute,
        // Without leaving the file system, as a call may refuse that for reasons of its own.
        _ => {
            let names = parent
                .components()
                .filter(|part| matches!(part, Component::Normal(_)));
            let arena_and_below = 1 + names.count();
            let upwards: PathBuf = std::iter::repeat_n("..", arena_and_below).collect();
            upwards.join(CANARY).join(within)
        }
    }
}

/// A directory, from the arena, and a name in it.
type Top = (PathBuf, OsString);

/// Takes a place in the arena with what is there: mostly the tree.
fn choose_top(ground: &Ground, focus: u32, chance: &mut Chance) -> Top {
    let others: &[fn(&Ground) -> Top] = &[
        |_| (PathBuf::new(), COPY.into()),
        |_| (RECIPES.into(), RECIPE.into()),
        // What is built in private, to be moved into place, and what is kept there.
        |ground| (PathBuf::new(), temporary(ground, Path::new("."))),
        |ground| (RECIPES.into(), temporary(ground, Path::new(RECIPES))),
        |ground| within(ground, Path::new(".")),
        |ground| within(ground, Path::new(RECIPES)),
    ];
    match others.get(chance.below(3 + others.len())) {
        Some(other) if focus >> 31 == 1 => other(ground),
        _ => (PathBuf::new(), TREE.into()),
    }
}

/// Returns a temporary name in a directory of the arena, if there is one.
fn temporary(ground: &Ground, directory: &Path) -> OsString {
    let mut names = names(ground, directory);
    let name = names.find(|name| layergraph_fs::is_temporary_name(name));
    name.unwrap_or_else(|| TREE.into())
}

/// Returns what is in a temporary directory.
fn within(ground: &Ground, directory: &Path) -> Top {
    let temporary = directory.join(temporary(ground, directory));
    let name = names(ground, &temporary).next();
    (temporary, name.unwrap_or_else(|| TREE.into()))
}

/// Lists a directory of the arena, but through no link: the canary's names are not ours to use.
fn names(ground: &Ground, directory: &Path) -> impl Iterator<Item = OsString> {
    let opened = open(&ground.arena, directory).and_then(rustix::fs::Dir::read_from);
    let entries = opened.into_iter().flatten().flatten();
    let names = entries.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
    names.filter(|name| name != "." && name != "..")
}

/// Makes a few swaps in one place, with pauses of any length between them.
fn swap(ground: &Ground, site: &Site, lures: &OwnedFd, chance: &mut Chance) {
    let Ok(parent) = open(&ground.arena, &site.parent) else {
        return;
    };
    // Mostly all is in its place again at the end, so that the work goes on.
    let mut left = 2 * (1 + chance.below(6)) - usize::from(chance.below(4) == 0);
    let mut lost = 0;
    while left > 0 {
        let swapped = match &site.with {
            With::Neighbour(other) => exchange(&parent, &site.name, &parent, OsStr::new(other)),
            With::Lure { name, .. } => exchange(&parent, &site.name, lures, OsStr::new(name)),
        };
        match (swapped, &site.with) {
            (Ok(()), _) => {
                ground.flips.fetch_add(1, Ordering::Relaxed);
                left -= 1;
            }
            (Err(Errno::NOENT), With::Lure { name, target }) if lost < 2 => {
                restore(&parent, &site.name, lures, name, target);
                lost += 1;
            }
            _ => return,
        }
        pause(chance);
    }
}

/// Waits as long as anything from nothing to several system calls takes.
fn pause(chance: &mut Chance) {
    let pause = Duration::from_nanos(u64::from(chance.next() % 8000));
    let start = Instant::now();
    while start.elapsed() < pause {
        std::hint::spin_loop();
    }
}

/// Sees to it that there are both things to swap, as far as that is up to us.
fn restore(parent: &OwnedFd, name: &OsStr, lures: &OwnedFd, lure: &str, target: &Path) {
    if let Err(Errno::EXIST) = rustix::fs::symlinkat(target, lures, lure) {
        // The link in the tree was removed, and the directory it stood for is here. If it cannot go
        // back, there is nothing to swap.
        let _ = renameat_with(lures, lure, parent, name, RenameFlags::NOREPLACE);
    }
}

fn exchange(a: &OwnedFd, name: &OsStr, b: &OwnedFd, other: &OsStr) -> Result<(), Errno> {
    renameat_with(a, name, b, other, RenameFlags::EXCHANGE)
}

/// Opens a directory below another one, if no link is in the way.
fn open(dir: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS;
    openat2(dir, path, flags, Mode::empty(), resolve)
}

/// Numbers that look accidental (xorshift).
#[derive(Debug)]
pub(crate) struct Chance(u32);

impl Chance {
    pub(crate) fn new(number: u32) -> Chance {
        Chance(0x9e37_79b9 ^ number.wrapping_add(1).wrapping_mul(0x85eb_ca6b) | 1)
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }
}
