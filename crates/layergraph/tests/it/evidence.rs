//! What is taken for a store, and what merely looks a little like one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use layergraph::{GraphErrorKind, OpenError, StoreOptions};
use layergraph_tests::names;

use crate::support::{Place, Result, register};

/// What a node may be called, and others call a file by its digest.
const ID: &str = "c0ffee0000000000000000000000000000000000000000000000000000000000";

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

/// Makes a root with these in it, directories where they end in `/`, that others may enter.
fn root_with(place: &Place, paths: &[&str]) -> Result {
    for path in paths {
        let full = place.root().join(path);
        if path.ends_with('/') {
            fs::create_dir_all(full)?;
        } else {
            fs::create_dir_all(full.parent().expect("it is in the root"))?;
            fs::write(full, "")?;
        }
    }
    fs::set_permissions(place.root(), fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Checks that it is not taken for a store, and left as it is.
fn assert_is_none(place: &Place, what: &str) -> Result {
    let root = place.root();
    let before = names(&root)?;
    for bits in [0o755, 0o700] {
        fs::set_permissions(&root, fs::Permissions::from_mode(bits))?;
        let missing = StoreOptions::new().create(false).open_graph(&root);
        assert!(
            matches!(missing, Err(OpenError::NoStore { .. })),
            "{what}: {missing:?}"
        );
        assert_eq!(mode(&root)?, bits, "{what}");
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
    let refused = StoreOptions::new().open_graph(&root);
    assert!(
        matches!(&refused, Err(OpenError::Graph(error))
            if error.kind() == GraphErrorKind::NotSupported),
        "{what}: {refused:?}"
    );
    assert_eq!(mode(&root)?, 0o755, "{what}");
    assert_eq!(names(&root)?, before, "{what}");
    Ok(())
}

#[test]
fn a_directory_that_merely_has_something_called_graph_is_no_store() -> Result {
    let file = format!("graph/{ID}");
    let upper = format!("graph/{}/", ID.to_uppercase());
    let longer = format!("graph/{ID}0/");
    for paths in [
        &["graph"][..],
        &["graph/main.rs"],
        &["graph/nodes/", "vfs/dir/"],
        &["graph/c0ffee/"],
        &["graph/_tmp"],
        &["graph/tmp/", "lock"],
        &[&file],
        &[&upper, "vfs/"],
        &[&longer],
        // An empty one counts only where nothing else is.
        &["graph/", "Cargo.toml"],
        &["graph/", "vfs/", "home/"],
        &["graph/", ".layergraph-0123/"],
        // And what belongs to a store is none without it.
        &["vfs/dir/"],
        &["lock"],
    ] {
        let place = Place::new()?;
        root_with(&place, paths)?;
        assert_is_none(&place, &format!("{paths:?}"))?;
    }
    Ok(())
}

#[test]
fn a_link_to_the_graph_of_another_store_makes_no_store() -> Result {
    let (store, place) = (Place::new()?, Place::new()?);
    register(&StoreOptions::new().open_graph(&store.root())?)?;
    fs::create_dir(place.root())?;
    symlink(store.root().join("graph"), place.root().join("graph"))?;
    assert_is_none(&place, "a link")
}

#[test]
fn a_graph_that_has_had_nodes_or_an_empty_one_alone_is_a_store() -> Result {
    let node = format!("graph/{ID}/");
    for paths in [
        &["graph/_tmp/", "Cargo.toml"][..],
        &["graph/_tmp/", "graph/lost+found/"],
        &[&node, "Cargo.toml"],
        &["graph/"],
        &["graph/", "lock", "vfs/dir/"],
        &["graph/", "aufs/", "overlay/", "zfs/"],
        &["graph/", ".layergraph-0123456789abcdef/"],
    ] {
        let place = Place::new()?;
        root_with(&place, paths)?;
        let graph = StoreOptions::new()
            .create(false)
            .open_graph(&place.root())?;
        assert_eq!(mode(&place.root())?, 0o700, "{paths:?}");
        assert!(graph.map()?.by_id.is_empty());
        // It goes on as one of 2015.
        assert_eq!(place.format(), None);
    }
    Ok(())
}
