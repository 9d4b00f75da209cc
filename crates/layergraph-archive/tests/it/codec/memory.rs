//! How much memory packed data may ask for, and that it is known beforehand.

use std::io::{self, Read};

use flate2::Crc;
use layergraph_archive::codec::{Codec, CodecError, DecodeOptions, decode};
use layergraph_tests::require;

use super::{
    BUILT, Result, codec_error, is_built, pack, run, sample, skippable_frame, unpack,
    unpack_within, zstd_frame,
};

/// Checks how much memory data is said to need, and that this is where the limit stands.
#[track_caller]
fn check_memory(packed: &[u8], content: Option<&[u8]>, window: u64) {
    let most = DecodeOptions {
        memory: u64::MAX,
        ..DecodeOptions::default()
    };
    let needed = if content.is_some() {
        let mut decoder = decode(packed, &most).expect("a codec that is built");
        decoder.memory_needed().expect("any memory is granted")
    } else {
        // More than this test would have allocated.
        let error = unpack(packed).expect_err("more than the default");
        let &CodecError::Memory { needed, .. } = codec_error(&error) else {
            panic!("{error}")
        };
        needed
    };
    assert!(needed > window && needed < window + (1 << 20), "{needed}");

    let codec = Codec::detect(packed);
    let limit = needed - 1;
    for limit in [limit, 1_000, 1, 0] {
        let options = DecodeOptions {
            memory: limit,
            ..DecodeOptions::default()
        };
        let error = unpack_within(packed, &options).expect_err("over the limit");
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        let expected = CodecError::Memory {
            codec,
            needed,
            limit,
        };
        assert_eq!(*codec_error(&error), expected);
    }
    if let Some(content) = content {
        let options = DecodeOptions {
            memory: needed,
            ..DecodeOptions::default()
        };
        let unpacked = unpack_within(packed, &options).expect("as much as it needs");
        assert_eq!(unpacked, content);
    }
}

#[test]
fn r32_a_zstd_frame_gets_the_window_that_the_limit_allows() {
    if !is_built(Codec::Zstd) {
        return;
    }
    for exponent in 0..=17 {
        let window = 1 << (10 + exponent);
        check_memory(&zstd_frame(exponent), Some(b"frame"), window);
    }
    for exponent in 18..32 {
        check_memory(&zstd_frame(exponent), None, 1 << (10 + exponent));
    }
}

#[test]
fn r32_an_xz_block_gets_the_dictionary_that_the_limit_allows() -> Result {
    if !is_built(Codec::Xz) {
        return Ok(());
    }
    require!(program "xz");
    let content = sample(1_000);
    for (level, window) in [
        ("-0", 256 << 10),
        ("-6", 8 << 20),
        ("-8", 32 << 20),
        ("-9", 64 << 20),
    ] {
        let packed = pack("xz", &[level], &content)?;
        check_memory(&packed, Some(&content), window);
    }
    // The first block's header has one filter, LZMA2, with one byte for the dictionary's size: 2
    // or 3 times a power of two, up to 4 GiB less a byte.
    let packed = pack("xz", &["-0", "-T1"], &content)?;
    assert_eq!(packed[12..16], [0x02, 0x00, 0x21, 0x01]);
    for (size, window) in [(36, 1 << 30), (37, 3 << 29), (40, (1 << 32) - 1)] {
        let mut packed = packed.clone();
        packed[16] = size;
        let mut crc = Crc::new();
        crc.update(&packed[12..20]);
        packed[20..24].copy_from_slice(&crc.sum().to_le_bytes());
        check_memory(&packed, None, window);
    }
    Ok(())
}

/// What [`DecodeOptions::memory`] says of the usual levels.
#[test]
fn r32_the_default_limit_decodes_the_usual_levels() -> Result {
    if !is_built(Codec::Xz) || !is_built(Codec::Zstd) {
        return Ok(());
    }
    require!(program "sh", "xz", "zstd");
    for (packer, decoded) in [
        ("xz -6", true),
        ("xz -8", true),
        ("xz -9", false),
        ("zstd -3", true),
        ("zstd -19", true),
        ("zstd --ultra -20", true),
        ("zstd --ultra -21", false),
        ("zstd --ultra -22", false),
        ("zstd --long", false),
    ] {
        // Through a pipe, so that zstd does not know the length.
        let packed = run("sh", &["-c", &format!("cat | {packer} -c")], b"content")?;
        assert!(packed.status.success(), "{packed:?}");
        match unpack(&packed.stdout) {
            Ok(content) => assert!(decoded && content == b"content", "{packer}"),
            Err(error) => {
                let is_memory = matches!(codec_error(&error), CodecError::Memory { .. });
                assert!(!decoded && is_memory, "{packer}: {error}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_memory_that_is_needed_is_known_before_and_takes_no_content() -> Result {
    require!(program "gzip", "bzip2", "xz", "zstd");
    let content = sample(300_000);
    for &(codec, program) in BUILT {
        let packed = [pack(program, &[], b"")?, pack(program, &["-1"], &content)?].concat();
        let mut decoder = decode(&*packed, &DecodeOptions::default())?;
        let needed = decoder.memory_needed()?;
        assert!((1..4 << 20).contains(&needed), "{program}: {needed}");
        assert_eq!(decoder.memory_needed()?, needed);
        let mut unpacked = vec![0; 1_000];
        decoder.read_exact(&mut unpacked)?;
        // The member has begun, and keeps what it has.
        decoder.limit_memory(0);
        assert_eq!(decoder.memory_needed()?, needed, "{codec}");
        decoder.read_to_end(&mut unpacked)?;
        assert_eq!(unpacked, content, "{program}");
        assert_eq!(decoder.memory_needed()?, 0);
    }
    Ok(())
}

/// Checks that with no more memory than its beginning needs, only `content` comes of `packed`.
/// Returns how much that is.
#[track_caller]
fn check_lower_limit(packed: &[u8], content: &[u8]) -> Result<u64> {
    let mut decoder = decode(packed, &DecodeOptions::default())?;
    let needed = decoder.memory_needed()?;
    decoder.limit_memory(needed);
    let mut unpacked = Vec::new();
    let read = decoder.read_to_end(&mut unpacked);
    let error = read.expect_err("it wants more");
    let is_memory =
        matches!(codec_error(&error), CodecError::Memory { limit, .. } if *limit == needed);
    assert!(is_memory, "{error}");
    assert_eq!(unpacked, content);
    Ok(needed)
}

#[test]
fn r32_a_lower_limit_holds_for_later_zstd_frames() -> Result {
    if !is_built(Codec::Zstd) {
        return Ok(());
    }
    let (small, large) = (zstd_frame(0), zstd_frame(13));
    let packed = [skippable_frame(b"x"), small.clone(), small, large].concat();
    let needed = check_lower_limit(&packed, b"frameframe")?;
    assert!(needed < 1 << 20, "{needed}");

    // And a higher one, before a frame that would not have fitted.
    let options = DecodeOptions {
        memory: needed,
        ..DecodeOptions::default()
    };
    let mut decoder = decode(&*packed, &options)?;
    decoder.read_exact(&mut [0; 10])?;
    decoder.limit_memory(u64::MAX);
    let mut rest = Vec::new();
    decoder.read_to_end(&mut rest)?;
    assert_eq!(rest, b"frame");
    Ok(())
}

#[test]
fn r32_a_lower_limit_holds_for_later_xz_streams() -> Result {
    if !is_built(Codec::Xz) {
        return Ok(());
    }
    require!(program "xz");
    let content = sample(50_000);
    let (small, large) = (pack("xz", &["-0"], &content)?, pack("xz", &["-6"], b"x")?);
    check_lower_limit(&[small, large].concat(), &content)?;
    Ok(())
}
