//! `StoreOptions`: stores that are there, and stores that are not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use layergraph::archive::Ownership;
use layergraph::fs::effective_user;
use layergraph::{
    DriverChoice, DriverErrorKind, FormatError, GraphErrorKind, OpenError, StoreOptions, drivers,
};
use layergraph_tests::names;

use crate::support::{Place, Result, register};

fn named(driver: &str) -> StoreOptions {
    StoreOptions::new().driver(DriverChoice::Named(driver.to_owned()))
}

#[test]
fn a_store_that_is_missing_is_made_only_if_wanted() -> Result {
    let place = Place::new()?;
    let missing = StoreOptions::new().create(false).open_graph(&place.root());
    assert!(matches!(&missing, Err(OpenError::NoStore { root }) if *root == place.root()));
    assert!(!place.root().exists());

    // A directory with other things in it is no store.
    fs::create_dir(place.root())?;
    fs::write(place.root().join("file"), "")?;
    let missing = StoreOptions::new().create(false).open_graph(&place.root());
    assert!(matches!(missing, Err(OpenError::NoStore { .. })));
    assert_eq!(names(&place.root())?, ["file"]);

    // Nor is one made of a directory that others may enter.
    let refused = StoreOptions::new().open_graph(&place.root());
    assert!(matches!(&refused, Err(OpenError::Graph(error))
        if error.kind() == GraphErrorKind::NotSupported));
    assert_eq!(names(&place.root())?, ["file"]);

    fs::set_permissions(place.root(), fs::Permissions::from_mode(0o700))?;
    let id = register(&StoreOptions::new().open_graph(&place.root())?)?;
    let graph = StoreOptions::new()
        .create(false)
        .open_graph(&place.root())?;
    assert_eq!(graph.get(&id)?.id().to_string(), id);
    Ok(())
}

#[test]
fn r5_a_new_store_is_for_its_owner_alone() -> Result {
    let place = Place::new()?;
    StoreOptions::new().open_graph(&place.root())?;
    let mode = fs::metadata(place.root())?.permissions().mode() & 0o7777;
    assert_eq!(mode, 0o700);
    Ok(())
}

#[test]
fn a_store_has_the_ownership_it_was_made_with() -> Result {
    for (ownership, other) in [
        (Ownership::Squash, Ownership::Preserve),
        (Ownership::Preserve, Ownership::Squash),
    ] {
        let place = Place::new()?;
        let made = named("vfs")
            .ownership(ownership.clone())
            .open_graph(&place.root())?;
        assert_eq!(made.driver().ownership(), ownership);
        let format = place.format();
        assert_eq!(format.is_some(), ownership == Ownership::Squash);

        let again = StoreOptions::new().open_graph(&place.root())?;
        assert_eq!(again.driver().ownership(), ownership);
        let refused = StoreOptions::new()
            .ownership(other)
            .open_graph(&place.root());
        assert!(
            matches!(
                refused,
                Err(OpenError::Format(FormatError::Ownership { .. }))
            ),
            "{refused:?}"
        );
        assert_eq!(place.format(), format);
    }
    Ok(())
}

#[test]
fn by_itself_a_new_store_preserves_for_root_and_squashes_for_others() -> Result {
    let place = Place::new()?;
    let graph = StoreOptions::new().open_graph(&place.root())?;
    let expected = if effective_user() == 0 {
        Ownership::Preserve
    } else {
        Ownership::Squash
    };
    assert_eq!(graph.driver().ownership(), expected);
    Ok(())
}

/// As the original left it: without a file that says how it was made.
#[test]
fn a_root_of_2015_preserves_whoever_opens_it_and_stays_as_it_is() -> Result {
    let place = Place::new()?;
    let id = "c0ffee".to_owned() + &"0".repeat(58);
    let node = place.root().join("graph").join(&id);
    fs::create_dir_all(&node)?;
    fs::create_dir_all(place.root().join("vfs/dir").join(&id))?;
    let json = format!("{{\"id\":\"{id}\",\"created\":\"2015-06-01T00:00:00Z\",\"Size\":0}}\n");
    fs::write(node.join("json"), json)?;
    fs::write(node.join("layersize"), "0")?;

    let graph = StoreOptions::new()
        .create(false)
        .open_graph(&place.root())?;
    assert_eq!(graph.driver().ownership(), Ownership::Preserve);
    assert_eq!(graph.get("c0ffee")?.id().to_string(), id);
    // Root may build on it, and the original could go on with that.
    if effective_user() == 0 {
        register(&graph)?;
    }
    assert_eq!(place.format(), None);
    let refused = StoreOptions::new()
        .ownership(Ownership::Squash)
        .open_graph(&place.root());
    assert!(matches!(
        refused,
        Err(OpenError::Format(FormatError::Ownership { .. }))
    ));
    assert_eq!(place.format(), None);
    Ok(())
}

#[test]
fn a_driver_is_the_one_that_the_store_was_made_with() -> Result {
    for ownership in [Ownership::Preserve, Ownership::Squash] {
        let place = Place::new()?;
        named("vfs")
            .ownership(ownership.clone())
            .open_graph(&place.root())?;
        let graph = StoreOptions::new().open_graph(&place.root())?;
        assert_eq!(graph.driver().name(), "vfs");

        // One that nobody here has, in this store and in a new one: nothing changes.
        let before = names(&place.root())?;
        let refused = named("zfs").open_graph(&place.root());
        match ownership {
            // Who reads the file need not look for layers.
            Ownership::Squash => assert!(
                matches!(&refused, Err(OpenError::Format(FormatError::Driver { found, .. }))
                    if found == "vfs"),
                "{refused:?}"
            ),
            _ => assert!(
                matches!(&refused, Err(OpenError::Driver(error))
                    if error.kind() == DriverErrorKind::NotSupported),
                "{refused:?}"
            ),
        }
        assert_eq!(names(&place.root())?, before);
        let new = Place::new()?;
        let refused = named("zfs").ownership(ownership).open_graph(&new.root());
        assert!(refused.is_err());
        assert!(!new.root().exists());
    }
    Ok(())
}

#[test]
fn a_store_of_a_driver_that_is_not_here_is_refused_and_left_alone() -> Result {
    for driver in ["aufs", "devicemapper"] {
        let place = Place::new()?;
        fs::create_dir_all(place.root().join(driver).join("layers/one"))?;
        fs::create_dir_all(place.root().join("graph"))?;
        for options in [StoreOptions::new(), named("vfs")] {
            let refused = options.open_graph(&place.root());
            assert!(
                matches!(&refused, Err(OpenError::Driver(error))
                    if error.kind() == DriverErrorKind::OtherDriver),
                "{refused:?}"
            );
        }
        let mut expected = vec![driver.to_owned(), "graph".to_owned()];
        expected.sort();
        assert_eq!(names(&place.root())?, expected);
    }
    Ok(())
}

#[test]
fn the_drivers_that_were_built_in_have_names() -> Result {
    let drivers = drivers()?;
    let names: Vec<&str> = drivers.names().collect();
    assert!(names.contains(&"vfs"), "{names:?}");
    Ok(())
}

#[test]
fn a_store_is_described_as_it_was_made_and_nothing_is_changed() -> Result {
    let place = Place::new()?;
    assert!(StoreOptions::new().describe(&place.root())?.is_none());
    assert!(!place.root().exists());

    let text = "{\"version\":1,\"features\":{\"compatible\":[\"fast\"],\
                \"incompatible\":[\"ownership=squash\",\"driver=vfs\"]}}";
    let place = Place::with_format(text)?;
    let described = || StoreOptions::new().describe(&place.root());
    let made = described()?.ok_or("a store")?;
    let features = made.features.ok_or("features")?;
    assert_eq!((made.version, made.nodes), (Some(1), 0));
    assert_eq!(features.compatible, ["fast"]);
    assert_eq!(features.read_only_compatible, [""; 0]);
    assert_eq!(features.incompatible, ["ownership=squash", "driver=vfs"]);
    assert_eq!(made.driver.ownership(), Ownership::Squash);
    assert_eq!(names(&place.root())?, ["layergraph.json"]);

    register(&StoreOptions::new().open_graph(&place.root())?)?;
    assert_eq!(described()?.map(|made| made.nodes), Some(1));
    let refused = named("overlay").describe(&place.root());
    assert!(matches!(
        refused,
        Err(OpenError::Format(FormatError::Driver { .. }))
    ));

    // What is in the place of the graph is none.
    fs::remove_dir_all(place.root().join("graph"))?;
    fs::write(place.root().join("graph"), "")?;
    assert!(matches!(described(), Err(OpenError::Graph(error))
        if error.kind() == GraphErrorKind::Damaged));
    Ok(())
}
