//! Codecs: what the programs pack comes back, and nothing short of it passes for whole.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::Crc;
use layergraph_archive::codec::{Codec, CodecError, DecodeOptions, decode};
use layergraph_tar::Reader;
use layergraph_tests::require;
use serde::Deserialize;

mod damage;
mod memory;
mod reads;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The codecs that are built in, each with its program.
const BUILT: &[(Codec, &str)] = &[
    (Codec::Gzip, "gzip"),
    #[cfg(feature = "bzip2")]
    (Codec::Bzip2, "bzip2"),
    #[cfg(feature = "xz")]
    (Codec::Xz, "xz"),
    #[cfg(feature = "zstd")]
    (Codec::Zstd, "zstd"),
];

fn is_built(codec: Codec) -> bool {
    BUILT.iter().any(|&(built, _)| built == codec)
}

/// A zstd frame of five bytes that wants a window of 2 to the power of `10 + exponent` bytes, as
/// RFC 8878 has it: magic, descriptor, window, one last raw block.
fn zstd_frame(exponent: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3];
    frame.extend([5 << 3 | 1, 0, 0]);
    frame.extend(b"frame");
    frame
}

fn skippable_frame(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a short one");
    let mut frame = vec![0x5e, 0x2a, 0x4d, 0x18];
    frame.extend(length.to_le_bytes());
    frame.extend(content);
    frame
}

/// A gzip member with all that a header can have (RFC 1952, section 2.3).
fn gzip_member_with_everything(content: &[u8]) -> Vec<u8> {
    // Flags: CRC of the header, extra field, name, comment. Then a time, a hint and a system.
    let mut member = vec![0x1f, 0x8b, 8, 0b1_1110, 1, 2, 3, 4, 2, 3];
    member.extend([6, 0]);
    member.extend(b"La\x02\x00\x1f\x8b");
    member.extend(b"a name\0");
    member.extend(b"a comment\0");
    let mut crc = Crc::new();
    crc.update(&member);
    member.extend(&crc.sum().to_le_bytes()[..2]);
    let mut deflate = flate2::write::DeflateEncoder::new(member, flate2::Compression::best());
    deflate.write_all(content).expect("a vector takes it");
    let mut member = deflate.finish().expect("a vector takes it");
    let mut crc = Crc::new();
    crc.update(content);
    member.extend(crc.sum().to_le_bytes());
    member.extend(crc.amount().to_le_bytes());
    member
}

/// Bytes of which half can be packed and half cannot.
fn sample(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length)
        .map(|i| if i / 50 % 2 == 0 { b'=' } else { random() })
        .collect()
}

fn pack(program: &str, options: &[&str], content: &[u8]) -> Result<Vec<u8>> {
    let output = run(program, &[&["-c"], options].concat(), content)?;
    assert!(output.status.success(), "{program} {options:?}: {output:?}");
    Ok(output.stdout)
}

fn run(program: &str, options: &[&str], input: &[u8]) -> Result<std::process::Output> {
    let mut file = tempfile::tempfile()?;
    file.write_all(input)?;
    io::Seek::rewind(&mut file)?;
    let mut command = Command::new(program);
    command.args(options).stdin(Stdio::from(file));
    Ok(layergraph_tests::run(
        &mut command,
        Duration::from_secs(60),
    )?)
}

fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    unpack_within(packed, &DecodeOptions::default())
}

fn unpack_within(packed: &[u8], options: &DecodeOptions) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    decode(packed, options)?.read_to_end(&mut content)?;
    Ok(content)
}

fn codec_error(error: &io::Error) -> &CodecError {
    let inner = error.get_ref().expect("an error with another inside");
    inner.downcast_ref().expect("an error of a codec")
}

#[derive(Deserialize)]
struct Recorded {
    compression: u8,
    extension: String,
    header_hex: String,
    isarchive: bool,
}

#[test]
fn z1_the_recorded_answers_hold_but_for_zstd() -> Result {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/detect_compression.json");
    let cases: Vec<Recorded> = serde_json::from_slice(&fs::read(path)?)?;
    assert_eq!(cases.len(), 19);
    for case in cases {
        let header: Vec<u8> = case
            .header_hex
            .as_bytes()
            .chunks(2)
            .map(|digits| u8::from_str_radix(std::str::from_utf8(digits)?, 16).map_err(Into::into))
            .collect::<Result<_>>()?;
        let codec = Codec::detect(&header);
        let is_archive =
            codec != Codec::None || matches!(Reader::new(&*header).next_member(), Ok(Some(_)));
        if header == [0x28, 0xb5, 0x2f, 0xfd] {
            // Z1: zstd is known.
            assert_eq!((codec, is_archive), (Codec::Zstd, true));
            continue;
        }
        let expected = [Codec::None, Codec::Bzip2, Codec::Gzip, Codec::Xz];
        assert_eq!(codec, expected[usize::from(case.compression)]);
        assert_eq!(codec.extension(), case.extension);
        assert_eq!(is_archive, case.isarchive, "{}", case.header_hex);
    }
    Ok(())
}

#[test]
fn what_the_programs_pack_comes_back() -> Result {
    require!(program "gzip", "bzip2", "xz", "zstd");
    for &(codec, program) in BUILT {
        for length in [0, 1, 100, 300_000] {
            for level in ["-1", "-6", "-8"] {
                let content = sample(length);
                let packed = pack(program, &[level], &content)?;
                let mut decoder = decode(&*packed, &DecodeOptions::default())?;
                assert_eq!(decoder.codec(), codec);
                let mut unpacked = Vec::new();
                decoder.read_to_end(&mut unpacked)?;
                assert_eq!(unpacked, content, "{program} {level} {length}");
                assert!(decoder.finish()?.is_empty());
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_not_packed_passes() -> Result {
    for content in [
        &b""[..],
        b"B",
        b"BZ",
        b"\x1f\x8b",
        b"\0\0\0\0\0",
        &sample(200_000),
    ] {
        let mut decoder = decode(content, &DecodeOptions::default())?;
        assert_eq!(decoder.codec(), Codec::None);
        assert_eq!(decoder.memory_needed()?, 0);
        let mut unpacked = Vec::new();
        decoder.read_to_end(&mut unpacked)?;
        assert_eq!(unpacked, content);
    }
    Ok(())
}

#[test]
fn members_are_decoded_one_after_the_other() -> Result {
    require!(program "gzip", "bzip2", "xz", "zstd");
    for &(_, program) in BUILT {
        let (one, none, two) = (sample(5_000), Vec::new(), b"two".to_vec());
        let mut packed = Vec::new();
        let mut content: Vec<u8> = Vec::new();
        for part in [&none, &one, &none, &none, &two, &one, &none] {
            packed.extend(pack(program, &[], part)?);
            content.extend(part);
        }
        assert_eq!(unpack(&packed)?, content, "{program}");
        // The program agrees that this is one file.
        assert_eq!(run(program, &["-dc"], &packed)?.stdout, content);
    }
    Ok(())
}

#[test]
fn an_xz_stream_of_many_blocks_is_decoded() -> Result {
    if !is_built(Codec::Xz) {
        return Ok(());
    }
    require!(program "xz");
    let content = sample(100_000);
    for check in ["none", "crc32", "crc64", "sha256"] {
        let check = format!("--check={check}");
        let packed = pack("xz", &["--block-size=9000", &check], &content)?;
        assert_eq!(unpack(&packed)?, content, "{check}");
    }
    Ok(())
}

#[test]
fn skippable_frames_are_passed_over_wherever_they_stand() -> Result {
    if !is_built(Codec::Zstd) {
        return Ok(());
    }
    let frame = zstd_frame(0);
    // Longer than what is read at once.
    let long = skippable_frame(&sample(300_000));
    let (short, none) = (skippable_frame(b"frame"), skippable_frame(b""));
    for parts in [
        vec![&frame, &short],
        vec![&short, &frame],
        vec![&none, &long, &frame, &none, &frame, &long],
        vec![&none],
        vec![&long, &long],
    ] {
        let packed: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let frames = parts.iter().filter(|&&part| *part == frame).count();
        assert_eq!(unpack(&packed)?, b"frame".repeat(frames));
        let cut_off = unpack(&packed[..packed.len() - 1]).map_err(|e| e.kind());
        assert_eq!(cut_off.err(), Some(io::ErrorKind::InvalidData));
    }
    Ok(())
}

#[test]
fn all_fields_of_a_gzip_header_are_read_and_its_checksum_compared() -> Result {
    let content = sample(1_000);
    let member = gzip_member_with_everything(&content);
    assert_eq!(unpack(&member)?, content);
    assert_eq!(unpack(&member.repeat(3))?, content.repeat(3));
    // The time, the extra field, the name, the comment and the sum itself are under the sum.
    for at in [4, 13, 19, 26, 35] {
        let mut damaged = member.clone();
        damaged[at] ^= 1;
        let error = unpack(&damaged).expect_err("the checksum cannot hold");
        let damaged = matches!(codec_error(&error), CodecError::Damaged { .. });
        assert!(damaged, "{at}: {error}");
    }
    // The flags that RFC 1952 reserves, which must be zero.
    for flag in [0x20, 0x40, 0x80] {
        let mut reserved = member.clone();
        reserved[3] |= flag;
        assert!(unpack(&reserved).is_err(), "{flag:x}");
    }
    Ok(())
}

#[test]
fn zeros_at_the_end_are_padding_where_the_program_takes_them() -> Result {
    require!(program "gzip", "bzip2", "xz", "zstd");
    let content = sample(2_000);
    for &(codec, program) in BUILT {
        let packed = pack(program, &[], &content)?;
        for zeros in [1, 3, 4, 8, 511, 1_000_000] {
            let padded = [packed.clone(), vec![0; zeros]].concat();
            let theirs = run(program, &["-dc"], &padded)?;
            match unpack(&padded) {
                Ok(unpacked) => assert_eq!(unpacked, content),
                Err(error) if codec == Codec::Zstd => {
                    let offset = packed.len() as u64;
                    let expected = CodecError::TrailingBytes { codec, offset };
                    assert_eq!(*codec_error(&error), expected);
                }
                Err(error) => {
                    assert_eq!((codec, zeros % 4 == 0), (Codec::Xz, false), "{error}");
                    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                }
            }
            let ours = unpack(&padded).is_ok();
            assert_eq!(ours, theirs.status.success(), "{program} {zeros}");
        }
        // Only xz goes on after padding.
        let padded = [packed.clone(), vec![0; 8], packed].concat();
        let twice = unpack(&padded).ok();
        assert_eq!(twice, (codec == Codec::Xz).then(|| content.repeat(2)));
    }
    Ok(())
}

/// A stream of 14 bytes, as `bzip2` makes it of nothing.
fn empty_bzip2_stream(level: u8) -> Vec<u8> {
    let mut stream = vec![b'B', b'Z', b'h', level];
    stream.extend([0x17, 0x72, 0x45, 0x38, 0x50, 0x90, 0, 0, 0, 0]);
    stream
}

#[test]
fn a_bzip2_stream_without_content_takes_no_decoder() -> Result {
    require!(program "bzip2");
    if !is_built(Codec::Bzip2) {
        return Ok(());
    }
    assert_eq!(pack("bzip2", &["-1"], b"")?, empty_bzip2_stream(b'1'));
    let many = empty_bzip2_stream(b'9').repeat(100_000);
    let mut decoder = decode(&many[..], &DecodeOptions::default())?;
    assert_eq!(
        decoder.memory_needed()?,
        0,
        "nothing was decoded to the end"
    );
    assert_eq!(decoder.read(&mut [0])?, 0);

    let content = pack("bzip2", &[], b"content")?;
    let mixed = [&many[..42], &content, &many[..28], &content, &many[..14]].concat();
    assert_eq!(unpack(&mixed)?, b"contentcontent");
    Ok(())
}

/// Packed data of a codec whose feature is off, by its signature.
#[test]
fn a_codec_that_is_not_built_is_named() -> Result {
    for (codec, feature, data) in [
        (Codec::Bzip2, "bzip2", &b"BZh9"[..]),
        (Codec::Xz, "xz", b"\xfd7zXZ\0"),
        (Codec::Zstd, "zstd", b"\x28\xb5\x2f\xfd"),
        (Codec::Zstd, "zstd", b"\x50\x2a\x4d\x18"),
    ] {
        let result = decode(data, &DecodeOptions::default());
        if is_built(codec) {
            assert_eq!(result?.codec(), codec);
            continue;
        }
        let error = result.expect_err("it is not built");
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert_eq!(
            *codec_error(&error),
            CodecError::NotBuilt { codec, feature }
        );
        let text = format!(
            "data is packed by {feature}, which needs the feature `{feature}` of layergraph-archive"
        );
        assert_eq!(error.to_string(), text);
    }
    Ok(())
}
