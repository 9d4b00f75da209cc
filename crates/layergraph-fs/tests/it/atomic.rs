//! Files that appear whole or not at all.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use layergraph_fs::{AtomicFile, Durability, RenameMode, Staging, is_temporary_name, write_atomic};
use rustix::io::Errno;

use crate::support::{Home, Over, Result, errno, os};

/// The umask of this process, which cannot be asked for without changing it but here.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let digits = line.expect("the kernel shows it").trim();
    u32::from_str_radix(digits, 8).expect("octal digits")
}

#[test]
fn a_reader_finds_the_old_content_or_the_new_and_never_goes_back() -> Result {
    const VERSIONS: u8 = 200;
    let home = Home::new()?;
    let content = |version: u8| vec![version; 1 + usize::from(version) * 100];
    let path = home.file("f", content(0))?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        let read = || {
            let mut last = 0;
            while !is_over.load(Ordering::Relaxed) {
                let found = fs::read(&path).expect("the file is always there");
                let version = found.first().copied().expect("it is never empty");
                assert_eq!(found, content(version), "a mixture");
                assert!(version >= last, "{version} after {last}");
                last = version;
            }
        };
        let readers = [scope.spawn(read), scope.spawn(read)];
        let written = (1..=VERSIONS).try_for_each(|version| {
            let bytes = content(version);
            write_atomic(&home.dir, os("f"), 0o644, &bytes, Durability::None)
        });
        drop(over);
        for reader in readers {
            reader.join().expect("each content was whole");
        }
        written
    })?;
    assert_eq!(fs::read(&path)?, content(VERSIONS));
    assert_eq!(home.names()?, ["f"]);
    Ok(())
}

#[test]
fn writers_at_the_same_time_each_write_a_whole_file() -> Result {
    let home = Home::new()?;
    thread::scope(|scope| {
        let writers: Vec<_> = (1..=4u8)
            .map(|writer| {
                let dir = &home.dir;
                scope.spawn(move || {
                    (0..50).try_for_each(|_| {
                        let bytes = vec![writer; usize::from(writer) * 1000];
                        write_atomic(dir, os("f"), 0o600, &bytes, Durability::None)
                    })
                })
            })
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().expect("no writer panics"))
    })?;
    let found = fs::read(home.path("f"))?;
    assert_eq!(found, vec![found[0]; usize::from(found[0]) * 1000]);
    assert_eq!(home.names()?, ["f"]);
    Ok(())
}

#[test]
fn the_mode_is_the_given_one_less_the_umask_whatever_the_old_file_has() -> Result {
    let home = Home::new()?;
    for mode in [0o600, 0o644, 0o755, 0o666, 0o400, 0] {
        home.file("f", "old")?;
        home.set_mode("f", 0o777)?;
        write_atomic(&home.dir, os("f"), mode, b"new", Durability::None)?;
        let found = fs::metadata(home.path("f"))?.mode() & 0o7777;
        assert_eq!(found, mode & !umask(), "{mode:o}");
        fs::remove_file(home.path("f"))?;
    }
    Ok(())
}

#[test]
fn a_link_is_replaced_and_its_target_left() -> Result {
    let home = Home::new()?;
    let target = home.file("target", "old")?;
    home.link("f", "target")?;
    write_atomic(&home.dir, os("f"), 0o600, b"new", Durability::Full)?;
    assert_eq!(fs::read(&target)?, b"old");
    assert!(fs::symlink_metadata(home.path("f"))?.is_file());
    Ok(())
}

#[test]
fn a_directory_is_not_replaced_and_nothing_is_left_beside_it() -> Result {
    let home = Home::new()?;
    home.directory("f")?;
    let written = write_atomic(&home.dir, os("f"), 0o600, b"new", Durability::Full);
    assert_eq!(errno(written), Errno::ISDIR);
    assert_eq!(home.names()?, ["f"]);
    Ok(())
}

#[test]
fn a_name_that_is_no_plain_component_is_refused_before_anything_is_made() -> Result {
    let home = Home::new()?;
    for name in ["", "..", "a/b", "/a", "a\0"] {
        let created = AtomicFile::create(&home.dir, os(name), 0o600);
        assert_eq!(errno(created), Errno::INVAL, "{name:?}");
    }
    assert_eq!(home.names()?.len(), 0);
    Ok(())
}

#[test]
fn a_file_without_a_commit_leaves_nothing() -> Result {
    let home = Home::new()?;
    home.file("f", "old")?;
    let mut file = AtomicFile::create(&home.dir, os("f"), 0o600)?;
    file.write_all(b"new")?;
    let beside: Vec<_> = home
        .names()?
        .into_iter()
        .filter(|name| name != "f")
        .collect();
    assert!(
        beside.len() == 1 && is_temporary_name(os(&beside[0])),
        "{beside:?}"
    );
    drop(file);
    assert_eq!(home.names()?, ["f"]);
    assert_eq!(fs::read(home.path("f"))?, b"old");
    Ok(())
}

#[test]
fn a_staging_directory_is_private_and_leaves_nothing_when_dropped() -> Result {
    let home = Home::new()?;
    home.set_mode(".", 0o2777)?;
    let staging = Staging::new(&home.dir)?;
    let metadata = staging.dir().metadata_here()?;
    assert_eq!(metadata.mode, 0o700, "no group is inherited either");
    staging.dir().make_dir(os("d"), 0)?;
    drop(staging);
    assert_eq!(home.names()?.len(), 0);
    Staging::new(&home.dir)?.discard()?;
    assert_eq!(home.names()?.len(), 0);
    Ok(())
}

#[test]
fn what_is_published_by_no_replace_harms_nothing_that_has_the_name() -> Result {
    let home = Home::new()?;
    home.file("taken", "old")?;
    for name in ["taken", "free"] {
        let staging = Staging::new(&home.dir)?;
        staging
            .dir()
            .create_file(os("f"), 0o600)?
            .write_all(b"new")?;
        let (mode, durability) = (RenameMode::NoReplace, Durability::None);
        let published = staging.publish_entry(os("f"), &home.dir, os(name), mode, durability);
        if name == "taken" {
            assert_eq!(errno(published), Errno::EXIST);
        } else {
            assert!(published?.leftover.is_none());
        }
    }
    assert_eq!(home.names()?, ["free", "taken"]);
    assert_eq!(fs::read(home.path("taken"))?, b"old");
    Ok(())
}

/// A reader finds the old directory or the new one, whole, at any time.
#[test]
fn a_directory_that_is_exchanged_is_always_there() -> Result {
    let home = Home::new()?;
    home.file("tree/version", "0")?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !is_over.load(Ordering::Relaxed) {
                let tree = home.dir.open_dir(os("tree")).expect("it is always there");
                // It may be on its way out by now, and its file gone, but never half made.
                if let Ok(mut file) = tree.open_file(os("version")) {
                    let text = std::io::read_to_string(&mut file).expect("it can be read");
                    let version: u32 = text.parse().expect("it is whole");
                    assert!(version >= last, "{version} after {last}");
                    last = version;
                }
            }
        });
        let published = (1..=100u32).try_for_each(|version| {
            let staging = Staging::new(&home.dir)?;
            let mut file = staging.dir().create_file(os("version"), 0o644)?;
            file.write_all(version.to_string().as_bytes())?;
            let (mode, durability) = (RenameMode::Exchange, Durability::None);
            staging
                .publish(&home.dir, os("tree"), mode, durability)
                .map(|_| ())
        });
        drop(over);
        reader.join().expect("each version was whole");
        published
    })?;
    assert_eq!(fs::read(home.path("tree/version"))?, b"100");
    assert_eq!(home.names()?, ["tree"]);
    Ok(())
}
