//! `race`: whoever has the tree swaps directories in it for links, while we work on it (R4).
//!
//! All links lead to a directory outside, the canary. It has to be the same at the end, and nothing
//! of it may be in what comes out. An operation may fail, as the tree is torn apart under it.

mod attack;
mod campaign;
mod canary;
mod ground;
mod layers;
mod operations;
mod tells;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use self::campaign::{Outcome, Until};
use crate::Result;
use crate::{test, workspace};

/// How long a campaign takes by default.
const TIME: Duration = Duration::from_secs(20);

/// In memory a swap takes least.
const MEMORY: &str = "/dev/shm";

#[derive(Debug, PartialEq, Eq)]
struct Options {
    until: Until,
    /// Where the campaign's own directory is made.
    dir: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[&str]) -> Result<Options> {
        let mut options = Options {
            until: Until::Time(TIME),
            dir: None,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("race: {arg} needs a value"));
            match *arg {
                "--seconds" => options.until = Until::Time(Duration::from_secs(value()?.parse()?)),
                "--flips" => options.until = Until::Flips(value()?.parse()?),
                "--dir" => options.dir = Some(value()?.into()),
                other => return Err(format!("race: `{other}` is not an option of it").into()),
            }
        }
        Ok(options)
    }
}

/// Runs the campaign, and keeps its directory if something escaped.
pub(crate) fn run(args: &[&str]) -> Result {
    let options = Options::parse(args)?;
    let place = place(options.dir.as_deref())?;
    // One for each processor, so that one attacks while we work.
    let attackers = thread::available_parallelism()?.get().clamp(2, 8);
    let attackers = u32::try_from(attackers)?;
    let base = place.path();
    let run = campaign::run(base, operations::OPERATIONS, attackers, options.until);
    let outcome = match run {
        Ok(outcome) => outcome,
        Err(error) => {
            let kept = place.keep();
            return Err(format!("race: {error}; everything is kept in {}", kept.display()).into());
        }
    };
    report(&outcome, attackers, base);
    if let Some((operation, found)) = &outcome.escape {
        for line in found {
            eprintln!("{line}");
        }
        let kept = place.keep();
        let kept = kept.display();
        return Err(format!("race: {operation} escaped; everything is kept in {kept}").into());
    }
    if outcome.tallies.iter().any(|tally| tally.flips == 0) {
        return Err("race: there is an operation under which nothing was swapped".into());
    }
    place.close()?;
    Ok(())
}

fn report(outcome: &Outcome, attackers: u32, base: &Path) {
    println!(
        "{:20} {:>9} {:>9} {:>12}",
        "operation", "rounds", "failed", "flips"
    );
    for tally in &outcome.tallies {
        let campaign::Tally {
            name,
            rounds,
            failed,
            flips,
            ..
        } = tally;
        println!("{name:20} {rounds:9} {failed:9} {flips:12}");
    }
    let (flips, seconds) = (outcome.flips, outcome.time.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "it is for the eye")]
    let rate = flips as f64 / seconds;
    println!(
        "{flips} flips by {attackers} attackers in {seconds:.1} s, {rate:.0} a second, as user {} \
         in {}; escapes: {}",
        layergraph_fs::effective_user(),
        base.parent().unwrap_or(base).display(),
        usize::from(outcome.escape.is_some()),
    );
}

/// Makes the campaign's own directory, which nobody else may enter.
fn place(dir: Option<&Path>) -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("race-");
    Ok(match dir {
        Some(dir) => builder.tempdir_in(dir)?,
        None if Path::new(MEMORY).is_dir() => builder.tempdir_in(MEMORY)?,
        None => builder.tempdir()?,
    })
}

/// Runs the campaign as an ordinary user, if this one is root.
pub(crate) fn run_as_user(args: &[&str]) -> Result {
    if layergraph_fs::effective_user() != 0 {
        println!("this is an ordinary user, whose campaign is `race`");
        return Ok(());
    }
    if !test::is_present("setpriv") && !test::in_ci() {
        println!("no setpriv here (of util-linux); CI has it");
        return Ok(());
    }
    let user = test::USER;
    let options = Options::parse(args)?;
    // Where this was built, the user perhaps may not go, and may not write where root may.
    let place = place(options.dir.as_deref())?;
    fs::set_permissions(place.path(), Permissions::from_mode(0o755))?;
    let [xtask, dir] = ["xtask", "tmp"].map(|name| place.path().join(name));
    fs::copy(std::env::current_exe()?, &xtask)?;
    fs::create_dir(&dir)?;
    chown(&dir, Some(user), Some(user))?;
    let done = workspace::check_status(
        Command::new("setpriv")
            .args([format!("--reuid={user}"), format!("--regid={user}")])
            .args(["--clear-groups", "--"])
            .arg(&xtask)
            .arg("race")
            .args(args)
            // The last one counts.
            .arg("--dir")
            .arg(&dir)
            .current_dir(place.path())
            .env("HOME", "/nonexistent"),
    );
    if done.is_err() {
        let kept = place.keep();
        eprintln!("race: what was kept is in {}", kept.display());
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_what_is_none_is_refused() -> Result {
        let options = Options::parse(&["--flips", "5", "--dir", "/x"])?;
        let expected = Options {
            until: Until::Flips(5),
            dir: Some("/x".into()),
        };
        assert_eq!(options, expected);
        assert_eq!(Options::parse(&[])?.until, Until::Time(TIME));
        for args in [&["--flips"][..], &["--seconds", "x"], &["x"]] {
            assert!(Options::parse(args).is_err(), "{args:?}");
        }
        Ok(())
    }
}
