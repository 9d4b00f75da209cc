//! The driver without privileges. As root these tests run others once more as an ordinary user.

use layergraph_driver::Driver;
use layergraph_tests::require;

use crate::support::{Result, Store, as_ordinary_user, id, layer, listing_of, mode};

/// A tree that its owner may not write to is built on and removed all the same.
#[test]
fn trees_of_read_only_directories_are_built_on_and_removed() -> Result {
    let store = Store::new()?;
    store.commit("warm", None, &layer(&[])?)?;
    store.driver.remove(&id("warm"))?;
    let before = store.files()?;
    let read_only = layer(&[
        (0o555, "./"),
        (0o555, "d/"),
        (0o500, "d/e/"),
        (0o444, "d/e/f = 1"),
        (0o400, "g = 2"),
    ])?;
    store.commit("a", None, &read_only)?;
    assert_eq!(mode(&store.tree("a"))?, 0o555);
    store.commit("b", Some("a"), &layer(&[])?)?;
    assert_eq!(listing_of(&store.tree("b"))?, listing_of(&store.tree("a"))?);
    drop(store.driver.stage(Some(&id("b")))?);
    store.driver.remove(&id("a"))?;
    assert_eq!(store.driver.list()?, [id("b")]);
    assert_eq!(mode(&store.tree("b"))?, 0o555);
    store.driver.remove(&id("b"))?;
    assert_eq!(store.files()?, before, "nothing is left for a sweep");
    Ok(())
}

#[test]
fn the_laws_and_the_rest_hold_for_an_ordinary_user() -> Result {
    require!(root);
    require!(user);
    for (select, count) in [
        // Those of the driver, and of one that is opened anew for each call.
        (&["conformance::"][..], 62),
        (&["faults::"], 4),
        (
            &[
                "--exact",
                "ordinary_user::trees_of_read_only_directories_are_built_on_and_removed",
            ],
            1,
        ),
    ] {
        let said = as_ordinary_user(select)?;
        assert!(said.contains(&format!("{count} passed")), "{said}");
    }
    Ok(())
}
