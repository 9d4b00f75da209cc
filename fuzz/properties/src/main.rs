//! Runs properties without a fuzzer: `layergraph-properties NAME [--runs N | --seconds N | FILE…]`.
//!
//! An input of which a law does not hold is written to the directory that `LAYERGRAPH_ARTIFACTS`
//! names, or else to the current one.

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, panic};

use layergraph_properties::{PROPERTIES, Property, inputs, property, random_archives};

const USAGE: &str = "\
usage: layergraph-properties NAME [--runs N | --seconds N] [--seed N]
       layergraph-properties NAME FILE…
       layergraph-properties --seeds NAME DIR
       layergraph-properties --archives N
       layergraph-properties --list";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["--list"] => {
            for property in PROPERTIES {
                println!("{}", property.name);
            }
            Ok(())
        }
        ["--archives", number] => run_archives(number),
        ["--seeds", name, directory] => named(name).and_then(|it| write_seeds(it, directory)),
        [name, options @ ..] => named(name).and_then(|it| run(it, options)),
        [] => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn named(name: &str) -> Result<&'static Property, Box<dyn Error>> {
    property(name).ok_or_else(|| format!("there is no property {name}\n{USAGE}").into())
}

/// Takes so many archives of random make apart and puts them together again.
fn run_archives(number: &str) -> Result<(), Box<dyn Error>> {
    let number = number.parse().map_err(|_| USAGE)?;
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let seed = since_1970.as_secs();
    let start = Instant::now();
    let refused = random_archives(seed, number);
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{number} archives of seed {seed} came out identical in {seconds:.1} s, {refused} were refused"
    );
    Ok(())
}

/// Writes the seeds of a property for a fuzzer to begin with.
fn write_seeds(property: &Property, directory: &str) -> Result<(), Box<dyn Error>> {
    for (seed, number) in (property.seeds)().iter().zip(1..) {
        fs::write(format!("{directory}/seed-{number}"), seed)?;
    }
    Ok(())
}

fn run(property: &Property, options: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut runs = 100_000;
    let mut end = None;
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut seed = since_1970.as_secs();
    let mut rest = options;
    while let [option, after @ ..] = rest {
        let number = || -> Result<u64, Box<dyn Error>> {
            let text = after.first().ok_or(USAGE)?;
            Ok(text.parse().map_err(|_| USAGE)?)
        };
        match *option {
            "--runs" => runs = number()?,
            "--seed" => seed = number()?,
            "--seconds" => {
                end = Some(Instant::now() + Duration::from_secs(number()?));
                runs = u64::MAX;
            }
            _ => return run_files(property, rest),
        }
        rest = &after[1..];
    }
    let start = Instant::now();
    let mut done = 0;
    for input in inputs(property, seed) {
        if done >= runs || end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        check(property, &input)?;
        done += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}: {done} inputs of seed {seed} in {seconds:.1} s",
        property.name
    );
    Ok(())
}

/// Runs inputs of before, each a file.
fn run_files(property: &Property, files: &[&str]) -> Result<(), Box<dyn Error>> {
    for file in files {
        (property.check)(&fs::read(file)?);
        println!("{}: {file}: holds", property.name);
    }
    Ok(())
}

fn check(property: &Property, input: &[u8]) -> Result<(), Box<dyn Error>> {
    if panic::catch_unwind(|| (property.check)(input)).is_ok() {
        return Ok(());
    }
    let directory = env::var_os("LAYERGRAPH_ARTIFACTS").map_or_else(PathBuf::new, PathBuf::from);
    let number = layergraph_properties::Random::of(input).number();
    let path = directory.join(format!("{}-{number:016x}", property.name));
    fs::write(&path, input)?;
    Err(format!("{} does not hold of {}", property.name, path.display()).into())
}
