//! The place of a campaign: an arena where all may be swapped, and the canary beside it.
//!
//! Between two rounds the attackers wait ([`Ground::quiet`]), so that trees are laid out and looked
//! at without anybody in the way.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use layergraph_archive::recipe::{NewRecipe, unpack_with_recipe};
use layergraph_archive::{Ownership, UnpackOptions, unpack};
use layergraph_fs::Dir;

use super::canary::Canary;
use super::layers;
use super::tells::Tells;
use crate::Result;

/// The names in the arena: the tree that is worked on, the copy of it, a directory for recipes.
pub(crate) const TREE: &str = "tree";
pub(crate) const COPY: &str = "copy";
pub(crate) const RECIPES: &str = "recipes";
/// The directory beside the arena that all links lead to.
pub(crate) const CANARY: &str = "canary";
/// The name of a recipe.
pub(crate) const RECIPE: &str = "tar-data.json.gz";

/// What the tree holds when a round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The lower layer.
    Lower,
    /// Both layers.
    Both,
}

/// The place, with what all threads share.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Where nobody attacks: the trees that a round begins with, by their names.
    prepared: Dir,
    pub(crate) arena: Dir,
    pub(crate) canary: Canary,
    tells: Tells,
    /// The layers, and the recipe of the upper one.
    pub(crate) lower: Vec<u8>,
    pub(crate) upper: Vec<u8>,
    pub(crate) recipe: Vec<u8>,
    pub(crate) ownership: Ownership,
    /// Who attacks holds it for reading.
    gate: RwLock<()>,
    pub(crate) flips: AtomicU64,
    /// What the attackers are after: a bit for each of their sites, and the highest for other
    /// places than the tree. If it were everything each time, no work would come far.
    pub(crate) focus: AtomicU32,
    is_over: AtomicBool,
}

impl Ground {
    /// Lays out the place in an empty directory.
    pub(crate) fn new(base: &Path) -> Result<Ground> {
        let [prepared, arena, canary] = ["prepared", "arena", CANARY].map(|name| base.join(name));
        let [lower, both] = ["lower", "both"].map(|name| prepared.join(name));
        for path in [&prepared, &arena, &lower, &both] {
            fs::create_dir(path)?;
        }
        let ownership = if layergraph_fs::effective_user() == 0 {
            Ownership::Preserve
        } else {
            Ownership::Squash
        };
        let options = options(&ownership);
        let layer = layers::lower(&canary)?;
        for tree in [&lower, &both] {
            unpack(&mut layer.as_slice(), &Dir::open(tree)?, &options)?;
        }
        let home = Dir::open(&prepared)?;
        let upper = layers::upper()?;
        let recipe = NewRecipe {
            home: &home,
            name: RECIPE.as_ref(),
        };
        unpack_with_recipe(&mut upper.as_slice(), &Dir::open(&both)?, &options, recipe)?;
        let recipe = fs::read(prepared.join(RECIPE))?;
        fs::copy(prepared.join(RECIPE), both.join(RECIPE))?;
        let canary = Canary::new(&canary, &[&lower, &both])?;
        fs::remove_file(both.join(RECIPE))?;
        Ok(Ground {
            prepared: home,
            arena: Dir::open(&arena)?,
            tells: Tells::new(canary.objects()?),
            canary,
            lower: layer,
            upper,
            recipe,
            ownership,
            gate: RwLock::new(()),
            flips: AtomicU64::new(0),
            focus: AtomicU32::new(u32::MAX),
            is_over: AtomicBool::new(false),
        })
    }

    /// Returns how a layer is unpacked here.
    pub(crate) fn options(&self) -> UnpackOptions {
        options(&self.ownership)
    }

    /// Opens the tree with only the lower layer in it, where nobody attacks.
    pub(crate) fn lower_tree(&self) -> Result<Dir> {
        Ok(self.prepared.open_dir("lower".as_ref())?)
    }

    /// Waits until no attacker is at work, and keeps them from it.
    pub(crate) fn quiet(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until attackers may work; nothing if it is over.
    pub(crate) fn attacking(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let guard = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        (!self.is_over.load(Ordering::Relaxed)).then_some(guard)
    }

    /// Sends the attackers home.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Clears the arena and lays out a tree; while it is quiet. Returns the tree and the directory
    /// for recipes.
    pub(crate) fn lay_out(&self, start: Start) -> Result<(Dir, Dir)> {
        for directory in [self.arena.path(), &self.canary.lures()] {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        let name = match start {
            Start::Lower => "lower",
            Start::Both => "both",
        };
        layergraph_fs::copy_tree(&self.prepared, name.as_ref(), &self.arena, TREE.as_ref())?;
        self.arena.make_dir(RECIPES.as_ref(), 0o700)?;
        let tree = self.arena.open_dir(TREE.as_ref())?;
        Ok((tree, self.arena.open_dir(RECIPES.as_ref())?))
    }

    /// Looks for escapes, while it is quiet: changes of the canary, and traces of it in the arena,
    /// in what was taken out of that, and in `output`.
    pub(crate) fn escapes(&self, output: &[u8]) -> io::Result<Vec<String>> {
        // It is ours and nobody is at work: if it cannot be looked at, somebody was at it.
        let differences = self.canary.differences();
        let mut found = differences.unwrap_or_else(|error| vec![format!("the canary: {error}")]);
        for place in self.places()? {
            found.extend(self.tells.in_tree(&place)?);
        }
        found.extend(self.tells.in_bytes("the output", output));
        Ok(found)
    }

    /// Returns what is in the arena, and what was taken out of it.
    fn places(&self) -> io::Result<Vec<PathBuf>> {
        let mut places = Vec::new();
        for directory in [self.arena.path(), &self.canary.lures()] {
            for entry in fs::read_dir(directory)? {
                places.push(entry?.path());
            }
        }
        Ok(places)
    }
}

fn options(ownership: &Ownership) -> UnpackOptions {
    let mut options = UnpackOptions::default();
    options.ownership = ownership.clone();
    options
}
