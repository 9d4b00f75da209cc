//! What GNU tar, bsdtar and Python's tarfile write, we read as it was.

use std::error::Error;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::process::{Command, Stdio};

use layergraph_tar::{Kind, Reader, Segment};
use layergraph_tests::require;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use tempfile::{TempDir, tempdir};

use crate::support::craft;
use crate::support::programs::{PACKERS, Packer, run};
use crate::support::tree::{Maker, assert_same, data, in_archive, on_disk, time, whole_seconds};

type Outcome = Result<(), Box<dyn Error>>;

/// Has each program archive a directory in each format of the choice, and compares.
fn check(root: &TempDir, choice: impl Fn(Packer) -> bool, options: &[&str]) -> Outcome {
    let disk = on_disk(root.path())?;
    for packer in PACKERS.iter().filter(|packer| choice(**packer)) {
        let archive = packer.pack(root.path(), options)?;
        let read = in_archive(&archive).map_err(|error| format!("{packer:?}: {error}"))?;
        let what = format!("{packer:?}");
        if packer.has_fractions() {
            assert_same(&read, &disk, &what);
        } else {
            assert_same(&read, &whole_seconds(disk.clone()), &what);
        }
    }
    Ok(())
}

/// Times that a double holds exactly, since Python keeps them in one.
const TIME: (i64, u32) = (1_234_567_890, 500_000_000);

#[test]
fn files_directories_and_links_are_read_in_all_formats() -> Outcome {
    require!(program "tar", "bsdtar", "python3");
    let root = tempdir()?;
    let make = Maker(root.path());
    make.directory(b"d")?;
    make.directory(b"d/empty")?;
    for size in [0, 1, 511, 512, 513, 100_000] {
        let content: Vec<u8> = (0..size).map(|at: u32| at.to_le_bytes()[0]).collect();
        make.file(format!("d/file of {size}").as_bytes(), &content)?;
    }
    make.file(b"a line\nbreak \"\\ \t", b"odd")?;
    make.hard_link(b"e", b"d/file of 513")?;
    make.hard_link(b"f", b"d/file of 513")?;
    make.symlink(b"to", b"../d/file of 1")?;
    for (name, mode) in [("d", 0o750), ("d/file of 0", 0o4755), ("d/empty", 0o1777)] {
        fs::set_permissions(root.path().join(name), Permissions::from_mode(mode))?;
    }
    make.all_times(TIME)?;
    check(&root, |_| true, &[])
}

#[test]
fn names_of_any_bytes_are_read() -> Outcome {
    require!(program "tar", "bsdtar", "python3");
    let root = tempdir()?;
    let make = Maker(root.path());
    make.directory("süß".as_bytes())?;
    make.file(b"s\xc3\xbc\xc3\x9f/caf\xe9", b"latin")?;
    make.file(b"\xff\xfe", b"neither")?;
    make.symlink(b"link", b"caf\xe9")?;
    make.all_times(TIME)?;
    // bsdtar replaces bytes that are not UTF-8, but where a PAX record says that they are binary.
    let keeps_them = |packer| !matches!(packer, Packer::Bsd("v7" | "ustar" | "gnutar"));
    check(&root, keeps_them, &[])
}

#[test]
fn long_names_and_links_are_read() -> Outcome {
    require!(program "tar", "bsdtar", "python3");
    let root = tempdir()?;
    let make = Maker(root.path());
    let mut path = Vec::new();
    // Around the lengths at which formats change: 100 bytes, 100 after a prefix, 155 before them.
    for part in [&b"n".repeat(95)[..], &b"o".repeat(100), &b"p".repeat(255)] {
        path.extend_from_slice(part);
        make.directory(&path)?;
        path.push(b'/');
        for extra in 1..=8 {
            let name = [&path[..], &b"f".repeat(extra)].concat();
            make.file(&name, b"at the end of a long path")?;
        }
    }
    for (name, length) in [(&b"s"[..], 99), (b"t", 100), (b"u", 101), (b"v", 4000)] {
        make.symlink(name, &b"x".repeat(length))?;
    }
    make.hard_link(b"w", &[&path[..], b"f"].concat())?;
    make.all_times(TIME)?;
    check(&root, Packer::is_unlimited, &[])
}

#[test]
fn prefixes_of_ustar_are_read() -> Outcome {
    require!(program "tar", "bsdtar", "python3");
    let root = tempdir()?;
    let make = Maker(root.path());
    let directory = [&b"d".repeat(70)[..], b"/", &b"e".repeat(69)].concat();
    make.directory(&directory[..70])?;
    make.directory(&directory)?;
    for length in [1, 80, 95] {
        make.file(&[&directory[..], b"/", &b"f".repeat(length)].concat(), b"x")?;
    }
    make.all_times(TIME)?;
    let ustar = |packer| matches!(packer, Packer::Gnu("ustar") | Packer::Python("USTAR"));
    // The prefix has 155 bytes, "./" before them included.
    check(&root, ustar, &[])
}

#[test]
fn times_before_1970_and_fractions_are_read() -> Outcome {
    require!(program "tar", "bsdtar", "python3");
    let root = tempdir()?;
    let make = Maker(root.path());
    for (name, time) in [
        ("a", (-1, 0)),
        ("b", (-86_400, 0)),
        ("c", (0, 0)),
        ("d", (0, 500_000_000)),
        ("e", (1 << 32, 250_000_000)),
        ("f", (-2_000_000_000, 0)),
    ] {
        make.file(name.as_bytes(), b"")?;
        make.time(name.as_bytes(), time)?;
    }
    // bsdtar knows no sign in GNU's format.
    let has_sign = |packer: Packer| packer.is_unlimited() && packer != Packer::Bsd("gnutar");
    check(&root, has_sign, &[])
}

#[test]
fn nanoseconds_on_both_sides_of_1970_are_read() -> Outcome {
    require!(program "tar");
    let root = tempdir()?;
    let make = Maker(root.path());
    for (name, time) in [
        ("a", (-2, 500_000_000)),
        ("b", (-1, 999_999_999)),
        ("c", (-1, 1)),
        ("d", (0, 1)),
        ("e", (1_234_567_890, 123_456_789)),
    ] {
        make.file(name.as_bytes(), b"")?;
        make.time(name.as_bytes(), time)?;
    }
    check(&root, |packer| packer == Packer::Gnu("posix"), &[])
}

#[test]
fn attributes_are_read() -> Outcome {
    require!(program "tar", "bsdtar");
    let root = tempdir()?;
    let make = Maker(root.path());
    make.file(b"f", b"x")?;
    make.directory(b"d")?;
    for name in [&b"f"[..], b"d"] {
        make.xattr(name, "user.text", b"plain")?;
        make.xattr(name, "user.empty", b"")?;
        make.xattr(name, "user.binary", b"\0\n12 =\xff\n\0")?;
        make.xattr(name, "user.long", &b"v".repeat(2000))?;
    }
    make.all_times(TIME)?;
    check(
        &root,
        |packer| packer == Packer::Gnu("posix"),
        &["--xattrs"],
    )?;
    check(&root, |packer| packer == Packer::Bsd("pax"), &["--xattrs"])
}

#[test]
fn r23_owners_of_all_sizes_are_read() -> Outcome {
    require!(root);
    require!(program "tar", "bsdtar", "python3");
    let root = tempdir()?;
    let make = Maker(root.path());
    for (at, id) in [0, 1000, 65_534, 2_097_151].into_iter().enumerate() {
        make.file(format!("{at}").as_bytes(), b"")?;
        chown(make.at(format!("{at}").as_bytes()), Some(id), Some(id / 2))?;
    }
    make.all_times(TIME)?;
    let v7 = |packer| matches!(packer, Packer::Bsd("v7" | "ustar"));
    // Of those bsdtar takes six digits only.
    check(&root, |packer| !v7(packer), &[])?;
    for id in [2_097_152, 3_000_000_000, u32::MAX - 1] {
        make.file(b"big", b"")?;
        chown(make.at(b"big"), Some(id), Some(id))?;
        make.all_times(TIME)?;
        check(&root, Packer::is_unlimited, &[])?;
    }
    Ok(())
}

#[test]
fn devices_and_pipes_are_read() -> Outcome {
    require!(root);
    require!(program "tar", "bsdtar", "python3");
    let root = tempdir()?;
    let make = Maker(root.path());
    for (name, kind, device) in [
        ("null", FileType::CharacterDevice, (1, 3)),
        ("sda", FileType::BlockDevice, (8, 0)),
        ("big", FileType::BlockDevice, (259, 70_000)),
        ("pipe", FileType::Fifo, (0, 0)),
    ] {
        let device = makedev(device.0, device.1);
        mknodat(CWD, make.at(name.as_bytes()), kind, Mode::RUSR, device)?;
    }
    make.all_times(TIME)?;
    let has_them = |packer| !matches!(packer, Packer::Gnu("v7") | Packer::Bsd("v7"));
    check(&root, has_them, &[])
}

/// The forms of sparse files, and how GNU tar is told to write them.
const SPARSE: &[&[&str]] = &[
    &["--format=oldgnu"],
    &["--format=gnu"],
    &["--format=posix", "--sparse-version=0.0"],
    &["--format=posix", "--sparse-version=0.1"],
    &["--format=posix", "--sparse-version=1.0"],
];

#[test]
fn sparse_files_are_read_in_all_forms() -> Outcome {
    require!(program "tar", "bsdtar");
    let root = tempdir()?;
    let file = |name: &str, size: u64, runs: &[(u64, &[u8])]| -> io::Result<()> {
        let file = File::create(root.path().join(name))?;
        for (offset, bytes) in runs {
            file.write_all_at(bytes, *offset)?;
        }
        file.set_len(size)
    };
    let block = b"data".repeat(1024);
    file("holes alone", 1 << 20, &[])?;
    file("data first", 1 << 20, &[(0, &block)])?;
    file("data last", (1 << 20) + 100, &[(1 << 20, &block[..100])])?;
    // The header has room for 4 runs, each block after it for 21.
    for count in [4, 5, 25, 26, 60_u64] {
        let runs: Vec<_> = (0..count).map(|run| (run << 16, &block[..])).collect();
        file(&format!("{count} runs"), count << 16, &runs)?;
    }
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    fs::create_dir(root.path().join("d".repeat(120)))?;
    file(&long, 1 << 17, &[(1 << 16, &block)])?;
    Maker(root.path()).all_times((1_234_567_890, 0))?;
    let disk = on_disk(root.path())?;

    for form in SPARSE {
        let mut command = Command::new("tar");
        command.args(["--sparse", "-cf", "-"]).args(*form).arg(".");
        let archive = run(command.current_dir(root.path()).stdin(Stdio::null()))?;
        assert_same(&in_archive(&archive)?, &disk, &format!("{form:?}"));
        let members = craft::members(&archive)?;
        let sparse = members.iter().filter(|member| member.sparse.is_some());
        assert_eq!(sparse.count(), 9, "{form:?}");
    }
    check(&root, |packer| packer == Packer::Bsd("pax"), &[])
}

/// How long the hole of the file below is: 12 octal digits.
const HOLE: u64 = 20 << 30;

#[test]
fn a_sparse_file_larger_than_octal_digits_is_read() -> Outcome {
    require!(program "tar");
    let root = tempdir()?;
    let file = File::create(root.path().join("huge"))?;
    file.write_all_at(&b"end".repeat(100), HOLE)?;
    for form in SPARSE {
        let mut command = Command::new("tar");
        command.args(["--sparse", "-cf", "-"]).args(*form);
        let archive = run(command.arg("huge").current_dir(root.path()))?;
        let mut reader = Reader::new(&archive[..]);
        let member = reader.next_member()?.ok_or("no member")?;
        assert_eq!(member.path, b"huge");
        assert_eq!(member.kind, Kind::File);
        assert_eq!(member.size, HOLE + 300, "{form:?}");
        let expected = Segment {
            offset: HOLE,
            length: 300,
        };
        assert_eq!(member.sparse, Some(vec![expected]), "{form:?}");
        assert_eq!(data(&mut reader)?, b"end".repeat(100));
        assert!(reader.next_member()?.is_none());
    }
    Ok(())
}

#[test]
fn times_of_access_and_change_are_read() -> Outcome {
    require!(program "tar");
    let root = tempdir()?;
    Maker(root.path()).file(b"f", b"")?;
    Maker(root.path()).time(b"f", TIME)?;
    let archive = Packer::Gnu("posix").pack(root.path(), &[])?;
    let members = craft::members(&archive)?;
    let file = members.iter().find(|member| member.path == b"./f");
    let file = file.ok_or("not there")?;
    assert_eq!(file.atime.map(time), Some(TIME));
    let changed = fs::symlink_metadata(root.path().join("f"))?;
    let changed = std::os::unix::fs::MetadataExt::ctime(&changed);
    assert_eq!(file.ctime.map(|ctime| time(ctime).0), Some(changed));
    Ok(())
}
