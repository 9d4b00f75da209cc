//! The pass from a blob to files: what it finds out, and what it refuses.

use std::ffi::OsStr;
use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use layergraph_archive::codec::Codec;
use layergraph_archive::recipe::{NewRecipe, assemble};
use layergraph_archive::{ApplyError, ApplyOptions, ExpectedBlob, apply};
use layergraph_digest::{Algorithm, DiffId, Digest, VerifyError};
use tempfile::TempDir;

use crate::support::{layer, lines, open, options, tree, view};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Tells whether an error is the one that is meant.
type IsIt = fn(&ApplyError) -> bool;

fn packed(tar: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar)?;
    encoder.finish()
}

fn applying() -> ApplyOptions {
    let mut applying = ApplyOptions::default();
    applying.unpack = options();
    applying
}

fn expected(blob: &[u8]) -> ExpectedBlob {
    ExpectedBlob {
        digest: Digest::of(Algorithm::Sha256, blob),
        size: Some(blob.len() as u64),
    }
}

#[test]
fn one_pass_makes_files_digests_and_recipe() -> Outcome {
    let mut tar = layer(&["d/f = 1", "g = 2"]);
    // Nobody reads it, and it is a part of what has the diff id.
    tar.extend_from_slice(&[7; 3000]);
    let blob = packed(&tar)?;
    for single_thread in [true, false] {
        check_pass(&tar, &blob, single_thread)?;
    }
    Ok(())
}

fn check_pass(tar: &[u8], blob: &[u8], single_thread: bool) -> Outcome {
    let (tree, home) = (tree(&["old = below"]), TempDir::new()?);
    let home = open(home.path());
    let name = OsStr::new("recipe");
    let mut applying = applying();
    applying.single_thread = single_thread;
    applying.blob = Some(expected(blob));
    applying.diff_id = Some(DiffId::new(Digest::of(Algorithm::Sha256, tar)));
    let recipe = NewRecipe { home: &home, name };
    let applied = apply(&mut &*blob, &open(tree.path()), Some(recipe), &applying)?;

    assert_eq!(applied.codec, Codec::Gzip);
    assert_eq!(applied.unpacked.entries, 2);
    let digests = applied.digests.ok_or("something was expected")?;
    assert_eq!(digests.blob.size, blob.len() as u64);
    assert_eq!(Some(digests.diff_id), applying.diff_id);
    assert_eq!(digests.size, tar.len() as u64);
    assert_eq!(
        lines(tree.path()),
        ["d/", "d/f = 1", "g = 2", "old = below"]
    );
    let mut again = Vec::new();
    assemble(home.open_file(name)?, &view(tree.path()), &mut again)?;
    assert!(again == tar);
    Ok(())
}

#[test]
fn nothing_is_hashed_unless_it_is_of_use() -> Outcome {
    let tar = layer(&["f = 1"]);
    let tree = tree(&[]);
    let mut applying = applying();
    let digests = |applying: &ApplyOptions| {
        apply(&mut &tar[..], &open(tree.path()), None, applying).map(|applied| applied.digests)
    };
    assert!(digests(&applying)?.is_none());
    applying.digests = true;
    let found = digests(&applying)?.ok_or("they were asked for")?;
    assert_eq!(found.diff_id.digest(), found.blob.digest);
    applying.diff_id = Some(DiffId::new(Digest::of(Algorithm::Sha512, &tar)));
    let found = digests(&applying)?.ok_or("one was expected")?;
    assert_eq!(Some(found.diff_id), applying.diff_id);
    Ok(())
}

#[test]
fn r26_another_blob_or_layer_than_expected_is_an_error() -> Outcome {
    let tar = layer(&["f = 1"]);
    let blob = packed(&tar)?;
    let right = expected(&blob);
    let wrong = Digest::of(Algorithm::Sha256, b"another");
    let size = |size| ExpectedBlob { size, ..right };

    let cases: [(ExpectedBlob, Digest, IsIt); 5] = [
        (
            ExpectedBlob {
                digest: wrong,
                ..right
            },
            Digest::of(Algorithm::Sha256, &tar),
            |error| matches!(error, ApplyError::Blob(VerifyError::Digest { .. })),
        ),
        (
            size(Some(right.size.unwrap_or(0) + 1)),
            Digest::of(Algorithm::Sha256, &tar),
            |error| matches!(error, ApplyError::Blob(VerifyError::Size { .. })),
        ),
        (
            size(Some(10)),
            Digest::of(Algorithm::Sha256, &tar),
            |error| is_too_long(error),
        ),
        (right, wrong, |error| {
            matches!(error, ApplyError::DiffId { .. })
        }),
        (right, right.digest, |error| {
            matches!(error, ApplyError::DiffId { .. })
        }),
    ];
    for (blob_expected, diff_id, is_it) in cases {
        let tree = tree(&[]);
        let mut applying = applying();
        applying.blob = Some(blob_expected);
        applying.diff_id = Some(DiffId::new(diff_id));
        let applied = apply(&mut &blob[..], &open(tree.path()), None, &applying);
        let error = applied.err().ok_or("it must be refused")?;
        assert!(is_it(&error), "{error:?}");
    }
    Ok(())
}

/// Tells whether the blob was refused before more of it was read than it may have.
fn is_too_long(error: &ApplyError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && let Some(inner) = error.get_ref()
            && let Some(VerifyError::TooLong { .. }) = inner.downcast_ref()
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[test]
fn r26_what_follows_the_layer_in_the_blob_counts() -> Outcome {
    let tar = layer(&["f = 1"]);
    let mut blob = packed(&tar)?;
    let mut applying = applying();
    applying.blob = Some(ExpectedBlob {
        size: None,
        ..expected(&blob)
    });
    // Padding that gzip passes over.
    blob.extend_from_slice(&[0; 512]);
    let tree = tree(&[]);
    let applied = apply(&mut &blob[..], &open(tree.path()), None, &applying);
    assert!(matches!(
        applied,
        Err(ApplyError::Blob(VerifyError::Digest { .. }))
    ));
    Ok(())
}

#[test]
fn a_source_that_fails_is_told_as_it_is() -> Outcome {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
    let tar = layer(&["f = 1", "g = 2"]);
    for length in [0, 600, tar.len()] {
        let tree = tree(&[]);
        let mut applying = applying();
        applying.digests = true;
        let mut source = tar[..length].chain(Failing);
        let applied = apply(&mut source, &open(tree.path()), None, &applying);
        let error = applied.err().ok_or("it must fail")?;
        let mut text = String::new();
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            text = error.to_string();
            cause = error.source();
        }
        assert_eq!(text, "timed out", "{length}: {error:?}");
    }
    Ok(())
}
