//! `--ownership mapped`: layers in the ids of layers, trees in those of ranges.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use layergraph_tests::require;

use crate::support::{Arg, Home, Layer, Result, Said, listing, say};

const MAPPED: [&str; 5] = [
    "--ownership=mapped",
    "--uid-map=0:100000:1",
    "--uid-map=1:200001:999",
    "--gid-map",
    "0:300000:1000",
];

/// Runs a command line with ranges of ids.
fn say_mapped(command: &str, args: &[Arg<'_>]) -> std::io::Result<Said> {
    let mut line: Vec<Arg<'_>> = vec![&command];
    line.extend(MAPPED.iter().map(|option| option as Arg<'_>));
    line.extend(args);
    say(&line)
}

fn owner(path: &Path) -> std::io::Result<(u32, u32)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.uid(), metadata.gid()))
}

/// Makes the place that a layer goes to, owned by the root of the ranges.
fn place(home: &Home, name: &str) -> std::io::Result<std::path::PathBuf> {
    let path = home.dir(name)?;
    chown(&path, Some(100_000), Some(300_000))?;
    Ok(path)
}

#[test]
fn a_mapped_tree_is_unpacked_listed_and_packed_in_the_ids_of_layers() -> Result {
    require!(root);
    let home = Home::new()?;
    let layer = Layer::new()
        .file("etc/shadow", "secret")
        .link("usr", "bin")
        .device("null")
        .finish();
    let layer = home.file("layer.tar", layer)?;
    let (plain, mapped) = (home.dir("plain")?, place(&home, "mapped")?);
    say(&[&"unpack", &layer, &plain])?.done();
    say_mapped("unpack", &[&layer, &mapped])?.done();
    assert_eq!(owner(&mapped.join("etc/shadow"))?, (100_000, 300_000));
    assert_eq!(owner(&mapped.join("usr"))?, (100_000, 300_000));

    for tree in [&plain, &mapped] {
        let ids = if *tree == plain {
            (5, 6)
        } else {
            (200_005, 300_006)
        };
        chown(tree.join("etc/shadow"), Some(ids.0), Some(ids.1))?;
    }
    let listed = say_mapped("listing", &[&mapped])?.done();
    assert_eq!(listed.text(), listing(&plain)?);
    assert!(listed.text().contains("\t5:6\t"), "{}", listed.text());
    let packed = say_mapped("pack", &[&mapped])?.done();
    assert!(packed.stdout == say(&[&"pack", &plain])?.done().stdout);

    let again = home.file("again.tar", &packed.stdout)?;
    let tree = place(&home, "again")?;
    say_mapped("unpack", &[&"--atomic", &again, &tree])?.done();
    assert_eq!(owner(&tree.join("etc/shadow"))?, (200_005, 300_006));
    Ok(())
}

#[test]
fn r23_an_owner_in_no_range_is_not_permitted_and_the_hint_says_what_helps() -> Result {
    require!(root);
    let home = Home::new()?;
    let plain = home.dir("plain")?;
    fs::write(plain.join("f"), "")?;
    chown(plain.join("f"), Some(1000), None)?;
    let layer = home.path("layer.tar");
    say(&[&"pack", &plain, &"-o", &layer])?.done();

    let tree = place(&home, "tree")?;
    let said = say_mapped("unpack", &[&layer, &tree])?;
    let (from, to) = (layer.display(), tree.display());
    said.failed(
        10,
        &format!(
            "layergraph: unpack {from} to {to}: cannot make the entry f: fchownat {to}/f: no range \
             has the uid 1000"
        ),
    );
    let hint = "give ranges that have it by --uid-map and --gid-map";
    assert_eq!(said.hint(), Some(hint));
    assert!(fs::read_dir(&tree)?.next().is_none());

    // The other way round: what a layer could not name.
    fs::write(tree.join("f"), "")?;
    let said = say_mapped("pack", &[&tree])?;
    let line = format!("layergraph: pack {to}: cannot pack f: no range has the uid 0 of the disk");
    said.failed(10, &line);
    let listed = say_mapped("listing", &[&tree])?.done();
    assert!(
        listed.text().contains("\nf\tf\t0644\t65534:65534\t"),
        "{}",
        listed.text()
    );
    Ok(())
}

#[test]
fn ranges_that_are_no_map_are_wrong_usage() -> Result {
    let home = Home::new()?;
    for command in ["unpack", "pack", "listing"] {
        let dir = home.path("missing");
        let mut line: Vec<Arg<'_>> = vec![&command, &"--ownership=mapped"];
        line.extend([&"--uid-map=0:0:2" as Arg<'_>, &"--uid-map=1:5:1", &dir]);
        if command == "unpack" {
            line.push(&dir);
        }
        say(&line)?.failed(
            2,
            "layergraph: --uid-map and --gid-map are no map of ids: the ranges 0:0:2 and 1:5:1 \
             overlap",
        );
    }
    Ok(())
}
