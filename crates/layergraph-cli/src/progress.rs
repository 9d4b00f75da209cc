//! How far a long work has come, told on stderr.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use layergraph::progress::{Progress, StreamFormatter, Task};

use crate::size::human;

/// Nobody reads faster.
const BETWEEN: Duration = Duration::from_millis(50);
/// How many characters of a bar can be filled, so that the line fits into 80 columns.
const BAR: usize = 20;
/// Goes to the beginning of the line and clears it.
const CLEAR: &str = "\r\x1b[K";

/// Tells how far a work has come, in the way that was asked for.
#[derive(Debug)]
pub(crate) struct Teller {
    way: Way,
    /// When the bar was drawn last, if it is there.
    drawn: Option<Instant>,
}

#[derive(Debug)]
enum Way {
    Nothing,
    Bar,
    Json,
}

impl Teller {
    pub(crate) fn nobody() -> Teller {
        Teller::new(Way::Nothing)
    }

    pub(crate) fn bar() -> Teller {
        Teller::new(Way::Bar)
    }

    pub(crate) fn json() -> Teller {
        Teller::new(Way::Json)
    }

    fn new(way: Way) -> Teller {
        Teller { way, drawn: None }
    }
}

impl Progress for Teller {
    fn advanced(&mut self, task: &Task, current: u64) {
        match self.way {
            Way::Nothing => {}
            Way::Bar => {
                if self.drawn.is_none_or(|drawn| drawn.elapsed() >= BETWEEN) {
                    write(&format!("{CLEAR}{}", line(task, current)));
                    self.drawn = Some(Instant::now());
                }
            }
            Way::Json => {
                let [current, total] = [current, task.total.unwrap_or(0)].map(number);
                let formatter = StreamFormatter::json();
                let document = formatter.progress(&task.id, task.action, current, total);
                // As the other documents of that stream end.
                write(&format!("{document}\r\n"));
            }
        }
    }
}

impl Drop for Teller {
    /// What is said next begins a line of its own.
    fn drop(&mut self) {
        if self.drawn.is_some() {
            write(CLEAR);
        }
    }
}

/// Writes to stderr. If nobody can hear it, that is not worth failing.
fn write(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Draws a bar, or a number alone where there is no telling how much is left.
fn line(task: &Task, current: u64) -> String {
    let Task { action, id, total } = task;
    let done = human(number(current));
    match *total {
        Some(total) if total > 0 => {
            let filled = u128::from(current) * BAR as u128 / u128::from(total);
            let filled = usize::try_from(filled).map_or(BAR, |filled| filled.min(BAR));
            let bar = "=".repeat(filled) + ">";
            let total = human(number(total));
            format!(
                "{action} {id} [{bar:width$}] {done:>8}/{total}",
                width = BAR + 1
            )
        }
        _ => format!("{action} {id} {done:>8}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(current: u64, total: Option<u64>) -> String {
        let task = Task {
            action: "Registering",
            id: "c0ffee123456".to_owned(),
            total,
        };
        line(&task, current)
    }

    #[test]
    fn a_bar_is_filled_as_far_as_the_work_is_done_and_never_further() {
        for (current, bar) in [
            (0, ">                    "),
            (500, "==========>          "),
            (1000, "====================>"),
            (2000, "====================>"),
        ] {
            let line = drawn(current, Some(1000));
            assert!(line.contains(&format!("[{bar}]")), "{line}");
        }
        assert_eq!(drawn(1500, None), "Registering c0ffee123456   1.5 kB");
        assert_eq!(drawn(1500, Some(0)), drawn(1500, None));
    }

    #[test]
    fn a_bar_fits_into_80_columns_whatever_the_numbers() {
        let line = drawn(u64::MAX, Some(u64::MAX));
        assert!(line.chars().count() < 80, "{line}");
    }
}
