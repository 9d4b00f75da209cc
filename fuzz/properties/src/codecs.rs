//! The codecs on any bytes.
//!
//! A decoder ends, within its limits of output and memory; its error stays; and what is decoded to
//! a good end is the same in pieces of any size.

use std::io::{self, Read, Write};

use layergraph_archive::codec::{Codec, DecodeOptions, decode};

use crate::Random;

/// The most that an input may decode to.
const OUTPUT: u64 = 1 << 20;

/// Checks the laws of decoding on any bytes.
///
/// # Panics
///
/// Panics if one does not hold.
pub fn codecs(bytes: &[u8]) {
    let whole = decoded(bytes, 64 << 10);
    let pieces = decoded(bytes, 1 + Random::of(bytes).below(3000));
    match (&whole, &pieces) {
        (Ok(whole), Ok(pieces)) => assert!(whole == pieces, "pieces make a difference"),
        (Err(whole), Err(pieces)) => assert_eq!(whole.kind(), pieces.kind()),
        _ => panic!("{:?} and {:?}", whole.map(|_| ()), pieces.map(|_| ())),
    }
    if let Ok(plain) = &whole
        && Codec::detect(bytes) == Codec::None
    {
        assert!(plain == bytes, "what is not packed passes through");
    }
}

fn decoded(bytes: &[u8], piece: usize) -> io::Result<Vec<u8>> {
    let options = DecodeOptions {
        memory: 4 << 20,
        output: Some(OUTPUT),
    };
    let mut decoder = decode(bytes, &options)?;
    let needed = decoder.memory_needed();
    assert!(needed.is_ok_and(|needed| needed <= 6 << 20) || Codec::detect(bytes) != Codec::None);
    let mut plain = Vec::new();
    let mut buffer = vec![0; piece];
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => {
                assert_eq!(decoder.read(&mut buffer)?, 0, "the end stays");
                return Ok(plain);
            }
            Ok(count) => plain.extend_from_slice(&buffer[..count]),
            Err(error) => {
                let again = decoder.read(&mut buffer).expect_err("an error stays");
                assert_eq!(again.to_string(), error.to_string());
                return Err(error);
            }
        }
        assert!(plain.len() as u64 <= OUTPUT);
    }
}

/// Returns a text packed by each codec, once and twice.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let text = b"a layer of a layer of a layer\n".repeat(20);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
    for packer in [&mut gzip as &mut dyn Write, &mut bzip2, &mut xz] {
        packer.write_all(&text).expect("a vector takes it");
    }
    let packed = [
        gzip.finish().expect("a vector takes it"),
        bzip2.finish().expect("a vector takes it"),
        xz.finish().expect("a vector takes it"),
        zstd::encode_all(&text[..], 1).expect("a vector takes it"),
    ];
    let twice = packed.iter().map(|packed| [&packed[..], packed].concat());
    let padded = packed.iter().map(|packed| [&packed[..], &[0; 4]].concat());
    let skipped = [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &packed[3]].concat();
    let mut seeds: Vec<Vec<u8>> = twice.chain(padded).collect();
    seeds.extend(packed);
    seeds.extend([skipped, text]);
    seeds
}
