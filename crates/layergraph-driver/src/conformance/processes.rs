//! Several processes at one store: the test program again, as a partner of itself.
//!
//! A law of this kind runs its own test once more in another process, which finds the store's root
//! in its environment and then plays the partner. Such a law needs the name of the test it is
//! called in, as `--exact` takes it; see
//! [`test_name`](super::test_name).

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use layergraph_archive::Ownership;
use layergraph_fs::Durability;

use super::lab::{
    Fallible, Lab, apply, assert_refused, commit, id, list, stage, tree, why_not_root,
};
use super::layer::Layer;
use super::{Kept, Outcome};
use crate::{Driver, DriverErrorKind, DriverOptions, OpenDriver, StagedLayer};

/// Names the root of the store that a partner works in.
const PARTNER: &str = "LAYERGRAPH_CONFORMANCE_PARTNER";
/// What a partner says when it is ready.
const READY: &str = "partner is ready";

/// What another process commits and removes is seen here, and the other way round.
pub fn processes_see_each_others_layers(open: OpenDriver, test: &str) -> Outcome {
    if let Some(driver) = as_partner(open)? {
        assert_eq!(list(&*driver)?, ["base", "doomed"]);
        commit(&*driver, "child", Some("base"), &["g = 2"])?;
        driver.remove(&id("doomed"))?;
        ready_until_told()?;
        assert_eq!(list(&*driver)?, ["base", "child", "grandchild"]);
        assert_eq!(tree(&*driver, "grandchild")?.len(), 6);
        return Ok(Kept);
    }
    let lab = Lab::new(open)?;
    lab.layer("base", None, &["f = 1"])?;
    lab.layer("doomed", Some("base"), &[])?;
    let staged = stage(&*lab.driver, Some("base"))?;
    let partner = Partner::start(test, lab.root())?;
    assert_eq!(lab.list()?, ["base", "child"]);
    let committed = staged.commit(&id("child"), Some(&id("base")));
    assert_refused(committed, DriverErrorKind::AlreadyExists);
    assert_eq!(lab.tree("child")?.len(), 4);
    lab.layer("grandchild", Some("child"), &["d/"])?;
    partner.finish()?;
    Ok(Kept)
}

/// What a process had staged when it was killed is not listed, is in nobody's way, and a sweep
/// removes it; while the process lives, a sweep leaves it.
pub fn a_killed_process_leaves_what_a_sweep_removes(open: OpenDriver, test: &str) -> Outcome {
    if let Some(driver) = as_partner(open)? {
        let _staged = stage_two(&*driver)?;
        ready_until_told()?;
        return Ok(Kept);
    }
    let lab = Lab::new(open)?;
    lab.layer("base", None, &["d/", "d/f = 1"])?;
    drop(stage(&*lab.driver, Some("base"))?);
    lab.assert_swept(&lab.files()?)?;
    let before = lab.files()?;
    let partner = Partner::start(test, lab.root())?;
    let staged = lab.files()?;
    assert!(staged.len() > before.len(), "the partner staged something");
    assert_eq!(lab.list()?, ["base"]);
    assert_eq!(lab.driver.sweep()?, 0, "it was staged by one that lives");
    assert_eq!(lab.files()?, staged);
    partner.kill()?;
    assert_eq!(lab.list()?, ["base"]);
    assert_eq!(lab.assert_swept(&before)?, 2, "two were staged");
    lab.layer("child", Some("base"), &[])?;
    Ok(Kept)
}

/// A sweep in one process does not keep another from committing what it has staged.
pub fn a_sweep_leaves_the_work_of_other_processes(open: OpenDriver, test: &str) -> Outcome {
    if let Some(driver) = as_partner(open)? {
        let [alone, child] = stage_two(&*driver)?;
        ready_until_told()?;
        alone.commit(&id("alone"), None)?;
        child.commit(&id("child"), Some(&id("base")))?;
        return Ok(Kept);
    }
    let lab = Lab::new(open)?;
    lab.layer("base", None, &["d/", "d/f = 1"])?;
    let partner = Partner::start(test, lab.root())?;
    lab.driver.sweep()?;
    lab.open_again()?.sweep()?;
    partner.finish()?;
    assert_eq!(lab.list()?, ["alone", "base", "child"]);
    lab.layer("expected", Some("base"), &["g = 2"])?;
    assert_eq!(lab.tree("child")?, lab.tree("expected")?);
    Ok(Kept)
}

fn stage_two(driver: &dyn Driver) -> Fallible<[Box<dyn StagedLayer>; 2]> {
    let staged = [stage(driver, None)?, stage(driver, Some("base"))?];
    for staged in &staged {
        apply(driver, &**staged, &Layer::of(&["g = 2"])?)?;
    }
    Ok(staged)
}

/// Opens the driver where the partner is to work, if this process is one.
fn as_partner(open: OpenDriver) -> Fallible<Option<std::sync::Arc<dyn Driver>>> {
    let Some(root) = env::var_os(PARTNER).map(PathBuf::from) else {
        return Ok(None);
    };
    let ownership = match why_not_root()? {
        None => Ownership::Preserve,
        Some(_) => Ownership::Squash,
    };
    let options = DriverOptions {
        ownership,
        durability: Durability::None,
        ..DriverOptions::default()
    };
    Ok(Some(open(&root, &options)?))
}

/// Says that the partner is ready, and waits until it may go on.
fn ready_until_told() -> io::Result<()> {
    writeln!(io::stdout(), "\n{READY}")?;
    io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}

/// Another process that runs the same test.
struct Partner {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Partner {
    /// Starts a partner, and waits until it is ready.
    fn start(test: &str, root: &Path) -> Fallible<Partner> {
        let mut child = Command::new(env::current_exe()?)
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(PARTNER, root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().expect("it is a pipe");
        let mut partner = Partner {
            child,
            stdout: BufReader::new(stdout),
        };
        let mut said = String::new();
        loop {
            let before = said.len();
            if partner.stdout.read_line(&mut said)? == 0 {
                return Err(
                    format!("{test} as a partner ended before it was ready: {said}").into(),
                );
            }
            if said[before..].trim_end() == READY {
                return Ok(partner);
            }
        }
    }

    /// Kills it, as a crash or the end of memory would.
    fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// Tells it to go on, and waits for its end, which is to be a good one.
    fn finish(mut self) -> Fallible {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.stdout.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the partner failed: {status}\n{said}").into())
        }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // It has ended already, unless the law is broken.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
