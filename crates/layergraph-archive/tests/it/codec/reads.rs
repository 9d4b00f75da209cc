//! How content is read: in pieces of any size, over errors of the input, and up to a limit.

use std::io::{self, Read};

use layergraph_archive::codec::{CodecError, DecodeOptions, decode};
use layergraph_tests::require;

use super::{BUILT, Result, codec_error, pack, sample};

/// An input that gives a few bytes at a time, and fails before each `failures` times.
struct Reluctant<'a> {
    content: &'a [u8],
    piece: usize,
    failures: usize,
    failed: usize,
}

impl Read for Reluctant<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed < self.failures {
            self.failed += 1;
            let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
            return Err(kinds[self.failed % 2].into());
        }
        self.failed = 0;
        let room = self.piece.min(buffer.len());
        self.content.read(&mut buffer[..room])
    }
}

#[test]
fn sizes_of_reads_make_no_difference() -> Result {
    require!(program "gzip", "bzip2", "xz", "zstd");
    let content = sample(3_000);
    for &(_, program) in BUILT {
        let packed = [
            pack(program, &[], &content[..1_000])?,
            pack(program, &[], &content[1_000..])?,
        ]
        .concat();
        for size in (1..40).chain([1_000, 5_000, 200_000]) {
            for (piece, room) in [(size, 200_000), (200_000, size), (size, size)] {
                let input = Reluctant {
                    content: &packed,
                    piece,
                    failures: 0,
                    failed: 0,
                };
                let mut decoder = decode(input, &DecodeOptions::default())?;
                let mut unpacked: Vec<u8> = Vec::new();
                let mut buffer = vec![0; room];
                loop {
                    assert_eq!(decoder.read(&mut [])?, 0);
                    match decoder.read(&mut buffer)? {
                        0 => break,
                        count => unpacked.extend(&buffer[..count]),
                    }
                }
                assert_eq!(unpacked, content, "{program}: {piece} to {room}");
                assert_eq!(decoder.read(&mut buffer)?, 0);
            }
        }
    }
    Ok(())
}

#[test]
fn errors_of_the_input_lose_nothing() -> Result {
    require!(program "gzip", "bzip2", "xz", "zstd");
    let content = sample(1_000);
    for &(_, program) in BUILT {
        let packed = pack(program, &[], &content)?;
        let mut input = Reluctant {
            content: &packed,
            piece: 100,
            failures: 0,
            failed: 0,
        };
        // The signature, without failures; then more of them than libzstd tries for nothing.
        let mut first = [0; 100];
        let count = input.read(&mut first)?;
        input.failures = 101;
        let mut decoder = decode(first[..count].chain(input), &DecodeOptions::default())?;
        let mut unpacked: Vec<u8> = Vec::new();
        let mut failures = 0;
        loop {
            let mut buffer = [0; 64];
            match decoder.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => unpacked.extend(&buffer[..count]),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    failures += 1;
                }
            }
        }
        assert_eq!(unpacked, content, "{program}");
        assert!(failures > 100, "{program}: {failures}");
    }
    Ok(())
}

#[test]
fn r32_the_limit_of_output_is_kept_to_the_byte() -> Result {
    require!(program "gzip", "bzip2", "xz", "zstd");
    let content = sample(10_000);
    let plain = std::iter::once(Ok(content.clone()));
    let packed = BUILT.iter().map(|&(_, name)| pack(name, &[], &content));
    for packed in plain.chain(packed) {
        let packed = packed?;
        for (limit, fits) in [(0, false), (9_999, false), (10_000, true), (10_001, true)] {
            let options = DecodeOptions {
                output: Some(limit),
                ..DecodeOptions::default()
            };
            let mut unpacked = Vec::new();
            let result = decode(&*packed, &options)?.read_to_end(&mut unpacked);
            if fits {
                assert_eq!(result?, content.len());
                continue;
            }
            let error = result.expect_err("it is longer");
            assert_eq!(*codec_error(&error), CodecError::Output { limit });
            assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
            assert_eq!(unpacked.len() as u64, limit);
        }
    }
    Ok(())
}
