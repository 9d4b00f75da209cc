//! Names of files: those in a directory, and how a listing has them.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// Returns the names in a directory, sorted; what is not UTF-8 in them is replaced.
///
/// # Errors
///
/// What reading the directory said.
pub fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Writes bytes as listings do: all but visible ASCII as `\x` and two digits, and so the backslash.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            0x21..=0x7e if byte != b'\\' => text.push(char::from(byte)),
            // A string takes anything.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        for name in ["b", "a", "C"] {
            fs::write(directory.path().join(name), "")?;
        }
        assert_eq!(names(directory.path())?, ["C", "a", "b"]);
        Ok(())
    }

    #[test]
    fn whatever_is_not_visible_is_escaped() {
        assert_eq!(escaped(b"!a\\ \xff~"), r"!a\x5c\x20\xff~");
    }
}
