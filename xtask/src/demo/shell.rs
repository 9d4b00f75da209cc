//! Runs programs as a user at a shell would: in the demo's own directory, each command line shown.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, iter};

use crate::Result;
use crate::demo::At;
use crate::demo::screen::{Screen, Size, Times};

/// The store, in the demo's directory.
pub(crate) const STORE: &str = "store";

/// Where commands run, and where their lines and times are shown.
#[derive(Debug)]
pub(crate) struct Shell {
    /// The `layergraph` that is driven.
    program: PathBuf,
    /// The directory that all paths are relative to.
    place: PathBuf,
    pub(crate) screen: Screen,
    pub(crate) times: Times,
    /// Whether this is root, who keeps owners.
    pub(crate) is_root: bool,
    /// Notes that were shown: once is enough.
    noted: BTreeSet<String>,
    /// How many things were verified.
    pub(crate) verified: usize,
}

/// What a command did that ended as it should.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: Vec<u8>,
    pub(crate) time: Duration,
}

impl Ran {
    /// Returns what was printed, to be shown or taken apart.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Shell {
    /// Makes a shell in `place`, an absolute path.
    pub(crate) fn new(program: PathBuf, place: &Path, screen: Screen) -> io::Result<Shell> {
        Ok(Shell {
            program,
            place: fs::canonicalize(place)?,
            screen,
            times: Times::default(),
            is_root: fs::metadata("/proc/self")?.uid() == 0,
            noted: BTreeSet::new(),
            verified: 0,
        })
    }

    /// Returns the path of something in the demo's directory.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.place.join(relative)
    }

    /// Returns the size of a file in the demo's directory.
    pub(crate) fn size_of(&self, file: &str) -> Result<u64> {
        let path = self.path(file);
        Ok(fs::metadata(&path).at(&path)?.len())
    }

    /// Runs `layergraph`, which has to succeed, and shows the first `lines` of what it prints.
    pub(crate) fn run(&mut self, args: &[&str], lines: usize) -> Result<Ran> {
        self.screen.command(&line("layergraph", args));
        let ran = self.quietly(args)?;
        self.screen.output(&self.without_place(&ran.text()), lines);
        Ok(ran)
    }

    /// Runs `layergraph`, which has to succeed, and shows nothing but its notes.
    pub(crate) fn quietly(&mut self, args: &[&str]) -> Result<Ran> {
        let (output, time) = self.execute(args)?;
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            let line = line("layergraph", args);
            return Err(format!("`{line}`: {}: {}", output.status, messages.trim()).into());
        }
        for message in messages.lines() {
            if self.noted.insert(message.to_owned()) {
                self.screen.messages(&self.without_place(message));
            }
        }
        Ok(Ran {
            stdout: output.stdout,
            time,
        })
    }

    /// Runs `layergraph`, which has to refuse with this exit status, and shows what it says.
    pub(crate) fn refused(&mut self, status: i32, args: &[&str]) -> Result<Duration> {
        let line = line("layergraph", args);
        self.screen.command(&line);
        let (output, time) = self.execute(args)?;
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        self.screen.messages(&self.without_place(&messages));
        if output.status.code() != Some(status) {
            let expected = format!("exit status {status} was expected");
            return Err(format!("`{line}`: {}: {expected}", output.status).into());
        }
        if !messages.starts_with("layergraph: ") {
            return Err(format!("`{line}` does not say why it refuses: {messages:?}").into());
        }
        self.verify(&format!("refused, with exit status {status}"));
        Ok(time)
    }

    /// Runs another program in the demo's directory, which has to succeed.
    pub(crate) fn other(&self, program: &str, args: &[&str]) -> Result<String> {
        let line = line(program, args);
        self.screen.command(&line);
        let output = Command::new(program)
            .args(args)
            .current_dir(&self.place)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{program}: {error}"))?;
        if !output.status.success() {
            return Err(format!("`{line}`: {}", output.status).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Says, and counts, what was verified.
    pub(crate) fn verify(&mut self, text: &str) {
        self.verified += 1;
        self.screen.verified(text);
    }

    /// Adds to the table at the end.
    pub(crate) fn took(&mut self, name: &'static str, size: Size, time: Duration) {
        self.times.add(name, size, time);
    }

    fn execute(&self, args: &[&str]) -> Result<(Output, Duration)> {
        let start = Instant::now();
        let output = Command::new(&self.program)
            .args(args)
            .current_dir(&self.place)
            .env("LAYERGRAPH_ROOT", STORE)
            // Who may not mount has whole trees to look at.
            .args((!self.is_root).then_some("--driver=vfs"))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        Ok((output, start.elapsed()))
    }

    /// Makes paths in the demo's directory relative, as they are in the command lines.
    fn without_place(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.place.display()), "")
    }

    /// Mounts a layer, and returns its path from the demo's directory.
    pub(crate) fn mount(&mut self, id: &str, shown: bool) -> Result<String> {
        let args = ["mount", id];
        let ran = if shown {
            self.run(&args, 1)?
        } else {
            self.quietly(&args)?
        };
        let path = self.without_place(ran.text().trim_end());
        if !self.path(&path).is_dir() {
            return Err(format!("`layergraph mount {id}` prints no directory: {path:?}").into());
        }
        Ok(path)
    }

    /// Unmounts what was mounted at a path.
    pub(crate) fn unmount(&mut self, path: &str, shown: bool) -> Result {
        let args = ["unmount", path];
        if shown {
            self.run(&args, 1)?;
        } else {
            self.quietly(&args)?;
        }
        Ok(())
    }

    /// Unmounts what was left mounted when something failed, so that the place can be removed.
    pub(crate) fn unmount_left(&self) {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| Path::new(point).starts_with(&self.place)) {
            let _ = Command::new("umount").arg(point).status();
        }
    }
}

/// Prints a command line that a shell would take.
fn line(program: &str, args: &[&str]) -> String {
    let plain = |word: &str| {
        let plain = |c: char| c.is_alphanumeric() || "-_./:=+,@%".contains(c);
        !word.is_empty() && word.chars().all(plain)
    };
    let quoted = args.iter().map(|arg| {
        if plain(arg) {
            (*arg).to_owned()
        } else {
            format!("'{}'", arg.replace('\'', r"'\''"))
        }
    });
    let words: Vec<String> = iter::once(program.to_owned()).chain(quoted).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_would_take_the_line_as_it_is_shown() {
        let args = ["register", "--comment", "it's new", "", "Grüße.tar"];
        let expected = r"layergraph register --comment 'it'\''s new' '' Grüße.tar";
        assert_eq!(line("layergraph", &args), expected);
    }

    fn shell(place: &Path) -> io::Result<Shell> {
        Shell::new("/bin/sh".into(), place, Screen::new())
    }

    #[test]
    fn another_exit_status_than_the_expected_one_is_an_error() -> Result {
        let place = tempfile::tempdir()?;
        let mut shell = shell(place.path())?;
        let refusal = "echo 'layergraph: no' >&2; exit 3";
        assert!(shell.refused(3, &["-c", refusal]).is_ok());
        assert_eq!(shell.verified, 1);
        assert!(shell.refused(4, &["-c", refusal]).is_err());
        assert!(shell.refused(3, &["-c", "exit 3"]).is_err());
        assert!(shell.quietly(&["-c", refusal]).is_err());
        Ok(())
    }

    #[test]
    fn commands_run_in_the_place_with_its_store() -> Result {
        let place = tempfile::tempdir()?;
        let mut shell = shell(place.path())?;
        let ran = shell.quietly(&["-c", "printf %s: \"$LAYERGRAPH_ROOT\"; pwd"])?;
        let printed = shell.without_place(ran.text().trim_end());
        let place = fs::canonicalize(place.path())?;
        assert_eq!(printed, format!("store:{}", place.display()));
        Ok(())
    }
}
