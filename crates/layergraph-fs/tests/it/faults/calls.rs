//! Faults where there is no one step: removals, sweeps, and single calls.

use layergraph_fs::faults::FaultLog;
use layergraph_fs::{Dir, RenameMode, copy_tree, remove_tree, sweep};
use rustix::io::Errno;

use super::cases::home_with_old_tree;
use super::{assert_names, fail};
use crate::processes::settled;
use crate::support::{Home, Result, assert_same, difference, os, untimed};

#[test]
fn r55_a_removal_that_fails_at_any_call_names_it_and_a_second_one_removes_the_rest() -> Result {
    let mut at = 0;
    loop {
        let home = Home::in_memory()?;
        for path in ["tree/a/f", "tree/a/b/f", "tree/c/f", "tree/g", "beside"] {
            home.file(path, path)?;
        }
        let before = untimed(home.top())?;
        let log = FaultLog::new();
        log.inject(at, fail(Errno::IO));
        let removed = log.during(|| remove_tree(&home.dir, os("tree")));
        let calls = log.calls();
        let Some(call) = calls.get(at) else {
            removed?;
            break;
        };
        assert_names(&removed.expect_err("it fails"), call, Errno::IO);
        let rest = untimed(home.top())?;
        let mut expected = before;
        expected.retain(|path, _| rest.contains_key(path));
        assert_eq!(difference(&expected, &rest), None);
        remove_tree(&home.dir, os("tree"))?;
        assert_eq!(home.names()?, ["beside"]);
        at += 1;
    }
    assert_eq!(at, 8, "each object is removed by one call");
    Ok(())
}

#[test]
fn a_signal_does_not_interrupt_removing_or_copying() -> Result {
    let mut at = 0;
    loop {
        let (home, before) = home_with_old_tree()?;
        let log = FaultLog::new();
        log.inject(at, fail(Errno::INTR));
        log.during(|| {
            copy_tree(&home.dir, os("tree"), &home.dir, os("copy"))?;
            remove_tree(&home.dir, os("tree"))
        })?;
        assert_eq!(home.names()?, ["copy"]);
        assert_same(&before, &untimed(&home.path("copy"))?, "the copy");
        if at >= log.calls().len() {
            return Ok(());
        }
        at += 1;
    }
}

#[test]
fn r34_a_sweep_goes_on_after_an_error_and_tells_the_first() -> Result {
    let home = Home::in_memory()?;
    for digit in '0'..='3' {
        home.file(
            &format!(".layergraph-{}", digit.to_string().repeat(16)),
            "left",
        )?;
    }
    let log = FaultLog::new();
    log.inject(1, fail(Errno::IO));
    log.inject(2, fail(Errno::NOSPC));
    let error = settled(|| log.during(|| sweep(&home.dir))).expect_err("two fail");
    let calls = log.calls();
    assert_eq!(calls[1].name, "unlinkat");
    assert_names(&error, &calls[1], Errno::IO);
    assert_eq!(calls.len(), 4);
    assert_eq!(home.names()?.len(), 2);
    assert_eq!(settled(|| sweep(&home.dir))?, 2);
    Ok(())
}

/// A call that is made but for its fault is named as its manual page has it.
#[test]
fn each_changing_call_of_a_directory_passes_the_log() -> Result {
    type Work = fn(&Dir) -> layergraph_fs::Result<()>;
    let works: &[(&str, Work)] = &[
        ("mkdirat", |dir| dir.make_dir(os("x"), 0o700)),
        ("openat", |dir| dir.create_file(os("x"), 0o600).map(|_| ())),
        ("symlinkat", |dir| dir.make_symlink(os("x"), os("f"))),
        ("linkat", |dir| dir.make_hard_link(os("x"), dir, os("f"))),
        ("mknodat", |dir| {
            let kind = layergraph_fs::FileKind::Fifo;
            dir.make_node(os("x"), kind, 0o600, layergraph_fs::Device::default())
        }),
        ("renameat2", |dir| {
            dir.rename(os("f"), dir, os("x"), RenameMode::NoReplace)
        }),
        ("unlinkat", |dir| dir.remove_file(os("f"))),
        ("unlinkat", |dir| dir.remove_dir(os("d"))),
        ("fchownat", |dir| dir.set_owner(os("f"), 1, 1)),
        ("fchmodat", |dir| dir.set_mode(os("f"), 0o777)),
        ("fchmod", |dir| dir.set_mode(os("."), 0o777)),
        ("utimensat", |dir| dir.set_times(os("f"), None, None)),
        ("futimens", |dir| dir.set_times(os("."), None, None)),
        ("setxattr", |dir| dir.set_xattr(os("f"), os("user.x"), b"x")),
        ("removexattr", |dir| {
            dir.remove_xattr(os("f"), os("user.key"))
        }),
        ("fsync", Dir::sync),
        ("syncfs", Dir::sync_filesystem),
        ("openat", |dir| {
            layergraph_fs::LockFile::open(dir, os("x")).map(|_| ())
        }),
    ];
    for (name, work) in works {
        let home = Home::in_memory()?;
        home.file("f", "content")?;
        home.directory("d")?;
        home.dir.set_xattr(os("f"), os("user.key"), b"value")?;
        let before = untimed(home.top())?;
        let log = FaultLog::new();
        log.inject(0, fail(Errno::NOSPC));
        let error = log.during(|| work(&home.dir)).expect_err(name);
        let calls = log.calls();
        assert_names(&error, &calls[0], Errno::NOSPC);
        assert_eq!((calls.len(), calls[0].name), (1, *name));
        assert_same(&before, &untimed(home.top())?, name);
    }
    Ok(())
}
