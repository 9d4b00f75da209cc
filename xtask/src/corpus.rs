//! `corpus`: every archive of a directory of odd ones is unpacked by the built command, and what is
//! accepted is split and assembled again.
//!
//! The directory has an `INDEX.tsv` that tells whether GNU tar, bsdtar and Python list each
//! archive. Where we and most of them disagree, and where we refuse what is right but cannot be
//! done here, docs/layer-semantics.md must say so and why. A crash, a run without end, or an
//! archive that could not be judged is never right, and neither is an explanation of what is not
//! so. An archive that comes out as another one is never right either.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::same::is_same;
use crate::workspace;

/// What one archive may take.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Characters of a message that are printed: some archives are about names of thousands.
const MESSAGE_LENGTH: usize = 160;

/// The explained differences: tables whose first column is an archive in backticks, and whose
/// second is what we make of it.
const EXPLAINED: &str = "docs/layer-semantics.md";

const ACCEPTED: &str = "accepted";
const REFUSED: &str = "refused";
const UNSUPPORTED: &str = "unsupported";

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
    let explained = explained(&fs::read_to_string(workspace::root().join(EXPLAINED))?);
    let command = build_command()?;

    let mut tally = Tally::default();
    for archive in &archives {
        let answer = go_through(&command, &directory.join(archive.file()))?;
        let explanation = [archive.file(), &archive.name]
            .iter()
            .find_map(|name| explained.get(*name));
        tally.add(archive, &answer, explanation.map(String::as_str));
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

/// Returns the first columns of tables that are in backticks, each with the column after it.
fn explained(document: &str) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let (archive, rest) = line.strip_prefix("| `")?.split_once("` |")?;
        let (ours, _) = rest.split_once('|')?;
        Some((archive.to_owned(), ours.trim().to_owned()))
    };
    document.lines().filter_map(row).collect()
}

/// Builds the command, unoptimised: overflows and assertions are to be seen.
fn build_command() -> Result<PathBuf> {
    let built = workspace::build(&["build", "-p", "layergraph-cli"])?;
    let executable = built.into_iter().find_map(|artifact| artifact.executable);
    Ok(executable.ok_or("layergraph-cli has no executable")?.into())
}

/// What came of one archive, with the first line of the message.
#[derive(Debug, PartialEq)]
enum Answer {
    Accepted,
    Refused(String),
    /// The archive may be right, but it asks for what this machine does not do or not permit.
    Unsupported(String),
    /// Not done for a reason that is not in the archive.
    Failed(String),
    Crashed(String),
    Hung,
}

impl Answer {
    /// Returns the word for it in the table of explained differences; none for what is never right.
    fn word(&self) -> Option<&'static str> {
        match self {
            Answer::Accepted => Some(ACCEPTED),
            Answer::Refused(_) => Some(REFUSED),
            Answer::Unsupported(_) => Some(UNSUPPORTED),
            Answer::Failed(_) | Answer::Crashed(_) | Answer::Hung => None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Accepted => f.write_str(ACCEPTED),
            Answer::Refused(message) => write!(f, "{REFUSED}: {message}"),
            Answer::Unsupported(message) => write!(f, "{UNSUPPORTED}: {message}"),
            Answer::Failed(message) => write!(f, "FAILED: {message}"),
            Answer::Crashed(message) => write!(f, "CRASHED: {message}"),
            Answer::Hung => write!(f, "HUNG: more than {} s", TIME_LIMIT.as_secs()),
        }
    }
}

/// Unpacks an archive; if that is done, splits it as well, and assembles it of the parts.
fn go_through(command: &Path, archive: &Path) -> Result<Answer> {
    let scratch = tempfile::tempdir()?;
    let messages = scratch.path().join("messages");
    let [tree, recipe, again] = ["tree", "recipe", "again"].map(|name| scratch.path().join(name));
    fs::create_dir(&tree)?;
    let unpacked = say(
        Command::new(command)
            .args(["unpack", "--atomic"])
            .args([archive, &tree]),
        &messages,
        &format!("unpack {} to {}", archive.display(), tree.display()),
    )?;
    if unpacked != Answer::Accepted {
        return Ok(unpacked);
    }
    let mut split = Command::new(command);
    split.arg("split").arg(archive).arg("-o").arg(&recipe);
    let mut assemble = Command::new(command);
    assemble
        .arg("assemble")
        .args([&recipe, &tree])
        .arg("-o")
        .arg(&again);
    for (name, line) in [("split", &mut split), ("assemble", &mut assemble)] {
        match say(line, &messages, "")? {
            Answer::Accepted => {}
            Answer::Hung => return Ok(Answer::Hung),
            other => return Ok(Answer::Failed(format!("{name}: {other}"))),
        }
    }
    if is_same(archive, &again)? {
        Ok(Answer::Accepted)
    } else {
        Ok(Answer::Failed("it comes out as another archive".to_owned()))
    }
}

/// Runs a command line, and says what came of it; messages begin with what was `attempted`.
fn say(line: &mut Command, messages: &Path, attempted: &str) -> Result<Answer> {
    let mut child = line
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(messages)?)
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
    let attempted = format!("layergraph: {attempted}: ");
    Ok(answer(status, &first_line(messages, &attempted)?))
}

/// Returns the first line, without what was attempted: that is known.
fn first_line(file: &Path, attempted: &str) -> io::Result<String> {
    let text = fs::read(file)?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or("no message");
    let line = line.strip_prefix(attempted).unwrap_or(line);
    Ok(line.chars().take(MESSAGE_LENGTH).collect())
}

/// The statuses up to 10 are the command's own: 7 says that the input was refused, 10 that what it
/// asks for is not permitted or not supported here. A panic gives 101, a signal none.
fn answer(status: ExitStatus, message: &str) -> Answer {
    match status.code() {
        Some(0) => Answer::Accepted,
        Some(7) => Answer::Refused(message.to_owned()),
        Some(10) => Answer::Unsupported(message.to_owned()),
        Some(1..=9) => Answer::Failed(format!("{status}: {message}")),
        _ => Answer::Crashed(format!("{status}: {message}")),
    }
}

#[derive(Debug, Default)]
struct Tally {
    agree: usize,
    explained: usize,
    unsupported: usize,
    unexplained: usize,
    /// Explained otherwise than it is.
    misexplained: usize,
    broken: usize,
}

impl Tally {
    /// Judges an answer; `explanation` is what the table says that we make of the archive.
    fn add(&mut self, archive: &Archive, answer: &Answer, explanation: Option<&str>) {
        let name = &archive.name;
        let others = if archive.accepted { ACCEPTED } else { REFUSED };
        let Some(ours) = answer.word() else {
            println!("{name}: {answer}");
            self.broken += 1;
            return;
        };
        match explanation {
            // What one machine does not support another may.
            None | Some(UNSUPPORTED) if ours == others => self.agree += 1,
            None => {
                println!("{name}: {answer}; most others: {others}");
                self.unexplained += 1;
            }
            // Explained as something else, or a difference that is none any more.
            Some(explained) if explained != ours || ours == others => {
                println!("{name}: {answer}; most others: {others}; {EXPLAINED}: {explained}");
                self.misexplained += 1;
            }
            Some(UNSUPPORTED) => self.unsupported += 1,
            Some(_) => self.explained += 1,
        }
    }

    fn finish(&self) -> Result {
        let Tally {
            agree,
            explained,
            unsupported,
            unexplained,
            misexplained,
            broken,
        } = self;
        println!(
            "corpus: {} archives: {agree} as most tools, {explained} explained, \
             {unsupported} unsupported here, {unexplained} unexplained, \
             {misexplained} explained wrongly, {broken} failed, crashed or hung",
            agree + explained + unsupported + unexplained + misexplained + broken
        );
        if unexplained + misexplained + broken == 0 {
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
        let text = "\
| archive | ours | why |
|---|---|---|
| `dev/a.tar` | refused | since |
no `dev/b.tar` | refused |
";
        let expected = [("dev/a.tar".to_owned(), REFUSED.to_owned())];
        assert_eq!(explained(text), BTreeMap::from(expected));
    }

    #[test]
    fn a_difference_passes_only_if_it_is_explained_as_it_is_and_a_crash_never() {
        let archive = Archive {
            name: "dev/a.tar".to_owned(),
            accepted: true,
        };
        let accepted = Answer::Accepted;
        let refused = Answer::Refused("why".to_owned());
        let unsupported = Answer::Unsupported("why".to_owned());
        for (answer, explanation, passes) in [
            (&accepted, None, true),
            (&accepted, Some(REFUSED), false),
            (&accepted, Some(UNSUPPORTED), true),
            (&accepted, Some(ACCEPTED), false),
            (&refused, None, false),
            (&refused, Some(REFUSED), true),
            (&refused, Some(UNSUPPORTED), false),
            (&unsupported, None, false),
            (&unsupported, Some(REFUSED), false),
            (&unsupported, Some(UNSUPPORTED), true),
            (&Answer::Hung, Some(REFUSED), false),
            (&Answer::Crashed("why".to_owned()), Some(REFUSED), false),
            (&Answer::Failed("why".to_owned()), Some(UNSUPPORTED), false),
        ] {
            let mut tally = Tally::default();
            tally.add(&archive, answer, explanation);
            assert_eq!(tally.finish().is_ok(), passes, "{answer} {explanation:?}");
        }
    }

    #[test]
    fn a_program_is_judged_by_how_it_ends() -> Result {
        let shell = |script: &str| -> Result<Answer> {
            let status = Command::new("sh").args(["-c", script]).status()?;
            Ok(answer(status, "why"))
        };
        assert_eq!(shell("exit 0")?, Answer::Accepted);
        assert_eq!(shell("exit 7")?, Answer::Refused("why".to_owned()));
        assert_eq!(shell("exit 10")?, Answer::Unsupported("why".to_owned()));
        assert!(matches!(shell("exit 2")?, Answer::Failed(_)));
        assert!(matches!(shell("exit 101")?, Answer::Crashed(_)));
        assert!(matches!(shell("kill -9 $$")?, Answer::Crashed(_)));
        Ok(())
    }
}
