//! What tells that something came from the canary, and the search for it.
//!
//! Content, names, attributes and link targets of the canary hold [`MARKER`]; everything in it was
//! modified at [`MOMENT`], and has modes that nothing else has. So also what was only looked at is
//! told: in a listing by its time and mode, in a layer by its time.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use layergraph_archive::codec::{DecodeOptions, decode};

use super::canary::xattrs;

/// In all that the canary holds. Its first byte is in nothing else.
pub(crate) const MARKER: &str = "~leaked-9b41c7e2d05f";

/// When all of the canary was modified.
pub(crate) const MOMENT: i64 = 1_234_567_890;

/// The modes of the canary's files and directories.
pub(crate) const FILE_MODE: u32 = 0o641;
pub(crate) const DIRECTORY_MODE: u32 = 0o751;

/// The beginning of a gzip stream, of which recipes are.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The search for what came from the canary.
#[derive(Debug)]
pub(crate) struct Tells {
    /// What is searched for in outputs, each with the word for it.
    needles: Vec<(&'static str, Vec<u8>)>,
    /// The canary's own objects, by device and inode.
    objects: HashSet<(u64, u64)>,
}

impl Tells {
    /// Prepares the search for traces of these objects.
    pub(crate) fn new(objects: HashSet<(u64, u64)>) -> Tells {
        let mut needles = vec![
            ("the marker", MARKER.as_bytes().to_vec()),
            ("the time", format!("{MOMENT}.").into_bytes()),
            ("the time in octal", format!("{MOMENT:o}").into_bytes()),
            ("the time in PAX", format!("mtime={MOMENT}").into_bytes()),
            ("the mode", format!("\t{FILE_MODE:04o}\t").into_bytes()),
            ("the mode", format!("\t{DIRECTORY_MODE:04o}\t").into_bytes()),
        ];
        // A recipe has contents in Base64, where a text looks in three ways.
        needles.extend((0..3).map(|shift| ("the marker in Base64", base64_at(shift))));
        Tells { needles, objects }
    }

    /// Returns what of the canary is in bytes that came out of `from`.
    pub(crate) fn in_bytes(&self, from: &str, bytes: &[u8]) -> Vec<String> {
        let plain = unzipped(bytes);
        let found = self
            .needles
            .iter()
            .filter(|(_, needle)| contains(bytes, needle) || contains(&plain, needle));
        found
            .map(|(what, _)| format!("{from}: has {what} of the canary"))
            .collect()
    }

    /// Returns what of the canary is in a tree in which nobody works. No link is followed.
    pub(crate) fn in_tree(&self, top: &Path) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut left = vec![top.to_owned()];
        while let Some(path) = left.pop() {
            let metadata = fs::symlink_metadata(&path)?;
            let shown = path.display().to_string();
            if self.objects.contains(&(metadata.dev(), metadata.ino())) {
                found.push(format!("{shown}: is a further name of the canary's"));
            }
            if metadata.mtime() == MOMENT {
                found.push(format!("{shown}: has the time of the canary"));
            }
            let mut texts = xattrs(&path)?;
            texts.push(path.as_os_str().as_bytes().to_vec());
            if metadata.is_symlink() {
                texts.push(fs::read_link(&path)?.as_os_str().as_bytes().to_vec());
            }
            if texts.iter().any(|text| contains(text, MARKER.as_bytes())) {
                found.push(format!(
                    "{shown}: has the marker in its name, target, attributes"
                ));
            }
            if metadata.is_file() {
                found.extend(self.in_bytes(&shown, &fs::read(&path)?));
            } else if metadata.is_dir() {
                for entry in fs::read_dir(&path)? {
                    left.push(entry?.path());
                }
            }
        }
        Ok(found)
    }
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    let Some((first, _)) = needle.split_first() else {
        return true;
    };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// Returns what is packed in `bytes`, as far as it goes: a recipe can be incomplete.
fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    if bytes.starts_with(GZIP)
        && let Ok(mut decoder) = decode(bytes, &DecodeOptions::default())
    {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = decoder.read(&mut piece) {
            plain.extend_from_slice(&piece[..read]);
        }
    }
    plain
}

/// Returns how the marker looks in Base64 behind `shift` other bytes, without the characters in
/// which those and what follows have a part.
fn base64_at(shift: usize) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = std::iter::repeat_n(0, shift)
        .chain(MARKER.bytes())
        .collect();
    let bit = |at: usize| usize::from(bytes[at / 8] >> (7 - at % 8) & 1);
    let first = (shift * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    let digit = |at: usize| (at * 6..at * 6 + 6).fold(0, |digit, at| digit << 1 | bit(at));
    (first..end).map(|at| DIGITS[digit(at)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;

    fn tells() -> Tells {
        Tells::new(HashSet::new())
    }

    #[test]
    fn what_holds_nothing_of_the_canary_tells_nothing() {
        let text = b"f\t0644\t0:0\t1000000000.000000005 ~ leaked";
        assert_eq!(tells().in_bytes("it", text), Vec::<String>::new());
    }

    #[test]
    fn marker_time_and_mode_tell() {
        for text in [
            format!("content ~{MARKER}"),
            format!("f\tf\t0644\t0:0\t5\t{MOMENT}.000000000\t-"),
            format!("0000644\0{MOMENT:o}\0"),
            format!("mtime={MOMENT}\n"),
            "a\td\t0751\t0:0".to_owned(),
        ] {
            assert_eq!(tells().in_bytes("it", text.as_bytes()).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_marker_in_base64_tells_wherever_it_begins() {
        // By coreutils' base64 of the marker behind `x`, `xx`, `xxx`.
        for text in [
            "eH5sZWFrZWQtOWI0MWM3ZTJkMDVmCg==",
            "eHh+bGVha2VkLTliNDFjN2UyZDA1Zgo=",
            "eHh4fmxlYWtlZC05YjQxYzdlMmQwNWYK",
        ] {
            let found = tells().in_bytes("it", text.as_bytes());
            assert_eq!(found, ["it: has the marker in Base64 of the canary"]);
        }
    }

    #[test]
    fn a_tree_tells_by_content_name_target_and_time() -> Result {
        let place = tempfile::tempdir()?;
        fs::write(place.path().join("f"), "inside")?;
        assert_eq!(tells().in_tree(place.path())?, Vec::<String>::new());
        fs::write(place.path().join("f"), MARKER)?;
        fs::create_dir(place.path().join(MARKER))?;
        std::os::unix::fs::symlink(MARKER, place.path().join("l"))?;
        let late =
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_234_567_890);
        fs::File::create(place.path().join("t"))?.set_modified(late)?;
        assert_eq!(tells().in_tree(place.path())?.len(), 4);
        Ok(())
    }
}
