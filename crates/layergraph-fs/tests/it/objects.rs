//! Objects described through a handle of their own (R6), and directories with nothing mounted.

use std::fs;
use std::time::{Duration, SystemTime};

use layergraph_fs::{Device, Dir, FileKind, RenameMode};
use layergraph_tests::require;
use rustix::io::Errno;

use crate::processes::while_mounted;
use crate::support::{Home, Result, Tree, assert_same, errno, os, tree};

const KINDS: [&str; 5] = ["file", "directory", "fifo", "socket", "link"];

/// One object of each kind that anybody can make. The link leads to `target`.
fn one_of_each(home: &Home) -> Result {
    home.file("file", "content")?;
    home.directory("directory")?;
    for (name, kind) in [("fifo", FileKind::Fifo), ("socket", FileKind::Socket)] {
        home.dir
            .make_node(os(name), kind, 0o600, Device::default())?;
    }
    home.link("link", "target")?;
    home.file("target", "target")?;
    Ok(())
}

/// Looks at what `name` is, without the time of access, which looking changes.
fn seen(home: &Home, name: &str) -> Result<Tree> {
    let mut tree = tree(&home.path(name))?;
    for object in tree.values_mut() {
        object.accessed = (0, 0);
    }
    Ok(tree)
}

#[test]
fn r6_an_object_of_any_kind_is_described_by_its_handle() -> Result {
    let home = Home::new()?;
    one_of_each(&home)?;
    let target = seen(&home, "target")?;
    let time = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::new(seconds, 123));
    for name in KINDS {
        let object = home.dir.open_object(os(name))?;
        let before = object.metadata()?;
        assert_eq!(before, home.dir.metadata(os(name))?, "{name}");
        object.set_owner(before.uid, before.gid)?;
        if name == "link" {
            assert_eq!(errno(object.set_mode(0o640)), Errno::OPNOTSUPP);
            assert_eq!(object.read_link()?, "target");
        } else {
            object.set_mode(0o4751)?;
            assert_eq!(home.dir.metadata(os(name))?.mode, 0o4751, "{name}");
            assert!(object.read_link().is_err(), "{name}");
        }
        object.set_times(time(4_000_000_000), time(5))?;
        object.set_times(time(4_000_000_001), None)?;
        let after = object.metadata()?;
        let times = (Some(after.accessed), Some(after.modified));
        assert_eq!(times, (time(4_000_000_001), time(5)), "{name}");
        assert_eq!(after.id(), before.id());
        assert!(object.xattrs()?.is_empty(), "{name}");
        let set = object.set_xattr(os("user.key"), b"value");
        if name == "file" || name == "directory" {
            set?;
            assert_eq!(object.xattrs()?, [("user.key".into(), b"value".to_vec())]);
            assert_eq!(object.xattrs()?, home.dir.xattrs(os(name))?);
        } else {
            assert_eq!(errno(set), Errno::PERM, "{name}");
        }
    }
    for name in ["missing", "link/x", "..", ""] {
        assert!(home.dir.open_object(os(name)).is_err(), "{name}");
    }
    assert_same(&target, &seen(&home, "target")?, "what the link leads to");
    Ok(())
}

#[test]
fn r6_root_describes_devices_and_links_by_their_handles() -> Result {
    require!(root);
    let home = Home::new()?;
    one_of_each(&home)?;
    let null = Device { major: 1, minor: 3 };
    home.dir
        .make_node(os("device"), FileKind::CharDevice, 0o600, null)?;
    let target = seen(&home, "target")?;
    for name in KINDS.into_iter().chain(["device"]) {
        let object = home.dir.open_object(os(name))?;
        object.set_owner(123, 456)?;
        object.set_xattr(os("trusted.key"), b"value")?;
        let seen = home.dir.metadata(os(name))?;
        assert_eq!((seen.uid, seen.gid), (123, 456), "{name}");
        assert_eq!(
            object.xattrs()?,
            [("trusted.key".into(), b"value".to_vec())]
        );
        assert_eq!(object.xattrs()?, home.dir.xattrs(os(name))?);
    }
    assert_eq!(home.dir.metadata(os("device"))?.device, null);
    assert_same(&target, &seen(&home, "target")?, "what the link leads to");
    Ok(())
}

/// Whatever takes the name, it keeps what it has.
#[test]
fn r4_what_is_set_by_a_handle_does_not_reach_what_has_taken_the_name() -> Result {
    let home = Home::new()?;
    one_of_each(&home)?;
    home.file("other", "other")?;
    home.set_mode("other", 0o600)?;
    let exchange = |name| {
        home.dir
            .rename(os(name), &home.dir, os("other"), RenameMode::Exchange)
    };
    for name in KINDS {
        let object = home.dir.open_object(os(name))?;
        exchange(name)?;
        let before = seen(&home, name)?;
        let is = object.metadata()?;
        object.set_owner(is.uid, is.gid)?;
        // Not every kind has a mode, or such attributes.
        let _ = object.set_mode(0o777);
        let _ = object.set_xattr(os("user.key"), b"value");
        let moment = Some(SystemTime::UNIX_EPOCH);
        object.set_times(moment, moment)?;
        assert_same(&before, &seen(&home, name)?, name);
        let moved = home.dir.metadata(os("other"))?;
        assert_eq!(moved.modified, SystemTime::UNIX_EPOCH);
        exchange(name)?;
    }
    Ok(())
}

#[cfg(feature = "faults")]
#[test]
fn what_is_set_on_an_object_passes_the_log() -> Result {
    use layergraph_fs::faults::{Fault, FaultLog};
    type Work = fn(&layergraph_fs::Object) -> layergraph_fs::Result<()>;
    let works: [(&str, Work); 4] = [
        ("fchownat", |object| object.set_owner(1, 1)),
        ("fchmodat", |object| object.set_mode(0o777)),
        ("setxattr", |object| object.set_xattr(os("user.x"), b"x")),
        ("utimensat", |object| object.set_times(None, None)),
    ];
    let home = Home::in_memory()?;
    home.file("f", "content")?;
    let object = home.dir.open_object(os("f"))?;
    let before = crate::support::untimed(home.top())?;
    for (name, work) in works {
        let log = FaultLog::new();
        log.inject(0, Fault::Fail(Errno::NOSPC.raw_os_error()));
        let error = log.during(|| work(&object)).expect_err(name);
        assert_eq!((error.call(), error.path()), (name, &*home.path("f")));
        assert_eq!(log.calls().len(), 1, "{name}");
        assert_same(&before, &crate::support::untimed(home.top())?, name);
    }
    Ok(())
}

#[test]
fn r10_a_directory_with_a_mount_on_it_can_be_left_unopened() -> Result {
    require!(root);
    require!(program "mount", "umount");
    let home = Home::new()?;
    home.file("d/f", "content")?;
    home.file("plain/f", "content")?;
    home.link("link", "plain")?;
    let open = |name: &str| home.dir.open_dir_on_mount(os(name));
    let inode = |dir: Dir| dir.metadata_here().map(|found| found.inode);
    assert_eq!(
        inode(open("plain")?)?,
        home.dir.metadata(os("plain"))?.inode
    );
    for (name, expected) in [
        ("link", Errno::NOTDIR),
        ("missing", Errno::NOENT),
        ("..", Errno::INVAL),
    ] {
        assert_eq!(errno(open(name)), expected, "{name}");
    }
    let plain = home.path("plain");
    let plain = plain.to_str().expect("a plain path");
    for kind in [&["-t", "tmpfs", "none"][..], &["--bind", plain]] {
        let found = while_mounted(kind, &home.path("d"), || open("d"))?;
        let error = found.expect_err("something is mounted there");
        assert_eq!(error.errno(), Some(Errno::XDEV.raw_os_error()));
        assert_eq!(error.path(), home.path("d"));
        assert_eq!(fs::read(home.path("d/f"))?, b"content");
    }
    Ok(())
}
