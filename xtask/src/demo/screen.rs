//! How the demo reads: steps with a title, command lines, trimmed output, one table at the end.
//!
//! Colours are for terminals. What a program printed is shown without control characters, with
//! long ids cut, and no longer than a few lines.

use std::env;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

/// Columns of a line that is shown.
const WIDTH: usize = 100;

/// Digits of an id that are shown, as in every list of image ids.
const ID_DIGITS: usize = 12;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// Where the demo is told.
#[derive(Debug)]
pub(crate) struct Screen {
    colour: bool,
    steps: usize,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = env::var_os("TERM").is_none_or(|term| term != "dumb");
        Screen {
            colour: wanted && able && io::stdout().is_terminal(),
            steps: 0,
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Says what this is, and where commands run.
    pub(crate) fn begin(&self, place: &Path) {
        println!(
            "{}",
            self.paint(BOLD, "layergraph: a demonstration on real files")
        );
        println!("\nCommands run in a directory of their own, with LAYERGRAPH_ROOT=store:");
        println!("    {}", place.display());
        println!("Long ids are cut here to {ID_DIGITS} digits.");
    }

    /// Begins a step: what is done, and why it matters.
    pub(crate) fn step(&mut self, title: &str, why: &str) {
        self.steps += 1;
        let title = format!("{:2}. {title}", self.steps);
        println!("\n{}", self.paint(BOLD, &title));
        say(why);
    }

    /// Says what was verified.
    pub(crate) fn verified(&self, text: &str) {
        println!("    {} {text}", self.paint(GREEN, "✓"));
    }

    /// Shows a command line.
    pub(crate) fn command(&self, line: &str) {
        println!("    {}", self.paint(CYAN, &format!("$ {}", shown(line))));
    }

    /// Shows the first lines of what a command printed.
    pub(crate) fn output(&self, text: &str, limit: usize) {
        let lines: Vec<&str> = text.lines().collect();
        // One line more is shorter than to say that there is one more.
        let limit = if lines.len() == limit + 1 {
            limit + 1
        } else {
            limit
        };
        for line in lines.iter().take(limit) {
            println!("      {}", self.paint(DIM, &cut(&shown(line), WIDTH - 6)));
        }
        if lines.len() > limit {
            let more = format!("… and {} more lines", grouped(lines.len() - limit));
            println!("      {}", self.paint(DIM, &more));
        }
    }

    /// Shows what a command said beside its output, whole.
    pub(crate) fn messages(&self, text: &str) {
        for line in text.lines() {
            for part in wrapped(&shown(line), WIDTH - 6) {
                println!("      {}", self.paint(DIM, &part));
            }
        }
    }

    /// Prints the table of what took how long.
    pub(crate) fn table(&self, times: &Times) {
        println!("\n{}", self.paint(BOLD, "What took how long"));
        for line in times.lines() {
            println!("    {line}");
        }
    }
}

/// Says something within a step.
pub(crate) fn say(text: &str) {
    for line in wrapped(text, WIDTH - 4) {
        println!("    {line}");
    }
}

/// What was done, how often, with how much, and how long it took.
#[derive(Debug, Default)]
pub(crate) struct Times {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    runs: usize,
    size: Size,
    time: Duration,
}

/// How much a tree holds; of a layer only the bytes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Size {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

impl Times {
    /// Adds a run of a step to those that there were.
    pub(crate) fn add(&mut self, name: &'static str, size: Size, time: Duration) {
        let at = self.rows.iter().position(|row| row.name == name);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Row {
                name,
                runs: 0,
                size: Size::default(),
                time: Duration::ZERO,
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[at];
        row.runs += 1;
        row.size.files += size.files;
        row.size.bytes += size.bytes;
        row.time += time;
    }

    fn lines(&self) -> Vec<String> {
        let line =
            |name: &str, runs: &str, files: &str, megabytes: &str, time: &str, rate: &str| {
                format!("{name:34}{runs:>5}{files:>11}{megabytes:>11}{time:>9}{rate:>9}")
            };
        let mut lines = vec![line("", "runs", "files", "MB", "s", "MB/s")];
        lines.extend(self.rows.iter().map(|row| {
            let (seconds, megabytes) = (row.time.as_secs_f64(), megabytes(row.size.bytes));
            // Of next to nothing the rate says nothing.
            let rate = if seconds > 0.0 && row.size.bytes > 1_000_000 {
                format!("{:.0}", megabytes / seconds)
            } else {
                "-".to_owned()
            };
            let dash = "-".to_owned();
            let files = row.size.files;
            let files = if files > 0 {
                grouped(files)
            } else {
                dash.clone()
            };
            let bytes = row.size.bytes;
            let bytes = if bytes > 0 {
                format!("{megabytes:.1}")
            } else {
                dash
            };
            line(
                row.name,
                &row.runs.to_string(),
                &files,
                &bytes,
                &format!("{seconds:.2}"),
                &rate,
            )
        }));
        lines
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Prints a size for people.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1_000_000 {
        format!(
            "{} bytes",
            grouped(usize::try_from(bytes).unwrap_or(usize::MAX))
        )
    } else {
        format!("{:.1} MB", megabytes(bytes))
    }
}

/// Prints a number with a comma after each three digits.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Makes a text safe for a terminal, and cuts the long ids in it.
fn shown(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = rest.bytes().take_while(|byte| is_hex(*byte)).count();
        if digits == 0 {
            if first == '\t' {
                out.push_str("  ");
            } else if first.is_control() {
                out.extend(first.escape_default());
            } else {
                out.push(first);
            }
            rest = &rest[first.len_utf8()..];
            continue;
        }
        if digits == 64 {
            out.push_str(&rest[..ID_DIGITS]);
            out.push('…');
        } else {
            out.push_str(&rest[..digits]);
        }
        rest = &rest[digits..];
    }
    out
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(width - 1).collect();
    cut.push('…');
    cut
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_and_what_is_no_id_is_not() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(shown(&format!("x sha256:{id}.")), "x sha256:0123456789ab….");
        for other in [&id[1..], &format!("{id}0"), "deadbeef", "ünïcödé"] {
            assert_eq!(shown(other), other);
        }
    }

    #[test]
    fn what_is_shown_moves_no_cursor() {
        assert_eq!(shown("a\tb\x1b[31mc\r"), "a  b\\u{1b}[31mc\\r");
    }

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn lines_are_broken_between_words_and_cut_where_there_are_none() {
        assert_eq!(wrapped("one two  three", 8), ["one two", "three"]);
        assert_eq!(wrapped("", 8), Vec::<String>::new());
        assert_eq!(cut("äöüäöü", 6), "äöüäöü");
        assert_eq!(cut("äöüäöüä", 6), "äöüäö…");
    }

    #[test]
    fn runs_of_one_step_make_one_row() {
        let mut times = Times::default();
        let size = Size {
            files: 1_500,
            bytes: 4_000_000,
        };
        times.add("pack", size, Duration::from_millis(500));
        times.add("list", Size::default(), Duration::from_millis(10));
        times.add("pack", size, Duration::from_millis(500));
        let rows: Vec<Vec<String>> = times
            .lines()
            .iter()
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect();
        assert_eq!(rows[1], ["pack", "2", "3,000", "8.0", "1.00", "8"]);
        assert_eq!(rows[2], ["list", "1", "-", "-", "0.01", "-"]);
        assert_eq!(rows.len(), 3);
    }
}
