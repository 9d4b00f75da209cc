//! `ci`: all that must hold before a change lands, each stage with its time.
//!
//! A stage that fails does not stop the others, so one run shows everything.

use std::time::{Duration, Instant};

use cargo_metadata::TargetKind;

use crate::Result;
use crate::workspace::{cargo, check_status, metadata};
use crate::{demo, layers, race, test, tidy};

/// Runs all stages and prints a table of them.
pub(crate) fn run() -> Result {
    let mut stages = Stages::default();
    stages.run("fmt", || {
        check_status(cargo().args(["fmt", "--all", "--check"]))
    });
    stages.run("layers", layers::run);
    stages.run("tidy", tidy::run);
    stages.run("clippy: default features", || {
        clippy(&["--workspace", "--all-targets"])
    });
    stages.run("clippy: all features", || {
        clippy(&["--workspace", "--all-targets", "--all-features"])
    });
    stages.run("clippy: features alone", clippy_features_alone);
    stages.run("test", || test::run(&[]));
    stages.run("test: ordinary user", || test::run_as_user(&[]));
    stages.run("demo", || demo::run(&[]));
    stages.run("demo: ordinary user", demo::run_as_user);
    stages.run("race", || race::run(&["--seconds", "20"]));
    stages.run("race: ordinary user", || {
        race::run_as_user(&["--seconds", "20"])
    });
    stages.run("docs", docs);
    stages.run("deny", deny);
    stages.finish()
}

fn clippy(args: &[&str]) -> Result {
    check_status(
        cargo()
            .args(["clippy", "--locked"])
            .args(args)
            .args(["--", "-D", "warnings"]),
    )
}

/// Checks each library by itself without features, and with each of its features alone: in a
/// workspace build one crate's wishes add to another's.
fn clippy_features_alone() -> Result {
    for package in metadata()?.workspace_packages() {
        let mut targets = package.targets.iter();
        if !targets.any(|target| target.is_kind(TargetKind::Lib)) {
            continue;
        }
        let library = ["-p", &package.name, "--lib", "--no-default-features"];
        clippy(&library)?;
        for feature in package.features.keys().filter(|name| *name != "default") {
            clippy(&[&library[..], &["--features", feature]].concat())?;
        }
    }
    Ok(())
}

fn docs() -> Result {
    check_status(
        cargo()
            .args([
                "doc",
                "--locked",
                "--workspace",
                "--no-deps",
                "--all-features",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Checks what we depend on. Advisories need their database from the network, and are left to
/// `cargo deny check advisories`.
fn deny() -> Result {
    if !test::is_present("cargo-deny") && !test::in_ci() {
        println!("not here (`cargo install --locked cargo-deny`); CI has it");
        return Ok(());
    }
    check_status(cargo().args([
        "deny",
        "--all-features",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

#[derive(Debug, Default)]
struct Stages {
    done: Vec<(&'static str, Duration, bool)>,
}

impl Stages {
    fn run(&mut self, name: &'static str, stage: impl FnOnce() -> Result) {
        println!("\n==> {name}");
        let start = Instant::now();
        let result = stage();
        let time = start.elapsed();
        if let Err(error) = &result {
            eprintln!("{error}");
        }
        println!("<== {name}: {:.1} s", time.as_secs_f64());
        self.done.push((name, time, result.is_ok()));
    }

    fn finish(self) -> Result {
        println!();
        for (name, time, ok) in &self.done {
            println!(
                "{name:28} {:8.1} s  {}",
                time.as_secs_f64(),
                if *ok { "ok" } else { "FAILED" }
            );
        }
        let total: Duration = self.done.iter().map(|(_, time, _)| *time).sum();
        println!("{:28} {:8.1} s", "total", total.as_secs_f64());
        let failed: Vec<_> = self
            .done
            .iter()
            .filter(|(.., ok)| !ok)
            .map(|(name, ..)| *name)
            .collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(format!("failed: {}", failed.join(", ")).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stage_does_not_stop_the_next_but_fails_the_run() {
        let mut stages = Stages::default();
        stages.run("first", || Err("no".into()));
        let mut ran = false;
        stages.run("second", || {
            ran = true;
            Ok(())
        });
        assert!(ran);
        let failed = stages.finish().map_err(|error| error.to_string());
        assert_eq!(failed, Err("failed: first".to_owned()));
    }
}
