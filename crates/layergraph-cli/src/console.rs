//! What is said beside the result: notes and warnings on stderr.

use std::io::{self, IsTerminal, Write};

use layergraph::archive::Ownership;
use nix::unistd::Uid;

use crate::args::{HowTold, Level, Owned};
use crate::progress::Teller;
use crate::report::{chain, printable};

/// Where notes and warnings go.
#[derive(Debug)]
pub(crate) struct Console {
    level: Level,
    progress: HowTold,
}

impl Console {
    pub(crate) fn new(level: Level, progress: HowTold) -> Console {
        Console { level, progress }
    }

    /// Says something that is good to know, unless nobody wants to.
    pub(crate) fn note(&self, text: &str) {
        if self.level >= Level::Info {
            say(&format!("layergraph: note: {}", printable(text)));
        }
    }

    /// Says, to the quiet as well, what went wrong without keeping the command from its work.
    pub(crate) fn warn(&self, attempted: &str, error: &(dyn std::error::Error + 'static)) {
        self.caution(&format!("{attempted}: {}", chain(error)));
    }

    /// Says, to the quiet as well, what should not be.
    pub(crate) fn caution(&self, text: &str) {
        if self.level >= Level::Warn {
            say(&format!("layergraph: warning: {}", printable(text)));
        }
    }

    /// Returns who tells how far a work has come.
    pub(crate) fn progress(&self) -> Teller {
        match self.progress {
            HowTold::Auto if self.level >= Level::Info && io::stderr().is_terminal() => {
                Teller::bar()
            }
            HowTold::Auto | HowTold::None => Teller::nobody(),
            HowTold::Bar => Teller::bar(),
            HowTold::Json => Teller::json(),
        }
    }

    /// Returns the ownership that was asked for, else the one for this user, and says so where
    /// that is not what a layer states.
    pub(crate) fn ownership(&self, asked: &Owned, consequence: &str) -> Ownership {
        match &asked.0 {
            Some(ownership) => ownership.clone(),
            None if Uid::effective().is_root() => Ownership::Preserve,
            None => {
                self.note(&format!(
                    "not root, so ownership is squashed: {consequence} (--ownership)"
                ));
                Ownership::Squash
            }
        }
    }
}

/// Writes a line to stderr. If nobody can hear it, that is not worth failing.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints a number with the noun it counts.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}
