//! `mount` and `unmount`, with the driver vfs, which mounts nothing, and with overlay.

use std::fs;
use std::path::Path;

use layergraph_tests::require;
use serde_json::json;

use crate::support::{Layer, Result, Store, good_layer, id};

#[test]
fn the_path_is_where_the_tree_is() -> Result {
    let store = Store::with_driver("vfs")?;
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
    let store = Store::with_driver("vfs")?;
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
    let store = Store::with_driver("vfs")?;
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

/// A node on top of another.
fn two_nodes() -> std::io::Result<Store> {
    let store = Store::with_driver("overlay")?;
    store.register(&id("ba5e"), "", &good_layer())?;
    let top = Layer::new().file("top", "on top").finish();
    store.register(&id("70"), &id("ba5e"), &top)?;
    Ok(store)
}

#[test]
fn a_tree_is_mounted_in_the_store_until_it_is_unmounted_as_often() -> Result {
    require!(overlay_mount);
    let store = two_nodes()?;
    let mount = || store.say(&[&"mount", &"70"]);
    let path = mount()?.done().text().trim_end().to_owned();
    assert_eq!(mount()?.done().text().trim_end(), path);
    let tree = Path::new(&path);
    assert_eq!(fs::read_to_string(tree.join("top"))?, "on top");
    assert_eq!(fs::read_to_string(tree.join("bin/tool"))?, "a tool");
    // It is to be read only.
    let refused = fs::write(tree.join("new"), "").expect_err("it is read-only");
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    for is_there in [true, false] {
        store.say(&[&"unmount", &path])?.done();
        assert_eq!(tree.join("top").exists(), is_there);
    }
    Ok(())
}

#[test]
fn a_tree_is_mounted_at_another_place() -> Result {
    require!(overlay_mount);
    let store = two_nodes()?;
    let place = store.home.dir("place")?;
    let said = store.say(&[&"mount", &"70", &place])?.done();
    assert_eq!(Path::new(said.text().trim_end()), fs::canonicalize(&place)?);
    assert_eq!(fs::read_to_string(place.join("top"))?, "on top");
    // By whatever name the place goes.
    let link = store.home.path("link");
    std::os::unix::fs::symlink(&place, &link)?;
    store.say(&[&"unmount", &link])?.done();
    assert!(!place.join("top").exists());
    assert_eq!(store.say(&[&"unmount", &place])?.status, Some(3));
    let file = store.home.file("file", "")?;
    assert_ne!(store.say(&[&"mount", &"70", &file])?.status, Some(0));
    assert_eq!(
        store
            .say(&[&"mount", &"70", &store.home.path("none")])?
            .status,
        Some(3)
    );
    Ok(())
}

#[test]
fn status_6_is_a_node_that_is_mounted_and_force_leaves_its_tree_to_the_mount() -> Result {
    require!(overlay_mount);
    let store = two_nodes()?;
    let path = store
        .say(&[&"mount", &"70"])?
        .done()
        .text()
        .trim_end()
        .to_owned();
    let said = store.say(&[&"rm-layer", &"70"])?;
    assert_eq!(said.status, Some(6));
    assert!(
        said.stderr.contains("it is mounted to be read at"),
        "{}",
        said.stderr
    );
    store.say(&[&"rm-layer", &"--force", &"70"])?.done();
    assert_eq!(fs::read_to_string(Path::new(&path).join("top"))?, "on top");
    assert_eq!(store.say(&[&"mount", &"70"])?.status, Some(3));
    store.say(&[&"unmount", &path])?.done();
    Ok(())
}
