//! What is asked about one node: `raw-json`, `digest`, `changes`, `diff-size`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Layer, Result, Store, good_layer, id, run, with_tail};

fn pair() -> std::io::Result<Store> {
    pair_of("auto")
}

fn pair_of(driver: &'static str) -> std::io::Result<Store> {
    let store = Store::with_driver(driver)?;
    store.register(&id("ba5e"), "", &good_layer())?;
    let top = Layer::new()
        .file("bin/.wh.tool", "")
        .file("bin/new", "three")
        .link("usr", "lib")
        .finish();
    store.register(&id("70"), "ba5e", &top)?;
    Ok(store)
}

#[test]
fn raw_json_is_the_file_in_its_exact_bytes() -> Result {
    let store = pair()?;
    let file = fs::read(store.root().join("graph").join(id("70")).join("json"))?;
    for option in ["--quiet", "--json"] {
        let said = store.say(&[&"raw-json", &option, &"7"])?.done();
        assert_eq!(said.stdout, file);
    }
    assert!(file.ends_with(b"}\n"));
    Ok(())
}

#[test]
fn a_digest_is_null_until_it_is_set() -> Result {
    let store = pair()?;
    assert_eq!(store.json(&[&"digest", &"7"])?, json!({"digest": null}));
    let said = store.say(&[&"digest", &"7"])?.done();
    assert_eq!(said.text(), "");
    assert_eq!(
        said.stderr,
        format!("layergraph: note: no digest is set for {}\n", id("70"))
    );

    let digest = format!("sha256:{}", id("d1"));
    assert_eq!(store.say(&[&"digest", &"7", &digest])?.done().text(), "");
    assert_eq!(
        store.say(&[&"digest", &"7"])?.done().text(),
        format!("{digest}\n")
    );
    let other = format!("sha256:{}", id("d2"));
    assert_eq!(
        store.json(&[&"digest", &"7", &other])?,
        json!({"digest": other})
    );
    assert_eq!(
        store.json(&[&"layers", &"--heads"])?[0]["digest"],
        json!(other)
    );
    assert_eq!(store.json(&[&"digest", &"ba"])?, json!({"digest": null}));
    Ok(())
}

#[test]
fn only_a_digest_can_be_set() -> Result {
    let store = pair()?;
    for malformed in [
        "sha256:c0ffee",
        "md5:00",
        "x",
        &format!("sha256:{}", "F".repeat(64)),
    ] {
        let said = store.say(&[&"digest", &"7", &malformed])?;
        assert_eq!(said.status, Some(2), "{}", said.stderr);
    }
    assert_eq!(store.json(&[&"digest", &"7"])?["digest"], Value::Null);
    Ok(())
}

#[test]
fn a_digest_that_is_none_is_damage() -> Result {
    let store = pair()?;
    fs::write(
        store.root().join("graph").join(id("70")).join("checksum"),
        "x",
    )?;
    let said = store.say(&[&"digest", &"7"])?;
    said.failed(
        8,
        "layergraph: print the digest of 7: the layer's digest is written down as \"x\": \
         invalid checksum digest format",
    );
    Ok(())
}

#[test]
fn changes_are_sorted_by_path() -> Result {
    let store = pair()?;
    let said = store.say(&[&"changes", &"70"])?.done();
    assert_eq!(said.text(), "C /bin\nA /bin/new\nD /bin/tool\nC /usr\n");
    let changes = store.json(&[&"changes", &"70"])?;
    assert_eq!(changes[1], json!({"kind": "A", "path": "/bin/new"}));
    assert_eq!(changes.as_array().map(Vec::len), Some(4));
    Ok(())
}

#[test]
fn changes_against_another_node_are_those_that_make_the_one_of_the_other() -> Result {
    let store = pair()?;
    let said = store
        .say(&[&"changes", &"ba5e", &"--against", &"70"])?
        .done();
    assert_eq!(said.text(), "C /bin\nD /bin/new\nA /bin/tool\nC /usr\n");
    let same = store.json(&[&"changes", &"70", &"--against", &"70"])?;
    assert_eq!(same, json!([]));
    assert_eq!(
        store.say(&[&"changes", &"70", &"--against", &"c"])?.status,
        Some(3)
    );
    Ok(())
}

#[test]
fn paths_that_are_unusual_are_told_exactly() -> Result {
    let store = pair_of("vfs")?;
    // The tree is ours to change where the driver is vfs.
    let mount = store.json(&[&"mount", &"ba5e"])?;
    let tree = Path::new(mount["path"].as_str().ok_or("a path")?);
    for name in [&b"\xff"[..], b"a\nb", b"\xc3\xa9 \\"] {
        fs::write(tree.join(std::ffi::OsStr::from_bytes(name)), "")?;
    }
    let said = store.say(&[&"changes", &"ba5e"])?.done();
    for line in ["A /\\xff\n", "A /a\\x0ab\n", "A /é \\x5c\n"] {
        assert!(said.text().contains(line), "{line}{}", said.text());
    }
    let changes = store.json(&[&"changes", &"ba5e"])?;
    let find = |path: &str| {
        let changes = changes.as_array().map_or(&[][..], Vec::as_slice);
        changes
            .iter()
            .find(|change| change["path"] == path)
            .cloned()
    };
    assert_eq!(
        find("/\u{fffd}"),
        Some(json!({"kind": "A", "path": "/\u{fffd}", "path_b64": "L/8="}))
    );
    assert_eq!(find("/a\nb"), Some(json!({"kind": "A", "path": "/a\nb"})));
    Ok(())
}

#[test]
fn the_size_of_changes_is_that_of_what_is_there_now() -> Result {
    let store = pair()?;
    let size = "three".len() + "lib".len();
    assert_eq!(
        store.say(&[&"diff-size", &"70"])?.done().text(),
        format!("{size}\n")
    );
    assert_eq!(store.json(&[&"diff-size", &"70"])?, json!({"size": size}));
    Ok(())
}

#[test]
fn statuses_2_3_and_4_are_ids_that_mean_no_node_or_several() -> Result {
    let store = pair()?;
    store.register(&with_tail("7", '1'), "", &good_layer())?;
    for (command, attempted) in [
        ("raw-json", "print the JSON of"),
        ("digest", "print the digest of"),
        ("changes", "list the changes of"),
        ("diff-size", "add up the changes of"),
        ("export-layer", "export the layer of"),
        ("history", "show the history of"),
        ("mount", "mount"),
        ("rm-layer", "remove"),
    ] {
        let image = if command == "rm-layer" {
            ""
        } else {
            "could not find image: "
        };
        let said = store.say(&[&command, &"c0ffee"])?;
        let line = format!("layergraph: {attempted} c0ffee: {image}no such id: c0ffee");
        said.failed(3, &line);
        assert_eq!(said.hint(), Some("layergraph layers lists what is there"));

        let said = store.say(&[&command, &"7"])?;
        let line =
            format!("layergraph: {attempted} 7: {image}Multiple IDs found with provided prefix");
        said.failed(4, &line);
        assert_eq!(said.hint(), Some("give more digits of the id"));

        let said = store.say(&[&command, &""])?;
        assert_eq!(said.status, Some(2), "{}", said.stderr);

        // A name is no id, but may be one of an image.
        let said = store.say(&[&command, &"no-id"])?;
        let status = if matches!(command, "history" | "mount") {
            3
        } else {
            2
        };
        assert_eq!(said.status, Some(status), "{}", said.stderr);
    }
    Ok(())
}

#[test]
fn the_changes_of_an_orphan_cannot_be_told() -> Result {
    let store = pair()?;
    store.say(&[&"rm-layer", &"--force", &"ba5e"])?.done();
    for command in ["changes", "diff-size"] {
        let said = store.say(&[&command, &"70"])?;
        assert_eq!(said.status, Some(3), "{}", said.stderr);
        assert_eq!(said.text(), "");
    }
    run(&mut store.command(&[&"raw-json", &"70"]))?.done();
    // The layer as it was registered has its recipe.
    run(&mut store.command(&[&"export-layer", &"70"]))?.done();
    Ok(())
}
