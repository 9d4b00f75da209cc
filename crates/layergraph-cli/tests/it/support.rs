//! Running the command, and layers made by another tar writer to run it on.

mod store;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

pub(crate) use layergraph_tests::names;

pub(crate) use self::store::{Store, id, with_tail};

pub(crate) type Result = std::result::Result<(), Box<dyn std::error::Error>>;

/// More time than any of these runs needs.
pub(crate) const AMPLE: Duration = Duration::from_secs(60);

/// The command as it was built. Who runs the tests from another place says where it is there.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        std::env::var_os("CARGO_BIN_EXE_layergraph")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_layergraph").into())
            .into()
    })
}

/// An argument: a text or a path.
pub(crate) type Arg<'a> = &'a dyn AsRef<OsStr>;

/// Starts a command line of `layergraph`, without stdin.
pub(crate) fn layergraph(args: &[Arg<'_>]) -> Command {
    let mut command = Command::new(program());
    command.args(args).stdin(Stdio::null());
    command
}

/// Starts a command line of `layergraph` where every user may run it, as long as the directory is
/// there.
pub(crate) fn installed() -> io::Result<(TempDir, Command)> {
    let (directory, program) = layergraph_tests::installed(program())?;
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    Ok((directory, command))
}

/// What the command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        Said {
            status: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("messages are UTF-8"),
        }
    }
}

impl Said {
    /// The text on stdout.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.stdout).expect("the result is UTF-8")
    }

    /// Checks that all went well, and gives what was said.
    pub(crate) fn done(self) -> Said {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        self
    }

    /// Checks the exit status and the error's line, and that a hint may follow it and nothing else.
    pub(crate) fn failed(&self, status: i32, line: &str) {
        assert_eq!(self.status, Some(status), "{}", self.stderr);
        let errors: Vec<&str> = self.errors().collect();
        assert_eq!(errors.first(), Some(&line), "{}", self.stderr);
        match errors[1..] {
            [] => {}
            [hint] => assert!(hint.starts_with("hint: "), "{}", self.stderr),
            _ => panic!("more than an error and a hint: {}", self.stderr),
        }
    }

    /// The hint, if there is one.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.errors().find_map(|line| line.strip_prefix("hint: "))
    }

    /// The lines on stderr that are no notes.
    fn errors(&self) -> impl Iterator<Item = &str> {
        let is_note = |line: &&str| line.starts_with("layergraph: note: ");
        self.stderr.lines().filter(move |line| !is_note(line))
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> io::Result<Said> {
    layergraph_tests::run(command, AMPLE).map(Said::from)
}

/// Runs a command line of `layergraph` to its end.
pub(crate) fn say(args: &[Arg<'_>]) -> io::Result<Said> {
    run(&mut layergraph(args))
}

/// Runs a shell script that has the command in `$0` and `args` in `$1` and so on.
pub(crate) fn shell(script: &str, args: &[Arg<'_>]) -> io::Result<Said> {
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program()).args(args);
    run(command.stdin(Stdio::null()))
}

/// A private directory, with nothing in it.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> io::Result<Home> {
        tempfile::tempdir().map(Home)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> io::Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, content)?;
        Ok(path)
    }

    /// Makes a directory, and returns its path.
    pub(crate) fn dir(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// The names in it, sorted.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        names(self.0.path())
    }
}

/// The listing of a directory as this user would have it unpacked.
pub(crate) fn listing(directory: &Path) -> io::Result<String> {
    Ok(say(&[&"listing", &directory])?.done().text().to_owned())
}

/// Writes a layer with the tar crate, which is not ours.
pub(crate) struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Layer {
        Layer(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn file(self, path: &str, content: &str) -> Layer {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        self.entry(header, path, "", content)
    }

    /// A file that its owner may not write.
    pub(crate) fn read_only_file(self, path: &str, content: &str) -> Layer {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o444);
        self.entry(header, path, "", content)
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Layer {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        self.entry(header, path, target, "")
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Layer {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Link);
        self.entry(header, path, target, "")
    }

    /// A character device, 1:3.
    pub(crate) fn device(self, path: &str) -> Layer {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Char);
        header.set_mode(0o666);
        header.set_device_major(1).expect("a ustar header");
        header.set_device_minor(3).expect("a ustar header");
        self.entry(header, path, "", "")
    }

    /// An attribute for the entry that follows.
    pub(crate) fn attribute(mut self, key: &str, value: &[u8]) -> Layer {
        let key = format!("SCHILY.xattr.{key}");
        self.0
            .append_pax_extensions([(key.as_str(), value)])
            .expect("a vector takes it");
        self
    }

    /// Puts names into the header as they are: the tar crate's own setters refuse hostile ones.
    fn entry(mut self, mut header: tar::Header, path: &str, target: &str, data: &str) -> Layer {
        let fields = header.as_old_mut();
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0
            .append(&header, data.as_bytes())
            .expect("a vector takes it");
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("a vector takes it")
    }
}

/// A small good layer.
pub(crate) fn good_layer() -> Vec<u8> {
    Layer::new()
        .file("bin/tool", "a tool")
        .link("usr", "bin")
        .finish()
}

/// A layer of which an entry is good before one is refused.
pub(crate) fn bad_layer() -> Vec<u8> {
    Layer::new()
        .file("first", "unpacked")
        .hard_link("second", "missing")
        .finish()
}

/// What the error line says of [`bad_layer`].
pub(crate) const BAD: &str = "refused the hard link second to missing: it does not exist";

/// Opens a file to be the stdin of a command.
pub(crate) fn stdin(path: &Path) -> io::Result<Stdio> {
    File::open(path).map(Stdio::from)
}
