//! Archives whose members are not what they seem, whatever is in them.

use std::time::Duration;

use layergraph_oci::{MemberError, OciError, SourceOptions, open};
use layergraph_tar::Kind;
use tempfile::TempDir;

use crate::support::{File, HardLink, Of, Result, Symlink, open_bytes, tar};

/// Opens an archive in which `manifest.json` is reached in this way.
fn reason(members: &[(&str, Of<'_>)]) -> MemberError {
    match open_bytes(&tar(members)) {
        Err(OciError::Member { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn r11_what_is_no_file_of_the_archive_is_not_read() {
    let list = "manifest.json";
    for (of, expected) in [
        (Symlink("/etc/passwd"), MemberError::Outside),
        (Symlink("../etc/passwd"), MemberError::Outside),
        (Symlink("manifest.json"), MemberError::Links),
        (Symlink("missing"), MemberError::Missing),
        (HardLink("missing"), MemberError::Missing),
        (HardLink("a/../../x"), MemberError::Outside),
        (Of::Kind(Kind::Fifo), MemberError::Kind("a named pipe")),
        (Of::Kind(Kind::CharDevice), MemberError::Kind("a device")),
        (Of::Kind(Kind::BlockDevice), MemberError::Kind("a device")),
        (Of::Kind(Kind::Directory), MemberError::Kind("a directory")),
    ] {
        assert_eq!(reason(&[(list, of)]), expected, "{of:?}");
    }
}

#[test]
fn a_member_that_is_there_twice_is_not_read() {
    let (list, empty) = ("manifest.json", File(b"[]"));
    assert!(open_bytes(&tar(&[(list, empty)])).is_ok());
    for second in [empty, Symlink("x"), Of::Kind(Kind::Directory)] {
        assert_eq!(
            reason(&[(list, empty), (list, second)]),
            MemberError::Several
        );
        assert_eq!(
            reason(&[(list, empty), ("./manifest.json", second)]),
            MemberError::Several
        );
        let linked = [("x", Symlink(list)), (list, second), (list, empty)];
        assert_eq!(reason(&linked), MemberError::Several);
    }
    // What nobody asks for may be there as often as it likes.
    assert!(open_bytes(&tar(&[(list, empty), ("x", empty), ("x", empty)])).is_ok());
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let names: Vec<String> = (0..=41).map(|n| format!("link{n}")).collect();
    for (links, is_read) in [(40, true), (41, false)] {
        let mut members = vec![("manifest.json", Symlink(&names[1]))];
        for n in 1..links {
            members.push((&names[n], Symlink(&names[n + 1])));
        }
        members.push((&names[links], File(b"[]")));
        assert_eq!(open_bytes(&tar(&members)).is_ok(), is_read, "{links}");
    }
}

#[test]
fn r27_names_that_are_too_long_are_refused() {
    let long = "x".repeat(5000);
    let members = [(long.as_str(), File(b"")), ("manifest.json", File(b"[]"))];
    assert_eq!(reason(&members), MemberError::NameLength);
    assert_eq!(
        reason(&[("manifest.json", Symlink(&long))]),
        MemberError::NameLength
    );
    // Each part of the way is short enough.
    let first = format!("{}x", "d/".repeat(1500));
    let members = [
        ("manifest.json", Symlink(&first)),
        (&first, Symlink(&first)),
    ];
    assert_eq!(reason(&members), MemberError::NameLength);
}

#[test]
fn a_member_that_leads_out_by_its_name_is_refused() {
    let members = [("../../etc/x", File(b"")), ("manifest.json", File(b"[]"))];
    assert_eq!(reason(&members), MemberError::Outside);
}

#[test]
fn r30_an_archive_whose_names_would_fill_the_memory_is_refused() {
    let name = "x".repeat(4000);
    let member = tar(&[(&name, Symlink(&name))]);
    let member = &member[..member.len() - 1024];
    // 8,000 bytes of names each; the limit is 16 MiB.
    for (count, is_taken) in [(2000, true), (2200, false)] {
        let mut bytes = member.repeat(count);
        bytes.extend(tar(&[("manifest.json", File(b"[]"))]));
        let opened = open_bytes(&bytes);
        assert_eq!(opened.is_ok(), is_taken, "{count}: {opened:?}");
        assert!(is_taken || matches!(opened, Err(OciError::Limit { .. })));
    }
}

#[test]
fn a_member_that_claims_more_than_there_is_is_refused() {
    let mut bytes = tar(&[("manifest.json", File(b"[]")), ("x", File(&[0; 600]))]);
    // The member ends with the archive, and its data before that.
    bytes.truncate(1024 + 512 + 100);
    assert!(matches!(open_bytes(&bytes), Err(OciError::Tar { .. })));
}

#[test]
fn what_follows_the_end_of_an_archive_is_not_read() {
    let bytes = [tar(&[]), tar(&[("manifest.json", File(b"[]"))])].concat();
    assert!(matches!(open_bytes(&bytes), Err(OciError::NoImages { .. })));
}

#[test]
fn what_is_no_archive_of_images_is_refused() {
    for bytes in [&[][..], &tar(&[("file", File(b"text"))])] {
        assert!(matches!(open_bytes(bytes), Err(OciError::NoImages { .. })));
    }
    assert!(matches!(
        open_bytes(&[b'x'; 4096]),
        Err(OciError::Tar { .. })
    ));
}

#[test]
fn r11_a_pipe_in_the_place_of_an_archive_is_not_opened() -> Result {
    let directory = TempDir::new()?;
    let path = directory.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU)?;
    let start = std::time::Instant::now();
    let opened = open(&path, &SourceOptions::default());
    assert!(matches!(opened, Err(OciError::Fs(_))), "{opened:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
    Ok(())
}
