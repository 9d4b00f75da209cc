//! Other processes: this test program again, as a partner or as an ordinary user.
//!
//! Between fork(2) and execve(2) a child holds copies of all handles, and so keeps locks that this
//! process has let go. [`spawn`] and [`settled`] keep the two apart.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};
use std::thread;

use layergraph_tests::{as_user, install, user_directory};

/// Names the directory that a partner works in.
const PARTNER: &str = "LAYERGRAPH_FS_PARTNER";
/// What a partner says when it is ready.
const READY: &str = "partner is ready";

static STARTING: RwLock<()> = RwLock::new(());

/// Starts a process, while nothing is [`settled`].
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    starting(|| {
        let mut child = command.spawn()?;
        // execve(2) sets the command line after it has closed what the child is not to have.
        let line = format!("/proc/{}/cmdline", child.id());
        while fs::read(&line)?.is_empty() && child.try_wait()?.is_none() {
            thread::yield_now();
        }
        Ok(child)
    })
}

/// Runs what starts processes and waits for their end.
pub(crate) fn starting<T>(work: impl FnOnce() -> T) -> T {
    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    work()
}

/// Runs `work` while no process is being started, so that what was closed is unlocked.
pub(crate) fn settled<T>(work: impl FnOnce() -> T) -> T {
    let _quiet = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    work()
}

/// Runs a program to its end, which is to be a good one.
pub(crate) fn succeed(command: &mut Command) -> io::Result<Output> {
    let piped = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = spawn(piped)?.wait_with_output()?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    Err(io::Error::other(format!(
        "{command:?}: {}\n{said}",
        output.status
    )))
}

/// The name of the test that this stands in, as the test program knows it.
macro_rules! this_test {
    () => {{
        fn here() {}
        $crate::processes::test_name(std::any::type_name_of_val(&here))
    }};
}
pub(crate) use this_test;

pub(crate) fn test_name(path: &str) -> String {
    let path = path.replace("::{{closure}}", "");
    let path = path.strip_suffix("::here").unwrap_or(&path);
    path.split_once("::")
        .map_or(path, |(_crate, rest)| rest)
        .to_owned()
}

/// Arranges that the rest of the test runs as an ordinary user: in this process, if it is one, or
/// else in another.
macro_rules! as_ordinary_user {
    () => {
        if $crate::support::is_root() {
            // The answer is remembered, so that no process is started for it later.
            let _ = $crate::processes::starting(layergraph_tests::need::user);
            layergraph_tests::require!(user);
            return Ok($crate::processes::again_as_user(
                &$crate::processes::this_test!(),
            )?);
        }
    };
}
pub(crate) use as_ordinary_user;

fn again(program: &Path, test: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command
}

/// Runs a test as an ordinary user, in a directory of the user's.
pub(crate) fn again_as_user(test: &str) -> io::Result<()> {
    let home = user_directory()?;
    run_as_user(test, |command| command.env("TMPDIR", home.path()))
}

/// Runs a test as an ordinary user, who works in `home` as a partner.
pub(crate) fn partner_as_user(test: &str, home: &Path) -> io::Result<()> {
    run_as_user(test, |command| command.env(PARTNER, home))
}

fn run_as_user(test: &str, set: impl Fn(&mut Command) -> &mut Command) -> io::Result<()> {
    let bin = tempfile::tempdir()?;
    fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755))?;
    let program = starting(|| install(&env::current_exe()?, bin.path()))?;
    let mut command = again(&program, test);
    let output = succeed(as_user(set(&mut command)))?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{test} was not found: {said}");
    Ok(())
}

/// Returns where this process works if it is a partner.
pub(crate) fn partner_home() -> Option<PathBuf> {
    env::var_os(PARTNER).map(PathBuf::from)
}

/// Says that the partner is ready, and waits until it may end.
pub(crate) fn ready_until_told() -> io::Result<()> {
    writeln!(io::stdout(), "\n{READY}")?;
    io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}

/// A process that runs the same test, which then finds a [`partner_home`].
pub(crate) struct Partner(Child);

impl Partner {
    pub(crate) fn start(test: &str, home: &Path) -> io::Result<Partner> {
        let mut command = again(&env::current_exe()?, test);
        let piped = command
            .env(PARTNER, home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Ok(Partner(spawn(piped)?))
    }

    /// Waits until the partner says that it is ready.
    pub(crate) fn wait_ready(&mut self) -> io::Result<()> {
        let stdout = self.0.stdout.as_mut().expect("it is a pipe");
        for line in BufReader::new(stdout).lines() {
            if line? == READY {
                return Ok(());
            }
        }
        Err(io::Error::other("the partner ended before it was ready"))
    }

    /// Kills it, as a crash or the memory's end would.
    pub(crate) fn kill(mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(|_| ())
    }

    /// Tells it to go on.
    pub(crate) fn tell(&mut self) {
        drop(self.0.stdin.take());
    }

    pub(crate) fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Waits for its end, which is to be a good one.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let mut said = String::new();
        if let Some(stdout) = &mut self.0.stdout {
            stdout.read_to_string(&mut said)?;
        }
        let status = self.0.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "the partner failed: {status}\n{said}"
            )))
        }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
