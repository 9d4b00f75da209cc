//! Locks among threads and processes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use layergraph_fs::{Dir, FileKind, LockFile, LockGuard, LockKind};
use layergraph_tests::{partner_home, ready_until_told, this_test};
use proptest::prelude::*;
use rustix::io::Errno;

use crate::processes::{settled, start_partner, start_partners};
use crate::support::{Home, Result, errno, os};

const KINDS: [LockKind; 2] = [LockKind::Shared, LockKind::Exclusive];

fn open(home: &Path) -> layergraph_fs::Result<LockFile> {
    LockFile::open(&Dir::open(home)?, os("lock"))
}

/// Adds one to the number in a file, which only somebody alone can do.
fn count(file: &Path) -> io::Result<()> {
    let number: u32 = fs::read_to_string(file)?
        .parse()
        .map_err(io::Error::other)?;
    thread::yield_now();
    fs::write(file, (number + 1).to_string())
}

#[test]
fn a_holder_excludes_all_others_unless_all_share() -> Result {
    let home = Home::new()?;
    let (one, other) = (open(home.top())?, open(home.top())?);
    for held in KINDS {
        let guard = one.lock(3, held)?;
        for wanted in KINDS {
            let may = held == LockKind::Shared && wanted == LockKind::Shared;
            // Of the same `LockFile` as of another one.
            for file in [&one, &other] {
                assert_eq!(
                    file.try_lock(3, wanted)?.is_some(),
                    may,
                    "{held:?} {wanted:?}"
                );
            }
        }
        drop(guard);
    }
    for kind in KINDS {
        assert!(settled(|| other.try_lock(3, kind))?.is_some());
    }
    Ok(())
}

#[test]
fn a_lock_lives_as_long_as_its_guard_and_no_longer() -> Result {
    let home = Home::new()?;
    let guard = open(home.top())?.lock(0, LockKind::Exclusive)?;
    let file = open(home.top())?;
    assert!(
        file.try_lock(0, LockKind::Shared)?.is_none(),
        "its file is dropped, it is not"
    );
    drop(guard);
    assert!(settled(|| file.try_lock(0, LockKind::Shared))?.is_some());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is locked and let go, a byte is free for whom its own holders leave it.
    #[test]
    fn each_byte_is_a_lock_of_its_own(
        steps in prop::collection::vec((0..4u64, any::<bool>(), any::<bool>()), 1..40),
    ) {
        const BYTES: [u64; 4] = [0, 1, 1 << 40, i64::MAX as u64];
        let home = Home::new()?;
        let file = open(home.top()).map_err(io::Error::from)?;
        let mut held: BTreeMap<u64, Vec<(LockKind, LockGuard)>> = BTreeMap::new();
        settled(|| {
            for (byte, lets_go, shares) in steps {
                let holders = held.entry(byte).or_default();
                if lets_go {
                    holders.pop();
                    continue;
                }
                let kind = if shares { LockKind::Shared } else { LockKind::Exclusive };
                let all_share = holders.iter().all(|(held, _)| *held == LockKind::Shared);
                let is_free = holders.is_empty() || (shares && all_share);
                let locked = file.try_lock(BYTES[usize::try_from(byte).unwrap_or(0)], kind);
                let locked = locked.map_err(io::Error::from)?;
                prop_assert_eq!(locked.is_some(), is_free);
                holders.extend(locked.map(|guard| (kind, guard)));
            }
            Ok(())
        })?;
    }
}

#[test]
fn a_byte_that_no_file_can_have_is_refused() -> Result {
    let home = Home::new()?;
    let file = open(home.top())?;
    assert_eq!(errno(file.lock(1 << 63, LockKind::Shared)), Errno::INVAL);
    assert_eq!(
        errno(file.try_lock(u64::MAX, LockKind::Shared)),
        Errno::INVAL
    );
    Ok(())
}

#[test]
fn threads_with_the_lock_are_alone() -> Result {
    let home = Home::new()?;
    let counter = home.file("counter", "0")?;
    let file = open(home.top())?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..50).try_for_each(|_| -> io::Result<()> {
                        let _guard = file.lock(9, LockKind::Exclusive)?;
                        count(&counter)
                    })
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no thread panics"))
    })?;
    assert_eq!(fs::read_to_string(counter)?, "200");
    Ok(())
}

#[test]
fn processes_with_the_lock_are_alone() -> Result {
    if let Some(home) = partner_home() {
        let file = open(&home)?;
        ready_until_told()?;
        for _ in 0..50 {
            let _guard = file.lock(9, LockKind::Exclusive)?;
            count(&home.join("counter"))?;
        }
        return Ok(());
    }
    let home = Home::new()?;
    let counter = home.file("counter", "0")?;
    for partner in start_partners(&this_test!(), home.top(), 3)? {
        partner.finish()?;
    }
    assert_eq!(fs::read_to_string(counter)?, "150");
    Ok(())
}

#[test]
fn a_process_that_is_killed_lets_its_locks_go() -> Result {
    if let Some(home) = partner_home() {
        let file = open(&home)?;
        let _alone = file.lock(1, LockKind::Exclusive)?;
        let _shared = file.lock(2, LockKind::Shared)?;
        return Ok(ready_until_told()?);
    }
    let home = Home::new()?;
    let mut partner = start_partner(&this_test!(), home.top())?;
    partner.wait_ready()?;
    let file = open(home.top())?;
    assert!(file.try_lock(1, LockKind::Shared)?.is_none());
    assert!(file.try_lock(2, LockKind::Exclusive)?.is_none());
    assert!(file.try_lock(2, LockKind::Shared)?.is_some());
    assert!(file.try_lock(3, LockKind::Exclusive)?.is_some());
    thread::scope(|scope| -> Result {
        let waiting = scope.spawn(|| file.lock(1, LockKind::Exclusive));
        partner.kill()?;
        // Who waited has it now; of the others each may have theirs.
        let _guard = waiting.join().expect("no thread panics")?;
        assert!(file.try_lock(1, LockKind::Shared)?.is_none());
        assert!(settled(|| file.try_lock(2, LockKind::Exclusive))?.is_some());
        Ok(())
    })
}

#[test]
fn who_waits_goes_on_when_the_holder_is_gone() -> Result {
    let home = Home::new()?;
    let file = open(home.top())?;
    let is_held = AtomicBool::new(true);
    let guard = file.lock(0, LockKind::Exclusive)?;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| -> layergraph_fs::Result<()> {
            let _guard = file.lock(0, LockKind::Shared)?;
            assert!(!is_held.load(Ordering::SeqCst), "two hold it");
            Ok(())
        });
        for _ in 0..100 {
            thread::yield_now();
        }
        is_held.store(false, Ordering::SeqCst);
        drop(guard);
        waiting.join().expect("no thread panics")
    })?;
    Ok(())
}

#[test]
fn a_lock_file_that_was_replaced_is_stale() -> Result {
    let home = Home::new()?;
    let file = open(home.top())?;
    fs::rename(home.path("lock"), home.path("old"))?;
    assert_eq!(errno(file.lock(0, LockKind::Shared)), Errno::NOENT);
    home.file("lock", "")?;
    assert_eq!(errno(file.lock(0, LockKind::Shared)), Errno::STALE);
    assert_eq!(errno(file.try_lock(0, LockKind::Shared)), Errno::STALE);
    fs::rename(home.path("old"), home.path("lock"))?;
    assert!(file.try_lock(0, LockKind::Shared)?.is_some());
    Ok(())
}

#[test]
fn a_lock_file_is_made_for_its_owner_alone_and_its_content_is_left() -> Result {
    let home = Home::new()?;
    open(home.top())?;
    assert_eq!(fs::metadata(home.path("lock"))?.mode() & 0o177, 0);
    fs::write(home.path("lock"), "content")?;
    let _guard = open(home.top())?.lock(0, LockKind::Exclusive)?;
    assert_eq!(fs::read(home.path("lock"))?, b"content");
    Ok(())
}

#[test]
fn r11_what_is_no_regular_file_is_no_lock_file() -> Result {
    let home = Home::new()?;
    let device = layergraph_fs::Device::default();
    home.dir
        .make_node(os("fifo"), FileKind::Fifo, 0o600, device)?;
    home.dir
        .make_node(os("socket"), FileKind::Socket, 0o600, device)?;
    home.directory("directory")?;
    home.file("target", "")?;
    home.link("link", "target")?;
    home.link("dangling", "missing")?;
    for name in ["fifo", "socket", "directory", "link", "dangling"] {
        let opened = LockFile::open(&home.dir, os(name));
        assert_eq!(errno(opened), Errno::INVAL, "{name}");
    }
    assert!(!home.path("missing").exists());
    Ok(())
}
