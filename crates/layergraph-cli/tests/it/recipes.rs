//! `split` and `assemble`: a layer, its recipe, and the layer again.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::{Home, Layer, Result, bad_layer, good_layer, run, say, shell};

/// Splits a layer and unpacks it, and checks what is made of the parts.
fn check(layer: &[u8]) -> Result {
    let home = Home::new()?;
    let (file, tree) = (home.file("layer.tar", layer)?, home.path("tree"));
    let (recipe, again) = (home.path("recipe.gz"), home.path("again.tar"));
    say(&[&"unpack", &file, &tree])?.done();
    assert_eq!(say(&[&"split", &file, &"-o", &recipe])?.done().text(), "");
    let said = say(&[&"assemble", &recipe, &tree, &"-o", &again])?.done();
    assert_eq!((said.text(), &said.stderr[..]), ("", ""));
    assert!(fs::read(&again)? == layer);
    assert_eq!(
        home.names()?,
        ["again.tar", "layer.tar", "recipe.gz", "tree"]
    );

    // The same through pipes, where nothing can be read twice.
    let script = r#"cat "$1" | "$0" split - | "$0" assemble - "$2""#;
    let said = shell(script, &[&file, &tree])?.done();
    assert!(said.stdout == layer, "{}", said.stderr);
    Ok(())
}

#[test]
fn a_layer_comes_out_as_it_went_in() -> Result {
    check(&good_layer())?;
    let mut odd = good_layer();
    odd.extend_from_slice(b"after the end");
    check(&odd)
}

#[test]
fn what_a_layer_overwrites_comes_out_too() -> Result {
    let layer = Layer::new()
        .file("d/f", "1")
        .file("d/f", "22")
        .link("l", "d")
        .file("l/g", "333")
        .file("./d/g", "4444");
    check(&layer.finish())
}

#[test]
fn the_recipe_of_an_unpacking_knows_what_was_there_before() -> Result {
    let layer = Layer::new()
        .file("lib/f", "through a link")
        .file("usr/lib/f", "over it")
        .finish();
    for atomic in [false, true] {
        let home = Home::new()?;
        let file = home.file("layer.tar", &layer)?;
        let (tree, recipe) = (home.dir("tree")?, home.file("recipe", "an old one")?);
        fs::create_dir_all(tree.join("usr/lib"))?;
        std::os::unix::fs::symlink("usr/lib", tree.join("lib"))?;
        let mut unpack = crate::support::layergraph(&[&"unpack", &file, &tree]);
        unpack.arg("--recipe").arg(&recipe);
        if atomic {
            unpack.arg("--atomic");
        }
        run(&mut unpack)?.done();
        let said = say(&[&"assemble", &recipe, &tree])?.done();
        assert!(said.stdout == layer, "{atomic}");
        assert_eq!(home.names()?, ["layer.tar", "recipe", "tree"]);
    }
    Ok(())
}

#[test]
fn a_recipe_is_written_whole_and_to_a_file_or_not_at_all() -> Result {
    let home = Home::new()?;
    let (good, bad) = (
        home.file("good.tar", good_layer())?,
        home.file("bad.tar", bad_layer())?,
    );
    let (tree, recipe) = (home.dir("tree")?, home.file("recipe", "an old one")?);
    let said = say(&[&"unpack", &bad, &tree, &"--recipe", &recipe])?;
    assert_eq!(said.status, Some(7), "{}", said.stderr);
    assert_eq!(fs::read_to_string(&recipe)?, "an old one");
    let new = home.path("new");
    for (dir, place, status, why) in [
        (
            &tree,
            &tree.join("recipe"),
            2,
            "would be a part of what it is about",
        ),
        (&tree, &tree, 1, "is a directory"),
        (&new, &new, 2, "the recipe and DIR cannot have one name"),
        (&new, &home.path("./tree/../new"), 2, "cannot have one name"),
    ] {
        let said = say(&[&"unpack", &good, dir, &"--recipe", place])?;
        assert_eq!(said.status, Some(status), "{}", said.stderr);
        assert!(said.stderr.contains(why), "{}", said.stderr);
    }
    let none = home.path("none").join("recipe");
    let said = say(&[&"unpack", &good, &tree, &"--recipe", &none])?;
    assert_eq!(said.status, Some(3), "{}", said.stderr);
    assert!(!tree.join("usr").exists());
    assert_eq!(home.names()?, ["bad.tar", "good.tar", "recipe", "tree"]);
    Ok(())
}

#[test]
fn a_recipe_goes_to_stdout_or_a_device_as_well() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    // Not one after the other in a pipe: the directory has to be there.
    let script = r#""$0" unpack "$1" "$2" --recipe - >"$2.r" && "$0" assemble "$2.r" "$2""#;
    let said = shell(script, &[&layer, &home.path("one")])?.done();
    assert!(said.stdout == good_layer(), "{}", said.stderr);
    let two = home.path("two");
    say(&[&"unpack", &layer, &two, &"--recipe", &"/dev/null"])?.done();
    let said = say(&[&"--json", &"unpack", &layer, &two, &"--recipe", &"-"])?;
    assert_eq!(said.status, Some(2), "{}", said.stderr);
    assert_eq!(home.names()?, ["layer.tar", "one", "one.r", "two"]);
    Ok(())
}

#[test]
fn a_recipe_has_the_mode_of_what_is_written() -> Result {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    let (one, two) = (home.path("one"), home.path("two"));
    let script = r#"umask 027; "$0" unpack "$1" "$2" --recipe "$3"; "$0" split "$1" -o "$4""#;
    shell(script, &[&layer, &home.path("tree"), &one, &two])?.done();
    for file in [one, two] {
        assert_eq!(fs::metadata(file)?.permissions().mode() & 0o777, 0o640);
    }
    Ok(())
}

#[test]
fn the_layer_is_plain_whatever_it_was_packed_by() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    let tree = home.path("tree");
    say(&[&"unpack", &layer, &tree])?.done();
    let script = r#"gzip -c "$1" >"$1.gz" && "$0" split "$1.gz" | "$0" assemble - "$2""#;
    assert!(shell(script, &[&layer, &tree])?.done().stdout == good_layer());
    Ok(())
}

#[test]
fn json_tells_of_entries_and_size() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    let (tree, recipe, again) = (home.path("tree"), home.path("recipe"), home.path("again"));
    say(&[&"unpack", &layer, &tree])?.done();
    let document = |said: crate::support::Said| -> serde_json::Result<serde_json::Value> {
        serde_json::from_slice(&said.done().stdout)
    };
    let split = document(say(&[&"split", &"--json", &layer, &"-o", &recipe])?)?;
    assert_eq!(split, json!({"entries": 2}));
    let line: [crate::support::Arg<'_>; 6] =
        [&"assemble", &"--json", &recipe, &tree, &"-o", &again];
    let assembled = document(say(&line)?)?;
    assert_eq!(assembled, json!({"size": good_layer().len()}));
    for command in ["split", "assemble"] {
        let mut line = crate::support::layergraph(&[&command, &"--json", &recipe]);
        if command == "assemble" {
            line.arg(&tree);
        }
        let said = run(&mut line)?;
        assert_eq!(said.status, Some(2));
        let why = "--json needs -o FILE: the result takes stdout";
        assert!(said.stderr.contains(why), "{}", said.stderr);
    }
    Ok(())
}

#[test]
fn status_7_is_another_tree_than_that_of_the_recipe() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    let (tree, recipe, again) = (home.path("tree"), home.path("recipe"), home.path("again"));
    say(&[&"unpack", &layer, &tree])?.done();
    say(&[&"split", &layer, &"-o", &recipe])?.done();
    fs::write(tree.join("bin/tool"), "A tool")?;
    let assemble = |tree: &Path| say(&[&"assemble", &recipe, &tree, &"-o", &again]);
    let attempted = |tree: &Path| {
        let (recipe, tree) = (recipe.display(), tree.display());
        format!("layergraph: assemble {recipe} with {tree}")
    };
    let said = assemble(&tree)?;
    assert_eq!(said.status, Some(7));
    let line = format!(
        "{}: the content of bin/tool has changed: its CRC-64 is ",
        attempted(&tree)
    );
    assert!(said.stderr.starts_with(&line), "{}", said.stderr);
    let hint = "give the directory that the layer alone was unpacked to, unchanged";
    assert_eq!(said.hint(), Some(hint));
    let empty = home.dir("empty")?;
    let line = format!(
        "{}: cannot open the content of bin/tool: there is no such file in the tree",
        attempted(&empty)
    );
    assemble(&empty)?.failed(7, &line);
    assert!(!again.exists());
    Ok(())
}

#[test]
fn what_is_no_recipe_or_no_layer_is_refused_and_nothing_is_left() -> Result {
    let home = Home::new()?;
    let junk = home.file("junk", "x".repeat(2000))?;
    let out = home.path("out");
    let said = say(&[&"split", &junk, &"-o", &out])?;
    let line = format!("layergraph: split {}: ", junk.display());
    assert_eq!(said.status, Some(7));
    assert!(said.stderr.starts_with(&line), "{}", said.stderr);
    let hint = "check that it is a tar, plain or packed by gzip, zstd, xz or bzip2";
    assert_eq!(said.hint(), Some(hint));
    let tree = home.dir("tree")?;
    for text in ["", "x", "\x1f\u{8b}"] {
        let recipe = home.file("recipe", text)?;
        let said = say(&[&"assemble", &recipe, &tree, &"-o", &out])?;
        assert_eq!(said.status, Some(7), "{text:?}: {}", said.stderr);
    }
    let none = home.path("none");
    assert_eq!(say(&[&"split", &none, &"-o", &out])?.status, Some(3));
    assert_eq!(
        say(&[&"assemble", &none, &tree, &"-o", &out])?.status,
        Some(3)
    );
    assert_eq!(home.names()?, ["junk", "recipe", "tree"]);
    Ok(())
}

#[test]
fn the_layer_is_not_put_into_the_tree_that_it_is_made_of() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    let (tree, recipe) = (home.path("tree"), home.path("recipe"));
    say(&[&"unpack", &layer, &tree])?.done();
    say(&[&"split", &layer, &"-o", &recipe])?.done();
    let said = say(&[&"assemble", &recipe, &tree, &"-o", &tree.join("again")])?;
    assert_eq!(said.status, Some(2), "{}", said.stderr);
    assert!(!tree.join("again").exists());
    Ok(())
}

#[test]
fn a_layer_on_stdin_begins_where_stdin_stands() -> Result {
    let layer = Layer::new().file("f", "1").file("f", "22").finish();
    let home = Home::new()?;
    let mut bytes = vec![b'x'; 512];
    bytes.extend_from_slice(&layer);
    let file = home.file("behind.tar", &bytes)?;
    let (recipe, tree) = (home.path("recipe"), home.path("tree"));
    let tar = home.file("layer.tar", &layer)?;
    say(&[&"unpack", &tar, &tree])?.done();
    let script = r#"exec <"$1"; dd bs=512 count=1 of=/dev/null status=none; "$0" split - -o "$2""#;
    shell(script, &[&file, &recipe])?.done();
    assert!(say(&[&"assemble", &recipe, &tree])?.done().stdout == layer);
    Ok(())
}

#[test]
fn nothing_takes_the_place_of_what_it_is_made_of() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    let (tree, recipe) = (home.dir("tree")?, home.path("recipe"));
    say(&[&"split", &layer, &"-o", &recipe])?.done();
    let kept = fs::read(&recipe)?;
    for line in [
        &[&"split" as crate::support::Arg<'_>, &layer, &"-o", &layer][..],
        &[&"unpack", &layer, &tree, &"--recipe", &layer],
        &[&"assemble", &recipe, &tree, &"-o", &recipe],
    ] {
        let said = say(line)?;
        assert_eq!(said.status, Some(2), "{}", said.stderr);
        let why = "the result would take the place of what it is made of";
        assert!(said.stderr.contains(why), "{}", said.stderr);
    }
    assert!(fs::read(&layer)? == good_layer() && fs::read(&recipe)? == kept);
    Ok(())
}
