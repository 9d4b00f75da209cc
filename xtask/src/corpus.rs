//! `corpus`: every archive of a directory of odd ones is unpacked by the built command.
//!
//! The directory has an `INDEX.tsv` that tells what GNU tar, bsdtar and Python make of each
//! archive. Where we and most of them disagree, docs/layer-semantics.md must say why. A crash, a
//! run without end, or an archive that could not be judged is never right.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cargo_metadata::Message;

use crate::Result;
use crate::workspace::{cargo, root};

/// What one archive may take.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Characters of a message that are printed: some archives are about names of thousands.
const MESSAGE_LENGTH: usize = 160;

/// The explained differences: tables whose first column is an archive in backticks.
const EXPLAINED: &str = "docs/layer-semantics.md";

/// Unpacks every archive, prints what is different, and fails on what is not explained.
pub(crate) fn run(directory: Option<PathBuf>) -> Result {
    let Some(directory) = directory else {
        println!("corpus: no directory given: nothing was compared");
        return Ok(());
    };
    // Others may stand elsewhere than here.
    let directory = std::path::absolute(directory)?;
    let index = directory.join("INDEX.tsv");
    if !index.try_exists()? {
        println!("corpus: no {}: nothing was compared", index.display());
        return Ok(());
    }
    let archives = parse_index(&fs::read_to_string(index)?)?;
    let explained = explained(&fs::read_to_string(root().join(EXPLAINED))?);
    let command = build_command()?;

    let mut tally = Tally::default();
    for archive in &archives {
        let answer = unpack(&command, &directory.join(archive.file()))?;
        let is_explained = [archive.file(), &archive.name]
            .iter()
            .any(|name| explained.contains(*name));
        tally.add(archive, &answer, is_explained);
    }
    tally.finish()
}

/// A line of the index, as far as it matters here.
#[derive(Debug, PartialEq)]
struct Archive {
    /// Its name in the index, which stands in for the directory by a first part of its own.
    name: String,
    /// What at least two of the three tools do.
    accepted: bool,
}

impl Archive {
    fn file(&self) -> &str {
        self.name
            .split_once('/')
            .map_or(&self.name, |(_, file)| file)
    }
}

fn parse_index(index: &str) -> Result<Vec<Archive>> {
    let mut lines = index
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let titles = lines.next().ok_or("an empty index")?;
    let column = |title: &str| {
        titles
            .iter()
            .position(|t| *t == title)
            .ok_or(format!("no column {title} in the index"))
    };
    let (name, kind) = (column("rel")?, column("kind")?);
    let tools = [column("gnutar")?, column("bsdtar")?, column("pytar")?];
    lines
        .filter(|fields| fields.get(kind) == Some(&"tar"))
        .map(|fields| {
            let accepting = tools
                .iter()
                .filter(|tool| fields.get(**tool) == Some(&"accept"));
            Ok(Archive {
                accepted: accepting.count() >= 2,
                name: (*fields.get(name).ok_or("a short line in the index")?).to_owned(),
            })
        })
        .collect()
}

/// Returns the first columns of tables that are in backticks.
fn explained(document: &str) -> BTreeSet<String> {
    let first = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    document.lines().filter_map(first).collect()
}

/// Builds the command, unoptimised: overflows and assertions are to be seen.
fn build_command() -> Result<PathBuf> {
    let output = cargo()
        .args([
            "build",
            "-p",
            "layergraph-cli",
            "--message-format",
            "json-render-diagnostics",
        ])
        .stderr(Stdio::inherit())
        .output()?;
    let executable = Message::parse_stream(output.stdout.as_slice()).find_map(|message| {
        let Message::CompilerArtifact(artifact) = message.ok()? else {
            return None;
        };
        artifact.executable
    });
    match executable {
        Some(path) if output.status.success() => Ok(path.into()),
        _ => Err("layergraph-cli was not built".into()),
    }
}

/// What came of one archive, with the first line of the message.
#[derive(Debug, PartialEq)]
enum Answer {
    Accepted,
    Rejected(String),
    /// Not done for a reason that is not in the archive.
    Failed(String),
    Crashed(String),
    Hung,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Accepted => f.write_str("accepted"),
            Answer::Rejected(message) => write!(f, "rejected: {message}"),
            Answer::Failed(message) => write!(f, "FAILED: {message}"),
            Answer::Crashed(message) => write!(f, "CRASHED: {message}"),
            Answer::Hung => write!(f, "HUNG: more than {} s", TIME_LIMIT.as_secs()),
        }
    }
}

fn unpack(command: &Path, archive: &Path) -> Result<Answer> {
    let scratch = tempfile::tempdir()?;
    let messages = scratch.path().join("messages");
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree)?;
    let mut child = Command::new(command)
        .args(["unpack", "--atomic"])
        .args([archive, &tree])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&messages)?)
        .spawn()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > TIME_LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(Answer::Hung);
        }
        thread::sleep(Duration::from_millis(2));
    };
    Ok(answer(status, &first_line(&messages)?))
}

fn first_line(file: &Path) -> io::Result<String> {
    let text = fs::read(file)?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or("no message");
    Ok(line.chars().take(MESSAGE_LENGTH).collect())
}

/// The statuses up to 10 are the command's own, and 7 says that the input was refused; a panic
/// gives 101, a signal none.
fn answer(status: ExitStatus, message: &str) -> Answer {
    match status.code() {
        Some(0) => Answer::Accepted,
        Some(7) => Answer::Rejected(message.to_owned()),
        Some(1..=10) => Answer::Failed(format!("{status}: {message}")),
        _ => Answer::Crashed(format!("{status}: {message}")),
    }
}

#[derive(Debug, Default)]
struct Tally {
    agree: usize,
    explained: usize,
    unexplained: usize,
    broken: usize,
}

impl Tally {
    fn add(&mut self, archive: &Archive, answer: &Answer, explained: bool) {
        let name = &archive.name;
        let others = if archive.accepted {
            "accepted"
        } else {
            "rejected"
        };
        let agrees = match answer {
            Answer::Accepted => archive.accepted,
            Answer::Rejected(_) => !archive.accepted,
            Answer::Failed(_) | Answer::Crashed(_) | Answer::Hung => {
                println!("{name}: {answer}");
                self.broken += 1;
                return;
            }
        };
        if agrees {
            self.agree += 1;
            if explained {
                println!("{name}: {EXPLAINED} explains a difference that is gone");
            }
        } else if explained {
            self.explained += 1;
        } else {
            self.unexplained += 1;
            println!("{name}: {answer}; most others: {others}");
        }
    }

    fn finish(&self) -> Result {
        let Tally {
            agree,
            explained,
            unexplained,
            broken,
        } = self;
        println!(
            "corpus: {} archives: {agree} as most tools, {explained} explained, \
             {unexplained} unexplained, {broken} failed, crashed or hung",
            agree + explained + unexplained + broken
        );
        if unexplained + broken == 0 {
            Ok(())
        } else {
            Err("corpus: not in order".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
rel\tkind\tgnutar\tgnutar_n\tbsdtar\tpytar
dev/a/x.tar\ttar\taccept\t1\treject:1\taccept
dev/b.tar\ttar\treject:2\t0\ttimeout\taccept
dev/c.json\tjson\t-\t-\t-\t-
";

    #[test]
    fn the_class_of_an_archive_is_what_most_tools_say() -> Result {
        let archive = |name: &str, accepted| Archive {
            name: name.to_owned(),
            accepted,
        };
        let expected = [archive("dev/a/x.tar", true), archive("dev/b.tar", false)];
        assert_eq!(parse_index(INDEX)?, expected);
        assert_eq!(expected[0].file(), "a/x.tar");
        Ok(())
    }

    #[test]
    fn an_index_without_its_columns_is_an_error() {
        let error = parse_index("rel\tkind\n").map_err(|error| error.to_string());
        assert_eq!(error, Err("no column gnutar in the index".to_owned()));
    }

    #[test]
    fn explanations_are_tables_with_names_in_backticks() {
        let text = "| archive | why |\n|---|---|\n| `dev/a.tar` | since |\nno `dev/b.tar`\n";
        assert_eq!(explained(text), BTreeSet::from(["dev/a.tar".to_owned()]));
    }

    #[test]
    fn a_difference_passes_only_if_it_is_explained_and_a_crash_never() {
        let archive = Archive {
            name: "dev/a.tar".to_owned(),
            accepted: true,
        };
        let rejected = Answer::Rejected("why".to_owned());
        for (answer, explained, passes) in [
            (&Answer::Accepted, false, true),
            (&Answer::Accepted, true, true),
            (&rejected, false, false),
            (&rejected, true, true),
            (&Answer::Hung, true, false),
            (&Answer::Crashed("why".to_owned()), true, false),
            (&Answer::Failed("why".to_owned()), true, false),
        ] {
            let mut tally = Tally::default();
            tally.add(&archive, answer, explained);
            assert_eq!(tally.finish().is_ok(), passes, "{answer} {explained}");
        }
    }

    #[test]
    fn a_program_is_judged_by_how_it_ends() -> Result {
        let shell = |script: &str| -> Result<Answer> {
            let status = Command::new("sh").args(["-c", script]).status()?;
            Ok(answer(status, "why"))
        };
        assert_eq!(shell("exit 0")?, Answer::Accepted);
        assert_eq!(shell("exit 7")?, Answer::Rejected("why".to_owned()));
        assert!(matches!(shell("exit 2")?, Answer::Failed(_)));
        assert!(matches!(shell("exit 101")?, Answer::Crashed(_)));
        assert!(matches!(shell("kill -9 $$")?, Answer::Crashed(_)));
        Ok(())
    }
}
