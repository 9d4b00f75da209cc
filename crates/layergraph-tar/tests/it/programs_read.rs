//! What we write, GNU tar, bsdtar and Python's tarfile list and extract as it was meant.

use std::error::Error;
use std::io::Write;
use std::process::Command;

use layergraph_tar::{Kind, NewMember, Writer};
use layergraph_tests::require;
use tempfile::tempdir;

use crate::support::programs::{UNPACKERS, Unpacker, run};
use crate::support::tree::{Object, Time, Tree, assert_same, on_disk, pack, system_time};

type Outcome = Result<(), Box<dyn Error>>;

const TIME: Time = (1_234_567_890, 500_000_000);

/// The tree of these objects, each with its first name.
fn tree(objects: Vec<(&[u8], Object)>) -> Tree {
    let name = |(name, mut object): (&[u8], Object)| {
        object.names.insert(name.to_vec());
        (name.to_vec(), object)
    };
    objects.into_iter().map(name).collect()
}

/// An object that belongs to whoever runs the test.
fn object(kind: Kind, mode: u32, content: &[u8]) -> Object {
    Object {
        kind,
        mode,
        owner: (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        ),
        mtime: TIME,
        link: Vec::new(),
        device: (0, 0),
        content: content.to_vec(),
        xattrs: Vec::new(),
        names: [].into(),
    }
}

fn symlink(target: &[u8]) -> Object {
    Object {
        link: target.to_vec(),
        ..object(Kind::Symlink, 0o777, b"")
    }
}

/// Has the programs extract what we write of a tree, and compares.
fn check(tree: &Tree, unpackers: &[Unpacker]) -> Outcome {
    let archive = pack(tree)?;
    for unpacker in unpackers {
        let root = tempdir()?;
        unpacker.unpack(&archive, root.path())?;
        let mut disk = on_disk(root.path())?;
        for (name, object) in &mut disk {
            // Python sets no times of symbolic links.
            if *unpacker == Unpacker::PythonTarfile && object.kind == Kind::Symlink {
                object.mtime = tree.get(name).map_or(TIME, |object| object.mtime);
            }
        }
        assert_same(&disk, tree, &format!("{unpacker:?}"));
    }
    Ok(())
}

#[test]
fn files_directories_and_links_are_extracted() -> Outcome {
    require!(program "tar", "bsdtar", "python3");
    let mut objects = tree(vec![
        (b"d", object(Kind::Directory, 0o750, b"")),
        (b"d/empty", object(Kind::Directory, 0o1777, b"")),
        (b"d/one", object(Kind::File, 0o4755, b"1")),
        (b"d/block", object(Kind::File, 0o600, &b"b".repeat(512))),
        (b"d/more", object(Kind::File, 0o644, &b"m".repeat(100_001))),
        (b"odd \n\"\\\t", object(Kind::File, 0o644, b"odd")),
        ("süß".as_bytes(), object(Kind::File, 0o644, b"utf-8")),
        (b"link", symlink(b"../d/one")),
    ]);
    let mut linked = objects[&b"d/one"[..]].clone();
    linked.names.insert(b"e".to_vec());
    for name in [b"d/one".to_vec(), b"e".to_vec()] {
        objects.insert(name, linked.clone());
    }
    check(&objects, UNPACKERS)
}

#[test]
fn names_of_any_bytes_are_extracted() -> Outcome {
    require!(program "tar", "python3");
    let objects = tree(vec![
        (b"caf\xe9", object(Kind::File, 0o644, b"latin")),
        (b"\xff\xfe", object(Kind::File, 0o644, b"neither")),
        (b"link", symlink(b"caf\xe9")),
    ]);
    check(&objects, &[Unpacker::GnuTar, Unpacker::PythonTarfile])
}

#[test]
fn long_names_and_links_are_extracted() -> Outcome {
    require!(program "tar", "bsdtar", "python3");
    let mut objects = Tree::new();
    let mut path = Vec::new();
    for part in [&b"n".repeat(95)[..], &b"o".repeat(100), &b"p".repeat(255)] {
        path.extend_from_slice(part);
        let directory = object(Kind::Directory, 0o755, b"");
        objects.extend(tree(vec![(&path, directory)]));
        path.push(b'/');
        for extra in 1..=8 {
            let name = [&path[..], &b"f".repeat(extra)].concat();
            objects.extend(tree(vec![(&name, object(Kind::File, 0o644, b"x"))]));
        }
    }
    for (name, length) in [(&b"s"[..], 99), (b"t", 100), (b"u", 101), (b"v", 4000)] {
        objects.extend(tree(vec![(name, symlink(&b"x".repeat(length)))]));
    }
    let first = [&path[..], b"f"].concat();
    let mut linked = objects[&first].clone();
    linked.names.insert(b"z".to_vec());
    for name in [first, b"z".to_vec()] {
        objects.insert(name, linked.clone());
    }
    check(&objects, UNPACKERS)
}

#[test]
fn times_are_extracted() -> Outcome {
    require!(program "tar", "bsdtar", "python3");
    let file = |mtime| Object {
        mtime,
        ..object(Kind::File, 0o644, b"")
    };
    let mut objects = tree(vec![
        (b"a", file((0, 0))),
        (b"b", file((0, 500_000_000))),
        (b"c", file((-86_400, 0))),
        (b"d", file((1 << 33, 250_000_000))),
    ]);
    check(&objects, UNPACKERS)?;
    // Python keeps times in a double, and libarchive loses the sign of a fraction.
    objects.extend(tree(vec![
        (b"e", file((-2, 500_000_000))),
        (b"f", file((-1, 999_999_999))),
        (b"g", file((1_234_567_890, 123_456_789))),
    ]));
    check(&objects, &[Unpacker::GnuTar])
}

#[test]
fn attributes_are_extracted() -> Outcome {
    require!(program "tar", "bsdtar");
    let xattrs = || {
        vec![
            (b"user.binary".to_vec(), b"\0\n12 =\xff\n\0".to_vec()),
            (b"user.long".to_vec(), b"v".repeat(2000)),
            (b"user.text".to_vec(), b"plain".to_vec()),
        ]
    };
    let with = |mut object: Object| {
        object.xattrs = xattrs();
        object
    };
    let mut objects = tree(vec![
        (b"d", with(object(Kind::Directory, 0o755, b""))),
        (b"f", with(object(Kind::File, 0o644, b"x"))),
    ]);
    check(&objects, &[Unpacker::GnuTar, Unpacker::BsdTar])?;
    let empty = || (b"user.empty".to_vec(), Vec::new());
    for object in objects.values_mut() {
        object.xattrs.insert(1, empty());
    }
    check(&objects, &[Unpacker::GnuTar])
}

#[test]
fn r23_owners_devices_and_pipes_are_extracted() -> Outcome {
    require!(root);
    require!(program "tar", "bsdtar", "python3");
    let owned = |owner, object: Object| Object { owner, ..object };
    let device = |kind, device| Object {
        device,
        ..object(kind, 0o600, b"")
    };
    let file = object(Kind::File, 0o644, b"");
    let objects = tree(vec![
        (b"0", owned((0, 0), file.clone())),
        (b"1", owned((2_097_151, 2_097_152), file.clone())),
        (b"2", owned((3_000_000_000, u32::MAX - 1), file.clone())),
        (b"3", owned((1000, 100), object(Kind::File, 0o6755, b"x"))),
        (b"4", owned((5, 6), symlink(b"nowhere"))),
        (b"5", owned((7, 8), object(Kind::Directory, 0o2755, b""))),
        (b"null", device(Kind::CharDevice, (1, 3))),
        (b"disk", device(Kind::BlockDevice, (259, 70_000))),
        (b"pipe", device(Kind::Fifo, (0, 0))),
    ]);
    check(&objects, UNPACKERS)
}

/// Prints what a member states, as the law below writes it.
const STATES: &str = r"
import sys, tarfile
with tarfile.open(sys.argv[1]) as t:
    for m in t:
        print(m.name, m.type.decode(), oct(m.mode), m.uid, m.gid, m.uname, m.gname, m.size,
              m.mtime, m.linkname, m.devmajor, m.devminor, m.pax_headers.get('atime'),
              m.pax_headers.get('SCHILY.xattr.user.x'), sep='|')
";

#[test]
fn python_reads_every_field_as_it_was_written() -> Outcome {
    require!(program "python3");
    let xattrs = [(b"user.x".to_vec(), b"=\n=".to_vec())];
    let all = NewMember {
        mode: 0o4711,
        uid: u32::MAX - 1,
        gid: 2_097_152,
        user: b"a-name-of-more-than-thirty-two-bytes",
        group: "größe".as_bytes(),
        mtime: system_time((-2, 500_000_000)),
        atime: Some(system_time((3, 250_000_000))),
        size: 3,
        xattrs: &xattrs,
        ..NewMember::new(b"all", Kind::File)
    };
    let device = NewMember {
        user: b"root",
        group: b"disk",
        device: (259, 1_048_575),
        mtime: system_time((1 << 33, 0)),
        ..NewMember::new(b"dev", Kind::BlockDevice)
    };
    let link = NewMember {
        link: b"all",
        size: 3,
        ..NewMember::new(b"link", Kind::HardLink)
    };
    let mut writer = Writer::new(Vec::new());
    writer.append(&all, &b"abc"[..])?;
    writer.append(&device, std::io::empty())?;
    writer.append(&link, std::io::empty())?;
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(&writer.finish()?)?;

    let mut command = Command::new("python3");
    let stated = run(command.args(["-c", STATES]).arg(file.path()))?;
    let expected = "\
        all|0|0o4711|4294967294|2097152|a-name-of-more-than-thirty-two-bytes|größe|3|-1.5||0|0|\
        3.25|=\n=\n\
        dev|4|0o0|0|0|root|disk|0|8589934592.0||259|1048575|None|None\n\
        link|1|0o0|0|0|||0|0|all|0|0|None|None\n";
    assert_eq!(String::from_utf8(stated)?, expected);
    Ok(())
}

#[test]
fn the_names_that_we_write_are_listed() -> Outcome {
    require!(program "tar", "bsdtar", "python3");
    let names = ["d", "d/f", &"n".repeat(300)];
    let mut writer = Writer::new(Vec::new());
    for (name, kind) in names.iter().zip([Kind::Directory, Kind::Fifo, Kind::File]) {
        writer.append(&NewMember::new(name.as_bytes(), kind), std::io::empty())?;
    }
    let archive = writer.finish()?;
    for unpacker in UNPACKERS {
        assert_eq!(unpacker.list(&archive)?, names, "{unpacker:?}");
    }
    Ok(())
}
