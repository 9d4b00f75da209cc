//! Owners, modes, times and extended attributes of any object, links included (R6).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use layergraph_fs::{Device, Dir, FileKind, seconds_and_nanos};
use layergraph_tests::require;
use proptest::prelude::*;
use rustix::io::Errno;

use crate::processes::as_ordinary_user;
use crate::support::{Home, Result, assert_same, errno, os, untimed, xattrs};

/// One object of each kind that anybody can make, and a link to each. Returns the names.
fn one_of_each(home: &Home) -> Result<Vec<&'static str>> {
    home.file("file", "content")?;
    home.directory("directory")?;
    home.dir
        .make_node(os("fifo"), FileKind::Fifo, 0o600, Device::default())?;
    home.dir
        .make_node(os("socket"), FileKind::Socket, 0o600, Device::default())?;
    home.link("link", "target")?;
    home.link("dangling", "missing")?;
    home.file("target", "target")?;
    Ok(vec![
        "file",
        "directory",
        "fifo",
        "socket",
        "link",
        "dangling",
    ])
}

/// Checks that what has been done to links did not reach the target.
fn with_target_untouched(home: &Home, work: impl FnOnce() -> Result) -> Result {
    let before = untimed(&home.path("target"))?;
    work()?;
    assert_same(
        &before,
        &untimed(&home.path("target"))?,
        "the target of a link",
    );
    assert!(!home.path("missing").exists());
    Ok(())
}

/// Sets, gets, lists and removes attributes with this prefix.
fn check_xattrs(home: &Home, name: &str, prefix: &str) -> Result {
    let (dir, here) = (&home.dir, home.path(name));
    let values = [&b""[..], b"value", &[0, 255, 0], &[9; 1000]];
    let keys: Vec<_> = (0..values.len())
        .map(|number| format!("{prefix}.key-{number}"))
        .collect();
    for (key, value) in keys.iter().zip(values).rev() {
        dir.set_xattr(os(name), os(key), value)?;
        assert_eq!(
            dir.xattr(os(name), os(key))?.as_deref(),
            Some(value),
            "{name} {key}"
        );
    }
    let listed = dir.xattrs(os(name))?;
    assert!(listed.is_sorted(), "{name}: {listed:?}");
    assert_eq!(xattrs(&here)?, listed.iter().cloned().collect(), "{name}");
    assert_eq!(listed.len(), values.len());
    dir.set_xattr(os(name), os(&keys[0]), b"changed")?;
    assert_eq!(
        dir.xattr(os(name), os(&keys[0]))?.as_deref(),
        Some(&b"changed"[..])
    );
    for key in &keys {
        dir.remove_xattr(os(name), os(key))?;
        assert_eq!(dir.xattr(os(name), os(key))?, None, "{name} {key}");
        assert_eq!(errno(dir.remove_xattr(os(name), os(key))), Errno::NODATA);
    }
    assert!(xattrs(&here)?.is_empty(), "{name}");
    Ok(())
}

#[test]
fn attributes_of_the_user_are_for_files_and_directories() -> Result {
    let home = Home::new()?;
    let names = one_of_each(&home)?;
    with_target_untouched(&home, || {
        for name in names {
            if name == "file" || name == "directory" {
                check_xattrs(&home, name, "user")?;
            } else {
                // The kernel's rule (xattr(7)); a link's target is not asked instead.
                let set = home.dir.set_xattr(os(name), os("user.key"), b"value");
                assert_eq!(errno(set), Errno::PERM, "{name}");
                assert_eq!(home.dir.xattrs(os(name))?, []);
            }
        }
        Ok(())
    })
}

#[test]
fn attributes_of_root_are_for_objects_of_every_kind() -> Result {
    require!(root);
    let home = Home::new()?;
    let mut names = one_of_each(&home)?;
    let null = Device { major: 1, minor: 3 };
    home.dir
        .make_node(os("device"), FileKind::CharDevice, 0o600, null)?;
    home.dir
        .make_node(os("block"), FileKind::BlockDevice, 0o600, null)?;
    names.extend(["device", "block"]);
    with_target_untouched(&home, || {
        names
            .iter()
            .try_for_each(|name| check_xattrs(&home, name, "trusted"))
    })
}

#[test]
fn a_directory_has_its_attributes_by_its_own_handle_too() -> Result {
    let home = Home::new()?;
    check_xattrs(&home, ".", "user")
}

#[test]
fn more_and_longer_attributes_than_a_first_look_has_room_for_are_read() -> Result {
    let home = Home::new()?;
    home.file("f", "")?;
    let long = vec![1; 2000];
    home.dir.set_xattr(os("f"), os("user.long"), &long)?;
    for number in 0..20 {
        let key = format!("user.{number:030}");
        home.dir.set_xattr(os("f"), os(&key), b"")?;
    }
    let listed = home.dir.xattrs(os("f"))?;
    assert_eq!(listed.len(), 21);
    assert_eq!(listed.last(), Some(&("user.long".into(), long)));
    Ok(())
}

#[test]
fn r21_a_key_with_a_nul_and_one_without_a_name_space_are_refused() -> Result {
    let home = Home::new()?;
    home.file("f", "")?;
    assert_eq!(
        errno(home.dir.set_xattr(os("f"), os("user.a\0b"), b"")),
        Errno::INVAL
    );
    assert_eq!(
        errno(home.dir.set_xattr(os("f"), os("key"), b"")),
        Errno::OPNOTSUPP
    );
    let long = format!("user.{}", "k".repeat(300));
    assert_eq!(
        errno(home.dir.set_xattr(os("f"), os(&long), b"")),
        Errno::RANGE
    );
    assert!(xattrs(&home.path("f"))?.is_empty());
    Ok(())
}

#[test]
fn r6_a_mode_is_set_on_the_object_itself_and_a_link_has_none() -> Result {
    let home = Home::new()?;
    let names = one_of_each(&home)?;
    with_target_untouched(&home, || {
        for name in names {
            if name == "link" || name == "dangling" {
                let set = home.dir.set_mode(os(name), 0o777);
                assert_eq!(errno(set), Errno::OPNOTSUPP, "{name}");
                continue;
            }
            for mode in [0, 0o4711, 0o1777, 0o7777, 0o600] {
                home.dir.set_mode(os(name), mode)?;
                assert_eq!(home.dir.metadata(os(name))?.mode, mode, "{name}");
                assert_eq!(fs::symlink_metadata(home.path(name))?.mode() & 0o7777, mode);
            }
        }
        Ok(())
    })
}

#[test]
fn r6_an_owner_is_set_on_the_object_itself() -> Result {
    require!(root);
    let home = Home::new()?;
    let names = one_of_each(&home)?;
    with_target_untouched(&home, || {
        for name in names {
            home.dir.set_owner(os(name), 12, u32::MAX - 1)?;
            let metadata = fs::symlink_metadata(home.path(name))?;
            assert_eq!(
                (metadata.uid(), metadata.gid()),
                (12, u32::MAX - 1),
                "{name}"
            );
        }
        home.dir.set_owner(os("."), 3, 4)?;
        let here = home.dir.metadata_here()?;
        assert_eq!((here.uid, here.gid), (3, 4));
        Ok(())
    })
}

#[test]
fn r6_times_are_set_on_the_object_itself_or_left() -> Result {
    let home = Home::new()?;
    let mut names = one_of_each(&home)?;
    names.push(".");
    let time = |seconds, nanos| Some(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos));
    let (early, late) = (time(5, 999_999_999), time(4_000_000_000, 1));
    let before = fs::metadata(home.path("target"))?;
    for name in names {
        home.dir.set_times(os(name), late, early)?;
        let seen = |name| {
            home.dir
                .metadata(os(name))
                .map(|it| (Some(it.accessed), Some(it.modified)))
        };
        assert_eq!(seen(name)?, (late, early), "{name}");
        home.dir.set_times(os(name), None, late)?;
        assert_eq!(seen(name)?, (late, late), "{name}");
        home.dir.set_times(os(name), time(4_000_000_001, 0), None)?;
        assert_eq!(seen(name)?, (time(4_000_000_001, 0), late), "{name}");
        home.dir.set_times(os(name), None, None)?;
        assert_eq!(seen(name)?, (time(4_000_000_001, 0), late), "{name}");
    }
    let after = fs::metadata(home.path("target"))?;
    assert_eq!(before.modified()?, after.modified()?);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Also before 1970, which the kernel counts in whole seconds below.
    #[test]
    fn a_time_that_the_file_system_can_hold_comes_back(
        seconds in -2_000_000_000..8_000_000_000i64,
        nanos in 0..1_000_000_000u32,
    ) {
        let home = Home::in_memory()?;
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let start = SystemTime::UNIX_EPOCH;
        let start = if seconds < 0 { start - whole } else { start + whole };
        let time = start + Duration::from_nanos(nanos.into());
        prop_assert_eq!(seconds_and_nanos(time), (seconds, nanos));
        home.dir.set_times(os("."), Some(time), Some(time)).map_err(std::io::Error::from)?;
        let seen = fs::metadata(home.top())?;
        prop_assert_eq!((seen.mtime(), seen.mtime_nsec()), (seconds, i64::from(nanos)));
        let seen = home.dir.metadata_here().map_err(std::io::Error::from)?;
        prop_assert_eq!(seen.modified, time);
    }
}

/// A directory may be searched and not listed: then it is a way, and can still be described.
#[test]
fn a_directory_that_may_not_be_listed_opens_and_says_so_when_listed() -> Result {
    as_ordinary_user!();
    let home = Home::new()?;
    home.file("d/f", "content")?;
    home.set_mode("d", 0o300)?;
    let dir = home.dir.open_dir(os("d"))?;
    assert_eq!(errno(dir.entries()), Errno::ACCESS);
    assert_eq!(errno(dir.sync()), Errno::ACCESS);
    assert_eq!(dir.metadata(os("f"))?.size, 7);
    assert_eq!(dir.metadata_here()?.mode, 0o300);
    dir.create_file(os("g"), 0o600)?;
    dir.set_xattr(os("f"), os("user.key"), b"value")?;
    let moment = Some(SystemTime::UNIX_EPOCH);
    dir.set_times(os("."), moment, moment)?;
    assert_eq!(dir.metadata_here()?.modified, SystemTime::UNIX_EPOCH);
    dir.set_mode(os("."), 0o500)?;
    assert_eq!(dir.sorted_names()?, ["f", "g"]);
    assert_eq!(errno(dir.create_file(os("h"), 0o600)), Errno::ACCESS);
    assert_eq!(Dir::open(&home.path("d"))?.entries()?.len(), 2);
    Ok(())
}

#[test]
fn r11_only_a_regular_file_is_opened_to_be_read() -> Result {
    let home = Home::new()?;
    for name in one_of_each(&home)? {
        let expected = match name {
            "file" => {
                let text = std::io::read_to_string(home.dir.open_file(os(name))?)?;
                assert_eq!(text, "content");
                continue;
            }
            "link" | "dangling" => Errno::LOOP,
            _ => Errno::INVAL,
        };
        assert_eq!(errno(home.dir.open_file(os(name))), expected, "{name}");
    }
    Ok(())
}
