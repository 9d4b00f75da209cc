//! Running programs from tests: with a time limit, and without the privileges of root.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// The ordinary user and group of tests.
///
/// Not `nobody` (65534), which is also how the kernel shows an owner that a user namespace does
/// not map, so that the one cannot be told from the other.
pub const USER: u32 = 54_321;

/// Runs a program to its end and returns what it said; its stdin is what the command says.
///
/// # Errors
///
/// [`io::ErrorKind::TimedOut`] if it took longer than `limit`: then it was killed, together with
/// what it had started. Else what starting it said.
pub fn run(command: &mut Command, limit: Duration) -> io::Result<Output> {
    // Files and not pipes: nobody has to read them meanwhile, and no descendant that lives on
    // keeps them from ending.
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut child = command
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .process_group(0)
        .spawn()?;
    // The command goes on to hold handles of the files, which would stay open with it.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let status = wait(&mut child, limit)?;
    let (stdout, stderr) = (contents(&mut stdout)?, contents(&mut stderr)?);
    let Some(status) = status else {
        let message = format!(
            "{} took more than {limit:?}; it had said: {}",
            command.get_program().display(),
            String::from_utf8_lossy(&stderr)
        );
        return Err(io::Error::new(io::ErrorKind::TimedOut, message));
    };
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

/// Waits for the end, which there is none of if the time was too short.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            kill_process_group(Pid::from_child(child), Signal::KILL)?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn contents(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes the command run as the ordinary user [`USER`], without further groups, in `/`.
///
/// The program must be one that everybody may reach: see [`installed`].
pub fn as_user(command: &mut Command) -> &mut Command {
    command
        .uid(USER)
        .gid(USER)
        .current_dir("/")
        .env("HOME", "/nonexistent")
        // The account of skipped tests is not the user's to write; what is skipped is printed.
        .env_remove(crate::skip::FILE)
}

/// Makes a command whose tests may be skipped for what their user lacks: that is printed, and left
/// out of the account of skipped tests.
pub fn without_account(command: &mut Command) -> &mut Command {
    command.env_remove(crate::skip::FILE)
}

/// Lets this process have as many files open as it may allow itself (`setrlimit(2)`).
///
/// # Errors
///
/// What getrlimit(2) or setrlimit(2) said.
pub fn allow_open_files() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// Creates a temporary directory that belongs to [`USER`].
///
/// # Errors
///
/// What creating it or giving it away said; the latter takes root.
pub fn user_directory() -> io::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    chown(directory.path(), Some(USER), Some(USER))?;
    Ok(directory)
}

/// Puts a program into a directory where others may run it, and returns its new path.
///
/// Where a program is built, often only its builder may go.
fn install(program: &Path, directory: &Path) -> io::Result<PathBuf> {
    let name = program.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let installed = directory.join(name);
    if fs::hard_link(program, &installed).is_ok() {
        return Ok(installed);
    }
    // Not `fs::copy`: a child that another thread starts meanwhile inherits the file open for
    // writing until it executes, and execve(2) of such a file fails with ETXTBSY.
    let status = Command::new("cp").arg(program).arg(&installed).status()?;
    if status.success() {
        Ok(installed)
    } else {
        Err(io::Error::other(format!("cp: {status}")))
    }
}

/// Puts a program into a directory of its own, where every user may run it until the directory is
/// dropped.
///
/// # Errors
///
/// What making the directory or putting the program there said.
pub fn installed(program: &Path) -> io::Result<(TempDir, PathBuf)> {
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
    let program = install(program, directory.path())?;
    Ok((directory, program))
}

/// Returns the most memory, in bytes, that a child of this process had that has ended.
///
/// That is at least what each of them had, and so holds in `assert!(peak <= limit)`. It may be
/// more: it counts all children of the process so far, and for each what this process itself
/// had when it started the child (`ru_maxrss` in getrusage(2)).
///
/// # Errors
///
/// What getrusage(2) said.
pub fn peak_memory_of_children() -> io::Result<u64> {
    let kibibytes = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    Ok(u64::try_from(kibibytes).unwrap_or(0) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::require;

    const AMPLE: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    #[test]
    fn what_a_program_says_and_how_it_ends_come_back() -> io::Result<()> {
        let output = run(&mut shell("echo out; echo err >&2; exit 3"), AMPLE)?;
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        Ok(())
    }

    #[test]
    fn more_than_a_pipe_holds_comes_back() -> io::Result<()> {
        let output = run(&mut shell("head -c 300000 /dev/zero"), AMPLE)?;
        assert_eq!(output.stdout.len(), 300_000);
        Ok(())
    }

    #[test]
    fn a_program_without_end_is_killed_with_what_it_started() {
        let script = "sleep 1000 & echo $! >&2; wait";
        let error = run(&mut shell(script), Duration::from_secs(1)).expect_err("it has no end");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let message = error.to_string();
        let started: Option<u32> = message
            .split(' ')
            .next_back()
            .and_then(|s| s.trim().parse().ok());
        let line = format!("/proc/{}/cmdline", started.expect("the id of sleep"));
        // The signal is on its way. A zombie has no command line any more.
        let start = Instant::now();
        while fs::read(&line).is_ok_and(|line| !line.is_empty()) {
            assert!(start.elapsed() < AMPLE, "sleep is still there: {message}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = run(&mut Command::new("/no/such/program"), AMPLE);
        assert_eq!(
            error.map_err(|e| e.kind()).err(),
            Some(io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn as_many_files_are_allowed_as_may_be() -> io::Result<()> {
        if crate::is_prepared("ulimit -Sn 64", &crate::this_test!())? {
            let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
            assert!(soft == 64 && hard > 64);
            allow_open_files()?;
            assert_eq!(getrlimit(Resource::RLIMIT_NOFILE)?, (hard, hard));
        }
        Ok(())
    }

    #[test]
    fn an_ordinary_user_has_its_directory_and_no_privilege() -> io::Result<()> {
        require!(root);
        let directory = user_directory()?;
        let (_bin, program) = installed(Path::new("/bin/cat"))?;
        let script = "\
            id -u; id -g; id -G
            echo x >\"$1/file\" && \"$2\" \"$1/file\"
            chown 0 \"$1/file\" 2>&- || echo no chown";
        let mut command = shell(script);
        command.arg("sh").arg(directory.path()).arg(program);
        let output = run(as_user(&mut command), AMPLE)?;
        let expected = format!("{USER}\n{USER}\n{USER}\nx\nno chown\n");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "{output:?}"
        );
        Ok(())
    }

    #[test]
    fn a_program_is_installed_across_file_systems() -> io::Result<()> {
        let other = TempDir::new_in("/dev/shm")?;
        let program = install(Path::new("/bin/true"), other.path())?;
        assert!(run(&mut Command::new(program), AMPLE)?.status.success());
        Ok(())
    }

    #[test]
    fn the_peak_counts_the_memory_of_children() -> io::Result<()> {
        // `tail` has to keep what may be the last line.
        let script = "head -c 50000000 /dev/zero | tail -n 1 | wc -c";
        let output = run(&mut shell(script), AMPLE)?;
        assert_eq!(output.stdout, b"50000000\n");
        let peak = peak_memory_of_children()?;
        assert!(peak >= 50_000_000, "{peak}");
        Ok(())
    }
}
