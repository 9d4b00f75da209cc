//! How a test is skipped: a line for the account of it, and a result with which the test passes.
//!
//! Called by [`require!`](crate::require), not by tests.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use crate::again::test_name;

/// Names the file to which skipped tests are added; set by `cargo xtask test`.
pub(crate) const FILE: &str = "LAYERGRAPH_SKIPPED";

/// What a test may return.
pub trait Skipped {
    /// Returns what lets the test pass.
    fn skipped() -> Self;
}

impl Skipped for () {
    fn skipped() -> Self {}
}

impl<E> Skipped for Result<(), E> {
    fn skipped() -> Self {
        Ok(())
    }
}

/// Writes `skipped: PACKAGE TEST: REASON` to stderr, and to the file that `LAYERGRAPH_SKIPPED`
/// names.
///
/// `path` is that of a function within the test.
///
/// # Panics
///
/// If the file cannot be written: a test that is skipped without a record looks like one that ran.
pub fn record(package: &str, path: &str, reason: &str) {
    let line = line(package, path, reason);
    // Not `eprint!`, which is captured from a test that passes. Without a stderr there is still
    // the file.
    let _ = io::stderr().write_all(line.as_bytes());
    if let Some(file) = env::var_os(FILE) {
        append(Path::new(&file), &line)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn line(package: &str, path: &str, reason: &str) -> String {
    let test = test_name(path);
    let reason = reason.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    format!("skipped: {package} {test}: {reason}\n")
}

/// Adds the line with one write, so that the lines of tests that run at the same time do not mix.
fn append(file: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    file.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;
    use std::process::Command;
    use std::time::Duration;

    use crate::{again, as_partner, has_passed, partner_home, require, run, this_test};

    #[test]
    fn a_line_names_package_test_and_reason() {
        for (path, expected) in [
            ("it::unpack::r1_x::here", "skipped: p unpack::r1_x: why\n"),
            ("it::r1_x::here", "skipped: p r1_x: why\n"),
            ("it::a::{{closure}}::here", "skipped: p a: why\n"),
        ] {
            assert_eq!(line("p", path, "why"), expected);
        }
        assert_eq!(line("p", "it::a::here", "x:\n y"), "skipped: p a: x: y\n");
    }

    /// The test as others write it, and what it must not reach.
    fn skipped_with_result() -> Result<(), String> {
        require!(program "no-such-program-anywhere");
        Err("went on".to_owned())
    }

    fn skipped_with_nothing() {
        require!(program "sh", "no-such-program-anywhere");
        panic!("went on");
    }

    /// Runs itself again, because the variable can only be set for another process.
    #[test]
    fn a_skipped_test_passes_and_is_recorded() -> io::Result<()> {
        if partner_home().is_some() {
            assert_eq!(skipped_with_result(), Ok(()));
            skipped_with_nothing();
            return Ok(());
        }
        let home = tempfile::tempdir()?;
        let file = home.path().join("skipped");
        let mut command = Command::new(env::current_exe()?);
        let again = again(&mut command, &this_test!());
        let again = as_partner(again, home.path()).env(FILE, &file);
        let output = run(again, Duration::from_secs(60))?;
        has_passed(&output)?;

        let lines = "\
skipped: layergraph-tests skip::tests::skipped_with_result: no-such-program-anywhere is not in PATH
skipped: layergraph-tests skip::tests::skipped_with_nothing: no-such-program-anywhere is not in PATH
";
        assert_eq!(fs::read_to_string(file)?, lines);
        assert_eq!(String::from_utf8_lossy(&output.stderr), lines);
        Ok(())
    }

    #[test]
    fn a_test_that_has_what_it_needs_goes_on() {
        fn body() -> Result<(), &'static str> {
            require!(program "sh");
            Err("went on")
        }
        assert_eq!(body(), Err("went on"));
    }
}
