//! Other processes: this test program again, as a partner or as an ordinary user.
//!
//! Between fork(2) and execve(2) a child holds copies of all handles, and so keeps locks that this
//! process has let go. [`spawn`] and [`settled`] keep the two apart.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};
use std::thread;

use layergraph_tests::{ByUser, Partner, again, as_partner, has_passed};

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

/// Does `work` while something is mounted on `point`. `what` is what mount(8) takes before that.
pub(crate) fn while_mounted<T>(
    what: &[&str],
    point: &Path,
    work: impl FnOnce() -> T,
) -> io::Result<T> {
    succeed(Command::new("mount").args(what).arg(point))?;
    let done = work();
    succeed(Command::new("umount").arg(point))?;
    Ok(done)
}

/// As `require!` of what a process is started to find out, while nothing is [`settled`].
macro_rules! require_settled {
    ($need:ident) => {
        // The answer is remembered, so that no process is started for it later.
        let _ = $crate::processes::starting(layergraph_tests::need::$need);
        layergraph_tests::require!($need);
    };
}
pub(crate) use require_settled;

/// Arranges that the rest of the test runs as an ordinary user: in this process, if it is one, or
/// else in another.
macro_rules! as_ordinary_user {
    () => {
        if $crate::support::is_root() {
            $crate::processes::require_settled!(user);
            return Ok($crate::processes::again_as_user(
                &layergraph_tests::this_test!(),
            )?);
        }
    };
}
pub(crate) use as_ordinary_user;

/// Runs a test as an ordinary user, in a directory of the user's.
pub(crate) fn again_as_user(test: &str) -> io::Result<()> {
    run_as_user(test, |command| command)
}

/// Runs a test as an ordinary user, who works in `home` as a partner.
pub(crate) fn partner_as_user(test: &str, home: &Path) -> io::Result<()> {
    run_as_user(test, |command| as_partner(command, home))
}

fn run_as_user(test: &str, set: impl Fn(&mut Command) -> &mut Command) -> io::Result<()> {
    let mut user = starting(ByUser::new)?;
    has_passed(&succeed(set(again(user.command(), test)))?)
}

/// Starts a partner, while nothing is [`settled`].
pub(crate) fn start_partner(test: &str, home: &Path) -> io::Result<Partner> {
    Partner::start_by(test, home, spawn)
}

/// Starts partners, and lets them go on when all of them are ready.
pub(crate) fn start_partners(test: &str, home: &Path, count: usize) -> io::Result<Vec<Partner>> {
    let start = |_| start_partner(test, home);
    let mut partners: Vec<Partner> = (0..count).map(start).collect::<io::Result<_>>()?;
    partners.iter_mut().try_for_each(Partner::wait_ready)?;
    partners.iter_mut().for_each(Partner::tell);
    Ok(partners)
}
