//! Which store a command works on, and stores that cannot be opened.

use std::fs;

use layergraph_tests::{as_user, require, user_directory};
use serde_json::{Value, json};

use crate::support::{
    Arg, Home, Result, Said, Store, bad_layer, good_layer, id, installed, layergraph, names, run,
};

/// A line of each command that does not make a store.
const LINES: [&[&str]; 11] = [
    &["layers"],
    &["tree"],
    &["history", "c0"],
    &["raw-json", "c0"],
    &["digest", "c0"],
    &["changes", "c0"],
    &["diff-size", "c0"],
    &["export-layer", "c0"],
    &["rm-layer", "c0"],
    &["mount", "c0"],
    &["unmount", "/"],
];

#[test]
fn where_there_is_no_store_nothing_is_made() -> Result {
    let store = Store::new()?;
    let empty = store.home.dir("empty")?;
    for line in LINES {
        for root in [&store.root(), &empty] {
            let mut command = layergraph(&[&"--root", root]);
            let said = run(command.args(line))?;
            assert_eq!(said.status, Some(3), "{line:?}: {}", said.stderr);
            let why = format!(": there is no store at {}\n", root.display());
            assert!(said.stderr.contains(&why), "{}", said.stderr);
            let hint = "register makes a store; --root says where another one is";
            assert_eq!(said.hint(), Some(hint));
        }
    }
    assert_eq!(store.home.names()?, ["empty"]);
    assert_eq!(names(&empty)?, [""; 0]);
    Ok(())
}

#[test]
fn register_makes_the_store_for_its_owner_alone() -> Result {
    use std::os::unix::fs::PermissionsExt;
    let store = Store::new()?;
    store.say(&[&"register"])?.done();
    assert_eq!(
        fs::metadata(store.root())?.permissions().mode() & 0o7777,
        0o700
    );
    Ok(())
}

#[test]
fn the_root_is_named_by_option_or_variable() -> Result {
    let home = Home::new()?;
    let [option, variable] = ["option", "variable"].map(|name| home.path(name));
    let run_in = |args: &[Arg<'_>]| {
        let mut command = layergraph(args);
        command.env("LAYERGRAPH_ROOT", &variable);
        run(&mut command)
    };
    run_in(&[&"register", &"--root", &option])?.done();
    assert_eq!(home.names()?, ["option"]);
    run_in(&[&"register"])?.done();
    assert_eq!(home.names()?, ["option", "variable"]);
    Ok(())
}

#[test]
fn an_ordinary_user_has_the_store_where_data_go() -> Result {
    require!(root);
    require!(user);
    let home = user_directory()?;
    let user = |variables: &[(&str, &std::path::Path)]| -> std::io::Result<Said> {
        let (_bin, mut command) = installed()?;
        let command = as_user(command.arg("register"));
        command.env_remove("XDG_DATA_HOME").env_remove("HOME");
        run(command.envs(variables.iter().copied()))
    };
    let xdg = home.path().join("xdg");
    user(&[("XDG_DATA_HOME", &xdg), ("HOME", home.path())])?.done();
    assert!(xdg.join("layergraph/graph").is_dir());
    user(&[("HOME", home.path())])?.done();
    assert!(home.path().join(".local/share/layergraph/graph").is_dir());
    user(&[("HOME", std::path::Path::new("relative"))])?.failed(
        2,
        "layergraph: register a node: no store is named: give --root DIR",
    );
    Ok(())
}

#[test]
fn a_driver_that_is_not_there_is_not_supported() -> Result {
    let store = Store::new()?;
    store.register(&id("c0"), "", &good_layer())?;
    for (driver, status) in [("auto", 0), ("overlay", 0), ("vfs", 10), ("aufs", 2)] {
        let said = store.say(&[&"layers", &"--driver", &driver])?;
        assert_eq!(said.status, Some(status), "{driver}: {}", said.stderr);
    }
    Ok(())
}

#[test]
fn a_store_of_another_version_or_kind_is_not_touched() -> Result {
    for (file, status, why) in [
        ("{", 8, "cannot read "),
        ("{\"version\":2,\"features\":{}}", 10, "format version 2"),
        (
            "{\"version\":1,\"features\":{\"incompatible\":[\"magic\"]}}",
            10,
            "the feature \"magic\"",
        ),
        (
            "{\"version\":1,\"features\":{\"incompatible\":[\"driver=zfs\"]}}",
            10,
            "driver not supported: zfs",
        ),
    ] {
        let store = Store::new()?;
        fs::create_dir_all(store.root())?;
        fs::write(store.root().join("layergraph.json"), file)?;
        for line in [&["layers"][..], &["register"]] {
            let said = run(store.command(&[]).args(line))?;
            assert_eq!(said.status, Some(status), "{file}: {}", said.stderr);
            assert!(said.stderr.contains(why), "{file}: {}", said.stderr);
        }
        assert_eq!(names(&store.root())?, ["layergraph.json"]);
    }
    Ok(())
}

/// The whole work in the hands of an ordinary user, who has a store that squashes.
#[test]
fn an_ordinary_user_keeps_a_store() -> Result {
    require!(root);
    require!(user);
    let home = user_directory()?;
    let user = |args: &[&str]| -> std::io::Result<Said> {
        let (_bin, mut command) = installed()?;
        command.args(["--root", "store"]).args(args);
        run(as_user(&mut command).current_dir(home.path()))
    };
    let base = crate::support::Layer::new()
        .file("etc/shadow", "secret")
        .device("dev/null")
        .finish();
    fs::write(home.path().join("base.tar"), base)?;
    fs::write(home.path().join("bad.tar"), bad_layer())?;
    let (a, b) = (id("a0"), id("b0"));
    user(&["register", "--id", &a, "base.tar"])?.done();
    let said = user(&["register", "--parent", "a0", "bad.tar"])?;
    assert_eq!(said.status, Some(7), "{}", said.stderr);
    user(&["register", "--id", &b, "--parent", "a0"])?.done();
    let said = user(&["export-layer", "a0", "-o", "out.tar"])?.done();
    assert_eq!(said.stderr, "");

    // What was a record on disk is the true tree again.
    let roots = Store::new()?;
    roots.register(&a, "", &fs::read(home.path().join("out.tar"))?)?;
    let mount = roots.json(&[&"mount", &a])?;
    let tree = mount["path"].as_str().ok_or("a path")?.to_owned();
    let listed = crate::support::listing(std::path::Path::new(&tree))?;
    assert!(listed.contains("dev/null\tc\t0666\t0:0\t1,3"), "{listed}");

    // Root may use the store as it is.
    let store = home.path().join("store");
    let said = run(&mut layergraph(&[
        &"--root", &store, &"--json", &"changes", &"b0",
    ]))?
    .done();
    assert_eq!(serde_json::from_str::<Value>(said.text())?, json!([]));
    let said = user(&["rm-layer", "a0", "b0"])?.done();
    assert_eq!(said.text(), format!("{b}\n{a}\n"));
    Ok(())
}
