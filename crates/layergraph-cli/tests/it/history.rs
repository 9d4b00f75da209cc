//! `history`: from the image down to its base.

use serde_json::{Value, json};

use crate::support::{Layer, Store, good_layer, id};

/// A base, a node whose layer holds no byte, one without a layer, and one with a command.
fn chain() -> Result<Store> {
    let store = Store::new()?;
    store.register(&id("a0"), "", &good_layer())?;
    let deleting = Layer::new().file("bin/.wh.tool", "").finish();
    store.register(&id("b0"), "a0", &deleting)?;
    store
        .say(&[
            &"register",
            &"--id",
            &id("c0"),
            &"--parent",
            &"b0",
            &"--comment",
            &"bare",
        ])?
        .done();
    let (top, parent) = (id("d0"), id("c0"));
    let json = format!(
        "{{\"id\":\"{top}\",\"parent\":\"{parent}\",\"created\":\"0001-01-01T00:00:00Z\",\
         \"container_config\":{{\"Cmd\":[\"/bin/sh\",\"-c\",\"make all\"]}},\"Size\":0}}"
    );
    let json = store.home.file("json", json)?;
    store.say(&[&"register", &"--image-json", &json])?.done();
    Ok(store)
}

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[test]
fn each_layer_says_what_made_it_and_whether_it_changed_anything() -> Result {
    let store = chain()?;
    let history = store.json(&[&"history", &"d0"])?;
    let nodes = history.as_array().ok_or("an array")?;
    let of = |name: &str| -> Vec<Value> { nodes.iter().map(|node| node[name].clone()).collect() };
    assert_eq!(of("id"), [id("d0"), id("c0"), id("b0"), id("a0")]);
    assert_eq!(
        of("created_by"),
        [
            json!("/bin/sh -c make all"),
            json!(null),
            json!(null),
            json!(null)
        ]
    );
    assert_eq!(of("empty_layer"), [true, true, false, false]);
    assert_eq!(of("size"), [0, 0, 0, 6]);
    assert_eq!(
        of("comment"),
        [json!(null), json!("bare"), json!(null), json!(null)]
    );
    assert_eq!(nodes[0]["created"], Value::Null);
    assert!(nodes[1]["created"].is_string());
    Ok(())
}

#[test]
fn people_get_a_table() -> Result {
    let store = chain()?;
    let said = store.say(&[&"history", &"d0"])?.done();
    let lines: Vec<&str> = said.text().lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(
        lines[0].starts_with("ID            CREATED "),
        "{}",
        lines[0]
    );
    assert!(lines[1].starts_with("d00000000000  "), "{}", lines[1]);
    assert!(
        lines[1].ends_with("  0 B   /bin/sh -c make all"),
        "{}",
        lines[1]
    );
    assert!(lines[4].starts_with("a00000000000  "), "{}", lines[4]);
    Ok(())
}

#[test]
fn what_is_above_a_missing_parent_is_shown_before_the_error() -> Result {
    let store = chain()?;
    store.say(&[&"rm-layer", &"--force", &"b0"])?.done();
    let said = store.say(&[&"history", &"d0", &"--json", &"--log", &"error"])?;
    said.failed(
        3,
        &format!(
            "layergraph: show the history of d0: Error while getting parent image: \
             could not find image: no such id: {}",
            id("b0")
        ),
    );
    let history: Value = serde_json::from_str(said.text())?;
    assert_eq!(history.as_array().map(Vec::len), Some(2));
    assert_eq!(history[0]["empty_layer"], json!(true));
    // With nothing to compare it with, there is no telling.
    assert_eq!(history[1]["empty_layer"], Value::Null);
    Ok(())
}
