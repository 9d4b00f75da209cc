//! The lines in which the original told its clients how far it was: as text, or as JSON.

use std::fmt::Write as _;
use std::io;

use super::{Progress, Task};

/// The width of a terminal that nobody can ask.
const WIDTH: usize = 200;
/// A terminal must be wider than this to have room for a bar.
const ROOM: usize = 110;
/// How many characters of a bar can be filled.
const BAR: usize = 50;

/// Puts messages into the lines of the original's stream, byte for byte.
///
/// In JSON a message has the fields that are not empty, in this order: `stream`, `status`,
/// `progressDetail`, `progress`, `id`, `errorDetail`, `error`; all but progress end a line.
///
/// ```
/// use layergraph_core::progress::StreamFormatter;
///
/// let (plain, json) = (StreamFormatter::plain(), StreamFormatter::json());
/// assert_eq!(plain.status("c0ffee", "Done"), "Done\r\n");
/// assert_eq!(json.status("c0ffee", "Done"), "{\"status\":\"Done\",\"id\":\"c0ffee\"}\r\n");
/// assert_eq!(plain.progress("", "Reading", 1500, 0), "Reading   1.5 kB\r");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamFormatter {
    is_json: bool,
    width: usize,
}

impl StreamFormatter {
    /// Returns a formatter of text for a wide terminal.
    pub fn plain() -> StreamFormatter {
        StreamFormatter {
            is_json: false,
            width: WIDTH,
        }
    }

    /// Returns a formatter of JSON.
    pub fn json() -> StreamFormatter {
        StreamFormatter {
            is_json: true,
            ..StreamFormatter::plain()
        }
    }

    /// Says how many columns there are. Up to 110, progress is numbers without a bar.
    #[must_use]
    pub fn with_width(mut self, columns: usize) -> StreamFormatter {
        self.width = columns;
        self
    }

    /// Passes on what a program says.
    pub fn stream(&self, text: &str) -> String {
        if self.is_json {
            format!("{}\r\n", object(&[("stream", text)]))
        } else {
            format!("{text}\r")
        }
    }

    /// Passes on what a program says on its stderr: in red.
    pub fn stderr(&self, text: &str) -> String {
        self.stream(&format!("\x1b[91m{text}\x1b[0m"))
    }

    /// Says that something about `id` is now so.
    pub fn status(&self, id: &str, text: &str) -> String {
        if self.is_json {
            format!("{}\r\n", object(&[("status", text), ("id", id)]))
        } else {
            format!("{text}\r\n")
        }
    }

    /// Says what went wrong, with a code that is not 0 if there is one.
    pub fn error(&self, code: i64, message: &str) -> String {
        if !self.is_json {
            return format!("Error: {message}\r\n");
        }
        let code = (code != 0).then(|| format!("\"code\":{code}"));
        let detail = join(code.into_iter().chain(field("message", message)));
        let fields = [format!("\"errorDetail\":{{{detail}}}")];
        let line = join(fields.into_iter().chain(field("error", message)));
        format!("{{{line}}}\r\n")
    }

    /// Says how far an action on `id` is. A `total` of 0 is not known.
    ///
    /// As text, the line ends with a carriage return, so that the next one is written over it; as
    /// JSON, with nothing.
    pub fn progress(&self, id: &str, action: &str, current: i64, total: i64) -> String {
        let bar = self.bar(current, total);
        if !self.is_json {
            let end = if bar.is_empty() { "\r\n" } else { "\r" };
            return format!("{action} {bar}{end}");
        }
        let numbers = [("current", current), ("total", total)];
        let numbers = numbers.into_iter().filter(|(_, number)| *number != 0);
        let detail = join(numbers.map(|(name, number)| format!("\"{name}\":{number}")));
        let line = join(
            field("status", action)
                .into_iter()
                .chain([format!("\"progressDetail\":{{{detail}}}")])
                .chain(field("progress", &bar))
                .chain(field("id", id)),
        );
        format!("{{{line}}}")
    }

    /// Draws how far it is: a bar and numbers, as much of it as is known.
    fn bar(&self, current: i64, total: i64) -> String {
        if current <= 0 && total <= 0 {
            return String::new();
        }
        let done = human_size(float(current));
        if total <= 0 {
            return format!("{done:>8}");
        }
        let mut text = String::new();
        if self.width > ROOM {
            let filled = filled(current, total);
            let (done, left) = ("=".repeat(filled), " ".repeat(BAR - filled));
            // Writing to a string does not fail.
            let _ = write!(text, "[{done}>{left}] ");
        }
        let _ = write!(text, "{done:>8}/{}", human_size(float(total)));
        text
    }
}

/// Returns how many characters of the bar are filled: half of the whole percents, rounded down.
///
/// The original counted in floats, in which 58 of 100 are 57 percent.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float is cut to what fits"
)]
fn filled(current: i64, total: i64) -> usize {
    let percent = float(current) / float(total) * 100.0;
    BAR.min(percent as usize / 2)
}

/// Prints a size in bytes for people: with four digits, in units of powers of 1000.
///
/// ```
/// use layergraph_core::progress::human_size;
///
/// assert_eq!(human_size(123_456.0), "123.5 kB");
/// ```
pub fn human_size(size: f64) -> String {
    const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
    let (mut size, mut unit) = (size, 0);
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{} {}", four_digits(size), UNITS[unit])
}

/// As C's and Go's `%.4g`.
fn four_digits(number: f64) -> String {
    let scientific = format!("{number:.3e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        // Not a number, or infinite.
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..4).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        let digits = without_zeros(digits);
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let places = usize::try_from(3 - exponent).unwrap_or(0);
    without_zeros(&format!("{number:.places$}")).to_owned()
}

/// Cuts zeros off the end of a fraction.
fn without_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "four digits of it are printed, and a float has fifteen"
)]
fn float(number: i64) -> f64 {
    number as f64
}

/// Writes an object of the texts that are not empty.
fn object(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().filter_map(|(name, text)| field(name, text));
    format!("{{{}}}", join(fields))
}

fn join(fields: impl Iterator<Item = String>) -> String {
    fields.collect::<Vec<_>>().join(",")
}

/// Writes a field of an object, unless it is empty.
fn field(name: &str, text: &str) -> Option<String> {
    (!text.is_empty()).then(|| format!("\"{name}\":{}", quote(text)))
}

/// Quotes a text as Go did, so that it can stand within HTML and JavaScript too.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(char));
            }
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// Writes what it hears as the original did: a line for each report, the last one twice.
///
/// A stream that fails gets nothing more, and [`error`](StreamProgress::error) says why: no work
/// stops because nobody hears of it.
#[derive(Debug)]
pub struct StreamProgress<W> {
    formatter: StreamFormatter,
    out: W,
    new_lines: bool,
    error: Option<io::Error>,
}

impl<W: io::Write> StreamProgress<W> {
    /// Begins to write to `out`.
    pub fn new(formatter: StreamFormatter, out: W) -> StreamProgress<W> {
        StreamProgress {
            formatter,
            out,
            new_lines: false,
            error: None,
        }
    }

    /// Says that an empty status line follows when a work is over.
    #[must_use]
    pub fn with_new_lines(mut self) -> StreamProgress<W> {
        self.new_lines = true;
        self
    }

    /// Returns why the stream failed, if it did.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    fn write(&mut self, text: &str) {
        if self.error.is_none() {
            self.error = self.out.write_all(text.as_bytes()).err();
        }
    }
}

impl<W: io::Write> Progress for StreamProgress<W> {
    fn advanced(&mut self, task: &Task, current: u64) {
        let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let (current, total) = (number(current), number(task.total.unwrap_or(0)));
        let line = self
            .formatter
            .progress(&task.id, task.action, current, total);
        self.write(&line);
    }

    fn finished(&mut self, task: &Task, current: u64) {
        self.advanced(task, current);
        if self.new_lines {
            let line = self.formatter.status("", "");
            self.write(&line);
        }
    }
}
