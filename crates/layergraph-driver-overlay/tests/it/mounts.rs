//! Mounts: who may have which, how they are counted, and what becomes of their records.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use layergraph_driver::{Driver, DriverErrorKind, MountOptions};
use layergraph_driver_overlay::OverlayDriver;
use layergraph_fs::{Dir, Durability};
use layergraph_tests::{
    Partner, is_inside, is_within, names, partner_home, ready_until_told, require, this_test,
};

use crate::support::{Result, Store, assert_refused, id, layer, listing_of, options, to_change};

/// A store with a layer, and one on top of it.
fn two_layers() -> Result<Store> {
    let store = Store::new()?;
    store.layer("base", None)?;
    store.layer("child", Some("base"))?;
    Ok(store)
}

fn records(store: &Store) -> Result<Vec<String>> {
    Ok(names(&store.home(".mounts"))?)
}

#[test]
fn what_is_changed_in_a_mount_lands_in_the_layer() -> Result {
    require!(overlay_mount);
    check_changes_land("trusted.overlay.opaque")
}

#[test]
fn what_is_changed_in_a_mount_in_a_user_namespace_lands_in_the_layer() -> Result {
    require!(program "unshare");
    let mut program = Command::new("unshare");
    if is_within(
        program.args(["--map-root-user", "--user", "--mount"]),
        &this_test!(),
    )? {
        check_changes_land("user.overlay.opaque")?;
    }
    Ok(())
}

/// Changes a layer in a mount, in which the sign that a directory hides what is below is `opaque`.
fn check_changes_land(opaque: &str) -> Result {
    let store = Store::new()?;
    let below = [(0o755, "d/"), (0o644, "d/f = 1"), (0o644, "base = 2")];
    store.commit("base", None, &layer(&below)?)?;
    store.layer("child", Some("base"))?;
    let base = store.listing("base")?;
    let path = store.driver.mount(&id("child"), &to_change())?;
    assert_eq!(path, store.home("child/merged"));
    fs::write(path.join("new"), "1")?;
    fs::remove_file(path.join("base"))?;
    fs::remove_dir_all(path.join("d"))?;
    fs::create_dir(path.join("d"))?;
    let mounted = listing_of(&path)?;
    store.driver.unmount(&id("child"))?;
    let diff = store.home("child/diff");
    assert_eq!(names(&diff)?, ["base", "child", "d", "new"]);
    let sign = Dir::open(&diff)?.xattr("d".as_ref(), opaque.as_ref())?;
    assert_eq!(sign.as_deref(), Some(b"y".as_slice()));
    assert_eq!(store.listing("child")?, mounted);
    assert_eq!(store.listing("base")?, base);
    let changes = store.driver.changes(&id("child"), Some(&id("base")))?;
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    let expected = ["D /base", "A /child", "C /d", "D /d/f", "A /new"];
    assert_eq!(changes, expected);
    // It can be built on, and then no longer be changed.
    store.layer("grandchild", Some("child"))?;
    let refused = store.driver.mount(&id("child"), &to_change());
    let refused = assert_refused(refused, DriverErrorKind::InUse);
    assert_eq!(
        refused.to_string(),
        "layer child cannot be changed: others are built on it"
    );
    store.driver.mount(&id("child"), &MountOptions::default())?;
    Ok(())
}

#[test]
fn a_layer_is_changed_by_one_mount_and_read_by_none_meanwhile() -> Result {
    require!(overlay_mount);
    let store = two_layers()?;
    let [one, other] = [store.target("one")?, store.target("other")?];
    let child = id("child");
    let at = |target: &Path| MountOptions::at(target);
    let change_at = |target: &Path| {
        let mut options = to_change();
        options.target = Some(target.to_owned());
        options
    };
    let check = |options: &MountOptions| {
        assert_refused(store.driver.mount(&child, options), DriverErrorKind::InUse);
    };
    // Many may read it.
    assert_eq!(store.driver.mount(&child, &at(&one))?, one);
    store.driver.mount(&child, &at(&other))?;
    store.driver.mount(&child, &MountOptions::default())?;
    check(&to_change());
    check(&at(&one));
    store.driver.unmount(&child)?;
    store.driver.unmount_at(&one)?;
    check(&to_change());
    store.driver.unmount_at(&other)?;

    store.driver.mount(&child, &change_at(&one))?;
    for options in [
        change_at(&other),
        at(&other),
        to_change(),
        MountOptions::default(),
    ] {
        check(&options);
    }
    // Nobody builds on what changes.
    assert_refused(store.driver.stage(Some(&child)), DriverErrorKind::InUse);
    let committed = store.driver.stage(None)?.commit(&id("new"), Some(&child));
    assert_refused(committed, DriverErrorKind::InUse);
    store.driver.unmount_at(&one)?;
    store.layer("new", Some("child"))?;
    assert!(records(&store)?.is_empty() && store.mounted().is_empty());
    Ok(())
}

#[test]
fn mounts_at_the_drivers_own_place_are_counted() -> Result {
    require!(overlay_mount);
    let store = two_layers()?;
    let child = id("child");
    let again = OverlayDriver::open(store.root(), &options(Durability::None))?;
    for options in [MountOptions::default(), to_change()] {
        let path = store.driver.mount(&child, &options)?;
        assert_eq!(again.mount(&child, &options)?, path);
        assert_eq!(store.driver.mount(&child, &options)?, path);
        assert_eq!(store.mounted(), [path.as_path()]);
        for left in [1, 1, 0, 0] {
            again.unmount(&child)?;
            assert_eq!(store.mounted().len(), left);
        }
        assert!(records(&store)?.is_empty());
    }
    // One that is mounted otherwise is another.
    store.driver.mount(&child, &MountOptions::default())?;
    let mut other = MountOptions::default();
    other.nosuid = true;
    assert_refused(again.mount(&child, &other), DriverErrorKind::InUse);
    Ok(())
}

#[test]
fn mounts_are_counted_across_processes() -> Result {
    if let Some(home) = partner_home() {
        let driver = OverlayDriver::open(&home, &options(Durability::None))?;
        driver.mount(&id("child"), &to_change())?;
        ready_until_told()?;
        return Ok(driver.unmount(&id("child"))?);
    }
    require!(overlay_mount);
    let store = two_layers()?;
    store.driver.mount(&id("child"), &to_change())?;
    let mut partner = Partner::start(&this_test!(), store.root())?;
    partner.wait_ready()?;
    store.driver.unmount(&id("child"))?;
    assert_eq!(store.mounted().len(), 1, "the partner has it still");
    partner.finish()?;
    assert!(store.mounted().is_empty() && records(&store)?.is_empty());
    Ok(())
}

/// The mount of a process that was killed is there, so it counts; once it is gone, its record does
/// not, and a sweep removes it.
#[test]
fn the_record_of_a_killed_process_lives_as_long_as_its_mount() -> Result {
    if let Some(home) = partner_home() {
        let driver = OverlayDriver::open(&home, &options(Durability::None))?;
        driver.mount(&id("child"), &MountOptions::default())?;
        return Ok(ready_until_told()?);
    }
    require!(overlay_mount);
    let store = two_layers()?;
    let mut partner = Partner::start(&this_test!(), store.root())?;
    partner.wait_ready()?;
    partner.kill()?;
    assert_eq!(store.driver.sweep()?, 0);
    assert_refused(store.driver.remove(&id("child")), DriverErrorKind::InUse);
    rustix::mount::unmount(
        store.home("child/merged"),
        rustix::mount::UnmountFlags::empty(),
    )?;
    assert_eq!(records(&store)?, ["child"]);
    assert_eq!(store.driver.sweep()?, 1);
    assert!(records(&store)?.is_empty());
    store.driver.remove(&id("child"))?;
    Ok(())
}

/// Changes what a record says.
fn rewrite(store: &Store, name: &str, change: impl Fn(&mut serde_json::Value)) -> Result {
    let path = store.home(".mounts").join(name);
    let mut record = serde_json::from_slice(&fs::read(&path)?)?;
    change(&mut record);
    Ok(fs::write(path, serde_json::to_vec(&record)?)?)
}

#[test]
fn a_record_of_another_boot_or_mount_does_not_count() -> Result {
    require!(overlay_mount);
    let store = two_layers()?;
    let child = id("child");
    let other_boot = |record: &mut serde_json::Value| {
        record["whereabouts"]["boot"] = "00000000-0000-0000-0000-000000000000".into();
    };
    let other_mount = |record: &mut serde_json::Value| {
        // The same number, which another mount got.
        record["mount"]["unique"] = 1.into();
    };
    let before_the_mount = |record: &mut serde_json::Value| {
        record["mount"] = serde_json::Value::Null;
        record["target"] = "/proc".into();
    };
    let changes: [&dyn Fn(&mut serde_json::Value); 3] =
        [&other_boot, &other_mount, &before_the_mount];
    for change in changes {
        store.driver.mount(&child, &MountOptions::default())?;
        assert_eq!(store.driver.sweep()?, 0);
        rewrite(&store, "child", change)?;
        assert_eq!(store.driver.sweep()?, 1);
        // What is mounted without a record keeps its layer.
        assert_refused(store.driver.remove(&child), DriverErrorKind::InUse);
        for path in store.mounted() {
            rustix::mount::unmount(path, rustix::mount::UnmountFlags::empty())?;
        }
    }
    // A record of a mount that was about to be made counts if it was.
    store.driver.mount(&child, &MountOptions::default())?;
    rewrite(&store, "child", |record| {
        record["mount"] = serde_json::Value::Null;
    })?;
    assert_eq!(store.driver.sweep()?, 0);
    store.driver.unmount(&child)?;
    store.driver.remove(&child)?;
    Ok(())
}

#[test]
fn a_record_that_is_none_is_named_and_stops_no_sweep() -> Result {
    require!(overlay_mount);
    let store = two_layers()?;
    store.driver.mount(&id("child"), &MountOptions::default())?;
    rewrite(&store, "child", |record| {
        record["whereabouts"]["boot"] = "another".into();
    })?;
    fs::write(store.home(".mounts/broken"), "{")?;
    let failed = assert_refused(store.driver.sweep(), DriverErrorKind::Damaged);
    assert!(failed.to_string().contains(".mounts/broken"), "{failed}");
    assert_eq!(records(&store)?, ["broken"]);
    Ok(())
}

#[test]
fn a_mount_in_another_namespace_counts_as_long_as_that_lives() -> Result {
    if let Some(home) = partner_home() {
        let driver = OverlayDriver::open(&home, &options(Durability::None))?;
        driver.mount(&id("child"), &MountOptions::default())?;
        return Ok(ready_until_told()?);
    }
    require!(root);
    require!(overlay_mount);
    require!(program "unshare");
    let store = two_layers()?;
    let test = this_test!();
    let mut partner = Partner::start_by(&test, store.root(), |command| {
        let mut unshare = Command::new("unshare");
        unshare.arg("--mount").arg(command.get_program());
        unshare.args(command.get_args());
        for (name, value) in command.get_envs() {
            unshare.env(name, value.unwrap_or_default());
        }
        let piped = std::process::Stdio::piped;
        unshare.stdin(piped()).stdout(piped()).spawn()
    })?;
    partner.wait_ready()?;
    assert!(store.mounted().is_empty());
    assert_eq!(store.driver.sweep()?, 0);
    for refused in [
        store.driver.remove(&id("child")),
        store.driver.unmount(&id("child")),
        store
            .driver
            .mount(&id("child"), &MountOptions::default())
            .map(drop),
    ] {
        assert_refused(refused, DriverErrorKind::InUse);
    }
    partner.kill()?;
    // The numbers of its namespace and of its mount may be those of another test's by now.
    for _ in 0..500 {
        if store.driver.sweep()? == 1 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(records(&store)?.is_empty());
    store.driver.remove(&id("child"))?;
    Ok(())
}

#[test]
fn a_layer_in_a_mount_is_not_removed() -> Result {
    require!(overlay_mount);
    let store = two_layers()?;
    let target = store.target("target")?;
    store
        .driver
        .mount(&id("child"), &MountOptions::at(&target))?;
    for name in ["child", "base"] {
        let refused = store.driver.remove(&id(name));
        let refused = assert_refused(refused, DriverErrorKind::InUse).to_string();
        assert!(refused.contains(&target.display().to_string()), "{refused}");
    }
    store.driver.unmount_at(&target)?;
    let refused = store.driver.remove(&id("base"));
    let refused = assert_refused(refused, DriverErrorKind::InUse);
    assert_eq!(
        refused.to_string(),
        "layer base is in use: layer child is built on it"
    );
    store.driver.remove(&id("child"))?;
    store.driver.remove(&id("base"))?;
    Ok(())
}

/// A link to the directory is the directory, and so is a path that is not absolute.
#[test]
fn a_mount_at_a_path_is_ended_by_any_path_to_it() -> Result {
    require!(overlay_mount);
    let store = two_layers()?;
    let target = store.target("a target\\with\tblanks")?;
    let link = store.root().join("link");
    std::os::unix::fs::symlink(&target, &link)?;
    let base = id("base");
    assert_eq!(store.driver.mount(&base, &MountOptions::at(&link))?, target);
    assert_eq!(listing_of(&target)?, store.listing("base")?);
    assert_eq!(store.driver.sweep()?, 0);
    store.driver.unmount_at(&target)?;
    store.driver.mount(&base, &MountOptions::at(&target))?;
    store.driver.unmount_at(&link)?;
    for missing in [&target, &link, &store.root().join("missing")] {
        assert_refused(store.driver.unmount_at(missing), DriverErrorKind::NotFound);
    }
    let missing = MountOptions::at(&store.root().join("missing"));
    assert_refused(store.driver.mount(&base, &missing), DriverErrorKind::Failed);
    let file = store.root().join("file");
    fs::write(&file, "")?;
    let at_file = store.driver.mount(&base, &MountOptions::at(&file));
    assert_refused(at_file, DriverErrorKind::Failed);
    assert!(records(&store)?.is_empty() && store.mounted().is_empty());
    Ok(())
}

/// Two layers are not mounted on top of each other.
#[test]
fn of_several_who_mount_at_one_path_one_does() -> Result {
    require!(overlay_mount);
    let store = Store::new()?;
    let layers = ["a", "b", "c", "d"];
    for name in layers {
        store.layer(name, None)?;
    }
    let target = store.target("target")?;
    let options = MountOptions::at(&target);
    let mounted = thread::scope(|scope| {
        let threads = layers.map(|name| {
            let (store, options) = (&store, &options);
            scope.spawn(move || store.driver.mount(&id(name), options))
        });
        threads.map(|thread| thread.join().expect("no panic"))
    });
    let refused = mounted.into_iter().filter_map(std::result::Result::err);
    let kinds: Vec<_> = refused.map(|error| error.kind()).collect();
    assert_eq!(kinds, [DriverErrorKind::InUse; 3]);
    assert_eq!(store.mounted(), [target.as_path()]);
    store.driver.unmount_at(&target)?;
    assert!(store.mounted().is_empty() && records(&store)?.is_empty());
    Ok(())
}

#[test]
fn a_mount_in_use_is_not_ended_and_goes_on_being_counted() -> Result {
    require!(overlay_mount);
    let store = two_layers()?;
    let path = store.driver.mount(&id("child"), &MountOptions::default())?;
    let open = fs::File::open(path.join("child"))?;
    assert_refused(store.driver.unmount(&id("child")), DriverErrorKind::InUse);
    assert_eq!(records(&store)?, ["child"]);
    drop(open);
    // What somebody else has put on top of it is not taken away in its place.
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("none", &path, "tmpfs", flags, None)?;
    assert_refused(store.driver.unmount(&id("child")), DriverErrorKind::InUse);
    assert_eq!(store.driver.sweep()?, 0);
    rustix::mount::unmount(&path, rustix::mount::UnmountFlags::empty())?;
    store.driver.unmount(&id("child"))?;
    assert!(records(&store)?.is_empty() && store.mounted().is_empty());
    // Nor is what somebody has put in its place covered.
    rustix::mount::mount("none", &path, "tmpfs", flags, None)?;
    for options in [MountOptions::default(), to_change()] {
        let refused = store.driver.mount(&id("child"), &options);
        assert_refused(refused, DriverErrorKind::InUse);
    }
    assert_refused(store.driver.remove(&id("child")), DriverErrorKind::InUse);
    assert_eq!(store.mounted(), [path.as_path()]);
    assert!(records(&store)?.is_empty());
    Ok(())
}

#[test]
fn what_was_mounted_as_volatile_is_not_changed_again_until_somebody_accepts_it() -> Result {
    require!(overlay_mount);
    let store = two_layers()?;
    let child = id("child");
    let mut volatile = to_change();
    volatile.volatile = true;
    let path = store.driver.mount(&child, &volatile)?;
    fs::write(path.join("new"), "1")?;
    store.driver.unmount(&child)?;
    let work = store.home("child/work");
    for options in [to_change(), volatile] {
        let refused = store.driver.mount(&child, &options);
        let refused = assert_refused(refused, DriverErrorKind::Damaged);
        let hint = format!("remove {}", work.display());
        assert!(refused.to_string().contains(&hint), "{refused}");
    }
    assert!(records(&store)?.is_empty());
    store.driver.mount(&child, &MountOptions::default())?;
    store.driver.unmount(&child)?;
    fs::remove_dir_all(&work)?;
    store.driver.mount(&child, &to_change())?;
    Ok(())
}

/// Who may not mount can make layers and read them, and is told what to do.
#[test]
fn who_may_not_mount_is_told_where_he_may() -> Result {
    require!(program "setpriv");
    // As an ordinary user, or root without the capability.
    let mut program = Command::new("setpriv");
    let program = program.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]);
    if !is_inside() {
        require!(overlay_mount);
    }
    if !is_within(program, &this_test!())? {
        return Ok(());
    }
    let store = two_layers()?;
    assert_eq!(store.listing("child")?.len(), 3);
    for options in [MountOptions::default(), to_change()] {
        let refused = store.driver.mount(&id("child"), &options);
        let refused = assert_refused(refused, DriverErrorKind::Prerequisites);
        assert!(
            refused.to_string().contains("layergraph unshare"),
            "{refused}"
        );
    }
    assert!(records(&store)?.is_empty());
    Ok(())
}
