//! Other processes: this test program again, running the same test as a partner.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Names the store that a partner works in.
const PARTNER: &str = "LAYERGRAPH_CORE_PARTNER";
/// What a partner says when it is ready.
const READY: &str = "partner is ready";

/// The name of the test that this stands in, as the test program knows it.
macro_rules! this_test {
    () => {{
        fn here() {}
        $crate::processes::test_name(std::any::type_name_of_val(&here))
    }};
}
pub(crate) use this_test;

pub(crate) fn test_name(path: &str) -> String {
    let path = path.replace("::{{closure}}", "");
    let path = path.strip_suffix("::here").unwrap_or(&path);
    path.split_once("::")
        .map_or(path, |(_crate, rest)| rest)
        .to_owned()
}

/// Returns where this process works if it is a partner.
pub(crate) fn partner_home() -> Option<PathBuf> {
    env::var_os(PARTNER).map(PathBuf::from)
}

/// Says a line to who has started this process. It goes out whole, even if the process is killed
/// next.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(format!("\n{line}\n").as_bytes())?;
    stdout.flush()
}

/// Says that the partner is ready, and waits until it may go on.
pub(crate) fn ready_until_told() -> io::Result<()> {
    say(READY)?;
    io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}

/// A process that runs the same test, which then finds a [`partner_home`].
pub(crate) struct Partner {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Partner {
    pub(crate) fn start(test: &str, home: &Path) -> io::Result<Partner> {
        let mut child = Command::new(env::current_exe()?)
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(PARTNER, home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().expect("it is a pipe");
        Ok(Partner {
            child,
            said: BufReader::new(stdout),
        })
    }

    /// Waits until the partner says that it is ready.
    pub(crate) fn wait_ready(&mut self) -> io::Result<()> {
        self.wait_line(READY)
    }

    /// Waits until the partner says a line that begins so.
    pub(crate) fn wait_line(&mut self, beginning: &str) -> io::Result<()> {
        for line in (&mut self.said).lines() {
            if line?.starts_with(beginning) {
                return Ok(());
            }
        }
        Err(io::Error::other("the partner ended before it said that"))
    }

    /// Tells it to go on.
    pub(crate) fn tell(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Kills it, as a crash or the memory's end would, and returns what it had said.
    pub(crate) fn kill(mut self) -> io::Result<Vec<String>> {
        self.child.kill()?;
        self.child.wait()?;
        (&mut self.said).lines().collect()
    }

    /// Waits for its end, which is to be a good one, and returns what it said.
    pub(crate) fn finish(mut self) -> io::Result<Vec<String>> {
        self.tell();
        let said: Vec<String> = (&mut self.said).lines().collect::<io::Result<_>>()?;
        let status = self.child.wait()?;
        if status.success() {
            return Ok(said);
        }
        let said = said.join("\n");
        Err(io::Error::other(format!(
            "the partner failed: {status}\n{said}"
        )))
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
