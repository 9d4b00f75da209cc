//! `demo`: the whole main job on real files, through the command, told as it goes.
//!
//! Layers are made of this machine's files, or taken from an image that the user names; then kept,
//! found, compared, exported, deleted, and what has to hold is verified. Whatever does not hold
//! ends the demo with an error.

mod edits;
mod gather;
mod generations;
mod image;
mod laws;
mod machine;
mod real;
mod screen;
mod shell;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use self::screen::Screen;
use self::shell::Shell;
use crate::Result;
use crate::{test, workspace};

/// Programs of any Linux that the demo runs beside ours.
const PROGRAMS: &[&str] = &["cat", "gzip", "sha256sum"];

/// What the demo is asked to do.
#[derive(Debug, Default, PartialEq)]
struct Options {
    /// The image whose layers are taken.
    image: Option<PathBuf>,
    /// Where the demo's own directory is made.
    dir: Option<PathBuf>,
    /// Whether that directory stays.
    keep: bool,
    /// The `layergraph` that is driven, in place of the one of this workspace.
    command: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[&str]) -> Result<Options> {
        let mut options = Options::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let place = match *arg {
                "--keep" => {
                    options.keep = true;
                    continue;
                }
                "--image" => &mut options.image,
                "--dir" => &mut options.dir,
                "--command" => &mut options.command,
                other => return Err(format!("demo: `{other}` is not an option of it").into()),
            };
            let value = args.next().ok_or(format!("demo: {arg} needs a path"))?;
            *place = Some(fs::canonicalize(value).at(Path::new(value))?);
        }
        Ok(options)
    }
}

/// Says which path a call failed on.
trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        Ok(self.map_err(|error| format!("{}: {error}", path.display()))?)
    }
}

/// Runs the demo.
pub(crate) fn run(args: &[&str]) -> Result {
    let options = Options::parse(args)?;
    for program in PROGRAMS {
        if !test::is_present(program) {
            return Err(format!("demo: the program `{program}` is needed").into());
        }
    }
    let command = match &options.command {
        Some(command) => command.clone(),
        None => build_command()?,
    };
    let place = place(&options)?;
    let start = Instant::now();
    let mut shell = Shell::new(command, place.path(), Screen::new())?;
    shell.screen.begin(place.path());
    let told = match &options.image {
        Some(image) => real::run(&mut shell, image),
        None => machine::run(&mut shell),
    };
    let time = start.elapsed();
    shell.unmount_left();
    let removed = if options.keep {
        println!("\nEverything is kept in {}", place.keep().display());
        Ok(())
    } else {
        place.close()
    };
    told.map_err(|error| format!("demo: {error}"))?;
    removed.map_err(|error| format!("demo: its directory was not removed: {error}"))?;
    shell.screen.table(&shell.times);
    let (verified, seconds) = (shell.verified, time.as_secs_f64());
    println!("\nDone: {verified} things verified in {seconds:.1} s.");
    Ok(())
}

/// Runs the demo once more as an ordinary user, if this one is root.
pub(crate) fn run_as_user() -> Result {
    if fs::metadata("/proc/self")?.uid() != 0 {
        println!("this is an ordinary user, who runs the demo by `demo`");
        return Ok(());
    }
    if !test::is_present("setpriv") && !test::in_ci() {
        println!("no setpriv here (of util-linux); CI has it");
        return Ok(());
    }
    let user = test::USER;
    // Where things were built, the user perhaps may not go.
    let place = tempfile::tempdir()?;
    fs::set_permissions(place.path(), Permissions::from_mode(0o755))?;
    let [command, xtask, dir] = ["layergraph", "xtask", "tmp"].map(|name| place.path().join(name));
    fs::copy(build_command()?, &command)?;
    fs::copy(std::env::current_exe()?, &xtask)?;
    fs::create_dir(&dir)?;
    chown(&dir, Some(user), Some(user))?;
    workspace::check_status(
        Command::new("setpriv")
            .args([format!("--reuid={user}"), format!("--regid={user}")])
            .args(["--clear-groups", "--"])
            .arg(&xtask)
            .arg("demo")
            .args([OsStr::new("--command"), command.as_os_str()])
            .args([OsStr::new("--dir"), dir.as_os_str()])
            .current_dir(place.path())
            .env("HOME", "/nonexistent"),
    )?;
    match fs::read_dir(&dir)?.next() {
        None => Ok(()),
        Some(_) => Err("demo: it left something behind".into()),
    }
}

/// Builds the command as it is for users.
fn build_command() -> Result<PathBuf> {
    let built = workspace::build(&["build", "--release", "-p", "layergraph-cli"])?;
    let executable = built.into_iter().find_map(|artifact| artifact.executable);
    Ok(executable.ok_or("layergraph-cli has no executable")?.into())
}

/// Makes the demo's own directory, which nobody else may enter.
fn place(options: &Options) -> Result<TempDir> {
    let dir: PathBuf = match &options.dir {
        Some(dir) => dir.clone(),
        None => workspace::metadata()?.target_directory.into(),
    };
    fs::create_dir_all(&dir)?;
    let made = tempfile::Builder::new().prefix("demo-").tempdir_in(&dir);
    Ok(made.map_err(|error| {
        format!(
            "demo: cannot make a directory in {}: {error}",
            dir.display()
        )
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_any_order_and_paths_become_absolute() -> Result {
        let root = workspace::root().to_str().ok_or("not UTF-8")?;
        let options = Options::parse(&["--keep", "--dir", root, "--image", "/"])?;
        let expected = Options {
            image: Some("/".into()),
            dir: Some(fs::canonicalize(root)?),
            keep: true,
            command: None,
        };
        assert_eq!(options, expected);
        assert_eq!(Options::parse(&[])?, Options::default());
        Ok(())
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for args in [
            &["--dir"][..],
            &["--dir", "/nowhere/at/all"],
            &["--verbose"],
            &["x"],
        ] {
            assert!(Options::parse(args).is_err(), "{args:?}");
        }
    }
}
