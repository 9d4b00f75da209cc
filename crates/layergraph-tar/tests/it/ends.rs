//! Where an archive may end, and where it may not (R25).

use std::io::{self, Read};

use layergraph_tar::{Reader, TarError};

use crate::support::craft::{END, GNU, Header, MAGIC, file, long, members, names, pax};

/// An archive whose members have headers and data of all sorts.
fn archive() -> Vec<u8> {
    let map = padded_map();
    let sparse = [
        pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.realsize", b"8192"),
        ]),
        Header::new(b"GNUSparseFile.1/sparse", b'0').data(&map),
    ];
    let parts = [
        file(b"a", b"hello"),
        pax(&[("path", b"b"), ("size", b"600")]),
        Header::new(b"x", b'0').block(),
        vec![b'd'; 600],
        vec![0; 424],
        sparse.concat(),
        long(b'L', &b"n".repeat(600)),
        Header::new(b"n", b'5').with(MAGIC, GNU).block(),
        file(b"last", b"data"),
        END.to_vec(),
    ];
    parts.concat()
}

/// The data of a sparse file with its map: 100 bytes at offset 4096.
fn padded_map() -> Vec<u8> {
    let mut data = b"1\n4096\n100\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(&[b's'; 100]);
    data
}

#[test]
fn r25_a_cut_is_an_error_where_it_takes_a_header_or_data_and_nowhere_else() -> Result<(), TarError>
{
    let archive = archive();
    let whole = members(&archive)?;
    assert_eq!(whole.len(), 5);
    for cut in 1..archive.len() {
        let cut_at = cut as u64;
        let end = |at: usize| whole[at].data_position + whole[at].stored_size;
        let within =
            (0..whole.len()).any(|at| whole[at].header_position < cut_at && cut_at < end(at));
        match members(&archive[..cut]) {
            Ok(members) => {
                assert!(!within, "accepted, cut at {cut}");
                assert_eq!(members, whole[..members.len()], "cut at {cut}");
                let next = whole.get(members.len());
                assert!(next.is_none_or(|next| cut_at <= next.header_position));
            }
            Err(TarError::Truncated { position, .. }) => {
                assert!(within, "refused, cut at {cut}");
                assert_eq!(position, cut_at);
            }
            // Cut after an extension header, so that no member follows it.
            Err(TarError::Header { .. }) => {
                assert!(within && cut % 512 == 0, "refused, cut at {cut}");
            }
            Err(error) => panic!("cut at {cut}: {error}"),
        }
    }
    Ok(())
}

#[test]
fn r25_what_follows_the_end_marker_is_no_member() -> Result<(), TarError> {
    let ended = [file(b"a", b"x"), END.to_vec()].concat();
    for rest in [
        file(b"hidden", b"x"),
        END.to_vec(),
        b"anything".to_vec(),
        vec![0xff; 100_000],
    ] {
        let archive = [ended.clone(), rest.clone()].concat();
        let mut reader = Reader::new(&archive[..]);
        assert!(reader.next_member()?.is_some());
        for _ in 0..3 {
            assert!(reader.next_member()?.is_none());
            assert_eq!(reader.chunk()?, b"");
        }
        assert_eq!(reader.finish()?.trailing, rest.len() as u64);
    }
    Ok(())
}

#[test]
fn r25_a_block_of_zeros_before_anything_else_is_an_error() {
    for rest in [file(b"hidden", b"x"), b"junk".to_vec(), vec![1; 512]] {
        let archive = [file(b"a", b"x"), vec![0; 512], rest].concat();
        assert!(names(&archive).is_err());
    }
}

#[test]
fn an_archive_may_have_no_member_and_not_even_a_byte() -> Result<(), TarError> {
    for zeros in [0, 1, 511, 512, 513, 1023, 1024, 10_240] {
        assert_eq!(names(&vec![0; zeros])?, [""; 0]);
    }
    Ok(())
}

#[test]
fn r25_an_extension_header_without_a_member_is_an_error() {
    for extension in [pax(&[("path", b"p")]), long(b'L', b"p"), long(b'K', b"p")] {
        for end in [&END[..], &[], &[0; 100]] {
            let archive = [&file(b"a", b"x")[..], &extension, end].concat();
            assert!(matches!(names(&archive), Err(TarError::Header { .. })));
        }
    }
}

#[test]
fn r25_a_wrong_checksum_is_an_error_wherever_it_is() {
    let archive = archive();
    let whole = members(&archive).expect("it is valid");
    for member in whole {
        let at = usize::try_from(member.header_position).expect("it is small");
        let mut archive = archive.clone();
        archive[at] ^= 1;
        assert!(matches!(names(&archive), Err(TarError::Header { .. })));
    }
}

/// A stream that fails after so many bytes.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.0.read(buffer)
    }
}

#[test]
fn an_input_that_fails_is_no_end_and_stops_the_reader() {
    let archive = archive();
    for length in (0..archive.len()).step_by(100) {
        let mut reader = Reader::new(Failing(&archive[..length]));
        let error = loop {
            match reader.next_member() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("an end at {length}"),
                Err(error) => break error,
            }
        };
        let TarError::Read { position, source } = error else {
            panic!("{error}");
        };
        assert_eq!(position, length as u64);
        assert_eq!(source.kind(), io::ErrorKind::ConnectionReset);
        assert!(matches!(reader.next_member(), Err(TarError::Stopped)));
        assert!(matches!(reader.chunk(), Err(TarError::Stopped)));
        assert!(matches!(reader.finish(), Err(TarError::Stopped)));
    }
}
