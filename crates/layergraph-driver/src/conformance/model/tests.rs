//! The model driver: that it is strict where others need not be.

use layergraph_fs::{Durability, NewFile};

use super::*;
use crate::DriverErrorKind::{Failed, InUse, NotFound, NotSupported};

fn options() -> DriverOptions {
    DriverOptions {
        durability: Durability::None,
        ..DriverOptions::default()
    }
}

fn model() -> ModelDriver {
    ModelDriver::new(&options()).expect("there is a temporary directory")
}

fn id(name: &str) -> LayerId {
    name.parse().expect("a plain name")
}

fn commit(driver: &ModelDriver, name: &str, parent: Option<&str>) -> Result<()> {
    let parent = parent.map(id);
    let staged = driver.stage(parent.as_ref())?;
    let file: Result<NewFile, _> = staged.dir().create_file(OsStr::new(name), 0o600);
    file.attempted(|| "cannot make a file".to_owned())?;
    staged.commit(&id(name), parent.as_ref())
}

#[test]
fn a_path_is_good_between_mount_and_unmount_only() -> Result<()> {
    let driver = model();
    commit(&driver, "base", None)?;
    let options = MountOptions::default();
    let path = driver.mount(&id("base"), &options)?;
    assert!(path.join("base").exists());
    assert!(!path.display().to_string().contains("base"));
    assert_eq!(driver.mount(&id("base"), &options)?, path);
    assert_eq!(driver.mounts(), [(id("base"), 2)]);
    driver.unmount(&id("base"))?;
    assert!(path.exists());
    driver.unmount(&id("base"))?;
    assert!(!path.exists());
    assert_ne!(driver.mount(&id("base"), &options)?, path);
    let at = MountOptions::at(Path::new("/nowhere"));
    let refused = driver
        .mount(&id("base"), &at)
        .expect_err("it has no such mounts");
    assert_eq!(refused.kind(), NotSupported);
    Ok(())
}

/// Checks that the call is refused, and recorded as the last misuse.
#[track_caller]
fn check_misuse<T>(driver: &ModelDriver, result: Result<T>, kind: DriverErrorKind, text: &str) {
    let error = result.err().expect("it is against the rules");
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(driver.misuses().last().map(String::as_str), Some(text));
}

#[test]
fn what_a_caller_must_not_do_is_refused_and_recorded() -> Result<()> {
    let driver = model();
    commit(&driver, "base", None)?;
    commit(&driver, "child", Some("base"))?;
    let (base, child) = (&id("base"), &id("child"));

    let removed = driver.remove(base);
    check_misuse(&driver, removed, InUse, "remove base: child is built on it");
    let staged = driver.stage(Some(base))?;
    let text = "commit new: it was not staged on the parent it is committed on";
    check_misuse(
        &driver,
        staged.commit(&id("new"), Some(child)),
        NotSupported,
        text,
    );

    let to_change = MountOptions {
        access: Access::ReadWrite,
        ..MountOptions::default()
    };
    let mounted = driver.mount(base, &to_change);
    check_misuse(&driver, mounted, InUse, "mount base: child is built on it");
    driver.mount(child, &to_change)?;
    let removed = driver.remove(child);
    check_misuse(&driver, removed, InUse, "remove child: it is mounted");
    let staged = driver.stage(Some(child));
    check_misuse(
        &driver,
        staged,
        InUse,
        "stage on child: it is mounted to be changed",
    );
    driver.unmount(child)?;
    let staged = driver.stage(Some(child))?;
    driver.remove(child)?;
    let text = "commit new: child was removed meanwhile";
    check_misuse(
        &driver,
        staged.commit(&id("new"), Some(child)),
        NotFound,
        text,
    );

    driver.unmount(base)?;
    let last = driver.misuses().last().cloned();
    assert_eq!(last.as_deref(), Some("unmount base: it is not mounted"));
    assert_eq!(driver.list()?, [id("base")]);
    assert_eq!(driver.parent(base), Some(None));
    Ok(())
}

#[test]
fn the_nth_call_of_a_kind_fails_and_changes_nothing() -> Result<()> {
    let driver = model();
    commit(&driver, "a", None)?;
    driver.fail(CallKind::Commit, 2);
    driver.fail(CallKind::Remove, 1);
    driver.fail(CallKind::List, 1);
    commit(&driver, "b", None)?;
    let refused = commit(&driver, "c", None).expect_err("it is the second");
    assert_eq!(refused.kind(), Failed);
    assert_eq!(refused.to_string(), "commit c fails because it was told to");
    assert!(driver.remove(&id("a")).is_err());
    assert!(driver.list().is_err());
    assert_eq!(driver.list()?, [id("a"), id("b")]);
    commit(&driver, "c", None)?;
    driver.remove(&id("a"))?;
    assert_eq!(driver.list()?, [id("b"), id("c")]);
    let home = driver.shared.home.sorted_names().expect("it is there");
    assert_eq!(home.len(), 2, "{home:?}");
    assert!(driver.misuses().is_empty());
    Ok(())
}

#[test]
fn the_log_has_every_call_in_order() -> Result<()> {
    let driver = model();
    commit(&driver, "a", None)?;
    commit(&driver, "b", Some("a"))?;
    driver.exists(&id("x"))?;
    assert!(driver.changes(&id("b"), Some(&id("x"))).is_err());
    driver.unmount(&id("b"))?;
    driver.sweep()?;
    let calls: Vec<String> = driver.calls().iter().map(ToString::to_string).collect();
    assert_eq!(
        calls,
        [
            "stage",
            "commit a",
            "stage on a",
            "commit b on a",
            "exists x",
            "layers b",
            "layers x: NotFound",
            "unmount b",
            "sweep",
        ]
    );
    Ok(())
}

/// The same root, opened again, has the same layers; a new directory by that name has none.
#[test]
fn a_root_is_known_again_as_long_as_it_is_there() -> Result<()> {
    let parent = tempfile::tempdir().expect("a temporary directory");
    let root = parent.path().join("root");
    let open = || ModelDriver::open("model", &root, &options());
    commit(&open()?, "a", None)?;
    assert_eq!(open()?.list()?, [id("a")]);
    std::fs::remove_dir_all(&root).expect("it can be removed");
    assert_eq!(open()?.list()?, []);
    Ok(())
}
