//! Which driver a store gets.

use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use layergraph_driver::conformance::ModelDriver;
use layergraph_driver::{
    Driver, DriverChoice, DriverError, DriverErrorKind, DriverOptions, OpenDriver, Registry,
};
use tempfile::TempDir;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const OVERLAY: OpenDriver =
    |root, options| Ok(Arc::new(ModelDriver::open("overlay", root, options)?));
const VFS: OpenDriver = |root, options| Ok(Arc::new(ModelDriver::open("vfs", root, options)?));

/// Two drivers, as the original had them, the first preferred.
fn registry() -> Result<Registry> {
    let mut registry = Registry::new();
    registry.register("overlay", OVERLAY)?;
    registry.register("vfs", VFS)?;
    Ok(registry)
}

fn named(name: &str) -> DriverChoice {
    DriverChoice::Named(name.to_owned())
}

fn choose(root: &Path, choice: &DriverChoice) -> Result<std::result::Result<String, DriverError>> {
    let opened = registry()?.open(root, choice, &DriverOptions::default());
    Ok(opened.map(|driver| driver.name().to_owned()))
}

#[track_caller]
fn check_refused(root: &Path, choice: &DriverChoice, kind: DriverErrorKind, text: &str) -> Result {
    let error = choose(root, choice)?.expect_err(text);
    assert_eq!(error.kind(), kind, "{error}");
    let text = text.replace("ROOT", &root.display().to_string());
    assert_eq!(error.to_string(), text);
    Ok(())
}

/// Makes a layer of the driver `name` in the root.
fn add_layer(root: &Path, name: &'static str) -> Result {
    let driver = ModelDriver::open(name, root, &DriverOptions::default())?;
    let staged = driver.stage(None)?;
    staged.dir().create_file("f".as_ref(), 0o600)?;
    Ok(staged.commit(&"layer".parse()?, None)?)
}

/// What the original chose, with the same drivers, for roots with these (empty) directories.
#[test]
fn the_choice_is_the_originals() -> Result {
    let text = include_str!("../data/driver_choice.json");
    let data: serde_json::Value = serde_json::from_str(text)?;
    let registered: Vec<_> = registry()?.names().map(serde_json::Value::from).collect();
    assert_eq!(data["registered"], serde_json::Value::from(registered));
    let cases = data["cases"].as_array().ok_or("cases are a list")?;
    for case in cases {
        let root = tempfile::tempdir()?;
        for name in case["existing_dirs"].as_array().into_iter().flatten() {
            fs::create_dir(root.path().join(name.as_str().ok_or("a name is a text")?))?;
        }
        let choice = case["DOCKER_DRIVER"]
            .as_str()
            .map_or(DriverChoice::Auto, named);
        match choose(root.path(), &choice)? {
            Ok(name) => assert_eq!(case["result"]["ok"], *name, "{case}"),
            Err(error) => {
                let expected = case["result"]["err"].as_str().ok_or(error.to_string())?;
                // Ours goes on with the name.
                assert_eq!(error.to_string(), format!("{expected}: nonesuch"));
                assert_eq!(error.kind(), DriverErrorKind::NotSupported);
            }
        }
    }
    assert_eq!(cases.len(), 9);
    Ok(())
}

#[test]
fn a_store_with_layers_keeps_its_driver() -> Result {
    let root = tempfile::tempdir()?;
    add_layer(root.path(), "vfs")?;
    assert_eq!(choose(root.path(), &DriverChoice::Auto)??, "vfs");
    assert_eq!(choose(root.path(), &named("vfs"))??, "vfs");
    let text = "ROOT holds layers of the driver vfs";
    check_refused(
        root.path(),
        &named("overlay"),
        DriverErrorKind::OtherDriver,
        text,
    )
}

#[test]
fn layers_of_two_drivers_need_a_name() -> Result {
    let root = tempfile::tempdir()?;
    add_layer(root.path(), "vfs")?;
    add_layer(root.path(), "overlay")?;
    let text = "ROOT holds layers of the driver overlay and of vfs";
    check_refused(
        root.path(),
        &DriverChoice::Auto,
        DriverErrorKind::OtherDriver,
        text,
    )?;
    for name in ["vfs", "overlay"] {
        assert_eq!(choose(root.path(), &named(name))??, name);
    }
    Ok(())
}

/// Layers that no driver here can read are not to be taken for absent.
#[test]
fn layers_of_a_driver_that_is_not_there_are_refused() -> Result {
    for name in ["aufs", "btrfs", "devicemapper", "overlay2", "zfs"] {
        let root = tempfile::tempdir()?;
        fs::create_dir_all(root.path().join(name).join("layers/c0ffee"))?;
        let text = format!("ROOT holds layers of the driver {name}");
        for choice in [DriverChoice::Auto, named("vfs")] {
            check_refused(root.path(), &choice, DriverErrorKind::OtherDriver, &text)?;
        }
    }
    let root = tempfile::tempdir()?;
    add_layer(root.path(), "vfs")?;
    let mut registry = Registry::new();
    registry.register("overlay", OVERLAY)?;
    let opened = registry.open(root.path(), &DriverChoice::Auto, &DriverOptions::default());
    assert_eq!(
        opened.expect_err("no vfs here").kind(),
        DriverErrorKind::OtherDriver
    );
    Ok(())
}

#[test]
fn a_name_that_nobody_has_registered_is_refused() -> Result {
    let root = tempfile::tempdir()?;
    let kind = DriverErrorKind::NotSupported;
    check_refused(
        root.path(),
        &named("zfs"),
        kind,
        "driver not supported: zfs",
    )
}

/// Empty directories and hidden ones are what opening a driver, or a sweep, leaves.
#[test]
fn what_opening_a_driver_leaves_is_no_state() -> Result {
    let root = tempfile::tempdir()?;
    for path in [
        "vfs/dir",
        "vfs/.staging/x",
        "vfs/.trash",
        "aufs/diff",
        "zfs/.hidden/x",
    ] {
        fs::create_dir_all(root.path().join(path))?;
    }
    fs::write(root.path().join("btrfs"), "a file")?;
    assert_eq!(choose(root.path(), &DriverChoice::Auto)??, "overlay");
    assert_eq!(choose(root.path(), &named("vfs"))??, "vfs");
    // A file in a driver's directory is state, as is anything in one of its directories.
    fs::write(root.path().join("aufs/state"), "")?;
    let text = "ROOT holds layers of the driver aufs";
    check_refused(
        root.path(),
        &named("vfs"),
        DriverErrorKind::OtherDriver,
        text,
    )
}

/// Drivers open their directory by its path, so a link there leads to layers.
#[test]
fn a_link_to_a_drivers_directory_is_followed() -> Result {
    let (root, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    symlink(elsewhere.path(), root.path().join("vfs"))?;
    assert_eq!(choose(root.path(), &DriverChoice::Auto)??, "overlay");
    fs::create_dir_all(elsewhere.path().join("dir/layer"))?;
    assert_eq!(choose(root.path(), &DriverChoice::Auto)??, "vfs");
    Ok(())
}

#[test]
fn a_root_that_is_not_there_has_no_state() -> Result {
    let parent = tempfile::tempdir()?;
    let root = parent.path().join("root");
    assert_eq!(choose(&root, &named("vfs"))??, "vfs");
    Ok(())
}

#[test]
fn a_second_registration_is_refused() -> Result {
    let mut registry = registry()?;
    let error = registry.register("vfs", OVERLAY).expect_err("there is one");
    assert_eq!(error.kind(), DriverErrorKind::AlreadyExists);
    assert_eq!(error.to_string(), "Name already registered vfs");
    assert_eq!(registry.names().collect::<Vec<_>>(), ["overlay", "vfs"]);
    assert_eq!(format!("{registry:?}"), r#"["overlay", "vfs"]"#);
    let root = tempfile::tempdir()?;
    let driver = registry.open(root.path(), &named("vfs"), &DriverOptions::default())?;
    assert_eq!(driver.name(), "vfs");
    Ok(())
}

/// A driver that fails in a way.
fn failing(kind: DriverErrorKind) -> OpenDriver {
    match kind {
        DriverErrorKind::NotSupported => |_, _| Err(error(DriverErrorKind::NotSupported)),
        DriverErrorKind::Prerequisites => |_, _| Err(error(DriverErrorKind::Prerequisites)),
        DriverErrorKind::IncompatibleFilesystem => {
            |_, _| Err(error(DriverErrorKind::IncompatibleFilesystem))
        }
        _ => |_, _| Err(error(DriverErrorKind::Failed)),
    }
}

fn error(kind: DriverErrorKind) -> DriverError {
    DriverError::new(kind, "it does not work")
}

fn open_with_failing(
    kind: DriverErrorKind,
    choice: &DriverChoice,
    root: &TempDir,
) -> Result<String> {
    let mut registry = Registry::new();
    registry.register("overlay", failing(kind))?;
    registry.register("vfs", VFS)?;
    let driver = registry.open(root.path(), choice, &DriverOptions::default())?;
    Ok(driver.name().to_owned())
}

/// A driver that does not work on this machine is passed over, unless it is the one that is wanted
/// or whose layers are there; one that is broken is not.
#[test]
fn drivers_that_cannot_work_here_are_passed_over() -> Result {
    for kind in [
        DriverErrorKind::NotSupported,
        DriverErrorKind::Prerequisites,
        DriverErrorKind::IncompatibleFilesystem,
    ] {
        let root = tempfile::tempdir()?;
        assert_eq!(open_with_failing(kind, &DriverChoice::Auto, &root)?, "vfs");
        assert!(open_with_failing(kind, &named("overlay"), &root).is_err());
        let root = tempfile::tempdir()?;
        add_layer(root.path(), "overlay")?;
        assert!(open_with_failing(kind, &DriverChoice::Auto, &root).is_err());
    }
    let root = tempfile::tempdir()?;
    let broken = open_with_failing(DriverErrorKind::Failed, &DriverChoice::Auto, &root);
    assert_eq!(
        broken.expect_err("it is told").to_string(),
        "it does not work"
    );

    let mut none = Registry::new();
    let open =
        |none: &Registry| none.open(root.path(), &DriverChoice::Auto, &DriverOptions::default());
    for _ in 0..2 {
        let error = open(&none).expect_err("there is none");
        assert_eq!(error.kind(), DriverErrorKind::NotSupported);
        assert_eq!(error.to_string(), "No supported storage backend found");
        // Nor is there with one that does not work.
        let _ = none.register("overlay", failing(DriverErrorKind::Prerequisites));
    }
    Ok(())
}
