//! Messages are one line, whatever the names in them are.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Arg, Home, Layer, Result, say};

const ODD: &str = "a\nb\u{1b}[31m";
const SHOWN: &str = "a\\nb\\u{1b}[31m";

#[test]
fn control_characters_in_arguments_are_escaped() -> Result {
    // Quiet, as an ordinary user would hear of the ownership as well.
    let unpack = format!("unpack {SHOWN} to dir");
    let [list, pack] = ["list", "pack"].map(|what| format!("{what} {SHOWN}"));
    let lines: [(&[Arg<'_>], String); 3] = [
        (&[&"listing", &ODD], list),
        (&[&"unpack", &"--quiet", &ODD, &"dir"], unpack),
        (&[&"pack", &"--quiet", &ODD], pack),
    ];
    for (args, attempted) in lines {
        let said = say(args)?;
        said.failed(
            3,
            &format!("layergraph: {attempted}: open {SHOWN}: No such file or directory"),
        );
        assert_eq!(said.stderr.lines().count(), 1);
    }
    // The parser of arguments leaves the colour out by itself, and the line break is a blank.
    let said = say(&[&ODD])?;
    said.failed(2, "layergraph: unrecognized subcommand 'a b'");
    Ok(())
}

#[test]
fn control_characters_in_names_of_a_layer_are_escaped() -> Result {
    let home = Home::new()?;
    let layer = Layer::new().hard_link(ODD, "missing").finish();
    let layer = home.file("layer.tar", layer)?;
    let dir = home.path("dir");
    let said = say(&[&"unpack", &layer, &dir])?;
    let (layer, dir) = (layer.display(), dir.display());
    said.failed(
        7,
        &format!(
            "layergraph: unpack {layer} to {dir}: \
             refused the hard link {SHOWN} to missing: it does not exist"
        ),
    );
    Ok(())
}

#[test]
fn control_characters_in_names_of_a_tree_are_escaped() -> Result {
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    fs::write(tree.join(format!(".wh.{ODD}")), "")?;
    let said = say(&[&"pack", &tree])?;
    let tree = tree.display();
    said.failed(
        7,
        &format!(
            "layergraph: pack {tree}: cannot pack .wh.{SHOWN}: \
             in a layer its name is that of a whiteout"
        ),
    );
    Ok(())
}

#[test]
fn names_that_are_not_utf8_are_arguments_like_others() -> Result {
    let home = Home::new()?;
    let tree = home.path("").join(OsStr::from_bytes(b"tree\xff"));
    fs::create_dir(&tree)?;
    fs::write(tree.join("f"), "content")?;
    let said = say(&[&OsStr::new("listing"), &tree])?.done();
    assert_eq!(said.text().lines().count(), 2);
    let said = say(&[&OsStr::new("listing"), &tree.join("none")])?;
    let text = format!(
        "{}: No such file or directory\n",
        tree.join("none").display()
    );
    assert!(said.stderr.ends_with(&text), "{}", said.stderr);
    Ok(())
}

/// A mark that turns the direction of writing would make a name look like another.
#[test]
fn marks_of_direction_are_escaped() -> Result {
    let said = say(&[&"listing", &"gpj.\u{202e}exe"])?;
    let name = "gpj.\\u{202e}exe";
    said.failed(
        3,
        &format!("layergraph: list {name}: open {name}: No such file or directory"),
    );
    Ok(())
}
