//! What is found out about the machine, and where the driver does not work.

use std::fs;
use std::process::Command;

use layergraph_driver::{Driver, conformance::files};
use layergraph_driver::{DriverChoice, DriverErrorKind, Registry};
use layergraph_driver_overlay::{MountMethod, NAME, OverlayDriver, probe};
use layergraph_fs::Durability;
use layergraph_tests::{Scratch, Volume, is_inside, is_within, require, this_test};
use rustix::mount::{MountFlags, mount};

use crate::support::{Result, Store, assert_refused, id, options, to_change};

#[test]
fn a_probe_finds_what_there_is_and_leaves_nothing() -> Result {
    require!(root);
    require!(overlay_mount);
    for (directory, filesystem) in [(Scratch::in_memory()?, "tmpfs"), (Scratch::new()?, "")] {
        let found = probe(directory.path())?;
        assert!(found.overlay && found.d_type && found.trusted_xattrs);
        assert!(found.filesystem.contains(filesystem), "{found:?}");
        assert!(found.index && found.metacopy && found.redirect_dir);
        assert_eq!(found.mount_methods, methods_of_kernel()?);
        assert_eq!(found.mount_error, None);
        assert!(files(directory.path())?.is_empty());
        let json = serde_json::to_value(&found)?;
        assert_eq!(json["trusted_xattrs"], true);
        assert!(json["mount_methods"].to_string().contains("\"by-number\""));
    }
    assert!(probe("/nowhere".as_ref()).is_err());
    Ok(())
}

/// Returns the methods that a kernel of this version has.
fn methods_of_kernel() -> Result<Vec<MountMethod>> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().unwrap_or_default().parse::<u32>();
    let version = (next()?, next()?);
    let first = match version {
        _ if version >= (6, 13) => 0,
        _ if version >= (6, 7) => 1,
        _ => 2,
    };
    Ok(MountMethod::ALL[first..].to_vec())
}

#[test]
fn root_of_a_user_namespace_may_set_and_mount_by_other_attributes() -> Result {
    require!(program "unshare");
    let mut program = Command::new("unshare");
    if !is_within(
        program.args(["--map-root-user", "--user", "--mount"]),
        &this_test!(),
    )? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let found = probe(directory.path())?;
    assert!(!found.trusted_xattrs && found.user_xattrs && found.userxattr);
    assert!(!found.mount_methods.is_empty(), "{found:?}");
    Ok(())
}

#[test]
fn who_may_not_mount_is_told_why() -> Result {
    require!(program "setpriv");
    let mut program = Command::new("setpriv");
    let program = program.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]);
    if !is_inside() {
        require!(root);
    }
    if !is_within(program, &this_test!())? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let found = probe(directory.path())?;
    assert_eq!(found.mount_methods, []);
    let error = found.mount_error.unwrap_or_default();
    assert!(error.contains("not permitted"), "{error}");
    assert!(files(directory.path())?.is_empty());
    Ok(())
}

#[test]
fn content_is_shared_where_the_file_system_can() -> Result {
    require!(root);
    require!(loop_device);
    require!(program "mkfs.xfs");
    let volume = Volume::new("mkfs.xfs")?;
    let found = probe(&volume.path())?;
    assert!(found.reflink && found.filesystem == "xfs", "{found:?}");
    assert!(!probe(Scratch::in_memory()?.path())?.reflink);
    Ok(())
}

/// Another driver is tried then.
#[test]
fn a_file_system_that_can_be_no_upperdir_is_refused() -> Result {
    require!(root);
    require!(overlay_mount);
    let store = Store::new()?;
    store.layer("base", None)?;
    let below_overlay = store.driver.mount(&id("base"), &to_change())?;
    let ramfs = store.target("ramfs")?;
    mount("none", &ramfs, "ramfs", MountFlags::empty(), None)?;
    let unmade = ramfs.join("not/made/yet");
    let mut registry = Registry::new();
    registry.register(NAME, OverlayDriver::open_dyn)?;
    registry.register(
        "other",
        layergraph_driver::conformance::ModelDriver::open_dyn,
    )?;
    let options = options(Durability::None);
    for (root, filesystem) in [
        (&below_overlay, "overlay"),
        (&ramfs, "ramfs"),
        (&unmade, "ramfs"),
    ] {
        let refused = OverlayDriver::open(root, &options);
        let refused = assert_refused(refused, DriverErrorKind::IncompatibleFilesystem);
        assert!(refused.to_string().contains(filesystem), "{refused}");
        assert!(refused.to_string().contains("vfs"), "{refused}");
        let found = registry.open(root, &DriverChoice::Auto, &options)?;
        assert_ne!(found.name(), NAME);
    }
    assert!(!ramfs.join(NAME).exists());
    Ok(())
}
