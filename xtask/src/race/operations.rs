//! What is done while the attackers are at work.

use layergraph_archive::recipe::{NewRecipe, assemble, unpack_with_recipe};
use layergraph_archive::{
    CompareOptions, Dialect, View, changes, listing, pack, unpack, unpack_atomic,
};
use layergraph_fs::{Dir, Durability, RenameMode, copy_tree, remove_tree, sweep};

use super::ground::{COPY, Ground, RECIPE, Start, TREE};
use crate::Result;

/// A temporary name.
const LEFTOVER: &str = ".layergraph-0123456789abcdef";

/// What an operation has at hand.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    pub(crate) ground: &'a Ground,
    /// The tree in the arena, and the directory for recipes there.
    pub(crate) tree: Dir,
    pub(crate) recipes: Dir,
    /// What comes out, in any form.
    pub(crate) output: Vec<u8>,
}

/// One of the operations under test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) start: Start,
    /// May fail: it is somebody else's doing.
    pub(crate) run: fn(&mut Round<'_>) -> Result,
}

/// All that a library does with a tree that somebody else may change.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "unpack",
        start: Start::Lower,
        run: run_unpack,
    },
    Operation {
        name: "unpack_with_recipe",
        start: Start::Lower,
        run: run_unpack_with_recipe,
    },
    Operation {
        name: "unpack_atomic",
        start: Start::Lower,
        run: run_unpack_atomic,
    },
    Operation {
        name: "unpack_atomic, new",
        start: Start::Lower,
        run: run_unpack_new,
    },
    Operation {
        name: "changes and pack",
        start: Start::Both,
        run: run_pack,
    },
    Operation {
        name: "pack of a union",
        start: Start::Both,
        run: run_pack_of_union,
    },
    Operation {
        name: "assemble",
        start: Start::Both,
        run: run_assemble,
    },
    Operation {
        name: "listing",
        start: Start::Both,
        run: run_listing,
    },
    Operation {
        name: "copy_tree",
        start: Start::Both,
        run: run_copy,
    },
    Operation {
        name: "remove_tree",
        start: Start::Both,
        run: run_remove,
    },
    Operation {
        name: "sweep",
        start: Start::Both,
        run: run_sweep,
    },
];

fn run_unpack(round: &mut Round<'_>) -> Result {
    let Round { ground, tree, .. } = round;
    unpack(&mut ground.upper.as_slice(), &*tree, &ground.options())?;
    Ok(())
}

fn run_unpack_with_recipe(round: &mut Round<'_>) -> Result {
    let Round { ground, tree, .. } = round;
    let recipe = NewRecipe {
        home: &round.recipes,
        name: RECIPE.as_ref(),
    };
    unpack_with_recipe(
        &mut ground.upper.as_slice(),
        &*tree,
        &ground.options(),
        recipe,
    )?;
    Ok(())
}

fn run_unpack_atomic(round: &mut Round<'_>) -> Result {
    let ground = round.ground;
    unpack_atomically(ground, &ground.upper, TREE)
}

/// Where there is no such directory.
fn run_unpack_new(round: &mut Round<'_>) -> Result {
    let ground = round.ground;
    unpack_atomically(ground, &ground.lower, COPY)
}

fn unpack_atomically(ground: &Ground, mut layer: &[u8], name: &str) -> Result {
    let (arena, options) = (&ground.arena, ground.options());
    // What is synced is looked at once more.
    unpack_atomic(&mut layer, arena, name.as_ref(), &options, Durability::Full)?;
    Ok(())
}

fn run_pack(round: &mut Round<'_>) -> Result {
    let lower = view(round, round.ground.lower_tree()?);
    compare_and_pack(
        &view(round, round.tree.try_clone()?),
        &lower,
        &mut round.output,
    )
}

fn run_pack_of_union(round: &mut Round<'_>) -> Result {
    let lower = view(round, round.ground.lower_tree()?);
    let layers = vec![round.tree.try_clone()?, round.ground.lower_tree()?];
    let union =
        View::union(layers, Dialect::OverlayUser).with_ownership(round.ground.ownership.clone());
    compare_and_pack(&union, &lower, &mut round.output)
}

fn compare_and_pack(upper: &View, lower: &View, output: &mut Vec<u8>) -> Result {
    let changes = changes(upper, Some(lower), &CompareOptions::default())?;
    for change in &changes {
        output.extend(format!("{change}\n").bytes());
    }
    pack(upper, &changes, output)?;
    Ok(())
}

fn run_assemble(round: &mut Round<'_>) -> Result {
    let tree = view(round, round.tree.try_clone()?);
    assemble(round.ground.recipe.as_slice(), &tree, &mut round.output)?;
    Ok(())
}

fn run_listing(round: &mut Round<'_>) -> Result {
    let tree = view(round, round.tree.try_clone()?);
    Ok(listing(&tree, &mut round.output)?)
}

fn run_copy(round: &mut Round<'_>) -> Result {
    let arena = &round.ground.arena;
    Ok(copy_tree(arena, TREE.as_ref(), arena, COPY.as_ref())?)
}

fn run_remove(round: &mut Round<'_>) -> Result {
    Ok(remove_tree(&round.ground.arena, TREE.as_ref())?)
}

/// What a dead process has left is removed.
fn run_sweep(round: &mut Round<'_>) -> Result {
    let arena = &round.ground.arena;
    arena.rename(
        TREE.as_ref(),
        arena,
        LEFTOVER.as_ref(),
        RenameMode::NoReplace,
    )?;
    sweep(arena)?;
    Ok(())
}

fn view(round: &Round<'_>, dir: Dir) -> View {
    View::new(dir).with_ownership(round.ground.ownership.clone())
}
