//! The ways to mount, each forced, and a kernel that lacks some.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use layergraph_driver::{Driver, DriverErrorKind, MountOptions};
use layergraph_driver_overlay::{MountMethod, OverlayDriver, probe};
use layergraph_fs::Durability;
use layergraph_tests::{Scratch, is_within, require, this_test};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::support::{Result, Store, assert_refused, id, options, to_change};

/// Commits as many layers on top of each other, each with a file of its own.
fn stack(store: &Store, depth: usize) -> Result {
    for number in 1..=depth {
        let staged = store.driver.stage(None)?;
        let name = format!("file-{number}");
        staged.dir().create_file(OsStr::new(&name), 0o644)?;
        let parent = (number > 1).then(|| id(&format!("layer-{}", number - 1)));
        staged.commit(&id(&format!("layer-{number}")), parent.as_ref())?;
    }
    Ok(())
}

/// Returns the driver that mounts by one way alone.
fn by(store: &Store, method: MountMethod) -> OverlayDriver {
    store.driver.clone().with_mount_methods(&[method])
}

fn count(path: &Path) -> Result<usize> {
    Ok(fs::read_dir(path)?.count())
}

#[test]
fn each_method_mounts_1_2_128_and_500_layers() -> Result {
    require!(overlay_mount);
    let store = Store::at(Scratch::in_memory()?, Durability::None)?;
    stack(&store, 500)?;
    for method in probe(store.root())?.mount_methods {
        let driver = by(&store, method);
        for depth in [1, 2, 128, 500] {
            let layer = id(&format!("layer-{depth}"));
            let path = driver.mount(&layer, &MountOptions::default())?;
            assert_eq!(count(&path)?, depth, "{method:?}");
            let refused = fs::write(path.join("new"), "").expect_err("it is to be read");
            assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
            driver.unmount(&layer)?;
            assert!(store.mounted().is_empty(), "{method:?}, {depth}");
        }
        let top = id("layer-500");
        let path = driver.mount(&top, &to_change())?;
        assert_eq!(count(&path)?, 500, "{method:?}");
        driver.unmount(&top)?;
    }
    let refused = store.driver.stage(Some(&id("layer-500")));
    let refused = assert_refused(refused, DriverErrorKind::TooDeep);
    assert!(refused.to_string().contains("500"), "{refused}");
    let late = store.driver.stage(None)?;
    let refused = late.commit(&id("layer-501"), Some(&id("layer-500")));
    assert_refused(refused, DriverErrorKind::TooDeep);
    assert!(!store.driver.exists(&id("layer-501"))?);
    Ok(())
}

#[test]
fn each_method_mounts_what_is_to_be_changed_with_the_options_asked_for() -> Result {
    require!(overlay_mount);
    let store = Store::new()?;
    store.layer("base", None)?;
    for (number, method) in probe(store.root())?.mount_methods.into_iter().enumerate() {
        let driver = by(&store, method);
        for (parent, has_base) in [(Some("base"), true), (None, false)] {
            let name = format!("branch-{number}-{has_base}");
            store.layer(&name, parent)?;
            let mut options = to_change();
            (options.nodev, options.nosuid) = (true, true);
            let path = driver.mount(&id(&name), &options)?;
            fs::write(path.join("new"), "text")?;
            assert_eq!(path.join("base").exists(), has_base);
            let (flags, said) = options_of(&path)?;
            for flag in ["rw", "nodev", "nosuid"] {
                assert!(flags.contains(flag), "{method:?}: {flags:?}");
            }
            // What is off is not always said; it is never on.
            for option in ["index=on", "metacopy=on", "redirect_dir=on"] {
                assert!(!said.contains(option), "{method:?}: {said}");
            }
            driver.unmount(&id(&name))?;
            let diff = store.home(&name).join("diff");
            assert_eq!(fs::read_to_string(diff.join("new"))?, "text", "{method:?}");
        }
    }
    Ok(())
}

/// Returns the flags of the mount at a path, and the options of its file system.
fn options_of(path: &Path) -> Result<(BTreeSet<String>, String)> {
    let list = fs::read_to_string("/proc/self/mountinfo")?;
    let path = path.display().to_string();
    let line = list
        .lines()
        .find(|line| line.split(' ').nth(4) == Some(&path));
    let fields: Vec<&str> = line.ok_or("it is mounted")?.split(' ').collect();
    let flags = fields[5].split(',').map(str::to_owned);
    let said = fields.last().ok_or("it has options")?;
    Ok((flags.collect(), (*said).to_owned()))
}

/// What a mount that fails says is what the kernel has to say of it.
#[test]
fn a_mount_that_fails_leaves_nothing_and_says_why() -> Result {
    require!(overlay_mount);
    let store = Store::new()?;
    store.layer("base", None)?;
    let target = store.target("target")?;
    let mut at_target = MountOptions::at(&target);
    // Nothing on this machine takes such a label: SELinux is off, or knows none.
    at_target.selinux_context = Some("no:such:label:here".to_owned());
    let before = store.files()?;
    for method in MountMethod::ALL {
        let refused = by(&store, method).mount(&id("base"), &at_target);
        assert_refused(refused, DriverErrorKind::Failed);
    }
    let refused = store.driver.mount(&id("base"), &at_target);
    let refused = assert_refused(refused, DriverErrorKind::Failed);
    let cause = std::error::Error::source(&refused).ok_or("there is a cause")?;
    assert!(cause.to_string().contains("context"), "{cause}");
    assert!(store.mounted().is_empty());
    let after: Vec<_> = store.files()?.difference(&before).cloned().collect();
    let made = [".empty", ".lock", ".mounts"].map(|name| store.home(name));
    assert!(after.iter().all(|path| made.contains(path)), "{after:?}");
    store.driver.remove(&id("base"))?;
    Ok(())
}

/// System calls, which all architectures number alike.
const MOVE_MOUNT: i64 = 429;
const FSOPEN: i64 = 430;
const FSMOUNT: i64 = 432;

/// As in a container whose sandbox is older than these calls.
#[test]
fn calls_that_a_sandbox_denies_are_done_without() -> Result {
    require!(overlay_mount);
    require!(program "env");
    if !is_within(&mut std::process::Command::new("env"), &this_test!())? {
        return Ok(());
    }
    let store = Store::new()?;
    store.layer("base", None)?;
    store.layer("child", Some("base"))?;
    // Filters add up, so each time one call more is denied.
    for (call, errno) in [(MOVE_MOUNT, 1), (FSMOUNT, 38), (FSOPEN, 38)] {
        deny(call, errno)?;
        // The last one leaves a sign in its workdir, and so does each attempt that comes to nothing
        // only after that.
        let mut volatile = to_change();
        volatile.volatile = true;
        for options in [MountOptions::default(), to_change(), volatile] {
            let path = store.driver.mount(&id("child"), &options)?;
            assert_eq!(count(&path)?, 2, "{call}");
            store.driver.unmount(&id("child"))?;
        }
        fs::remove_dir_all(store.home("child/work"))?;
        let found = probe(store.root())?;
        assert_eq!(found.mount_methods, [MountMethod::ByNumber], "{call}");
        assert_eq!(found.new_mount_api, call != FSOPEN);
        for method in [MountMethod::ByHandle, MountMethod::ByPath] {
            assert!(
                by(&store, method)
                    .mount(&id("child"), &to_change())
                    .is_err()
            );
        }
        assert!(store.mounted().is_empty());
    }
    // It is as good as a driver that was opened there.
    OverlayDriver::open(store.root(), &options(Durability::None))?;
    Ok(())
}

/// Makes a system call fail from now on in this thread, and in those that it starts.
fn deny(call: i64, errno: u32) -> Result {
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}
