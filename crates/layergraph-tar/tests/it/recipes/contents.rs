//! Contents that are not what they were, and outputs that fail.

use std::io::{self, Read, Write};

use layergraph_tar::recipe::{
    AssembleError, FileEntry, Recipe, RecipeError, RecipeLimits, RecipeWriter, assemble,
};
use layergraph_tar::{Limits, Reader, Tap, TarError};

use super::{Result, split};
use crate::support::craft::{END, file};

fn archive() -> Vec<u8> {
    let parts = [
        file(b"first", b"unchanged"),
        file(b"chan\xffged", b"as it was"),
        file(b"third", b"never asked for"),
        END.to_vec(),
    ];
    parts.concat()
}

/// Assembles with a content of the second member; returns what was written as well.
fn with_second<C: Read>(
    content: impl Fn() -> io::Result<C>,
) -> Result<(Vec<u8>, std::result::Result<(), AssembleError>)> {
    let recipe = split(&archive()[..], &[false])?.recipe;
    let mut written = Vec::new();
    let source = |file: &FileEntry| -> io::Result<Box<dyn Read>> {
        match &file.name[..] {
            b"first" => Ok(Box::new(&b"unchanged"[..])),
            b"chan\xffged" => {
                let mut bytes = Vec::new();
                let failed = content()?.read_to_end(&mut bytes).err();
                let error = io::Cursor::new(bytes).chain(Failing(failed));
                Ok(Box::new(error))
            }
            _ => panic!("it was asked for a content after the wrong one"),
        }
    };
    let assembled = assemble(Recipe::new(&recipe[..])?, source, &mut written);
    Ok((written, assembled.map(|_| ())))
}

/// Fails once, if at all, then ends.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Checks that the content is refused with this message, and nothing written beyond it.
fn check<C: Read>(content: impl Fn() -> io::Result<C>, message: &str) -> Result {
    let (written, assembled) = with_second(content)?;
    let error = assembled.expect_err("the content is not the one of the recipe");
    assert_eq!(error.to_string(), message);
    let begins = 512 + 512 + 512;
    let ends = begins + b"as it was".len();
    assert!(
        (begins..=ends).contains(&written.len()),
        "{}",
        written.len()
    );
    assert_eq!(written[..begins], archive()[..begins]);
    Ok(())
}

#[test]
fn a_changed_content_fails_by_name_and_nothing_follows_it() -> Result {
    let size = "the content of chan\\xffged has changed: it has not the 9 bytes that it had";
    check(|| Ok(&b"as it wa"[..]), size)?;
    check(|| Ok(&b""[..]), size)?;
    check(|| Ok(&b"as it was, and more"[..]), size)?;
    let (_, assembled) = with_second(|| Ok(&b"as it is."[..]))?;
    let Err(AssembleError::Checksum {
        name,
        expected,
        actual,
    }) = assembled
    else {
        panic!("{assembled:?}");
    };
    assert_eq!(name, "chan\\xffged");
    check(
        || Ok(&b"as it is."[..]),
        &format!(
            "the content of chan\\xffged has changed: its CRC-64 is {actual:016x}, not {expected:016x}"
        ),
    )
}

#[test]
fn a_content_that_cannot_be_read_fails_by_name() -> Result {
    let open = || Err::<&[u8], _>(io::ErrorKind::NotFound.into());
    check(open, "cannot open the content of chan\\xffged")?;
    let read = || Ok(b"as it".chain(Failing(Some(io::ErrorKind::TimedOut.into()))));
    check(read, "cannot read the content of chan\\xffged")
}

/// Takes so many bytes, then fails.
#[derive(Debug)]
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = bytes.len().min(self.0);
        self.0 -= most;
        match most {
            0 => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(most),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_fails_is_an_error_wherever_it_does() -> Result {
    let archive = archive();
    let split = split(&archive[..], &[false])?;
    for room in 0..archive.len() {
        let source = |file: &FileEntry| Ok(&split.contents[&file.offset][..]);
        let failed = assemble(Recipe::new(&split.recipe[..])?, source, Full(room));
        assert!(
            matches!(failed, Err(AssembleError::Write(_))),
            "{room}: {failed:?}"
        );
    }
    for room in 0..split.recipe.len() {
        let writer = RecipeWriter::new(Full(room));
        let reader = Reader::with(&archive[..], writer, Limits::default());
        let failed = match reader.finish() {
            Ok(finished) => finished.tap.finish().err(),
            Err(TarError::Tap { source, .. }) => Some(source),
            Err(error) => return Err(error.into()),
        };
        let kind = failed.map(|error| error.kind());
        assert_eq!(kind, Some(io::ErrorKind::StorageFull), "{room}");
    }
    Ok(())
}

/// Goes on with the writer after an error, which a caller could do.
#[test]
fn a_writer_that_failed_makes_no_recipe() {
    let limits = RecipeLimits {
        entries: 1,
        ..RecipeLimits::default()
    };
    let mut writer = RecipeWriter::with_limits(Vec::new(), limits);
    let archive = archive();
    let failed = Reader::with(&archive[..], &mut writer, Limits::default()).finish();
    assert!(matches!(failed, Err(TarError::Tap { .. })), "{failed:?}");
    assert!(writer.raw(b"more").is_err());
    assert!(writer.finish().is_err());
}

#[test]
fn a_recipe_within_limits_is_written_and_read_and_no_larger_one() -> Result {
    let archive = archive();
    let recipe = split(&archive[..], &[false])?.recipe;
    let text = super::text(&recipe)?;
    let within = RecipeLimits {
        line_bytes: text
            .split_inclusive('\n')
            .map(|line| line.len() as u64)
            .max()
            .unwrap_or(0),
        entries: text.lines().count() as u64,
        bytes: text.len() as u64,
    };
    let write = |limits| -> std::result::Result<(), Option<RecipeError>> {
        let writer = RecipeWriter::with_limits(Vec::new(), limits);
        let read = Reader::with(&archive[..], writer, Limits::default()).finish();
        let written = match read {
            Ok(finished) => finished.tap.finish().map(|_| ()),
            Err(TarError::Tap { source, .. }) => Err(source),
            Err(_) => return Err(None),
        };
        written.map_err(|error| error.downcast::<RecipeError>().ok())
    };
    let read = |limits| Recipe::with_limits(&recipe[..], limits)?.try_for_each(|e| e.map(|_| ()));
    write(within).expect("it is within the limits");
    read(within)?;
    for (limits, message) in [
        (
            RecipeLimits {
                line_bytes: within.line_bytes - 1,
                ..within
            },
            format!(
                "the recipe has more than {} bytes in one line",
                within.line_bytes - 1
            ),
        ),
        (
            RecipeLimits {
                entries: within.entries - 1,
                ..within
            },
            format!("the recipe has more than {} entries", within.entries - 1),
        ),
        (
            RecipeLimits {
                bytes: within.bytes - 1,
                ..within
            },
            format!("the recipe has more than {} bytes", within.bytes - 1),
        ),
    ] {
        let written = write(limits)
            .expect_err("it is larger")
            .expect("a limit says so");
        assert_eq!(written.to_string(), message);
        assert_eq!(read(limits).expect_err("it is larger").to_string(), message);
    }
    Ok(())
}

#[test]
#[should_panic(expected = "decided too late")]
fn whether_a_content_is_kept_is_decided_before_it() {
    let archive = archive();
    let mut reader = Reader::with(
        &archive[..],
        RecipeWriter::new(Vec::new()),
        Limits::default(),
    );
    reader.next_member().expect("there is a member");
    reader.chunk().expect("it has data");
    reader.tap_mut().keep_content();
}

#[test]
fn no_recipe_is_whole_before_its_archive_was_seen_whole() -> Result {
    let archive = archive();
    let mut written = Vec::new();
    let mut writer = RecipeWriter::new(&mut written);
    let mut reader = Reader::with(&archive[..], &mut writer, Limits::default());
    for _ in 0..2 {
        reader.next_member()?;
        reader.chunk()?;
    }
    drop(reader);
    drop(writer);
    let read =
        Recipe::new(&written[..]).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    assert!(matches!(read, Err(RecipeError::Read(_))), "{read:?}");

    let cut = &archive[..1540];
    let mut writer = RecipeWriter::new(Vec::new());
    let read = Reader::with(cut, &mut writer, Limits::default()).finish();
    assert!(matches!(read, Err(TarError::Truncated { .. })), "{read:?}");
    assert!(writer.finish().is_err());
    Ok(())
}
