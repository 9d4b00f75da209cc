//! Where results go: stdout, or a file that appears whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use layergraph::fs::{AtomicFile, Durability};
use layergraph::progress::{Meter, Task};
use serde::Serialize;

use crate::console::Console;
use crate::place::{Place, argument, tree_around};
use crate::progress::Teller;
use crate::report::{Why, is_plain};

/// The mode of a file that is made, less the umask.
const MODE: u32 = 0o644;

/// Where a layer or a recipe is written.
#[derive(Debug)]
pub(crate) enum Output {
    /// Stdout, a device or a named pipe: whatever is written is there.
    Stream(File),
    /// A file that gets its name by [`finish`](Output::finish).
    Whole(AtomicFile),
}

impl Output {
    /// Opens `file`, or stdout if there is none, for something made of `trees`, of which it must
    /// not become a part.
    pub(crate) fn open(
        file: Option<&Path>,
        trees: &[&Path],
        console: &Console,
    ) -> Result<Output, Why> {
        let Some(path) = file else {
            let stdout = stdout()?;
            if stdout.is_terminal() {
                return Err(Why::Usage("the result is not for a terminal: give -o FILE"));
            }
            // A file that the shell opened there. What has no path is in no tree.
            if let Ok(path) = fs::canonicalize("/proc/self/fd/1") {
                refuse_inside(&path, trees)?;
            }
            return Ok(Output::Stream(stdout));
        };
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let error = io::ErrorKind::IsADirectory.into();
                return Err(argument("open", path, error));
            }
            Ok(metadata) if !metadata.is_file() => {
                // Never replaced: it is /dev/null, or somebody waits at its other end.
                let stream = OpenOptions::new().write(true).open(path);
                let stream = stream.map_err(|error| argument("open", path, error))?;
                return Ok(Output::Stream(stream));
            }
            // What is wrong with the path, looking for the place will tell.
            Ok(_) | Err(_) => {}
        }
        let place = Place::find(path)?;
        refuse_inside(&place.parent.path().join(&place.name), trees)?;
        place.sweep(console);
        let file = AtomicFile::create(&place.parent, &place.name, MODE)?;
        Ok(Output::Whole(file))
    }

    /// Gives the file its name. Without it, nothing stays of a file.
    pub(crate) fn finish(self) -> Result<(), Why> {
        match self {
            Output::Stream(_) => Ok(()),
            Output::Whole(file) => Ok(file.commit(Durability::Full)?),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Stream(file) => file.write(bytes),
            Output::Whole(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Stream(file) => file.flush(),
            Output::Whole(file) => file.flush(),
        }
    }
}

/// Counts what is written, and tells it.
pub(crate) struct Metered<'a> {
    out: &'a mut Output,
    meter: Meter<'a>,
}

impl<'a> Metered<'a> {
    pub(crate) fn new(out: &'a mut Output, task: Task, progress: &'a mut Teller) -> Metered<'a> {
        let meter = Meter::new(task, progress);
        Metered { out, meter }
    }

    /// Tells that all is written.
    pub(crate) fn finish(self) {
        self.meter.finish();
    }
}

impl Write for Metered<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.meter.advance(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Returns the file that `-o` names, if it names one, with which `--json` may be given.
pub(crate) fn output_file(output: Option<&Path>, json: bool) -> Result<Option<&Path>, Why> {
    let file = output.filter(|file| *file != Path::new("-"));
    if json && file.is_none() {
        return Err(Why::Usage("--json needs -o FILE: the result takes stdout"));
    }
    Ok(file)
}

/// Refuses a file in one of the trees: what is written to it would have to be in it.
fn refuse_inside(file: &Path, trees: &[&Path]) -> Result<(), Why> {
    let directory = file.parent().unwrap_or(file);
    match tree_around(directory, trees)? {
        None => Ok(()),
        Some(_) => Err(Why::Usage(
            "the result would be a part of what it is about: write it elsewhere",
        )),
    }
}

/// Returns stdout without the buffer of the standard library, which writes line by line.
pub(crate) fn stdout() -> Result<File, Why> {
    let handle = io::stdout().as_fd().try_clone_to_owned();
    handle.map(File::from).map_err(Why::Output)
}

/// Prints a result as it is.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Why> {
    stdout()?.write_all(bytes).map_err(Why::Output)
}

/// Prints a result of one line.
pub(crate) fn print_line(line: &str) -> Result<(), Why> {
    print_bytes(format!("{line}\n").as_bytes())
}

/// Prints the one JSON document of `--json`.
pub(crate) fn print_json(document: &impl Serialize) -> Result<(), Why> {
    let mut text = serde_json::to_vec(document).map_err(|error| Why::Output(error.into()))?;
    text.push(b'\n');
    print_bytes(&text)
}

/// A path in JSON: lossily as text, and exactly where that is not the same.
#[derive(Debug, Serialize)]
pub(crate) struct JsonPath {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
}

impl JsonPath {
    /// Prints a path of the machine, or within a tree, whose root is `/`.
    pub(crate) fn in_tree(path: &Path) -> JsonPath {
        let path = Path::new("/").join(path);
        let bytes = path.as_os_str().as_bytes();
        JsonPath {
            path: String::from_utf8_lossy(bytes).into_owned(),
            path_b64: path.to_str().is_none().then(|| STANDARD.encode(bytes)),
        }
    }
}

/// Prints a name in one line: unusual bytes as `\xHH`.
pub(crate) fn escaped(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char == '\\' || !is_plain(char) {
                let mut bytes = [0; 4];
                text.extend(char.encode_utf8(&mut bytes).bytes().map(escape));
            } else {
                text.push(char);
            }
        }
        text.extend(chunk.invalid().iter().copied().map(escape));
    }
    text
}

fn escape(byte: u8) -> String {
    format!("\\x{byte:02x}")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_name_is_one_line_and_says_exactly_what_it_is() {
        for (name, text) in [
            (&b"a b/\xc3\xa9"[..], "a b/\u{e9}"),
            (b"a\nb", "a\\x0ab"),
            (b"a\\b", "a\\x5cb"),
            (b"\xff\xc3", "\\xff\\xc3"),
            (b"\xe2\x80\xae", "\\xe2\\x80\\xae"),
        ] {
            assert_eq!(escaped(name), text);
        }
    }

    #[test]
    fn a_path_that_is_not_utf8_is_given_exactly_as_well() -> serde_json::Result<()> {
        let json = |path: &OsStr| serde_json::to_string(&JsonPath::in_tree(Path::new(path)));
        assert_eq!(json(OsStr::new("run/s"))?, r#"{"path":"/run/s"}"#);
        assert_eq!(
            json(OsStr::from_bytes(b"\xff"))?,
            "{\"path\":\"/\u{fffd}\",\"path_b64\":\"L/8=\"}"
        );
        Ok(())
    }
}
