//! Stores that go from one user to another: this test, once more as an ordinary user.

use layergraph::StoreOptions;
use layergraph::archive::Ownership;
use layergraph_tests::{partner_as_user, partner_home, require, this_test, user_directory};

use crate::support::{Result, register};

#[test]
fn the_store_of_an_ordinary_user_stays_squashed_in_the_hands_of_root() -> Result {
    if let Some(home) = partner_home() {
        let graph = StoreOptions::new().open_graph(&home.join("store"))?;
        assert_eq!(graph.driver().ownership(), Ownership::Squash);
        register(&graph)?;
        return Ok(());
    }
    require!(root);
    require!(user);
    let home = user_directory()?;
    partner_as_user(&this_test!(), home.path())?;

    let options = StoreOptions::new().create(false);
    let graph = options.open_graph(&home.path().join("store"))?;
    assert_eq!(graph.driver().ownership(), Ownership::Squash);
    assert_eq!(graph.map()?.by_id.len(), 1);
    Ok(())
}
