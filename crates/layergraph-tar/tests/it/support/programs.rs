//! The archivers that we must agree with.

use std::io::{self, Error, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Far more than any of the programs should take.
const AMPLE: Duration = Duration::from_secs(60);

/// A program that writes archives, in one of its formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packer {
    Gnu(&'static str),
    Bsd(&'static str),
    Python(&'static str),
}

use Packer::{Bsd, Gnu, Python};

/// All of them.
pub(crate) const PACKERS: &[Packer] = &[
    Gnu("v7"),
    Gnu("ustar"),
    Gnu("oldgnu"),
    Gnu("gnu"),
    Gnu("posix"),
    Bsd("v7"),
    Bsd("ustar"),
    Bsd("gnutar"),
    Bsd("pax"),
    Python("USTAR"),
    Python("GNU"),
    Python("PAX"),
];

const PACK: &str = "
import sys, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=getattr(tarfile, sys.argv[1])) as t:
    t.add('.')
";

impl Packer {
    /// Whether the format has fractions of seconds.
    pub(crate) fn has_fractions(self) -> bool {
        matches!(self, Gnu("posix") | Bsd("pax") | Python("PAX"))
    }

    /// Whether the format has names of any length, and big numbers.
    pub(crate) fn is_unlimited(self) -> bool {
        self.has_fractions()
            || matches!(self, Gnu("oldgnu" | "gnu") | Bsd("gnutar") | Python("GNU"))
    }

    /// Archives all that is in a directory.
    pub(crate) fn pack(self, root: &Path, options: &[&str]) -> io::Result<Vec<u8>> {
        let mut command;
        match self {
            Gnu(format) => {
                command = Command::new("tar");
                command.args(["--format", format, "--sort=name", "-cf", "-"]);
                command.args(options).arg(".");
            }
            Bsd(format) => {
                command = Command::new("bsdtar");
                command.args(["--format", format, "-cf", "-"]);
                command.args(options).arg(".");
            }
            Python(format) => {
                command = Command::new("python3");
                command.args(["-c", PACK, &format!("{format}_FORMAT")]);
            }
        }
        run(command.current_dir(root).stdin(Stdio::null()))
    }
}

/// A program that extracts archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpacker {
    GnuTar,
    BsdTar,
    PythonTarfile,
}

pub(crate) const UNPACKERS: &[Unpacker] =
    &[Unpacker::GnuTar, Unpacker::BsdTar, Unpacker::PythonTarfile];

const UNPACK: &str = "
import sys, tarfile
with tarfile.open(sys.argv[1]) as t:
    t.errorlevel = 2
    t.extraction_filter = staticmethod(lambda member, path: member)
    t.extractall(numeric_owner=True)
";

/// Prints the names, and fails as the others do: not at all where Python stops in silence.
const LIST: &str = "
import sys, tarfile
sys.stdout.reconfigure(errors='surrogateescape')
with tarfile.open(sys.argv[1]) as t:
    for m in t:
        print(m.name)
";

impl Unpacker {
    /// Extracts an archive into a directory, owners, modes, times and attributes too.
    pub(crate) fn unpack(self, archive: &[u8], into: &Path) -> io::Result<()> {
        let mut archive_file = tempfile::NamedTempFile::new()?;
        archive_file.write_all(archive)?;
        let mut command;
        match self {
            Unpacker::GnuTar => {
                command = Command::new("tar");
                command.args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"]);
            }
            Unpacker::BsdTar => {
                command = Command::new("bsdtar");
                command.args(["--numeric-owner", "-xpf"]);
            }
            Unpacker::PythonTarfile => {
                command = Command::new("python3");
                command.args(["-c", UNPACK]);
            }
        }
        command.arg(archive_file.path()).current_dir(into);
        run(&mut command).map(|_| ())
    }

    /// Lists the names in an archive, without the slashes after directories; fails where the
    /// program does.
    pub(crate) fn list(self, archive: &[u8]) -> io::Result<Vec<String>> {
        let mut archive_file = tempfile::NamedTempFile::new()?;
        archive_file.write_all(archive)?;
        let (program, arguments): (_, &[&str]) = match self {
            Unpacker::GnuTar => ("tar", &["-tf"]),
            Unpacker::BsdTar => ("bsdtar", &["-tf"]),
            Unpacker::PythonTarfile => ("python3", &["-c", LIST]),
        };
        let mut command = Command::new(program);
        let listed = run(command.args(arguments).arg(archive_file.path()))?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let name = |line: &str| line.trim_end_matches('/').to_owned();
        Ok(listed.lines().map(name).collect())
    }
}

/// Runs a program and returns what it printed.
pub(crate) fn run(command: &mut Command) -> io::Result<Vec<u8>> {
    command.env("LC_ALL", "C.UTF-8").env_remove("TAR_OPTIONS");
    let output = layergraph_tests::run(command, AMPLE)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::other(format!(
            "{command:?}: {}: {said}",
            output.status
        )));
    }
    Ok(output.stdout)
}
