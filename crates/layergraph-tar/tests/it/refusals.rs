//! What hostile archives state, refused by the numbers of the requirements.

use std::error::Error;
use std::io::{self, Read};
use std::process::Command;

use layergraph_tar::{Kind, Limits, Member, Reader, TarError};
use layergraph_tests::require;

use crate::support::craft::{
    END, GID, GNU, Header, MAGIC, MTIME, SIZE, UID, file, long, members, names, pax, record,
};
use crate::support::programs::{UNPACKERS, run};

/// Reads an archive of these parts, and the end.
fn read(parts: &[Vec<u8>]) -> Result<Vec<Member>, TarError> {
    members(&[&parts.concat()[..], &END].concat())
}

/// Returns whether these parts are refused for what a header says.
fn is_invalid(parts: &[Vec<u8>]) -> bool {
    matches!(read(parts), Err(TarError::Header { .. }))
}

/// Found by fuzzing: the next multiple of a block is no number of 64 bits.
#[test]
fn r21_the_largest_of_sizes_is_read_and_its_data_are_missed() -> Result<(), TarError> {
    for size in [u64::MAX, u64::MAX - 510, u64::MAX - 511] {
        let parts = [
            pax(&[("size", size.to_string().as_bytes())]),
            file(b"f", b"data"),
        ];
        let archive = parts.concat();
        let mut reader = Reader::new(&archive[..]);
        assert_eq!(reader.next_member()?.map(|member| member.size), Some(size));
        let next = reader.next_member();
        assert!(matches!(next, Err(TarError::Truncated { .. })), "{next:?}");
    }
    Ok(())
}

#[test]
fn r20_the_size_of_a_pax_record_wins_over_that_of_the_header() -> Result<(), TarError> {
    let inner = [file(b"evil", b"x"), END.to_vec()].concat();
    for in_header in [0, 1, 512, 1 << 33] {
        let size = inner.len().to_string();
        let members = read(&[
            pax(&[("size", size.as_bytes())]),
            Header::new(b"safe", b'0')
                .size(in_header % (1 << 33))
                .block(),
            inner.clone(),
            file(b"after", b""),
        ])?;
        assert_eq!(members.len(), 2);
        assert_eq!(members[0].size, inner.len() as u64);
        assert_eq!(members[1].path, b"after");
    }
    Ok(())
}

#[test]
fn r20_pax_records_do_not_apply_to_extension_headers() -> Result<(), TarError> {
    let members = read(&[
        pax(&[("size", b"3"), ("mtime", b"7")]),
        long(b'L', &b"n".repeat(700)),
        long(b'K', &b"k".repeat(700)),
        Header::new(b"x", b'0').with(MAGIC, GNU).block(),
        [&b"abc"[..], &[0; 509]].concat(),
        file(b"after", b""),
    ])?;
    assert_eq!(members[0].path, b"n".repeat(700));
    assert_eq!((members[0].size, members.len()), (3, 2));
    assert_ne!(members[1].mtime, members[0].mtime);
    Ok(())
}

#[test]
fn r20_a_malformed_pax_record_is_an_error_in_each_extended_header() {
    for body in [
        &b"9 path=a"[..],
        b"10 path=ab",
        b"0 path=a\n",
        b"9999999999999999999999 path=a\n",
        b"9 path=a\n\0",
        b"path=a\n",
        b"9 size=a\n",
        b"10 size=-1\n",
        b"28 size=18446744073709551616\n",
        b"13 mtime=1e9\n",
        b"11 uid=0x1\n",
    ] {
        for type_byte in [b'x', b'g'] {
            let extended = Header::new(b"x", type_byte).data(body);
            let parts = [extended, file(b"f", b"")];
            assert!(is_invalid(&parts), "{}", body.escape_ascii());
        }
    }
}

#[test]
fn r20_two_names_for_one_member_are_an_error_unless_they_agree() -> Result<(), TarError> {
    let by_record = pax(&[("path", b"p"), ("linkpath", b"k")]);
    let member = Header::new(b"x", b'2').with(MAGIC, GNU).block();
    for (type_byte, agreed) in [(b'L', b"p"), (b'K', b"k")] {
        let same = long(type_byte, agreed);
        let other = long(type_byte, b"other");
        let members = read(&[by_record.clone(), same.clone(), member.clone()])?;
        assert_eq!(
            (&members[0].path[..], &members[0].link[..]),
            (&b"p"[..], &b"k"[..])
        );
        read(&[same, by_record.clone(), member.clone()])?;
        assert!(is_invalid(&[
            by_record.clone(),
            other.clone(),
            member.clone()
        ]));
        assert!(is_invalid(&[other, by_record.clone(), member.clone()]));
    }
    Ok(())
}

#[test]
fn r20_a_global_header_is_a_member_and_applies_to_none() -> Result<(), TarError> {
    let body = [
        record("path", b"evil"),
        record("size", b"1024"),
        record("uid", b"7"),
    ]
    .concat();
    let members = read(&[
        Header::new(b"g", b'g').data(&body),
        file(b"f", b"abc"),
        file(b"after", b""),
    ])?;
    assert_eq!(members[0].kind, Kind::Global);
    assert_eq!(
        (members[0].size, members[0].stored_size),
        (body.len() as u64, 0)
    );
    assert_eq!(
        (&members[1].path[..], members[1].uid, members[1].size),
        (&b"f"[..], 0, 3)
    );
    assert_eq!(members[2].path, b"after");
    Ok(())
}

#[test]
fn r20_records_of_a_sparse_file_are_an_error_where_they_make_none() {
    let sparse = |records: &[(&str, &[u8])]| {
        let named: Vec<_> = records
            .iter()
            .map(|(key, value)| (format!("GNU.sparse.{key}"), *value))
            .collect();
        let named: Vec<_> = named
            .iter()
            .map(|(key, value)| (&key[..], *value))
            .collect();
        pax(&named)
    };
    for records in [
        // Programs would differ in the name, or in the size.
        &[("name", &b"evil"[..])][..],
        &[("size", b"1024")],
        &[("realsize", b"1024")],
        &[("map", b"0,5")],
        &[("size", b"1024"), ("numblocks", b"2"), ("map", b"0,5")],
        &[
            ("size", b"1024"),
            ("numblocks", b"2"),
            ("offset", b"0"),
            ("numbytes", b"5"),
        ],
        &[("size", b"1024"), ("numblocks", b"1"), ("offset", b"0")],
        &[("major", b"0"), ("minor", b"1"), ("size", b"1024")],
        &[
            ("major", b"1"),
            ("minor", b"1"),
            ("size", b"1024"),
            ("map", b"0,5"),
        ],
        // Maps that do not fit.
        &[("size", b"1024"), ("map", b"0,4")],
        &[("size", b"1024"), ("map", b"0,6")],
        &[("size", b"4"), ("map", b"0,5")],
        &[("size", b"1024"), ("map", b"0,3,2,2")],
        &[("size", b"1024"), ("map", b"10,3,0,2")],
        &[("size", b"1024"), ("map", b"0,5,1020,5")],
        &[("size", b"1024"), ("map", b"0,5,18446744073709551615,1")],
        &[("size", b"1024"), ("map", b"-5,5")],
        &[("size", b"1024"), ("map", b"0")],
        &[("size", b"-1"), ("map", b"0,5")],
    ] {
        let parts = [sparse(records), file(b"f", b"hello")];
        assert!(is_invalid(&parts), "{records:?}");
    }
    let valid = sparse(&[("size", b"1024"), ("map", b"0,5"), ("numblocks", b"1")]);
    for type_byte in *b"07" {
        let file = Header::new(b"f", type_byte).data(b"hello");
        let members = read(&[valid.clone(), file]).expect("it is valid");
        assert_eq!((members[0].size, members[0].stored_size), (1024, 5));
    }
    for type_byte in *b"123456VS" {
        let other = Header::new(b"f", type_byte).link(b"x").data(b"");
        assert!(is_invalid(&[valid.clone(), other]), "{type_byte}");
    }
    let as_directory = [valid, Header::new(b"f/", b'0').data(b"hello")];
    assert!(is_invalid(&as_directory));
}

#[test]
fn r21_a_nul_in_a_name_is_refused() {
    for key in [
        "path",
        "linkpath",
        "uname",
        "gname",
        "GNU.sparse.name",
        "SCHILY.xattr.user.a\0b",
    ] {
        for value in [&b"a\0b"[..], b"\0", b"a\0"] {
            let parts = [pax(&[(key, value)]), file(b"f", b"")];
            assert!(is_invalid(&parts), "{key}");
        }
    }
    for type_byte in *b"LK" {
        for name in [&b"a\0b"[..], b"\0a", b"", b"\0\0"] {
            let parts = [long(type_byte, name), file(b"f", b"")];
            assert!(is_invalid(&parts));
        }
    }
}

#[test]
fn r21_a_negative_or_overflowing_number_is_refused() {
    let all_ones = [0xff; 12];
    let largest = [&[0x80][..], &[0xff; 11]].concat();
    let not_octal = [&b"8"[..], b"+1", b"-1", b"0x1", b"1_0", b"1e1"];
    for type_byte in *b"015xgLKSV" {
        for number in [&all_ones[..], &largest].iter().chain(&not_octal) {
            let header = Header::new(b"f", type_byte).with(SIZE, &[b'\0'; 12]);
            let header = header.with(SIZE, number).block();
            assert!(read(&[header]).is_err(), "{type_byte} {number:?}");
        }
    }
    for at in [100..108, UID, GID, MTIME] {
        for number in &not_octal {
            let header = Header::new(b"f", b'0').with(at.clone(), &[0; 12]);
            assert!(is_invalid(&[header.with(at.clone(), number).block()]));
        }
    }
    for at in [329..337, 337..345] {
        for number in [&all_ones[..], b"\x80\0\0\x01\0\0\0\0"] {
            let header = Header::new(b"f", b'3').with(at.clone(), number);
            assert!(is_invalid(&[header.block()]));
        }
    }
    let endless = [&[0x80, 0, 0, 0][..], &[0xff; 8]].concat();
    let header = Header::new(b"f", b'0').with(MTIME, &endless);
    assert!(is_invalid(&[header.block()]), "a time beyond all clocks");
}

#[test]
fn r22_odd_archives_are_accepted_as_by_most_programs() -> Result<(), Box<dyn Error>> {
    require!(program "tar", "bsdtar", "python3");
    let f = || file(b"f", b"hello");
    let not_octal = Header::new(b"f", b'0').with(SIZE, b"9z");
    let left_over = Header::new(b"f", b'0').with(MTIME, b"0000001 zz\0");
    let blank = Header::new(b"f", b'0')
        .with(UID, b"        ")
        .with(GID, &[0; 8]);
    let spaces = Header::new(b"f", b'0').with(SIZE, b"          0 ");
    let short = Header::new(b"f", b'0').with(SIZE, b"0\0xxxxxxxxxx");
    for (what, archive) in [
        ("no end marker", f()),
        ("a part of it", [f(), vec![0; 100]].concat()),
        ("half of it", [f(), vec![0; 512]].concat()),
        ("more after it", [f(), END.to_vec(), f()].concat()),
        ("an end alone", END.to_vec()),
        ("data cut off", f()[..515].to_vec()),
        (
            "a size that is no number",
            [not_octal.block(), f()].concat(),
        ),
        (
            "something after a number",
            [left_over.block(), f()].concat(),
        ),
        ("numbers left out", [blank.block(), f()].concat()),
        ("numbers among blanks", [spaces.block(), f()].concat()),
        ("a size of one digit", [short.block(), f()].concat()),
        (
            "a long name before no member",
            [f(), long(b'L', b"x")].concat(),
        ),
        ("two files of one name", [f(), f()].concat()),
        ("a file of no name", [file(b"", b""), f()].concat()),
        (
            "a directory with a size",
            [Header::new(b"d/", b'5').size(512).block(), f()].concat(),
        ),
    ] {
        let accepting = UNPACKERS
            .iter()
            .filter(|unpacker| unpacker.list(&archive).is_ok());
        let most = accepting.count() >= 2;
        let ours = names(&archive);
        assert_eq!(ours.is_ok(), most, "{what}: {ours:?}");
    }
    Ok(())
}

#[test]
fn r23_ids_outside_of_32_bits_are_refused_wherever_they_stand() -> Result<(), TarError> {
    let base_256 = |number: u64| [&[0x80][..], &number.to_be_bytes()[1..]].concat();
    for (key, at) in [("uid", UID), ("gid", GID)] {
        for id in [0, 65_534, u64::from(u32::MAX) - 1] {
            let by_record = [pax(&[(key, id.to_string().as_bytes())]), file(b"f", b"")];
            let header = Header::new(b"f", b'0').with(at.clone(), &base_256(id));
            for members in [read(&by_record)?, read(&[header.block()])?] {
                let owner = if key == "uid" {
                    members[0].uid
                } else {
                    members[0].gid
                };
                assert_eq!(u64::from(owner), id);
            }
        }
        for id in [u64::from(u32::MAX), 1 << 32, (1 << 32) + 1000] {
            let by_record = [pax(&[(key, id.to_string().as_bytes())]), file(b"f", b"")];
            assert!(is_invalid(&by_record));
            let header = Header::new(b"f", b'0').with(at.clone(), &base_256(id));
            assert!(is_invalid(&[header.block()]));
        }
        let negative = [pax(&[(key, b"-1")]), file(b"f", b"")];
        assert!(is_invalid(&negative));
        let negative = Header::new(b"f", b'0').with(at, &[0xff; 8]);
        assert!(is_invalid(&[negative.block()]));
    }
    Ok(())
}

#[test]
fn r27_long_names_are_given_whole_or_refused() -> Result<(), TarError> {
    let most = 1 << 20;
    let name = b"n".repeat(most - 1);
    let members = read(&[long(b'L', &name), file(b"f", b"")])?;
    assert_eq!(members[0].path, name);
    let key = format!("SCHILY.xattr.user.{}", "k".repeat(60_000));
    let members = read(&[
        pax(&[(&key, b"v"), ("path", &name[..900_000])]),
        file(b"f", b""),
    ])?;
    assert_eq!(members[0].path, name[..900_000]);
    assert_eq!(
        members[0].xattrs[0].0,
        key.as_bytes()["SCHILY.xattr.".len()..]
    );
    for longer in [
        long(b'L', &b"n".repeat(most)),
        pax(&[("path", &b"n".repeat(most))]),
    ] {
        let refused = read(&[longer, file(b"f", b"")]);
        let what = "bytes of extension header";
        assert!(matches!(refused, Err(TarError::Limit { what: it, .. }) if it == what));
    }
    Ok(())
}

/// Streams that would cost without end, were what they claim believed.
fn costly() -> Vec<(&'static str, Box<dyn Read>)> {
    let endless = |block: Vec<u8>| Endless { block, at: 0 };
    let claims = |type_byte| {
        Header::new(b"f", type_byte)
            .with(SIZE, b"77777777777\0")
            .block()
    };
    let old_gnu = |size: &[u8]| {
        let header = Header::new(b"s", b'S')
            .with(MAGIC, GNU)
            .with(482..483, b"\x01");
        header.with(483..495, size).block()
    };
    // Runs that begin and end at 0, and runs of a byte each.
    let empty_runs = [&b"00000000000\0".repeat(42)[..], b"\x01\0\0\0\0\0\0\0"].concat();
    let xattrs: Vec<u8> = (0..45_000)
        .flat_map(|at| record(format!("SCHILY.xattr.{at:05}"), b""))
        .collect();
    let xattrs = Header::new(b"x", b'x').data(&xattrs);
    let map = vec!["0,0"; 250_000].join(",");
    let map = pax(&[
        ("GNU.sparse.size", b"9"),
        ("GNU.sparse.map", map.as_bytes()),
    ]);
    let in_data = pax(&[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"9"),
        ("size", b"9000000000000000000"),
    ]);
    let in_data = [
        in_data,
        Header::new(b"s", b'0').block(),
        b"9000000000000000000\n".to_vec(),
    ];
    vec![
        ("a record of 8 GiB", Box::new(endless(claims(b'x')))),
        ("a global header of 8 GiB", Box::new(endless(claims(b'g')))),
        ("a name of 8 GiB", Box::new(endless(claims(b'L')))),
        (
            "names without end",
            Box::new(endless(long(b'L', &b"n".repeat(1 << 19)))),
        ),
        ("records without end", Box::new(endless(xattrs))),
        ("maps without end", Box::new(endless(map))),
        (
            "empty runs without end",
            Box::new(io::Cursor::new(old_gnu(b"0")).chain(endless(empty_runs).take(1 << 21))),
        ),
        (
            "a map of lines without end",
            Box::new(
                io::Cursor::new(in_data.concat()).chain(endless(b"0\n".to_vec()).take(1 << 21)),
            ),
        ),
        (
            "a line without end",
            Box::new(io::Cursor::new(in_data[..2].concat()).chain(endless(b"0".to_vec()))),
        ),
        (
            "data of 8 GiB that are not there",
            Box::new(io::Cursor::new(claims(b'0'))),
        ),
    ]
}

/// The same bytes again and again.
struct Endless {
    block: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&self.block[self.at..]).read(buffer)?;
        self.at = (self.at + count) % self.block.len();
        Ok(count)
    }
}

#[test]
fn r30_what_claims_or_repeats_without_end_is_refused() {
    for (what, stream) in costly() {
        // What is kept of each extension header is dropped with the next: three do for all.
        let limits = Limits {
            extensions: 3,
            ..Limits::default()
        };
        let refused = Reader::with(stream, (), limits).finish();
        assert!(refused.is_err(), "{what}");
    }
}

#[test]
fn r30_hostile_streams_take_less_than_32_mib() -> Result<(), Box<dyn Error>> {
    require!(program "prlimit");
    let mut command = Command::new("prlimit");
    command.arg(format!("--data={}", 32 << 20));
    command.arg(std::env::current_exe()?);
    command.args([
        "--exact",
        "refusals::r30_what_claims_or_repeats_without_end_is_refused",
    ]);
    let said = String::from_utf8(run(command.args(["--test-threads", "1"]))?)?;
    assert!(said.contains("1 passed"), "{said}");
    Ok(())
}

#[test]
fn r30_limits_hold_exactly() -> Result<(), TarError> {
    let read = |archive: &[u8], limits| -> Result<(), TarError> {
        Reader::with(archive, (), limits).finish().map(|_| ())
    };
    let limits = Limits {
        extension_bytes: 600,
        extensions: 3,
        sparse_segments: 5,
    };
    let is_limit = |result| matches!(result, Err(TarError::Limit { .. }));
    let file = file(b"f", b"");
    for type_byte in *b"LKx" {
        // The body has a NUL after the name, or 9 bytes around the value.
        let body = |length: usize| match type_byte {
            b'x' => pax(&[("path", &b"n".repeat(length - 10))]),
            _ => long(type_byte, &b"n".repeat(length - 1)),
        };
        read(&[body(600), file.clone()].concat(), limits)?;
        assert!(is_limit(read(&[body(601), file.clone()].concat(), limits)));
    }
    let name = long(b'L', b"n");
    read(&[name.repeat(3), file.clone()].concat(), limits)?;
    assert!(is_limit(read(&[name.repeat(4), file].concat(), limits)));

    let sparse = |runs: usize| {
        let runs: Vec<_> = (0..runs).map(|run| format!("{},1", 2 * run)).collect();
        let data = crate::support::craft::file(b"s", &b"d".repeat(runs.len()));
        let map = [
            ("GNU.sparse.size", &b"99"[..]),
            ("GNU.sparse.map", runs.join(",").as_bytes()),
        ]
        .map(|(key, value)| record(key, value))
        .concat();
        [Header::new(b"x", b'x').data(&map), data].concat()
    };
    read(&sparse(5), limits)?;
    assert!(is_limit(read(&sparse(6), limits)));
    Ok(())
}
