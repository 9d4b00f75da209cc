//! `test`: every test of the workspace, and an account of those that did not run.
//!
//! A test that lacks a privilege or a program appends `skipped: TEST: REASON` to the file that
//! `LAYERGRAPH_SKIPPED` names. A developer's machine may lack what it likes; CI may not.
//!
//! Root may do what no one else may, so what fails for everybody else passes when root tests it.
//! Where root runs the tests, an ordinary user runs those of some packages once more.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::Artifact;
use tempfile::TempDir;

use crate::Result;
use crate::workspace;

/// Tells the tests which file to write to when they skip.
const SKIPPED: &str = "LAYERGRAPH_SKIPPED";

/// The packages whose work depends on who does it.
const OF_USERS: &[&str] = &[
    "layergraph-fs",
    "layergraph-archive",
    "layergraph-driver",
    "layergraph-driver-vfs",
    "layergraph-driver-overlay",
    "layergraph-core",
    "layergraph",
    "layergraph-cli",
];

/// The ordinary user, as in `layergraph-tests`.
pub(crate) const USER: u32 = 54_321;

/// Runs the tests, of the packages that `-p` names or else of all; with `--no-skips`, or in CI, a
/// test that is skipped counts as failed.
pub(crate) fn run(args: &[&str]) -> Result {
    let strict = args.contains(&"--no-skips") || in_ci();
    let args: Vec<&str> = args
        .iter()
        .copied()
        .filter(|arg| *arg != "--no-skips")
        .collect();
    let which: &[&str] = if names_packages(&args) {
        &[]
    } else {
        &["--workspace"]
    };

    let target = workspace::metadata()?.target_directory;
    let file = target.join("skipped-tests.txt");
    fs::create_dir_all(&target)?;
    fs::write(&file, "")?;
    let tests = workspace::check_status(
        workspace::cargo()
            .args(["test", "--all-features", "--no-fail-fast"])
            .args(which)
            .args(args)
            .env(SKIPPED, &file),
    );
    let skipped = tell_skipped(file.as_std_path())?;
    tests?;
    if strict && skipped > 0 {
        return Err(format!("{skipped} tests were skipped, and here none may be").into());
    }
    Ok(())
}

/// Runs the tests of [`OF_USERS`] as an ordinary user, if this one is root; `args` go to the test
/// executables.
///
/// What is skipped here is what only root can do: it ran before.
pub(crate) fn run_as_user(args: &[&str]) -> Result {
    if fs::metadata("/proc/self")?.uid() != 0 {
        println!("this is an ordinary user, who runs the tests by `test`");
        return Ok(());
    }
    if !is_present("setpriv") && !in_ci() {
        println!("no setpriv here (of util-linux); CI has it");
        return Ok(());
    }
    // The choice of packages is that of `run`, so that nothing is built anew.
    let built = workspace::build(&["test", "--workspace", "--all-features", "--no-run"])?;
    let (tests, programs) = of_users(&built)?;
    let place = Place::new(&programs)?;
    let mut failed = Vec::new();
    for test in tests {
        let name = format!("{} ({})", package(test), test.target.name);
        println!("{name}");
        if let Err(error) = workspace::check_status(place.command(test)?.args(args)) {
            eprintln!("{error}");
            failed.push(name);
        }
    }
    tell_skipped(&place.skipped())?;
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed as user {USER}: {}", failed.join(", ")).into())
    }
}

/// Returns whether a program can be run.
pub(crate) fn is_present(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null());
    command.status().is_ok()
}

/// Returns the test executables of [`OF_USERS`], and the programs that these run.
fn of_users(built: &[Artifact]) -> Result<(Vec<&Artifact>, Vec<&Artifact>)> {
    let ours = built
        .iter()
        .filter(|artifact| artifact.executable.is_some() && OF_USERS.contains(&package(artifact)));
    let (tests, programs): (Vec<_>, Vec<_>) = ours.partition(|artifact| artifact.profile.test);
    for name in OF_USERS {
        if !tests.iter().any(|test| package(test) == *name) {
            return Err(format!("no test executable of {name} was built").into());
        }
    }
    Ok((tests, programs))
}

/// Returns the name of the package, which here is that of its directory.
fn package(artifact: &Artifact) -> &str {
    let directory = artifact.manifest_path.parent();
    directory.and_then(|it| it.file_name()).unwrap_or_default()
}

/// Where an ordinary user finds the executables, and may write. Where they were built, in a home of
/// mode 0700 perhaps, only the builder may go.
struct Place {
    directory: TempDir,
    /// Variables that name the programs, as cargo has them for tests.
    programs: Vec<(String, PathBuf)>,
}

impl Place {
    fn new(programs: &[&Artifact]) -> Result<Place> {
        let directory = tempfile::tempdir()?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let mut place = Place {
            directory,
            programs: Vec::new(),
        };
        fs::create_dir(place.temporary())?;
        fs::write(place.skipped(), "")?;
        for path in [place.temporary(), place.skipped()] {
            chown(path, Some(USER), Some(USER))?;
        }
        for program in programs {
            let name = format!("CARGO_BIN_EXE_{}", program.target.name);
            place.programs.push((name, place.install(program)?));
        }
        Ok(place)
    }

    fn temporary(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }

    fn skipped(&self) -> PathBuf {
        self.directory.path().join("skipped-tests.txt")
    }

    /// Puts an executable where the user may run it, and returns its new path.
    fn install(&self, artifact: &Artifact) -> Result<PathBuf> {
        let executable = artifact.executable.as_ref().ok_or("no executable")?;
        let name = executable.file_name().ok_or("an executable has no name")?;
        let installed = self.directory.path().join(name);
        if fs::hard_link(executable, &installed).is_err() {
            fs::copy(executable, &installed)?;
        }
        Ok(installed)
    }

    /// Returns the command that runs a test executable as cargo does, but for the user.
    fn command(&self, test: &Artifact) -> Result<Command> {
        let package = test.manifest_path.parent().ok_or("a package is nowhere")?;
        // Not `CommandExt::uid`: with that it is the user who changes to the directory, and perhaps
        // may not.
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={USER}"))
            .arg(format!("--regid={USER}"))
            .args(["--clear-groups", "--"])
            .arg(self.install(test)?)
            .current_dir(package)
            .env("HOME", "/nonexistent")
            .env("TMPDIR", self.temporary())
            .env(SKIPPED, self.skipped())
            .envs(self.programs.iter().map(|(name, path)| (name, path)));
        Ok(command)
    }
}

/// Prints which tests were skipped, and returns how many.
fn tell_skipped(file: &Path) -> Result<usize> {
    let skipped = read_skipped(file)?;
    println!(
        "{} skipped{}",
        skipped.len(),
        if skipped.is_empty() { "" } else { ":" }
    );
    for line in &skipped {
        println!("  {line}");
    }
    Ok(skipped.len())
}

/// Returns whether this is the run that decides.
pub(crate) fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| value == "true")
}

fn names_packages(args: &[&str]) -> bool {
    let ours = args.iter().take_while(|arg| **arg != "--");
    ours.copied()
        .any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
}

fn read_skipped(file: &Path) -> io::Result<BTreeSet<String>> {
    let text = fs::read_to_string(file)?;
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("skipped:").unwrap_or(line).trim());
    Ok(lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    use cargo_metadata::Message;

    #[test]
    fn packages_are_named_before_what_goes_to_the_tests() {
        assert!(names_packages(&["-p", "truncindex"]));
        assert!(names_packages(&["--package=truncindex", "name"]));
        assert!(!names_packages(&["name", "--", "-p"]));
    }

    fn artifact(package: &str, target: &str, test: bool) -> Result<Artifact> {
        let message = format!(
            r#"{{"reason":"compiler-artifact","package_id":"","manifest_path":"/x/{package}/Cargo.toml",
            "target":{{"name":"{target}","kind":["bin"],"src_path":""}},"features":[],"filenames":[],
            "profile":{{"opt_level":"0","debug_assertions":true,"overflow_checks":true,"test":{test}}},
            "executable":"/x/{target}","fresh":true}}"#
        );
        let message = message.replace('\n', " ");
        match Message::parse_stream(message.as_bytes()).next() {
            Some(Ok(Message::CompilerArtifact(artifact))) => Ok(artifact),
            other => Err(format!("no artifact: {other:?}").into()),
        }
    }

    #[test]
    fn a_package_without_tests_for_the_user_is_an_error() -> Result {
        let (last, others) = OF_USERS.split_last().expect("there are some");
        let mut built = vec![
            artifact("layergraph-cli", "layergraph", false)?,
            artifact("truncindex", "truncindex", true)?,
        ];
        for name in others {
            built.push(artifact(name, "it", true)?);
        }
        let error = of_users(&built).map_err(|error| error.to_string());
        let expected = format!("no test executable of {last} was built");
        assert_eq!(error.err(), Some(expected));

        built.push(artifact(last, "it", true)?);
        let (tests, programs) = of_users(&built)?;
        let packages: Vec<_> = tests.into_iter().map(package).collect();
        assert_eq!(packages, OF_USERS);
        assert_eq!(programs, [&built[0]]);
        Ok(())
    }

    #[test]
    fn each_skipped_test_is_counted_once() -> Result {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("skipped");
        fs::write(
            &file,
            "skipped: b: no root\n\nskipped: a: no bsdtar\nskipped: b: no root\n",
        )?;
        let skipped = read_skipped(&file)?;
        assert_eq!(
            skipped.into_iter().collect::<Vec<_>>(),
            ["a: no bsdtar", "b: no root"]
        );
        Ok(())
    }
}
