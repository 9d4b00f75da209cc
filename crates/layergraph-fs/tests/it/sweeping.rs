//! What a sweep removes, and what it leaves.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use layergraph_fs::{
    AtomicFile, Dir, Durability, FileKind, RenameMode, Staging, is_temporary_name, sweep,
    write_atomic,
};
use layergraph_tests::{partner_home, ready_until_told, require, this_test};

use crate::processes::{
    as_ordinary_user, partner_as_user, require_settled, settled, start_partner, start_partners,
};
use crate::support::{Home, Over, Result, os};

/// A name as a process that died left it.
fn left(number: u32) -> String {
    format!(".layergraph-{number:016x}")
}

/// Begins a directory and a file, with something in them.
fn begin(home: &Dir) -> io::Result<(Staging, AtomicFile)> {
    let staging = Staging::new(home)?;
    staging.dir().make_dir(os("d"), 0o755)?;
    staging
        .dir()
        .create_file(os("f"), 0o600)?
        .write_all(b"new")?;
    let mut file = AtomicFile::create(home, os("f"), 0o600)?;
    file.write_all(b"new")?;
    Ok((staging, file))
}

fn publish(staging: Staging, home: &Dir, name: &str) -> layergraph_fs::Result<()> {
    let (mode, durability) = (RenameMode::NoReplace, Durability::None);
    staging
        .publish(home, os(name), mode, durability)
        .map(|_| ())
}

#[test]
fn what_another_thread_is_making_stays() -> Result {
    let home = Home::new()?;
    let (staging, file) = begin(&home.dir)?;
    let swept = thread::scope(|scope| scope.spawn(|| sweep(&home.dir)).join());
    assert_eq!(swept.expect("no thread panics")?, 0);
    assert_eq!(sweep(&home.dir)?, 0, "nor does its own thread");
    publish(staging, &home.dir, "tree")?;
    file.commit(Durability::None)?;
    assert_eq!(home.names()?, ["f", "tree"]);
    assert_eq!(fs::read(home.path("tree/f"))?, b"new");
    Ok(())
}

#[test]
fn what_another_process_is_making_stays_until_it_dies() -> Result {
    if let Some(home) = partner_home() {
        let _made = begin(&Dir::open(&home)?)?;
        return Ok(ready_until_told()?);
    }
    let home = Home::new()?;
    let mut partner = start_partner(&this_test!(), home.top())?;
    partner.wait_ready()?;
    assert_eq!(sweep(&home.dir)?, 0);
    assert_eq!(home.names()?.len(), 2);
    partner.kill()?;
    assert_eq!(settled(|| sweep(&home.dir))?, 2);
    assert_eq!(home.names()?.len(), 0);
    Ok(())
}

#[test]
fn what_is_published_is_no_leftover() -> Result {
    let home = Home::new()?;
    let (staging, file) = begin(&home.dir)?;
    publish(staging, &home.dir, "tree")?;
    file.commit(Durability::Full)?;
    assert_eq!(settled(|| sweep(&home.dir))?, 0);
    assert_eq!(home.names()?, ["f", "tree"]);
    Ok(())
}

#[test]
fn a_leftover_of_any_kind_is_removed_and_no_other_name_is() -> Result {
    let home = Home::new()?;
    home.file("target", "left alone")?;
    home.file(&left(1), "")?;
    home.set_mode(&left(1), 0)?;
    home.file(&format!("{}/a/b/c", left(2)), "")?;
    home.set_mode(&format!("{}/a", left(2)), 0o500)?;
    home.link(&left(3), "target")?;
    let device = layergraph_fs::Device::default();
    for (number, kind) in [(4, FileKind::Fifo), (5, FileKind::Socket)] {
        home.dir.make_node(os(&left(number)), kind, 0o600, device)?;
    }
    let others = [
        ".layergraph-1",
        ".layergraph-000000000000000G",
        "d/.layergraph-0000000000000001",
    ];
    for name in others {
        assert!(!is_temporary_name(os(name)));
        home.file(name, "")?;
    }
    assert_eq!(settled(|| sweep(&home.dir))?, 5);
    assert_eq!(
        home.names()?,
        [
            ".layergraph-000000000000000G",
            ".layergraph-1",
            "d",
            "target"
        ]
    );
    assert!(home.path(others[2]).exists());
    Ok(())
}

#[test]
fn an_ordinary_user_sweeps_even_what_its_mode_closes() -> Result {
    as_ordinary_user!();
    a_leftover_of_any_kind_is_removed_and_no_other_name_is()
}

#[test]
fn root_sweeps_for_everybody() -> Result {
    require!(root);
    let home = Home::new()?;
    home.file(&left(1), "")?;
    std::os::unix::fs::chown(home.path(&left(1)), Some(1), Some(1))?;
    assert_eq!(settled(|| sweep(&home.dir))?, 1);
    Ok(())
}

/// Root's directory, in which others may write, with something of root's in it.
#[test]
fn an_ordinary_user_sweeps_for_nobody_else() -> Result {
    if let Some(home) = partner_home() {
        assert_eq!(sweep(&Dir::open(&home)?)?, 0);
        return Ok(());
    }
    require!(root);
    require_settled!(user);
    let home = Home::new()?;
    home.set_mode(".", 0o777)?;
    home.file(&left(1), "")?;
    partner_as_user(&this_test!(), home.top())?;
    assert_eq!(home.names()?, [&*left(1)]);
    Ok(())
}

/// Makes and publishes directories and files, each of which is to be whole.
fn make_many(dir: &Dir, home: &Path, who: &str) -> io::Result<()> {
    for number in 0..40 {
        let (staging, mut file) = begin(dir)?;
        file.write_all(b"er")?;
        let name = format!("tree-{who}-{number}");
        publish(staging, dir, &name)?;
        assert_eq!(fs::read(home.join(&name).join("f"))?, b"new");
        if number % 2 == 0 {
            file.commit(Durability::None)?;
            assert_eq!(fs::read(home.join("f"))?, b"newer");
        }
    }
    Ok(())
}

#[test]
fn threads_make_and_sweep_at_the_same_time() -> Result {
    let home = Home::new()?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        let sweepers = [(); 2].map(|()| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    sweep(&home.dir).expect("whatever it meets");
                }
            })
        });
        let makers =
            ["a", "b", "c"].map(|who| scope.spawn(|| make_many(&home.dir, home.top(), who)));
        let made: Vec<_> = makers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        drop(over);
        for sweeper in sweepers {
            sweeper.join().expect("no sweep fails");
        }
        made.into_iter()
            .try_for_each(|made| made.expect("no maker panics"))
    })?;
    // Three times forty trees, and the file.
    assert_eq!(home.names()?.len(), 121);
    assert!(!home.names()?.iter().any(|name| is_temporary_name(os(name))));
    Ok(())
}

/// The moment between making and locking is a short one, so it is tried often.
#[test]
fn what_was_just_made_is_not_taken_for_a_leftover() -> Result {
    let home = Home::in_memory()?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        let sweepers = [(); 3].map(|()| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    sweep(&home.dir).expect("whatever it meets");
                }
            })
        });
        let made = (0..3000).try_for_each(|_| {
            write_atomic(&home.dir, os("f"), 0o600, b"", Durability::None)?;
            let staging = Staging::new(&home.dir)?;
            staging.dir().make_dir(os("d"), 0o700)?;
            staging.discard()
        });
        drop(over);
        for sweeper in sweepers {
            sweeper.join().expect("no sweep fails");
        }
        made
    })?;
    assert_eq!(home.names()?, ["f"]);
    Ok(())
}

#[test]
fn processes_make_while_others_sweep() -> Result {
    if let Some(home) = partner_home() {
        let dir = Dir::open(&home)?;
        let who = std::process::id().to_string();
        ready_until_told()?;
        return Ok(make_many(&dir, &home, &who)?);
    }
    let home = Home::new()?;
    for mut partner in start_partners(&this_test!(), home.top(), 2)? {
        while !partner.has_ended()? {
            sweep(&home.dir)?;
        }
        partner.finish()?;
    }
    assert_eq!(home.names()?.len(), 81);
    Ok(())
}

/// To see whether its maker lives, a sweep opens what it may not read for the time being.
#[test]
fn a_file_that_is_published_during_a_sweep_keeps_its_mode() -> Result {
    const FILES: u32 = 400;
    as_ordinary_user!();
    let home = Home::new()?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        let sweeper = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                sweep(&home.dir).expect("whatever it meets");
            }
        });
        let written = (0..FILES).try_for_each(|number| {
            let name = format!("f-{number}");
            write_atomic(&home.dir, os(&name), 0o200, b"", Durability::None)
        });
        drop(over);
        sweeper.join().expect("no sweep fails");
        written
    })?;
    for number in 0..FILES {
        let mode = fs::metadata(home.path(&format!("f-{number}")))?.mode() & 0o777;
        assert_eq!(mode, 0o200, "f-{number}: {mode:o}");
    }
    Ok(())
}

/// Nothing can be locked or listed that its maker may not read.
#[test]
fn a_staging_directory_is_its_makers_whatever_the_umask() -> Result {
    as_ordinary_user!();
    let Some(home) = partner_home() else {
        // In a process of its own: the umask is one for all threads.
        let home = Home::new()?;
        start_partner(&this_test!(), home.top())?.finish()?;
        return Ok(());
    };
    let home = Dir::open(&home)?;
    for umask in [0o777, 0o700, 0o400, 0o200, 0o100] {
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        let staging = Staging::new(&home);
        rustix::process::umask(before);
        let staging = staging?;
        assert_eq!(staging.dir().metadata_here()?.mode, 0o700, "{umask:o}");
        staging.dir().make_dir(os("d"), 0o700)?;
        assert_eq!(staging.dir().sorted_names()?, ["d"]);
        assert_eq!(sweep(&home)?, 0, "it is locked");
        staging.discard()?;
        assert!(home.sorted_names()?.is_empty());
    }
    Ok(())
}
