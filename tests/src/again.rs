//! A test once more in another process: on its own, in other circumstances, or as a partner.
//!
//! What belongs to a whole process, such as its umask or its locks, takes another process to be
//! tested. It is the same test program, which is told to run the same test; how the test finds out
//! that it is there is said with each of the ways.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{as_user, installed, run, user_directory};

/// Names the directory that a partner works in.
const PARTNER: &str = "LAYERGRAPH_TESTS_PARTNER";
/// What a partner says when it is ready.
const READY: &str = "partner is ready";
/// Is set where a test runs once more after preparations, or within a program.
const PREPARED: &str = "LAYERGRAPH_TESTS_PREPARED";
/// More time than any test needs.
const AMPLE: Duration = Duration::from_secs(120);

/// Gives the name of the test that it stands in, as the test program knows it: a `String`.
#[macro_export]
macro_rules! this_test {
    () => {{
        // The path of this function is the test's, and `::here`.
        fn here() {}
        $crate::test_name(::std::any::type_name_of_val(&here))
    }};
}

/// Makes the name of a test of the path of the function `here` in it.
#[must_use]
pub fn test_name(path: &str) -> String {
    let path = path.replace("::{{closure}}", "");
    let path = path.strip_suffix("::here").unwrap_or(&path);
    let within = path.split_once("::").map_or(path, |(_crate, rest)| rest);
    within.to_owned()
}

/// Makes the command of a test program run one test.
pub fn again<'a>(program: &'a mut Command, test: &str) -> &'a mut Command {
    program.args(["--exact", test, "--nocapture", "--test-threads=1"])
}

/// Checks that the program of [`again`] has run the test, and that the test has passed.
///
/// # Errors
///
/// What the program said, if it has not.
pub fn has_passed(output: &Output) -> io::Result<()> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && stdout.contains("test result: ok. 1 passed") {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let message = format!("{}\n{stdout}{stderr}", output.status);
    Err(io::Error::other(message))
}

/// Runs `test` once more after preparations, unless this process is where it does: that is what it
/// returns.
///
/// The preparations are commands of sh(1) such as `umask 077`, after which the shell becomes the
/// test program.
///
/// ```no_run
/// # fn test() -> std::io::Result<()> {
/// if !layergraph_tests::is_prepared("umask 077", &layergraph_tests::this_test!())? {
///     return Ok(());
/// }
/// // …
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Why it did not pass there.
pub fn is_prepared(preparations: &str, test: &str) -> io::Result<bool> {
    let mut shell = Command::new("sh");
    let script = format!(r#"{preparations} && exec "$0" "$@""#);
    is_within(shell.args(["-c", &script]), test)
}

/// Tells whether this process is one that [`is_within`] has started, in which a test need not ask
/// again for what the first one had.
pub fn is_inside() -> bool {
    env::var_os(PREPARED).is_some()
}

/// Runs `test` once more within a program that runs what its last arguments say, such as
/// unshare(1), unless this process is where it does: that is what it returns.
///
/// # Errors
///
/// Why it did not pass there.
pub fn is_within(program: &mut Command, test: &str) -> io::Result<bool> {
    if is_inside() {
        return Ok(true);
    }
    let again = again(program.arg(env::current_exe()?), test);
    has_passed(&run(again.env(PREPARED, "").stdin(Stdio::null()), AMPLE)?)?;
    Ok(false)
}

/// This test program in the hands of the ordinary user [`USER`](crate::USER), where the user may
/// run it, and with a temporary directory of the user's.
#[derive(Debug)]
pub struct ByUser {
    command: Command,
    _program: TempDir,
    _home: TempDir,
}

impl ByUser {
    /// Puts the program where the user may run it.
    ///
    /// # Errors
    ///
    /// What making directories or putting the program there said; it takes root.
    pub fn new() -> io::Result<ByUser> {
        let home = user_directory()?;
        let (directory, program) = installed(&env::current_exe()?)?;
        let mut command = Command::new(program);
        as_user(&mut command)
            .env("TMPDIR", home.path())
            .stdin(Stdio::null());
        Ok(ByUser {
            command,
            _program: directory,
            _home: home,
        })
    }

    /// Returns the command, which is good as long as this is there.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }
}

/// Runs `test` once more as an ordinary user, unless this process is one: that is what it returns.
///
/// # Errors
///
/// Why it did not pass there.
pub fn is_user(test: &str) -> io::Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(true);
    }
    has_passed(&run(again(ByUser::new()?.command(), test), AMPLE)?)?;
    Ok(false)
}

/// Runs `test` once more as an ordinary user, who finds `home` as its [`partner_home`].
///
/// # Errors
///
/// Why it did not pass there.
pub fn partner_as_user(test: &str, home: &Path) -> io::Result<()> {
    let mut user = ByUser::new()?;
    let command = as_partner(again(user.command(), test), home);
    has_passed(&run(command, AMPLE)?)
}

/// Makes the command's test a partner, which finds `home` as its [`partner_home`].
pub fn as_partner<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    command.env(PARTNER, home)
}

/// Returns where this process works if it is a partner.
#[must_use]
pub fn partner_home() -> Option<PathBuf> {
    env::var_os(PARTNER).map(PathBuf::from)
}

/// Says a line to who has started this process. It goes out whole, even if the process is killed
/// next.
///
/// # Errors
///
/// What writing said.
pub fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(format!("\n{line}\n").as_bytes())?;
    stdout.flush()
}

/// Says that the partner is ready, and waits until it may go on.
///
/// # Errors
///
/// What writing and reading said.
pub fn ready_until_told() -> io::Result<()> {
    say(READY)?;
    io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}

/// A process that runs the same test, which then finds a [`partner_home`].
#[derive(Debug)]
pub struct Partner {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Partner {
    /// Starts a partner that works in `home`.
    ///
    /// # Errors
    ///
    /// What starting it said.
    pub fn start(test: &str, home: &Path) -> io::Result<Partner> {
        Partner::start_by(test, home, Command::spawn)
    }

    /// Starts a partner with a spawn of the caller's.
    ///
    /// # Errors
    ///
    /// What starting it said.
    pub fn start_by(
        test: &str,
        home: &Path,
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> io::Result<Partner> {
        let mut command = Command::new(env::current_exe()?);
        let piped = again(&mut command, test)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = spawn(as_partner(piped, home))?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let said = BufReader::new(stdout);
        Ok(Partner { child, said })
    }

    /// Waits until the partner says that it is ready.
    ///
    /// # Errors
    ///
    /// What reading said, or that it ended before.
    pub fn wait_ready(&mut self) -> io::Result<()> {
        self.wait_line(READY)
    }

    /// Waits until the partner says a line that begins so.
    ///
    /// # Errors
    ///
    /// What reading said, or that it ended before.
    pub fn wait_line(&mut self, beginning: &str) -> io::Result<()> {
        for line in (&mut self.said).lines() {
            if line?.starts_with(beginning) {
                return Ok(());
            }
        }
        let message = format!("the partner ended before it said {beginning:?}");
        Err(io::Error::other(message))
    }

    /// Tells it to go on.
    pub fn tell(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Returns whether it has ended by itself.
    ///
    /// # Errors
    ///
    /// What waitpid(2) said.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Kills it, as a crash or the memory's end would, and returns what it had said.
    ///
    /// # Errors
    ///
    /// What kill(2), waitpid(2) or reading said.
    pub fn kill(mut self) -> io::Result<Vec<String>> {
        self.child.kill()?;
        self.child.wait()?;
        (&mut self.said).lines().collect()
    }

    /// Tells it to go on, waits for its end, which is to be a good one, and returns what it said.
    ///
    /// # Errors
    ///
    /// What it said, if it failed; what reading or waitpid(2) said.
    pub fn finish(mut self) -> io::Result<Vec<String>> {
        self.tell();
        let said: Vec<String> = (&mut self.said).lines().collect::<io::Result<_>>()?;
        let status = self.child.wait()?;
        if status.success() {
            return Ok(said);
        }
        let said = said.join("\n");
        let message = format!("the partner failed: {status}\n{said}");
        Err(io::Error::other(message))
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;

    use crate::require;

    #[test]
    fn a_test_knows_its_name_in_a_closure_too() {
        let name = "again::tests::a_test_knows_its_name_in_a_closure_too";
        assert_eq!(this_test!(), name);
        let within = || this_test!();
        assert_eq!(within(), name);
    }

    #[test]
    fn a_test_is_prepared_in_another_process() -> io::Result<()> {
        if is_prepared("umask 027", &this_test!())? {
            let status = fs::read_to_string("/proc/self/status")?;
            assert!(status.contains("Umask:\t0027"), "{status}");
        }
        Ok(())
    }

    #[test]
    fn a_test_runs_within_a_program() -> io::Result<()> {
        let mut program = Command::new("env");
        if is_within(program.arg("LAYERGRAPH_TESTS_WITHIN=1"), &this_test!())? {
            assert!(env::var_os("LAYERGRAPH_TESTS_WITHIN").is_some());
        }
        Ok(())
    }

    #[test]
    fn a_test_runs_as_a_user_who_may_run_it_and_has_a_directory() -> io::Result<()> {
        require!(user);
        if is_user(&this_test!())? {
            assert!(!rustix::process::geteuid().is_root());
            tempfile::tempfile()?;
        }
        Ok(())
    }

    #[test]
    fn a_partner_may_be_a_user_of_the_same_home() -> io::Result<()> {
        if let Some(home) = partner_home() {
            assert!(!rustix::process::geteuid().is_root());
            return fs::write(home.join("by-user"), "");
        }
        require!(root);
        require!(user);
        let home = user_directory()?;
        partner_as_user(&this_test!(), home.path())?;
        assert!(home.path().join("by-user").exists());
        Ok(())
    }

    #[test]
    fn a_test_that_is_not_there_or_fails_has_not_passed() -> io::Result<()> {
        if env::var_os(PREPARED).is_some() {
            return Err(io::ErrorKind::Other.into());
        }
        for test in ["again::tests::none_of_this_name", &this_test!()] {
            assert!(is_prepared("true", test).is_err(), "{test}");
        }
        assert!(is_prepared("false", "any").is_err());
        Ok(())
    }

    #[test]
    fn a_partner_waits_goes_on_and_says_so() -> io::Result<()> {
        if let Some(home) = partner_home() {
            ready_until_told()?;
            fs::write(home.join("told"), "")?;
            return say("went on");
        }
        let home = tempfile::tempdir()?;
        let mut partner = Partner::start(&this_test!(), home.path())?;
        partner.wait_ready()?;
        assert!(!partner.has_ended()? && !home.path().join("told").exists());
        assert!(partner.finish()?.iter().any(|line| line == "went on"));
        assert!(home.path().join("told").exists());
        Ok(())
    }

    #[test]
    fn a_partner_that_is_killed_does_not_go_on() -> io::Result<()> {
        if partner_home().is_some() {
            ready_until_told()?;
            return say("went on");
        }
        let home = tempfile::tempdir()?;
        let mut partner = Partner::start(&this_test!(), home.path())?;
        partner.wait_ready()?;
        let said = partner.kill()?;
        assert!(!said.iter().any(|line| line == "went on"), "{said:?}");
        Ok(())
    }

    #[test]
    fn a_partner_that_fails_or_ends_too_early_is_an_error() -> io::Result<()> {
        if partner_home().is_some() {
            return Err(io::ErrorKind::Other.into());
        }
        let home = tempfile::tempdir()?;
        let start = || Partner::start(&this_test!(), home.path());
        assert!(start()?.wait_ready().is_err());
        assert!(start()?.finish().is_err());
        Ok(())
    }
}
