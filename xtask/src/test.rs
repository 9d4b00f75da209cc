//! `test`: every test of the workspace, and an account of those that did not run.
//!
//! A test that lacks a privilege or a program appends `skipped: TEST: REASON` to the file that
//! `LAYERGRAPH_SKIPPED` names. A developer's machine may lack what it likes; CI may not.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::path::Path;

use crate::Result;
use crate::workspace;

/// Tells the tests which file to write to when they skip.
const SKIPPED: &str = "LAYERGRAPH_SKIPPED";

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
    let skipped = read_skipped(file.as_std_path())?;
    println!(
        "{} skipped{}",
        skipped.len(),
        if skipped.is_empty() { "" } else { ":" }
    );
    for line in &skipped {
        println!("  {line}");
    }
    tests?;
    if strict && !skipped.is_empty() {
        return Err(format!("{} tests were skipped, and here none may be", skipped.len()).into());
    }
    Ok(())
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

    #[test]
    fn packages_are_named_before_what_goes_to_the_tests() {
        assert!(names_packages(&["-p", "truncindex"]));
        assert!(names_packages(&["--package=truncindex", "name"]));
        assert!(!names_packages(&["name", "--", "-p"]));
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
