//! What is cut off, damaged, or followed by something else: none of it passes for whole (R25, Z2).

use std::io::{self, Read};

use layergraph_archive::codec::{Codec, CodecError, DecodeOptions, decode};
use layergraph_tests::require;

use super::{BUILT, Result, codec_error, empty_bzip2_stream, is_built, pack, sample, unpack};

#[test]
fn z2_other_bytes_at_the_end_are_refused() -> Result {
    require!(program "gzip", "bzip2", "xz", "zstd");
    for &(codec, program) in BUILT {
        let packed = pack(program, &[], b"content")?;
        let offset = packed.len() as u64;
        let other_codec = pack(
            if program == "gzip" { "bzip2" } else { "gzip" },
            &[],
            b"content",
        )?;
        for trailing in [&b"x"[..], b"garbage\n", b"\xff\0\0\0\0\0", &other_codec] {
            let error = unpack(&[&packed, trailing].concat()).expect_err("it is no layer");
            let expected = CodecError::TrailingBytes { codec, offset };
            assert_eq!(*codec_error(&error), expected);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        // A whole signature and nothing behind it is a member that is cut off.
        let trailing = &packed[..6];
        let error = unpack(&[&packed, trailing].concat()).expect_err("it is no layer");
        let length = offset + 6;
        assert_eq!(
            *codec_error(&error),
            CodecError::Truncated { codec, length }
        );
    }
    Ok(())
}

#[test]
fn r25_data_cut_off_anywhere_is_an_error() -> Result {
    require!(program "gzip", "bzip2", "xz", "zstd");
    let content = sample(400);
    for &(codec, program) in BUILT {
        let packed = pack(program, &[], &content)?;
        for length in 0..packed.len() {
            let part = &packed[..length];
            let result = unpack(part);
            if Codec::detect(part) == Codec::None {
                // Not even the signature is whole.
                assert!(length < 6);
                assert_eq!(result?, part);
                continue;
            }
            let error = result.expect_err("it is not whole");
            let length = length as u64;
            assert_eq!(
                *codec_error(&error),
                CodecError::Truncated { codec, length }
            );
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
    Ok(())
}

#[test]
fn r25_no_flipped_bit_gives_other_content() -> Result {
    require!(program "gzip", "bzip2", "xz", "zstd");
    let content = sample(200);
    for &(codec, program) in BUILT {
        let mut packed = pack(program, &["-1"], &content)?;
        let mut harmless = 0;
        for bit in 0..packed.len() * 8 {
            packed[bit / 8] ^= 1 << (bit % 8);
            if Codec::detect(&packed) == codec {
                match unpack(&packed) {
                    Ok(unpacked) => {
                        assert_eq!(unpacked, content, "{program}: bit {bit}");
                        harmless += 1;
                    }
                    Err(error) => {
                        let kind = error.kind();
                        let is_memory = matches!(codec_error(&error), CodecError::Memory { .. });
                        assert_eq!(is_memory, kind == io::ErrorKind::QuotaExceeded);
                        assert!(is_memory || kind == io::ErrorKind::InvalidData);
                    }
                }
            }
            packed[bit / 8] ^= 1 << (bit % 8);
        }
        // The time, two hints and the system in a gzip header mean nothing to the content, nor does
        // a higher level in that of bzip2, a bit that zstd leaves unused, and what fills the last
        // byte of either.
        let most = if codec == Codec::Gzip { 49 + 7 } else { 3 + 7 };
        assert!(harmless <= most, "{program}: {harmless}");
    }
    Ok(())
}

#[test]
fn r25_a_bzip2_stream_that_is_nearly_without_content_is_refused() {
    if !is_built(Codec::Bzip2) {
        return;
    }
    for level in [b'0', b':', 0] {
        let packed = empty_bzip2_stream(level);
        let error = unpack(&packed).expect_err("no level");
        assert!(matches!(codec_error(&error), CodecError::Damaged { .. }));
    }
    let packed = empty_bzip2_stream(b'9').repeat(2);
    for at in 4..14 {
        for bit in 0..8 {
            let mut packed = packed.clone();
            packed[at] ^= 1 << bit;
            let error = unpack(&packed).expect_err("a flipped bit");
            let is_bad = matches!(
                codec_error(&error),
                CodecError::Damaged { .. } | CodecError::Truncated { .. }
            );
            assert!(is_bad, "byte {at}, bit {bit}: {error}");
        }
    }
    for length in (3..14).chain(17..28) {
        let error = unpack(&packed[..length]).expect_err("cut off");
        let is_cut = matches!(codec_error(&error), CodecError::Truncated { .. });
        assert!(is_cut, "{length}: {error}");
    }
}

#[test]
fn an_error_of_the_data_stays() -> Result {
    require!(program "gzip", "bzip2", "xz", "zstd");
    for &(_, program) in BUILT {
        let packed = pack(program, &[], &sample(1_000))?;
        let mut decoder = decode(&packed[..packed.len() - 1], &DecodeOptions::default())?;
        let mut buffer = Vec::new();
        let error = decoder.read_to_end(&mut buffer).expect_err("it is cut off");
        let first = codec_error(&error).clone();
        for _ in 0..3 {
            let error = decoder.read(&mut [0]).expect_err("it is still cut off");
            assert_eq!(*codec_error(&error), first);
            let error = decoder.memory_needed().expect_err("it is still cut off");
            assert_eq!(*codec_error(&error), first);
        }
        let error = decoder.finish().expect_err("it is still cut off");
        assert_eq!(*codec_error(&error), first);
    }
    Ok(())
}
