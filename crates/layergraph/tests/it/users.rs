//! Stores that go from one user to another: this test, once more as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use layergraph::StoreOptions;
use layergraph::archive::Ownership;
use layergraph_tests::{as_user, install, require, user_directory};

use crate::support::{Result, register};

/// Where the store is, for the run as an ordinary user.
const ROOT: &str = "LAYERGRAPH_TESTS_ROOT";

const AMPLE: Duration = Duration::from_secs(60);

#[test]
fn the_store_of_an_ordinary_user_stays_squashed_in_the_hands_of_root() -> Result {
    if let Some(root) = std::env::var_os(ROOT) {
        let graph = StoreOptions::new().open_graph(Path::new(&root))?;
        assert_eq!(graph.driver().ownership(), Ownership::Squash);
        register(&graph)?;
        return Ok(());
    }
    require!(root);
    require!(user);
    let home = user_directory()?;
    let root = home.path().join("store");
    let bin = tempfile::tempdir()?;
    fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755))?;
    let name = "users::the_store_of_an_ordinary_user_stays_squashed_in_the_hands_of_root";
    let mut again = Command::new(install(&std::env::current_exe()?, bin.path())?);
    again
        .args(["--exact", name])
        .env(ROOT, &root)
        .stdin(Stdio::null());
    let again = layergraph_tests::run(as_user(&mut again), AMPLE)?;
    assert!(again.status.success(), "{again:?}");
    let said = String::from_utf8(again.stdout)?;
    assert!(said.contains("test result: ok. 1 passed"), "{said}");

    let graph = StoreOptions::new().create(false).open_graph(&root)?;
    assert_eq!(graph.driver().ownership(), Ownership::Squash);
    assert_eq!(graph.map()?.by_id.len(), 1);
    Ok(())
}
