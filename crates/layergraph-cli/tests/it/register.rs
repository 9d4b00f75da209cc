//! `register`: what becomes a node, and what leaves nothing.

use std::fs;

use serde_json::json;

use crate::support::{
    Layer, Result, Store, bad_layer, good_layer, id, names, run, stdin, with_tail,
};

#[test]
fn a_node_has_the_id_parent_and_words_it_was_given() -> Result {
    let store = Store::new()?;
    let base = id("ba5e");
    let layer = store.home.file("layer.tar", good_layer())?;
    let said = store.say(&[&"register", &"--id", &base, &layer])?.done();
    assert_eq!(said.text(), format!("{base}\n"));

    let top = id("70");
    let args = [
        "register",
        "--id",
        &top,
        "--parent",
        "ba5",
        "--comment",
        "no layer",
        "--author",
        "me",
        "--created",
        "2015-06-01T12:00:00+02:00",
        "--json",
    ];
    let said = run(store.command(&[]).args(args))?.done();
    assert_eq!(
        said.text(),
        format!("{{\"id\":\"{top}\",\"parent\":\"{base}\",\"size\":0}}\n")
    );
    assert_eq!(
        store.json(&[&"layers", &"--heads"])?,
        json!([{
            "id": top, "parent": base, "created": "2015-06-01T12:00:00+02:00", "size": 0,
            "comment": "no layer", "author": "me", "digest": null, "children": [],
        }])
    );
    Ok(())
}

#[test]
fn an_id_is_drawn_where_none_is_given() -> Result {
    let store = Store::new()?;
    let drawn = store.json(&[&"register"])?;
    let other = store.json(&[&"register"])?;
    assert_ne!(drawn["id"], other["id"]);
    assert_eq!(
        (&drawn["parent"], &drawn["size"]),
        (&json!(null), &json!(0))
    );
    assert_eq!(store.json(&[&"layers"])?.as_array().map(Vec::len), Some(2));
    Ok(())
}

#[test]
fn a_layer_may_come_from_stdin() -> Result {
    let store = Store::new()?;
    let layer = store.home.file("layer.tar", good_layer())?;
    let mut command = store.command(&[&"register", &"--json", &"-"]);
    let said = run(command.stdin(stdin(&layer)?))?.done();
    let node: serde_json::Value = serde_json::from_str(said.text())?;
    assert_eq!(node["size"], json!("a tool".len()));
    Ok(())
}

/// A 2015 image JSON, with what its id and parent are.
fn image_json(id: &str, parent: &str) -> String {
    let parent = if parent.is_empty() {
        String::new()
    } else {
        format!("\"parent\":\"{parent}\",")
    };
    format!(
        "{{\"id\":\"{id}\",{parent}\"comment\":\"of 2015\",\"created\":\"2015-06-01T00:00:00Z\",\
         \"container_config\":{{\"Cmd\":[\"/bin/sh\",\"-c\",\"make\"]}},\"Size\":7}}"
    )
}

#[test]
fn an_image_json_is_registered_as_it_is() -> Result {
    let store = Store::new()?;
    let (base, top) = (id("ba5e"), id("70"));
    store.register(&base, "", &good_layer())?;
    let json = store.home.file("json", image_json(&top, &base))?;
    let node = store.json(&[&"register", &"--image-json", &json])?;
    assert_eq!(node, json!({"id": top, "parent": base, "size": 7}));
    let raw = store.say(&[&"raw-json", &"7"])?.done();
    assert!(
        raw.text().contains("\"comment\":\"of 2015\""),
        "{}",
        raw.text()
    );
    Ok(())
}

#[test]
fn options_and_an_image_json_must_agree() -> Result {
    let store = Store::new()?;
    let (base, other, top) = (id("ba5e"), id("07"), id("70"));
    store.register(&base, "", &good_layer())?;
    store.register(&other, "", &good_layer())?;
    let json = store.home.file("json", image_json(&top, &base))?;
    store
        .say(&[&"register", &"--image-json", &json, &"--id", &other])?
        .failed(
            2,
            &format!("layergraph: register {other}: the image JSON has another id than --id"),
        );
    store
        .say(&[&"register", &"--image-json", &json, &"--parent", &"07"])?
        .failed(
            2,
            "layergraph: register a node: the image JSON has another parent than --parent",
        );
    let said = store.say(&[&"register", &"--image-json", &json, &"--comment", &"x"])?;
    assert_eq!(said.status, Some(2), "{}", said.stderr);
    let args: [crate::support::Arg<'_>; 7] = [
        &"register",
        &"--image-json",
        &json,
        &"--id",
        &top,
        &"--parent",
        &"ba5e",
    ];
    assert_eq!(store.json(&args)?["id"], json!(top));
    Ok(())
}

#[test]
fn an_image_json_that_is_none_is_refused_before_there_is_a_store() -> Result {
    let store = Store::new()?;
    let layer = store.home.file("layer.tar", good_layer())?;
    for text in ["", "{", "[]", &image_json("c0ffee", ""), "{\"id\":7}"] {
        let json = store.home.file("json", text)?;
        let said = store.say(&[&"register", &"--image-json", &json, &layer])?;
        assert_eq!(said.status, Some(7), "{text}: {}", said.stderr);
        let line = format!(
            "layergraph: register a node: cannot take the image JSON {}",
            json.display()
        );
        assert!(said.stderr.starts_with(&line), "{}", said.stderr);
    }
    let none = store.home.path("none");
    for args in [
        [&"--image-json" as crate::support::Arg<'_>, &none],
        [&"--quiet", &none],
    ] {
        let said = store.say(&[&"register", args[0], args[1]])?;
        assert_eq!(said.status, Some(3), "{}", said.stderr);
    }
    assert!(!store.root().exists());
    Ok(())
}

#[test]
fn r2_an_id_that_is_none_is_wrong_usage() -> Result {
    let store = Store::new()?;
    let capital = with_tail("C0FFEE", '0');
    for malformed in ["c0ffee", "", &capital, &id("../x")] {
        let said = store.say(&[&"register", &"--id", &malformed])?;
        assert_eq!(said.status, Some(2), "{malformed}: {}", said.stderr);
    }
    assert!(!store.root().exists());
    Ok(())
}

#[test]
fn status_5_is_an_id_that_exists_and_the_node_stays_as_it_was() -> Result {
    let store = Store::new()?;
    let base = id("ba5e");
    store.register(&base, "", &good_layer())?;
    let before = store.say(&[&"changes", &base])?.done();
    let layer = store
        .home
        .file("other.tar", Layer::new().file("other", "").finish())?;
    let said = store.say(&[&"register", &"--id", &base, &layer])?;
    said.failed(
        5,
        &format!("layergraph: register {base}: Image {base} already exists"),
    );
    assert_eq!(
        said.hint(),
        Some("give another --id, or none for a random one")
    );
    assert_eq!(
        store.say(&[&"changes", &base])?.done().stdout,
        before.stdout
    );
    Ok(())
}

#[test]
fn a_parent_that_is_missing_ambiguous_or_broken_is_said_to_be_so() -> Result {
    let store = Store::new()?;
    for id in [id("aa"), id("ab"), id("b0")] {
        store.register(&id, "", &good_layer())?;
    }
    store.break_node(&id("b0"))?;
    for (parent, status, why) in [
        ("c", 3, "could not find image: no such id: c"),
        (
            "a",
            4,
            "could not find image: Multiple IDs found with provided prefix",
        ),
        ("A", 2, "'A' is no id, nor the beginning of one"),
    ] {
        store
            .say(&[&"register", &"--parent", &parent])?
            .failed(status, &format!("layergraph: register a node: {why}"));
    }
    let said = store.say(&[&"register", &"--parent", &"b0"])?;
    assert_eq!(said.status, Some(8), "{}", said.stderr);
    Ok(())
}

#[test]
fn a_layer_that_is_refused_leaves_nothing() -> Result {
    let store = Store::with_driver("vfs")?;
    store.register(&id("ba5e"), "", &good_layer())?;
    let good = good_layer();
    let long = Layer::new().file("f", &"x".repeat(2000)).finish();
    for (layer, why) in [
        (bad_layer(), "refused the hard link"),
        (Vec::new(), "the layer is empty"),
        (long[..1500].to_vec(), "the archive is cut off"),
        (b"\x1f\x8b\x08\x00garbage".to_vec(), ""),
    ] {
        let layer = store.home.file("layer.tar", layer)?;
        let said = store.say(&[
            &"register",
            &"--id",
            &id("70"),
            &"--parent",
            &"ba5e",
            &layer,
        ])?;
        assert_eq!(said.status, Some(7), "{why}: {}", said.stderr);
        assert!(said.stderr.contains(why), "{why}: {}", said.stderr);
        assert_eq!(said.text(), "");
    }
    assert_eq!(
        names(&store.root().join("graph"))?,
        ["_tmp".to_owned(), id("ba5e")]
    );
    for left in ["graph/_tmp", "vfs/.staging"] {
        assert_eq!(names(&store.root().join(left))?, [""; 0], "{left}");
    }
    assert_eq!(names(&store.root().join("vfs/dir"))?, [id("ba5e")]);
    // And the id is free.
    store.register(&id("70"), "ba5e", &good)?;
    Ok(())
}

#[test]
fn a_layer_that_cannot_be_read_is_told_from_one_that_is_refused() -> Result {
    let store = Store::new()?;
    let directory = store.home.dir("directory")?;
    let said = store.say(&[&"register", &directory])?;
    assert_eq!(said.status, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("Is a directory"), "{}", said.stderr);
    let none = store.home.path("none");
    let said = store.say(&[&"register", &none])?;
    said.failed(
        3,
        &format!(
            "layergraph: register a node: open {0}: No such file or directory",
            none.display()
        ),
    );
    assert!(fs::metadata(&none).is_err());
    Ok(())
}
