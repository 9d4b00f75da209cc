//! `mount` and `unmount` with the driver vfs, which mounts nothing.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::{Result, Store, good_layer, id};

#[test]
fn the_path_is_where_the_tree_is() -> Result {
    let store = Store::new()?;
    store.register(&id("ba5e"), "", &good_layer())?;
    let said = store.say(&[&"mount", &"ba5e"])?.done();
    let path = said.text().trim_end();
    assert_eq!(
        fs::read_to_string(Path::new(path).join("bin/tool"))?,
        "a tool"
    );
    assert_eq!(store.json(&[&"mount", &"ba"])?, json!({"path": path}));
    assert!(Path::new(path).is_absolute());
    assert_eq!(store.say(&[&"unmount", &path])?.done().text(), "");
    assert!(Path::new(path).exists());
    Ok(())
}

#[test]
fn status_10_is_a_mount_at_another_place() -> Result {
    let store = Store::new()?;
    store.register(&id("ba5e"), "", &good_layer())?;
    let place = store.home.dir("place")?;
    let shown = place.display();
    let said = store.say(&[&"mount", &"ba5e", &place])?;
    let line = format!(
        "layergraph: mount ba5e at {shown}: cannot mount image {}: the driver vfs mounts nothing at \
         {shown}",
        id("ba5e")
    );
    said.failed(10, &line);
    let hint = "leave out PATH: the tree has a path of its own, which is printed";
    assert_eq!(said.hint(), Some(hint));
    Ok(())
}

#[test]
fn only_what_mount_printed_is_unmounted() -> Result {
    let store = Store::new()?;
    store.register(&id("ba5e"), "", &good_layer())?;
    for path in [
        store.root(),
        store.root().join("graph"),
        store.home.path(""),
    ] {
        let said = store.say(&[&"unmount", &path])?;
        let line = format!(
            "layergraph: unmount {}: nothing of the store is mounted there",
            path.display()
        );
        said.failed(3, &line);
    }
    let none = store.home.path("none");
    assert_eq!(store.say(&[&"unmount", &none])?.status, Some(3));
    // An id alone is no place.
    let outside = store.home.dir(&id("ba5e"))?;
    assert_eq!(store.say(&[&"unmount", &outside])?.status, Some(3));
    Ok(())
}
