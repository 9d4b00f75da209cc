//! Recipes: whatever archive is accepted comes out again to the byte, and no recipe does harm.

use std::ffi::OsStr;
use std::io::{self, Read};

use arbitrary::Unstructured;
use layergraph_archive::recipe::{self, NewRecipe, unpack_with_recipe};
use layergraph_archive::{UnpackError, View, unpack};
use layergraph_tar::recipe::{FileEntry, Recipe, RecipeLimits, RecipeWriter, assemble};
use layergraph_tar::{Limits, Reader};

use crate::layers::{Choice, entries, plainly, written};
use crate::scratch::{empty, open, options};
use crate::unpacking::build;
use crate::{Random, seeds};

/// Splits any bytes as an archive; of what is accepted, the recipe and the contents make the same
/// bytes again. Returns whether it was accepted.
///
/// # Panics
///
/// Panics if they make others.
pub fn split_and_assemble(bytes: &[u8]) -> bool {
    let writer = RecipeWriter::new(Vec::new());
    let reader = Reader::with(bytes, writer, Limits::default());
    let Ok(finished) = reader.finish() else {
        let refused = recipe::split(&mut &bytes[..], &mut io::sink());
        assert!(refused.is_err(), "split takes what the reader refuses");
        return false;
    };
    let recipe = finished.tap.finish().expect("a vector takes it");
    check_assembled(&recipe, bytes);

    // The one with the contents in it that no tree will have.
    let mut fuller = Vec::new();
    let split = recipe::split(&mut &bytes[..], &mut fuller).expect("the reader took it");
    assert_eq!(split.size, bytes.len() as u64);
    check_assembled(&fuller, bytes);
    true
}

/// Does the same, for those who need no answer.
pub fn recipe_round_trip(bytes: &[u8]) {
    split_and_assemble(bytes);
}

fn check_assembled(recipe: &[u8], bytes: &[u8]) {
    let content = |file: &FileEntry| {
        let start = usize::try_from(file.offset).expect("it is in the archive");
        let size = usize::try_from(file.size).expect("it is in the archive");
        Ok(&bytes[start..start + size])
    };
    let recipe = Recipe::new(recipe).expect("a recipe of ours");
    let mut again = Vec::new();
    let assembled = assemble(recipe, content, &mut again).expect("a recipe of ours");
    assert!(again == bytes, "the archive came out as another one");
    assert_eq!(assembled.size, bytes.len() as u64);
}

/// Unpacks a layer of choices with its recipe, and by a split alone; the tree and the recipe make
/// the same layer again.
///
/// # Panics
///
/// Panics if they make another.
pub fn recipe_of_tree(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let choice = Choice {
        links: true,
        signs: true,
    };
    let is_alone = choices.ratio(1, 2).unwrap_or(true);
    let below = Choice {
        signs: false,
        ..choice
    };
    let lower = if is_alone {
        Ok(Vec::new())
    } else {
        entries(&mut choices, below, 8)
    };
    let (Ok(lower), Ok(layer)) = (lower, entries(&mut choices, choice, 14)) else {
        return;
    };
    let tar = written(&layer, &mut plainly);
    let (tree, home) = (empty("tree"), empty("home"));
    build(&lower, &tree);
    let name = OsStr::new("recipe");
    let new = NewRecipe {
        home: &open(&home),
        name,
    };
    match unpack_with_recipe(&mut &tar[..], &open(&tree), &options(), new) {
        Ok(_) => {}
        Err(UnpackError::Recipe(error)) => panic!("{error:?} of {layer:?}"),
        // It is refused without a recipe as well.
        Err(_) => {
            let tree = empty("tree");
            build(&lower, &tree);
            let plain = unpack(&mut &tar[..], &open(&tree), &options());
            assert!(plain.is_err(), "refused with a recipe: {layer:?}");
            return;
        }
    }
    let tree = View::new(open(&tree));
    let mut again = Vec::new();
    let file = open(&home).open_file(name).expect("it was just written");
    let assembled = recipe::assemble(file, &tree, &mut again);
    assert!(
        assembled.is_ok(),
        "{assembled:?} of {lower:?} and {layer:?}"
    );
    assert!(
        again == tar,
        "another layer came out: {lower:?} and {layer:?}"
    );

    let mut split = Vec::new();
    let told = recipe::split(&mut &tar[..], &mut split).expect("it was unpacked");
    if told.doubtful.is_none() && is_alone {
        again.clear();
        let assembled = recipe::assemble(&split[..], &tree, &mut again);
        assert!(
            assembled.is_ok() && again == tar,
            "{assembled:?} of {layer:?}"
        );
    }
}

/// Assembles any bytes as a recipe, with contents of zeros: there are an end and no panic.
///
/// # Panics
///
/// Panics if one of them is missing.
pub fn recipe_any(bytes: &[u8]) {
    let limits = RecipeLimits {
        line_bytes: 1 << 20,
        entries: 1 << 12,
        bytes: 4 << 20,
    };
    let entries = |bytes| Recipe::with_limits(bytes, limits);
    let Ok(recipe) = entries(bytes) else { return };
    let mut count = 0;
    for entry in recipe {
        count += 1;
        assert!(entry.is_ok() || count <= limits.entries + 1);
    }
    assert!(count <= limits.entries + 1);

    let content = |file: &FileEntry| match file.size {
        ..0x10_0000 => Ok(io::repeat(0).take(file.size)),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let mut out = Bounded(64 << 20);
    let recipe = entries(bytes).expect("it was opened before");
    let assembled = assemble(recipe, content, &mut out);
    if let Ok(assembled) = assembled {
        assert_eq!(assembled.size, (64 << 20) - out.0);
    }
}

/// An output with room for so many bytes.
struct Bounded(u64);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.0.checked_sub(bytes.len() as u64);
        self.0 = left.ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns recipes, compressed and not.
pub(crate) fn recipe_seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for archive in seeds::archives() {
        let writer = RecipeWriter::new(Vec::new());
        let reader = Reader::with(&archive[..], writer, Limits::default());
        let finished = reader.finish().expect("a seed is an archive");
        let recipe = finished.tap.finish().expect("a vector takes it");
        let mut plain = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(&recipe[..]);
        reader.read_to_end(&mut plain).expect("a recipe of ours");
        all.extend([plain, recipe]);
    }
    // One whose content is of zeros, so that its checksum holds.
    let zeros = crate::craft::Header::new(b"zeros", b'0').data(&[0; 700]);
    let writer = RecipeWriter::new(Vec::new());
    let reader = Reader::with(&zeros[..], writer, Limits::default());
    let finished = reader.finish().expect("a seed is an archive");
    all.push(finished.tap.finish().expect("a vector takes it"));
    all
}

/// Returns an archive that is accepted more often than not: a few members of `seeds`, some bytes
/// of them changed, and an end of one kind or another.
pub fn random_archive(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut archive = Vec::new();
    for _ in 0..=random.below(2) {
        let seed = &seeds[random.below(seeds.len())];
        // Without what would end the archive.
        let end = seed
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        archive.extend_from_slice(&seed[..end]);
        archive.resize(archive.len().next_multiple_of(512), 0);
        let size = random.below(1000);
        let name = format!("random/{}", random.number());
        let content = random.bytes(size);
        archive.extend(crate::craft::Header::new(name.as_bytes(), b'0').data(&content));
    }
    for _ in 0..random.below(3) {
        let at = random.below(archive.len());
        archive[at] ^= 1 << random.below(8);
    }
    if !random.once_in(3) {
        crate::craft::reseal(&mut archive);
    }
    let (zeros, trailing) = (random.below(3000), random.below(100));
    match random.below(4) {
        0 => archive.truncate(archive.len() - random.below(512)),
        1 => archive.extend(crate::craft::END),
        2 => archive.resize(archive.len() + zeros, 0),
        _ => {
            archive.extend(crate::craft::END);
            archive.extend(random.bytes(trailing));
        }
    }
    archive
}

/// Takes archives of random make apart and puts them together again, until the reader has accepted
/// so many. Returns how many it has refused.
///
/// # Panics
///
/// Panics if another one comes out, or if most are refused.
pub fn random_archives(seed: u64, wanted: u64) -> u64 {
    let seeds = crate::property("tar_reader").map(|property| (property.seeds)());
    let seeds = seeds.expect("there is one of this name");
    let mut random = Random::new(seed);
    let (mut accepted, mut refused) = (0, 0);
    while accepted < wanted {
        if split_and_assemble(&random_archive(&seeds, &mut random)) {
            accepted += 1;
        } else {
            refused += 1;
        }
        assert!(
            refused < 2 * wanted,
            "{accepted} accepted, {refused} refused"
        );
    }
    refused
}
