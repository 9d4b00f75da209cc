//! Layers that come out as they came in, to the byte.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use layergraph_archive::recipe::{AssembleError, NewRecipe, assemble, split, unpack_with_recipe};
use layergraph_archive::{View, unpack};
use layergraph_fs::Dir;
use layergraph_tar::recipe::{Entry, Recipe};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{Layer, layer, listing_of, open, options, tree, view};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const RECIPE: &str = "recipe";

fn new_recipe(home: &Dir) -> NewRecipe<'_> {
    NewRecipe {
        home,
        name: OsStr::new(RECIPE),
    }
}

/// What somebody does to a file.
type Change = fn(&Path) -> std::io::Result<()>;

/// A tree to which a layer was applied, and the layer's recipe.
struct Split {
    tree: TempDir,
    home: TempDir,
}

impl Split {
    /// Applies a layer to the tree of these lines.
    fn new(below: &[&str], tar: &[u8]) -> Result<Split, Box<dyn std::error::Error>> {
        let (tree, home) = (tree(below), TempDir::new()?);
        unpack_with_recipe(
            &mut &*tar,
            &open(tree.path()),
            &options(),
            new_recipe(&open(home.path())),
        )?;
        Ok(Split { tree, home })
    }

    fn recipe(&self) -> std::io::Result<fs::File> {
        fs::File::open(self.home.path().join(RECIPE))
    }

    fn assemble(&self) -> Result<Vec<u8>, AssembleError> {
        let mut tar = Vec::new();
        let recipe = self.recipe().expect("it was written");
        assemble(recipe, &view(self.tree.path()), &mut tar)?;
        Ok(tar)
    }

    /// The names of the files whose contents are not in the recipe.
    fn names(&self) -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let mut names = Vec::new();
        for entry in Recipe::new(self.recipe()?)? {
            if let Entry::File(file) = entry?
                && file.size > 0
            {
                names.push(String::from_utf8_lossy(&file.name).into_owned());
            }
        }
        Ok(names)
    }
}

/// Checks that a layer comes out as it came in, that its tree is the one that it always makes, and
/// that nothing is left beside the recipe.
fn check(below: &[&str], tar: &[u8]) -> Result<Split, Box<dyn std::error::Error>> {
    let split = Split::new(below, tar)?;
    let plain = tree(below);
    unpack(&mut &*tar, &open(plain.path()), &options())?;
    assert_eq!(listing_of(split.tree.path()), listing_of(plain.path()));
    assert!(split.assemble()? == tar, "another archive came out");
    assert_eq!(fs::read_dir(split.home.path())?.count(), 1);
    Ok(split)
}

#[test]
fn a_layer_comes_out_as_it_came_in_and_its_recipe_has_no_content() -> Outcome {
    let split = check(
        &["usr/", "usr/old = of below"],
        &layer(&[
            "usr/",
            "usr/bin/",
            "usr/bin/tool = a tool",
            "usr/bin/other => usr/bin/tool",
            "usr/.wh.old",
            "lib -> usr/lib",
            "usr/lib/library = a library",
            "./etc//passwd = users",
            "empty",
        ]),
    )?;
    let expected = ["usr/bin/tool", "usr/lib/library", "./etc//passwd"];
    assert_eq!(split.names()?, expected);
    Ok(())
}

#[test]
fn what_a_layer_overwrites_of_itself_is_in_its_recipe() -> Outcome {
    for (lines, names) in [
        (&["f = 1", "f = 22", "g = 3"][..], &["f", "g"][..]),
        (&["f = 1", "./f = 22", "x/../f = 333"], &["x/../f"]),
        // What was in the recipe before stays there, and all else out of it.
        (
            &["f = 1", ".wh.x = a sign", "g = 2", "f = 3", "h = 4"],
            &["g", "f", "h"],
        ),
        (&["f = 1", "f"], &[]),
        (&["f = 1", "f/"], &[]),
        (&["f = 1", "f -> g"], &[]),
        (&["f = 1", "g = 2", "f => g"], &["g"]),
        // A second name keeps the file, but not under the name of its entry.
        (&["f = 1", "g => f", "f = 2"], &["f"]),
        (&["f = 1", "g => f", "f = 2", "g = 3"], &["f", "g"]),
        // Which of its names is the one of its entry is not known.
        (&["f = 1", "g => f", "g = 2"], &["g"]),
        (&["d/f = 1", "d/e/g = 2", "d = 3"], &["d"]),
        (&["d/f = 1", "d -> e", "e/f = 2"], &["e/f"]),
        (&["d/f = 1", "d = 2", "d/", "d/f = 3"], &["d/f"]),
        (&["f = 1", ".wh.f", "f = 2", ".wh..wh..opq"], &["f"]),
    ] {
        let split = check(&["f = below", "d/f = below"], &layer(lines))?;
        assert_eq!(split.names()?, names, "{lines:?}");
    }
    Ok(())
}

#[test]
fn what_links_lead_elsewhere_in_the_end_is_in_the_recipe() -> Outcome {
    for (below, lines, names) in [
        // They lead where they led.
        (
            &["usr/lib/", "lib -> usr/lib"][..],
            &["lib/f = 1", "lib/g = 2"][..],
            &["lib/f", "lib/g"][..],
        ),
        (&[], &["a/", "l -> a", "l/f = 1"], &["l/f"]),
        // They do not.
        (
            &[],
            &["a/", "b/", "l -> a", "l/f = 1", "b/g = 2", "l -> b"],
            &["b/g"],
        ),
        (
            &[],
            &["a/", "b/f = 2", "l -> a", "l/f = 1", "l -> b"],
            &["b/f"],
        ),
        (&[], &["a/", "l -> a", "l/f = 1", "l = 2"], &["l"]),
        // What was made between two files that went that way did not.
        (
            &[],
            &[
                "a/", "e/", "l -> a", "l/f = 1", "g = 2", "l/h = 3", "l -> e",
            ],
            &["g"],
        ),
        // A name that cannot be.
        (
            &[],
            &[
                "a/",
                "l -> a",
                "l/f = 1",
                &*Box::leak(format!("l -> {}", "n".repeat(300)).into()),
            ],
            &[],
        ),
        (
            &["a/", "l -> a"],
            &["l/f = 1", "l/g = 2", "m = 3", ".wh.l"],
            &["m"],
        ),
        (
            &["a/b/", "l -> a/b"],
            &["l/f = 1", "a -> c", "c/b/f = 2"],
            &["c/b/f"],
        ),
    ] {
        let split = check(below, &layer(lines))?;
        assert_eq!(split.names()?, names, "{below:?} {lines:?}");
    }
    Ok(())
}

#[test]
fn contents_that_make_no_file_of_their_name_are_in_the_recipe() -> Outcome {
    for line in [
        ".wh.f = a sign with content",
        ".wh..wh..opq = another one",
        ".wh..wh.plnk/1.2 = what AUFS kept",
        ".wh..wh.aufs = what AUFS needed",
    ] {
        let split = check(&["f = below"], &layer(&[line, "g = 1"]))?;
        assert_eq!(split.names()?, ["g"], "{line}");
    }
    // A link leads an entry to what goes in the end.
    let lines = [
        ".wh..wh.plnk/1 = 1",
        "l -> .wh..wh.plnk",
        "l/x = 22",
        "l/1 = 333",
    ];
    check(&[], &layer(&lines))?;
    let lines = [".wh..wh.plnk/1.2 = kept", "f => .wh..wh.plnk/1.2"];
    assert!(check(&[], &layer(&lines))?.names()?.is_empty());
    Ok(())
}

#[test]
fn links_of_many_slashes_lead_as_far_as_they_did() -> Outcome {
    let slashes = "/".repeat(2100);
    let (l, m) = (format!("l -> {slashes}d"), format!("m -> {slashes}l"));
    let dots = format!("n -> {}l", "./".repeat(1500));
    check(&[], &layer(&["d/", &l, &m, &dots, "m/x = 1", "n/y = 2"]))?;
    Ok(())
}

#[test]
fn whatever_follows_the_end_comes_out() -> Outcome {
    let tar = layer(&["f = 1"]);
    let end = tar.len() - 1024;
    check(&[], &tar[..end])?;
    check(&[], &tar[..end + 512])?;
    let mut odd = tar.clone();
    odd.extend_from_slice(b"not of an archive");
    check(&[], &odd)?;
    odd.extend(layer(&["g = 2"]));
    check(&[], &odd)?;
    Ok(())
}

#[test]
fn names_that_are_not_utf8_come_out() -> Outcome {
    let mut tar = Layer::new();
    for _ in 0..2 {
        let member = tar.member(b"\xff\xfe", layergraph_tar::Kind::File);
        tar.add(&member, b"content");
    }
    check(&[], &tar.finish())?;
    Ok(())
}

#[test]
fn the_first_file_that_is_missing_or_another_is_an_error_that_names_it() -> Outcome {
    let tar = layer(&["a = 1", "d/b = 2", "c = 3"]);
    let changes: [(Change, &str); 6] = [
        (|file| fs::write(file, ""), "cannot open the content of d/b"),
        (
            |file| fs::write(file, "3"),
            "the content of d/b has changed: its CRC-64 is ",
        ),
        (
            |file| fs::write(file, "22"),
            "the content of d/b has changed: it has not the 1 bytes that it had",
        ),
        (
            |file| fs::remove_file(file),
            "cannot open the content of d/b",
        ),
        (
            |file| fs::remove_file(file).and_then(|()| symlink("../a", file)),
            "cannot open the content of d/b",
        ),
        (
            |file| {
                fs::remove_file(file)?;
                fs::create_dir(file)
            },
            "cannot open the content of d/b",
        ),
    ];
    for (change, expected) in changes {
        let split = Split::new(&[], &tar)?;
        change(&split.tree.path().join("d/b"))?;
        let error = split.assemble().map_err(|error| error.to_string());
        let error = error.err().unwrap_or_default();
        assert!(error.starts_with(expected), "{error}");
    }
    Ok(())
}

#[test]
fn r1_a_name_of_a_recipe_leads_nowhere_outside_of_the_tree() -> Outcome {
    let split = Split::new(&[], &layer(&["d/f = 1"]))?;
    let outside = TempDir::new()?;
    fs::write(outside.path().join("f"), "1")?;
    fs::remove_dir_all(split.tree.path().join("d"))?;
    symlink(outside.path(), split.tree.path().join("d"))?;
    assert!(matches!(
        split.assemble(),
        Err(AssembleError::Open { name, .. }) if name == "d/f"
    ));
    Ok(())
}

#[test]
fn a_layer_that_is_refused_leaves_nothing_but_an_incomplete_recipe() -> Outcome {
    let tar = layer(&["f = 1", "f = 2", "f => none"]);
    let (tree, home) = (tree(&[]), TempDir::new()?);
    let unpacked = unpack_with_recipe(
        &mut &*tar,
        &open(tree.path()),
        &options(),
        new_recipe(&open(home.path())),
    );
    assert!(unpacked.is_err());
    assert_eq!(fs::read_dir(home.path())?.count(), 1);
    let recipe = fs::File::open(home.path().join(RECIPE))?;
    let tree = View::new(open(tree.path()));
    assert!(assemble(recipe, &tree, &mut Vec::new()).is_err());
    Ok(())
}

/// Splits a layer without unpacking it, and returns the recipe with the doubtful entry.
fn split_only(tar: &[u8]) -> Result<(Vec<u8>, Option<String>), layergraph_tar::TarError> {
    let mut recipe = Vec::new();
    let split = split(&mut &*tar, &mut recipe)?;
    assert_eq!(split.size, tar.len() as u64);
    Ok((recipe, split.doubtful))
}

#[test]
fn a_recipe_without_unpacking_is_the_same_unless_an_entry_is_doubtful() -> Outcome {
    for (lines, doubtful) in [
        (&["d/", "d/f = 1", "d/", "e -> d", "g => d/f"][..], None),
        (&[".wh.f", "f = 1", ".wh.f", "d/.wh..wh..opq"], None),
        (&["f = 1", "f = 2"], Some("f")),
        (&["f = 1", "d/../f = 2"], Some("d/../f")),
        (&["f = 1", "f/"], Some("f/")),
        (&["d/e/f = 1", "d/e = 2"], Some("d/e")),
        (&["d/e/f = 1", "d -> g"], Some("d")),
        (&["l -> d", "d/f = 1", "l/f = 2"], Some("l/f")),
    ] {
        let mut tar = layer(lines);
        tar.extend_from_slice(b"and more");
        let (recipe, found) = split_only(&tar)?;
        assert_eq!(found.as_deref(), doubtful, "{lines:?}");
        let unpacked = Split::new(&["d/f = below"], &tar)?.recipe()?;
        let is_same = Recipe::new(&recipe[..])?
            .zip(Recipe::new(unpacked)?)
            .all(|(one, other)| one.is_ok_and(|one| other.is_ok_and(|other| one == other)));
        assert_eq!(is_same, doubtful.is_none(), "{lines:?}");
    }
    Ok(())
}

/// A line of a layer in which everything meets everything: few names, links among them.
fn line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "a", "b", "a/a", "a/b", "b/a", "b/b", "a/a/b", "./b//a",
    ]);
    let target = prop::sample::select(vec!["a", "b", "/a", "../b", "a/a", "b/../a", "."]);
    (name.clone(), target, name, "[a-z]{0,3}", 0..7_u8).prop_map(
        |(name, target, other, text, kind)| match kind {
            0 => format!("{name}/"),
            1 => format!("{name} -> {target}"),
            2 => format!("{name} => {other}"),
            3 => match name.rsplit_once('/') {
                Some((directory, base)) => format!("{directory}/.wh.{base}"),
                None => format!(".wh.{name}"),
            },
            4 if text.is_empty() => format!("{name}/.wh..wh..opq"),
            _ => format!("{name} = {text}"),
        },
    )
}

/// Leaves out the lines that cannot be unpacked.
fn possible(below: &[&str], lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    let is_possible = |lines: &[String]| {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let tree = tree(below);
        unpack(&mut &layer(&lines)[..], &open(tree.path()), &options()).is_ok()
    };
    while !is_possible(&lines) {
        // The line that is refused is the last one of the shortest part that is.
        let counts: Vec<usize> = (1..=lines.len()).collect();
        let refused = counts.partition_point(|count| is_possible(&lines[..*count]));
        lines.remove(refused);
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::with_cases(64) })]

    /// Lines that cannot be unpacked are left out one by one, so that much is left of each layer.
    #[test]
    fn any_layer_that_can_be_unpacked_comes_out_as_it_came_in(
        below in vec(line(), 0..6),
        lines in vec(line(), 1..16),
    ) {
        let below = possible(&[], &below);
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        let lines = possible(&below, &lines);
        prop_assume!(!lines.is_empty());
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let tree = tree(&below);
        let home = TempDir::new()?;
        let tar = layer(&lines);
        let (dir, home_dir) = (open(tree.path()), open(home.path()));
        let recipe = new_recipe(&home_dir);
        let unpacked = unpack_with_recipe(&mut &tar[..], &dir, &options(), recipe);
        prop_assert!(unpacked.is_ok(), "{unpacked:?}");
        let split = Split { tree, home };
        let again = split.assemble();
        prop_assert!(again.is_ok(), "{:?}", again);
        prop_assert!(again.is_ok_and(|again| again == tar));
    }

    #[test]
    fn a_layer_without_a_doubtful_entry_comes_out_of_a_recipe_without_unpacking(
        lines in vec(line(), 1..8),
    ) {
        let lines = possible(&[], &lines);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let tar = layer(&lines);
        let (recipe, doubtful) = split_only(&tar).map_err(|error| {
            TestCaseError::fail(error.to_string())
        })?;
        prop_assume!(doubtful.is_none());
        let tree = tree(&[]);
        let unpacked = unpack(&mut &tar[..], &open(tree.path()), &options());
        // A layer of nothing is refused.
        prop_assume!(unpacked.is_ok());
        let mut again = Vec::new();
        let assembled = assemble(&recipe[..], &view(tree.path()), &mut again);
        prop_assert!(assembled.is_ok(), "{assembled:?}");
        prop_assert_eq!(again, tar);
    }
}
