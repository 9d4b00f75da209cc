//! Seeds: small archives of every form that the reader knows, made here and nowhere else.

use std::time::{Duration, SystemTime};

use layergraph_tar::{Kind, NewMember, Writer};

use crate::craft::{END, GNU, Header, MAGIC, MTIME, PREFIX, SIZE, V7, long, padded, pax};

/// Returns archives of every form, one by one and together.
pub(crate) fn archives() -> Vec<Vec<u8>> {
    let members = [
        headers(),
        sparse(),
        vec![
            [
                pax(&[("path", b"p\nq"), ("mtime", b"-1.5"), ("uid", b"70000")]),
                Header::new(b"short", b'0').data(b"content"),
            ]
            .concat(),
        ],
    ];
    let mut archives = vec![written(), END.to_vec(), Vec::new()];
    for member in members.iter().flatten() {
        archives.push([&member[..], &END].concat());
    }
    let together: Vec<u8> = members.iter().flatten().flatten().copied().collect();
    archives.push([&together[..], &END, b"what follows"].concat());
    // No padding, no end marker.
    archives.push(Header::new(b"last", b'0').size(5).block());
    archives.last_mut().expect("just pushed").extend(b"12345");
    archives
}

/// An archive by our writer, with a member of each kind.
fn written() -> Vec<u8> {
    let xattrs = [
        (b"user.a".to_vec(), b"1".to_vec()),
        (b"user.b".to_vec(), b"\0=\n".to_vec()),
    ];
    let long = b"long/".repeat(60);
    let file = NewMember {
        mode: 0o644,
        mtime: SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5),
        ..NewMember::new(b"d/file", Kind::File)
    };
    let link = |kind| NewMember {
        link: b"d/file",
        ..NewMember::new(b"link", kind)
    };
    let device = NewMember {
        device: (8, 17),
        ..NewMember::new(b"device", Kind::BlockDevice)
    };
    let members = [
        NewMember::new(b"d", Kind::Directory),
        NewMember {
            xattrs: &xattrs,
            uid: 70_000,
            ..file
        },
        NewMember {
            path: &long,
            kind: Kind::Directory,
            ..file
        },
        link(Kind::HardLink),
        link(Kind::Symlink),
        device,
        NewMember::new(b"pipe", Kind::Fifo),
        NewMember::new(b"d/.wh.gone", Kind::File),
        NewMember::new(b"d/.wh..wh..opq", Kind::File),
    ];
    let mut writer = Writer::new(Vec::new());
    for member in members {
        let data = if member.kind == Kind::File {
            &b"data"[..]
        } else {
            b""
        };
        let member = NewMember {
            size: data.len() as u64,
            ..member
        };
        writer
            .append(&member, data)
            .expect("a member that can be written");
    }
    writer.finish().expect("a vector takes it")
}

/// Members with headers of other programs.
fn headers() -> Vec<Vec<u8>> {
    let gnu = |header: Header| header.with(MAGIC, GNU);
    vec![
        Header::new(b"v7", b'0').with(MAGIC, V7).data(b"v7"),
        Header::new(b"directory-by-name/", 0)
            .with(MAGIC, V7)
            .block(),
        gnu(Header::new(b"gnu", b'0')).data(&[b'g'; 600]),
        [
            long(b'L', &b"n".repeat(150)),
            long(b'K', &b"k".repeat(150)),
            gnu(Header::new(b"cut", b'2')).block(),
        ]
        .concat(),
        Header::new(b"name", b'0')
            .with(PREFIX, b"pre/fix")
            .data(b"1"),
        Header::new(b"base-256", b'0')
            .with(MTIME, &[0xff; 12])
            .with(SIZE, b"\x80\0\0\0\0\0\0\0\0\0\0\0")
            .block(),
        Header::new(b"global", b'g').data(b"13 comment=a\n"),
        gnu(Header::new(b"dump", b'D')).data(b"Yfile\0\0"),
        Header::new(b"star", b'0')
            .with(508..512, b"tar\0")
            .with(PREFIX, b"prefix")
            .data(b""),
    ]
}

/// Sparse files in the four forms.
fn sparse() -> Vec<Vec<u8>> {
    let old = Header::new(b"old", b'S')
        .with(MAGIC, GNU)
        .with(386..410, b"00000000000\x0000000000002\0")
        .with(410..434, b"00000001000\x0000000000003\0")
        .with(483..495, b"00000002000\0")
        .data(b"abcde");
    let more = [
        Header::new(b"more", b'S')
            .with(MAGIC, GNU)
            .with(386..410, b"00000000000\x0000000000002\0")
            .with(482..483, b"\x01")
            .with(483..495, b"00000002000\0")
            .size(5)
            .block(),
        padded(b"00000001000\x0000000000003\0"),
        padded(b"abcde"),
    ]
    .concat();
    let size: (&str, &[u8]) = ("GNU.sparse.size", b"1024");
    let first = [
        pax(&[
            size,
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"0"),
            ("GNU.sparse.numbytes", b"2"),
            ("GNU.sparse.offset", b"512"),
            ("GNU.sparse.numbytes", b"3"),
        ]),
        Header::new(b"0.0", b'0').data(b"abcde"),
    ]
    .concat();
    let second = [
        pax(&[
            size,
            ("GNU.sparse.name", b"its/name"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.map", b"0,2,512,3"),
        ]),
        Header::new(b"0.1", b'0').data(b"abcde"),
    ]
    .concat();
    let third = [
        pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"its/name"),
            ("GNU.sparse.realsize", b"1024"),
        ]),
        Header::new(b"1.0", b'0').data(&[padded(b"2\n0\n2\n512\n3\n"), b"abcde".to_vec()].concat()),
    ]
    .concat();
    vec![old, more, first, second, third]
}

/// Returns seeds for properties whose inputs are choices: any bytes make some, more make more.
pub(crate) fn choices() -> Vec<Vec<u8>> {
    let mut random = crate::Random::new(1);
    [8, 64, 64, 256, 256, 256, 1024]
        .into_iter()
        .map(|count| random.bytes(count))
        .collect()
}
