//! `info`: what it tells of stores, and that it leaves no trace.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use layergraph_tests::{as_user, require, user_directory};
use serde_json::{Value, json};

use crate::support::{Result, Said, Store, good_layer, id, installed, names, run};

/// Every path below a directory, with the modes of directories.
fn all_below(directory: &Path) -> std::io::Result<Vec<(String, u32)>> {
    let mut all = Vec::new();
    for name in names(directory)? {
        let path = directory.join(&name);
        let metadata = fs::symlink_metadata(&path)?;
        all.push((path.display().to_string(), metadata.permissions().mode()));
        if metadata.is_dir() {
            all.extend(all_below(&path)?);
        }
    }
    Ok(all)
}

#[test]
fn a_store_is_told_as_it_was_made_and_counted() -> Result {
    for driver in ["overlay", "vfs"] {
        let store = Store::with_driver(driver)?;
        store.register(&id("a0"), "", &good_layer())?;
        store.register(&id("b0"), &id("a0"), &good_layer())?;
        store.break_node(&id("b0"))?;
        let before = all_below(&store.root())?;
        let told = store.json(&[&"info"])?;
        assert_eq!(all_below(&store.root())?, before);
        assert_eq!(told["root"]["path"], json!(store.root()));
        assert_eq!(told["probed"], told["root"]);
        assert_eq!(told["driver"], driver);
        assert_eq!(told["nodes"], 2);
        let said = store.say(&[&"info"])?.done();
        assert_eq!(said.stderr, "");
        assert!(said.text().contains(&format!("\ndriver       {driver}\n")));
        assert!(
            said.text().contains("\nnodes        2\n"),
            "{}",
            said.text()
        );
        let file = store.root().join("layergraph.json");
        let Ok(file) = fs::read(file) else {
            // What the original could have made.
            assert_eq!(driver, "vfs");
            assert_eq!(
                (&told["version"], &told["features"]),
                (&json!(null), &json!(null))
            );
            assert!(said.text().contains("\nformat       as in 2015\n"));
            continue;
        };
        let file: Value = serde_json::from_slice(&file)?;
        assert_eq!(told["version"], file["version"]);
        let features = &file["features"];
        assert_eq!(told["features"]["compatible"], features["compatible"]);
        assert_eq!(told["features"]["incompatible"], features["incompatible"]);
        let whiteouts = told["whiteouts"]
            .as_str()
            .map(|kind| format!("whiteouts={kind}"));
        let named = [
            whiteouts,
            told["ownership"]
                .as_str()
                .map(|how| format!("ownership={how}")),
        ];
        for feature in named.into_iter().flatten() {
            assert!(said.text().contains(&feature), "{feature}: {}", said.text());
        }
    }
    Ok(())
}

#[test]
fn where_no_store_is_the_nearest_directory_is_probed_and_none_is_made() -> Result {
    let store = Store::new()?;
    for root in [store.root(), store.root().join("some/where")] {
        let mut command = crate::support::layergraph(&[&"--root", &root, &"info"]);
        let said = run(&mut command)?.done();
        let line = format!(
            "store        {} (not there; register makes it)\n",
            root.display()
        );
        assert!(said.text().starts_with(&line), "{}", said.text());
        let told: Value = serde_json::from_str(run(command.arg("--json"))?.done().text())?;
        for of_store in [
            "version",
            "features",
            "driver",
            "ownership",
            "whiteouts",
            "nodes",
        ] {
            assert_eq!(told[of_store], Value::Null, "{of_store}");
        }
        assert_eq!(told["probed"]["path"], json!(store.root().parent()));
        assert_ne!(told["probe"], Value::Null);
    }
    assert_eq!(store.home.names()?, [""; 0]);
    Ok(())
}

/// Nor is a directory with other things in it one, or one that holds no node yet changed.
#[test]
fn what_is_there_stays_as_it_is() -> Result {
    let store = Store::new()?;
    fs::create_dir(store.root())?;
    fs::write(store.root().join("file"), "")?;
    assert_eq!(store.json(&[&"info"])?["driver"], Value::Null);
    assert_eq!(names(&store.root())?, ["file"]);
    fs::remove_file(store.root().join("file"))?;
    let text = "{\"version\":1,\"features\":{\"compatible\":[\"fast\"],\
                \"incompatible\":[\"ownership=squash\",\"driver=vfs\"]}}";
    fs::write(store.root().join("layergraph.json"), text)?;
    fs::set_permissions(store.root(), fs::Permissions::from_mode(0o755))?;
    let told = store.json(&[&"info"])?;
    assert_eq!(
        (&told["nodes"], &told["ownership"]),
        (&json!(0), &json!("squash"))
    );
    assert_eq!(told["features"]["compatible"], json!(["fast"]));
    assert_eq!(names(&store.root())?, ["layergraph.json"]);
    let mode = fs::metadata(store.root())?.permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    Ok(())
}

#[test]
fn a_store_that_cannot_be_opened_is_an_error_as_for_all_commands() -> Result {
    let store = Store::with_driver("overlay")?;
    store.register(&id("a0"), "", &good_layer())?;
    let mut other = crate::support::layergraph(&[&"--root", &store.root(), &"--driver", &"vfs"]);
    let said = run(other.arg("info"))?;
    let shown = store.root();
    let line = format!(
        "layergraph: tell about the store {}: the store was made for the driver overlay, not for \
         vfs",
        shown.display()
    );
    said.failed(10, &line);
    assert_eq!(said.hint(), Some("leave out --driver"));
    let later = "{\"version\":2,\"features\":{}}";
    fs::write(store.root().join("layergraph.json"), later)?;
    assert_eq!(store.say(&[&"info"])?.status, Some(10));
    Ok(())
}

#[test]
fn an_ordinary_user_is_told_what_can_be_found_out() -> Result {
    require!(root);
    require!(user);
    let home = user_directory()?;
    let user = |root: &str, args: &[&str]| -> std::io::Result<Said> {
        let (_bin, mut command) = installed()?;
        command.args(["--root", root, "info"]).args(args);
        run(as_user(&mut command).current_dir(home.path()))
    };
    let said = user("store", &["--json"])?.done();
    let told: Value = serde_json::from_str(said.text())?;
    assert_eq!(told["probed"]["path"], json!(home.path()));
    let probe = &told["probe"];
    assert_eq!(probe["trusted_xattrs"], false);
    assert_eq!(probe["mount_methods"], json!([]));
    assert!(probe["mount_error"].is_string(), "{probe}");
    assert_eq!(names(home.path())?, [""; 0]);

    // Where nothing can be made, that is a warning.
    let closed = tempfile::tempdir()?;
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o755))?;
    let root = closed.path().join("store").display().to_string();
    let said = user(&root, &[])?.done();
    assert!(
        said.text().ends_with("overlayfs  unknown\n"),
        "{}",
        said.text()
    );
    let line = "layergraph: warning: find out what a driver can do there: cannot probe ";
    assert!(said.stderr.starts_with(line), "{}", said.stderr);
    assert_eq!(said.stderr.lines().count(), 1);
    let said = user(&root, &["--json", "--log", "error"])?.done();
    let told: Value = serde_json::from_str(said.text())?;
    assert_eq!((&told["probe"], said.stderr.as_str()), (&Value::Null, ""));
    Ok(())
}
