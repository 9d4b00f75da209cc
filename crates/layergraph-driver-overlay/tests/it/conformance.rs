//! The laws that every driver keeps, in both dialects and with and without privileges.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use layergraph_driver::conformance::AnewDriver;
use layergraph_driver::{Driver, DriverOptions, driver_conformance};
use layergraph_driver_overlay::OverlayDriver;
use layergraph_tests::{require, run, without_account};

use crate::support::{Result, as_ordinary_user};

/// Opens the driver, in a process that may have as many files open as it takes.
fn open(root: &Path, options: &DriverOptions) -> layergraph_driver::Result<Arc<dyn Driver>> {
    // Where it may not, a law is skipped and says so.
    let _ = layergraph_tests::allow_open_files();
    OverlayDriver::open_dyn(root, options)
}

driver_conformance!(overlay, open, skipped = layergraph_tests::skip::record);

fn open_anew(root: &Path, options: &DriverOptions) -> layergraph_driver::Result<Arc<dyn Driver>> {
    Ok(Arc::new(AnewDriver::open(open, root, options)?))
}

driver_conformance!(anew, open_anew, skipped = layergraph_tests::skip::record);

/// Opens the driver in the dialect that any user may write.
fn open_userxattr(
    root: &Path,
    options: &DriverOptions,
) -> layergraph_driver::Result<Arc<dyn Driver>> {
    let mut options = options.clone();
    options.overlay_userxattr = Some(true);
    open(root, &options)
}

driver_conformance!(
    userxattr,
    open_userxattr,
    skipped = layergraph_tests::skip::record
);

/// The laws of one driver.
const LAWS: usize = 31;

#[test]
fn the_laws_hold_for_root_of_a_user_namespace() -> Result {
    require!(program "unshare");
    let program = std::env::current_exe()?;
    let mut command = Command::new("unshare");
    command
        .arg("--map-root-user")
        .args(["--user", "--mount"])
        .arg(program)
        .args(["conformance::overlay::"]);
    let output = run(without_account(&mut command), Duration::from_secs(300))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains(&format!("{LAWS} passed")), "{said}");
    // It is tried, not skipped.
    assert!(
        !said.contains("the_mounted_tree_is_the_viewed_one: "),
        "{said}"
    );
    Ok(())
}

#[test]
fn the_laws_hold_for_an_ordinary_user() -> Result {
    require!(root);
    require!(user);
    let said = as_ordinary_user(&["conformance::overlay::"])?;
    assert!(said.contains(&format!("{LAWS} passed")), "{said}");
    Ok(())
}
