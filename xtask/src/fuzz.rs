//! `fuzz`: the properties of fuzz/properties under a fuzzer, or as many inputs without one.
//!
//! `cargo fuzz` builds the targets; they are run from here, so that corpus and findings are in the
//! target directory and not among the sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::test;
use crate::workspace::{self, cargo, check_status};

/// The package with the properties.
const PROPERTIES: &str = "layergraph-properties";

/// Longer inputs cost more than they find.
const MAX_BYTES: &str = "-max_len=8192";

/// An input takes a thousandth of that; the largest memory that one may need is that of a decoder.
const LIMITS: [&str; 2] = ["-timeout=20", "-rss_limit_mb=512"];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Options<'a> {
    target: Option<&'a str>,
    /// As `-runs` or `-max_total_time`, and how many.
    amount: (Amount, u64),
    stable: bool,
    /// Inputs to run instead.
    files: Vec<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    Runs,
    Seconds,
}

/// Runs one target, or all of them one after the other.
pub(crate) fn run(args: &[&str]) -> Result {
    if let ["--archives", number] = args {
        return check_status(&mut properties(&["--archives", number]));
    }
    let options = parse(args)?;
    let place = workspace::metadata()?.target_directory.join("fuzz");
    let place = place.as_std_path();
    let targets = match options.target {
        Some(target) => vec![target.to_owned()],
        None => targets()?,
    };
    if !options.stable && !test::is_present("cargo-fuzz") {
        let install = "cargo install --locked cargo-fuzz";
        return Err(format!("no cargo-fuzz here (`{install}`); --stable does without").into());
    }
    if !options.stable {
        build(&targets, place)?;
    }
    let mut failed = Vec::new();
    for target in &targets {
        println!("\n==> {target}");
        let done = if options.stable {
            run_stable(target, &options, place)
        } else {
            run_fuzzer(target, &options, place)
        };
        if let Err(error) = done {
            eprintln!("{error}");
            failed.push(target.as_str());
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("failed: {}", failed.join(", ")).into()),
    }
}

fn parse<'a>(args: &[&'a str]) -> Result<Options<'a>> {
    let mut options = Options {
        target: None,
        amount: (Amount::Seconds, 60),
        stable: false,
        files: Vec::new(),
    };
    let mut rest = args;
    while let [arg, after @ ..] = rest {
        rest = after;
        let amount = match *arg {
            "--stable" => {
                options.stable = true;
                continue;
            }
            "--runs" => Amount::Runs,
            "--seconds" => Amount::Seconds,
            other if other.starts_with('-') => return Err(format!("fuzz has no {other}").into()),
            target if options.target.is_none() => {
                options.target = Some(target);
                continue;
            }
            file => {
                options.files.push(file);
                continue;
            }
        };
        let [number, after @ ..] = rest else {
            return Err(format!("{arg} needs a number").into());
        };
        let number = number
            .parse()
            .map_err(|_| format!("{arg} {number}: not a number"))?;
        options.amount = (amount, number);
        rest = after;
    }
    Ok(options)
}

/// Returns the names of all targets, which are those of the properties.
fn targets() -> Result<Vec<String>> {
    let output = properties(&["--list"]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?
        .lines()
        .map(str::to_owned)
        .collect())
}

/// The command that runs properties without a fuzzer.
fn properties(args: &[&str]) -> Command {
    let mut command = cargo();
    command
        .args(["run", "-q", "--release", "-p", PROPERTIES, "--"])
        .args(args);
    command
}

/// Builds targets for the fuzzer.
///
/// A compiler that is not a nightly one takes what a fuzzer needs with `RUSTC_BOOTSTRAP`. Without a
/// sanitizer it is several times as fast, and the crates have no unsafe code but for one module.
fn build(targets: &[String], place: &Path) -> Result {
    for target in targets {
        let mut command = cargo();
        command
            .args(["fuzz", "build", "--release", "--sanitizer", "none"])
            .arg("--target-dir")
            .arg(place.join("build"))
            .arg(target)
            .env("RUSTC_BOOTSTRAP", "1");
        check_status(&mut command)?;
    }
    Ok(())
}

fn run_stable(target: &str, options: &Options<'_>, place: &Path) -> Result {
    let artifacts = artifacts(target, place)?;
    let mut command = properties(&[target]);
    let number = options.amount.1.to_string();
    if options.files.is_empty() {
        let option = match options.amount.0 {
            Amount::Runs => "--runs",
            Amount::Seconds => "--seconds",
        };
        command.args([option, &number]);
    }
    let scratch = Scratch::new()?;
    check_status(
        command
            .args(&options.files)
            .env("LAYERGRAPH_ARTIFACTS", artifacts)
            .env("TMPDIR", scratch.path()),
    )
}

fn run_fuzzer(target: &str, options: &Options<'_>, place: &Path) -> Result {
    let corpus = place.join("corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let directory = corpus.to_str().ok_or("a path that is not UTF-8")?;
    check_status(&mut properties(&["--seeds", target, directory]))?;
    let scratch = Scratch::new()?;
    let mut command = Command::new(executable(target, place)?);
    command
        .current_dir(workspace::root())
        .env("TMPDIR", scratch.path());
    if options.files.is_empty() {
        let amount = match options.amount {
            (Amount::Runs, runs) => format!("-runs={runs}"),
            (Amount::Seconds, seconds) => format!("-max_total_time={seconds}"),
        };
        let mut prefix = std::ffi::OsString::from("-artifact_prefix=");
        prefix.push(artifacts(target, place)?);
        command
            .args([&amount, MAX_BYTES, "-print_final_stats=1"])
            .args(LIMITS)
            .arg(prefix)
            .arg(&corpus);
    }
    check_status(command.args(&options.files))
}

/// Returns where findings are kept, with a slash at its end.
fn artifacts(target: &str, place: &Path) -> Result<PathBuf> {
    let artifacts = place.join("artifacts").join(target).join("");
    fs::create_dir_all(&artifacts)?;
    Ok(artifacts)
}

/// Returns the executable of a target that was built.
fn executable(target: &str, place: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(place.join("build"))? {
        // The directory of the platform, by which cargo-fuzz builds.
        let executable = entry?.path().join("release").join(target);
        if executable.is_file() {
            return Ok(executable);
        }
    }
    Err(format!("cargo-fuzz has not built {target}").into())
}

/// A temporary directory for what targets unpack: in memory, if there is such a place.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Result<Scratch> {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        Ok(Scratch(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read_in_any_order() -> Result {
        let expected = Options {
            target: Some("pax"),
            amount: (Amount::Runs, 7),
            stable: true,
            files: Vec::new(),
        };
        assert_eq!(parse(&["--runs", "7", "pax", "--stable"])?, expected);
        assert_eq!(parse(&["pax", "--stable", "--runs", "7"])?, expected);
        assert_eq!(parse(&["pax", "a", "b"])?.files, ["a", "b"]);
        Ok(())
    }

    #[test]
    fn what_fuzz_does_not_know_is_an_error() {
        for args in [&["--all"][..], &["--runs"], &["--runs", "many"]] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn each_property_has_its_target() -> Result {
        let files = workspace::text_files()?;
        let text = |path: &str| {
            let file = files.iter().find(|file| file.path == path);
            file.map(|file| file.text.as_str()).ok_or(path.to_owned())
        };
        let manifest = text("fuzz/Cargo.toml")?;
        let library = text("fuzz/properties/src/lib.rs")?;
        let named = library.lines().filter_map(|line| {
            let name = line.trim().strip_prefix("name: \"")?;
            name.strip_suffix("\",")
        });
        let mut count = 0;
        for name in named {
            assert!(
                manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n")),
                "{name}"
            );
            text(&format!("fuzz/fuzz_targets/{name}.rs"))?;
            count += 1;
        }
        assert_eq!(count, manifest.matches("[[bin]]").count());
        Ok(())
    }
}
