//! Each exit status, with the message that goes with it.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::support::{
    Home, Layer, Result, Store, good_layer, id, layergraph, listing, run, say, shell,
};

#[test]
fn status_2_is_wrong_usage() -> Result {
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    let tree = tree.to_str().expect("a temporary path is UTF-8");
    let pack = format!("layergraph: pack {tree}: --json needs -o FILE: the result takes stdout");
    let list = format!("layergraph: list {tree}: a listing has no JSON form");
    for (args, line) in [
        (
            vec!["unpack"],
            "layergraph: the following required arguments were not provided: <LAYER> <DIR>",
        ),
        (
            vec!["unpack", "a", "b", "--atomc"],
            "layergraph: unexpected argument '--atomc' found",
        ),
        (
            vec!["nothing"],
            "layergraph: unrecognized subcommand 'nothing'",
        ),
        (
            vec!["unpack", "--ownership", "x", "a", "b"],
            "layergraph: invalid value 'x' for '--ownership <HOW>' [possible values: preserve, squash, mapped]",
        ),
        (vec!["pack", "--json", tree], &pack),
        (vec!["listing", "--json", tree], &list),
    ] {
        let said = run(layergraph(&[]).args(args))?;
        said.failed(2, line);
        assert!(said.stdout.is_empty());
    }
    let said = say(&[&"unpack", &"a", &"b", &"--atomc"])?;
    assert_eq!(said.hint(), Some("a similar argument exists: '--atomic'"));
    Ok(())
}

#[test]
fn without_arguments_the_help_is_on_stderr_and_when_asked_for_on_stdout() -> Result {
    let said = say(&[])?;
    assert_eq!((said.status, said.text()), (Some(2), ""));
    assert!(said.stderr.contains("Usage: layergraph"), "{}", said.stderr);

    for args in [
        vec!["--help"],
        vec!["unpack", "--help"],
        vec!["listing", "-h"],
    ] {
        let said = run(layergraph(&[]).args(args))?.done();
        assert!(said.text().contains("Usage: layergraph"), "{}", said.text());
    }
    let version = say(&[&"--version"])?.done();
    let expected = format!("layergraph {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version.text(), expected);
    Ok(())
}

#[test]
fn status_3_is_not_found() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    let (dir, none) = (home.dir("dir")?, home.path("none"));
    let shown = |path: &Path| path.display().to_string();
    let (layer, dir, none) = (shown(&layer), shown(&dir), shown(&none));
    let below = format!("{none}/x");
    for (args, attempted, why) in [
        (
            vec!["unpack", &none, &dir],
            format!("unpack {none} to {dir}"),
            format!("open {none}: No such file or directory"),
        ),
        (
            vec!["unpack", &layer, &below],
            format!("unpack {layer} to {below}"),
            format!("there is no directory {none}"),
        ),
        (
            vec!["pack", &none],
            format!("pack {none}"),
            format!("open {none}: No such file or directory"),
        ),
        (
            vec!["pack", &dir, "--against", &none],
            format!("pack {dir} against {none}"),
            format!("open {none}: No such file or directory"),
        ),
        (
            vec!["pack", &dir, "-o", &below],
            format!("pack {dir}"),
            format!("there is no directory {none}"),
        ),
        (
            vec!["listing", &none],
            format!("list {none}"),
            format!("open {none}: No such file or directory"),
        ),
    ] {
        run(layergraph(&[]).args(args))?.failed(3, &format!("layergraph: {attempted}: {why}"));
    }
    assert_eq!(home.names()?, ["dir", "layer.tar"]);
    Ok(())
}

#[test]
fn status_1_is_any_other_failure() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    let file = layer.display();
    for (command, attempted) in [
        ("listing", format!("list {file}")),
        ("pack", format!("pack {file}")),
    ] {
        let said = say(&[&command, &layer])?;
        said.failed(
            1,
            &format!("layergraph: {attempted}: open {file}: Not a directory"),
        );
    }
    for option in ["--quiet", "--atomic"] {
        let said = say(&[&"unpack", &option, &layer, &layer])?;
        said.failed(
            1,
            &format!("layergraph: unpack {file} to {file}: open {file}: Not a directory"),
        );
    }
    Ok(())
}

#[test]
fn status_7_is_a_refused_input() -> Result {
    let home = Home::new()?;
    let dir = home.dir("dir")?;
    let deep = "d/".repeat(45) + "f";
    let mut many = Layer::new();
    for name in ["a/..", "f", "..", "f/b"] {
        many = many.file(name, "");
    }
    for (layer, why) in [
        (b"x".repeat(2000), "the header at offset 0 is invalid: "),
        (Vec::new(), "the layer is empty"),
        (
            Layer::new().file("f", &"x".repeat(2000)).finish()[..1500].to_vec(),
            "the archive is cut off at offset ",
        ),
        (
            Layer::new().file("d/.wh..", "").finish(),
            "refused the name d/.wh..: ",
        ),
        (
            many.finish(),
            "refused the entry a/..: the root can only be a directory",
        ),
        (
            Layer::new().file("f", "").file("f/g", "").finish(),
            "cannot make the entry f/g: ",
        ),
        (
            Layer::new()
                .link("l", "l")
                .file(&format!("l/{deep}"), "")
                .finish(),
            "cannot make the entry l/",
        ),
    ] {
        let layer = home.file("layer.tar", layer)?;
        let said = say(&[&"unpack", &layer, &dir])?;
        assert_eq!(said.status, Some(7), "{why}: {}", said.stderr);
        let line = format!(
            "layergraph: unpack {} to {}: {why}",
            layer.display(),
            dir.display()
        );
        assert!(said.stderr.contains(&line), "{line}\n{}", said.stderr);
    }
    Ok(())
}

#[test]
fn status_9_is_no_space() -> Result {
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    fs::write(tree.join("f"), "content")?;
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .map(Stdio::from)
    };
    for command in ["pack", "listing"] {
        // Not by the function of the tests, which has a stdout of its own.
        let mut child = layergraph(&[&command, &tree])
            .stdout(full()?)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stderr = child.stderr.take().expect("it is piped");
        let text = io::read_to_string(&mut stderr)?;
        assert_eq!(child.wait()?.code(), Some(9), "{text}");
        assert!(
            text.contains(": No space left on device\nhint: free some space"),
            "{text}"
        );
    }
    Ok(())
}

#[test]
fn what_is_done_is_told_where_its_result_cannot_be_written() -> Result {
    let store = Store::new()?;
    let layer = store.home.file("layer.tar", good_layer())?;
    let (node, root) = (id("ba5e"), store.root());
    let register = r#"exec "$0" --root "$1" register --id "$2" "$3" >/dev/full"#;
    let line = format!(
        "layergraph: register {node}: registered {node}, but cannot write the result: No space left \
         on device"
    );
    shell(register, &[&root, &node, &layer])?.failed(9, &line);
    assert_eq!(store.json(&[&"layers"])?[0]["id"], json!(node));

    let remove = r#"exec "$0" --root "$1" rm-layer ba5e >/dev/full"#;
    let line = format!(
        "layergraph: remove ba5e: removed {node}, but cannot write the result: No space left on \
         device"
    );
    shell(remove, &[&root])?.failed(9, &line);
    assert_eq!(store.json(&[&"layers"])?, json!([]));
    Ok(())
}

#[test]
fn status_8_is_a_store_with_something_else_in_the_place_of_its_files() -> Result {
    for (place, is_link) in [
        ("graph", true),
        ("graph", false),
        ("graph/_tmp", true),
        ("graph/_tmp", false),
    ] {
        let store = Store::new()?;
        store.register(&id("ba5e"), "", &good_layer())?;
        let place = store.root().join(place);
        let aside = store.root().join("aside");
        fs::rename(&place, &aside)?;
        if is_link {
            symlink(&aside, &place)?;
        } else {
            fs::write(&place, "")?;
        }
        let said = store.say(&[&"register", &"--id", &id("c0ffee")])?;
        let shown = place.display();
        assert_eq!(said.status, Some(8), "{shown} {is_link}: {}", said.stderr);
        assert!(said.stderr.contains(&shown.to_string()), "{}", said.stderr);
    }
    let store = Store::new()?;
    let format = store.root().join("layergraph.json");
    fs::create_dir_all(&format)?;
    assert_eq!(store.say(&[&"register"])?.status, Some(8));
    fs::remove_dir(&format)?;
    symlink("elsewhere", &format)?;
    assert_eq!(store.say(&[&"register"])?.status, Some(8));
    Ok(())
}

#[test]
fn who_reads_stdout_may_stop_without_hearing_of_it() -> Result {
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    fs::write(tree.join("f"), "x".repeat(100_000))?;
    for command in ["pack", "listing"] {
        let (reader, writer) = io::pipe()?;
        drop(reader);
        let mut child = layergraph(&[&command, &"--quiet", &tree])
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stderr = child.stderr.take().expect("it is piped");
        assert_eq!(io::read_to_string(&mut stderr)?, "");
        assert_eq!(child.wait()?.code(), Some(1));
    }
    Ok(())
}

#[test]
fn nobody_has_to_read_stderr() -> Result {
    let home = Home::new()?;
    let none = home.path("none");
    let none = none.to_str().expect("a temporary path is UTF-8");
    for (args, expected) in [
        (vec!["listing", none], 3),
        (vec!["nothing"], 2),
        (vec![], 2),
    ] {
        let (reader, writer) = io::pipe()?;
        drop(reader);
        let status = layergraph(&[]).args(&args).stderr(writer).status()?;
        assert_eq!(status.code(), Some(expected), "{args:?}");
    }
    assert!(listing(&home.dir("dir")?)?.starts_with(".\td\t"));
    Ok(())
}
