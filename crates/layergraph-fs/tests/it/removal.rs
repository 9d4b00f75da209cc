//! Removing trees of any shape (R10).

use std::fs;
use std::io;

use layergraph_fs::{Dir, FileKind, remove_tree};
use layergraph_tests::{partner_home, require, this_test};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::processes::{as_ordinary_user, start_partner, while_mounted};
use crate::support::{Home, Result, assert_same, errno, is_root, os, untimed};

/// Makes a chain of directories that no path leads through, each with a file in it.
fn deep(home: &Home, name: &str, depth: usize) -> layergraph_fs::Result<()> {
    let mut dir = home.dir.try_clone()?;
    for level in 0..depth {
        let name = if level == 0 {
            name.to_owned()
        } else {
            "d".repeat(50)
        };
        dir.make_dir(os(&name), 0o700)?;
        dir = dir.open_dir(os(&name))?;
        dir.create_file(os("f"), 0o600)?;
    }
    Ok(())
}

/// The handles of this process.
fn handles() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

#[test]
fn r10_a_link_is_removed_and_what_it_leads_to_is_left() -> Result {
    let home = Home::new()?;
    home.file("outside/d/f", "content")?;
    let before = untimed(&home.path("outside"))?;
    home.directory("tree/d")?;
    home.link("tree/relative", "../outside")?;
    home.link(
        "tree/d/absolute",
        home.path("outside/d").to_str().expect("a plain path"),
    )?;
    home.link("tree/dangling", "missing")?;
    home.link("link", "outside")?;
    for name in ["tree", "link"] {
        remove_tree(&home.dir, os(name))?;
    }
    assert_eq!(home.names()?, ["outside"]);
    assert_same(
        &before,
        &untimed(&home.path("outside"))?,
        "what links led to",
    );
    Ok(())
}

#[test]
fn an_object_of_any_kind_is_removed_and_what_is_missing_is_no_error() -> Result {
    let home = Home::new()?;
    let device = layergraph_fs::Device::default();
    let tree = home.directory("tree")?;
    for dir in [&home.dir, &tree] {
        dir.create_file(os("file"), 0o600)?;
        dir.make_dir(os("directory"), 0)?;
        dir.make_node(os("fifo"), FileKind::Fifo, 0, device)?;
        dir.make_node(os("socket"), FileKind::Socket, 0, device)?;
        dir.make_symlink(os("link"), os("link"))?;
    }
    for name in home.names()? {
        remove_tree(&home.dir, os(&name))?;
        remove_tree(&home.dir, os(&name))?;
    }
    assert_eq!(home.names()?.len(), 0);
    Ok(())
}

#[test]
fn a_name_that_is_no_plain_component_removes_nothing() -> Result {
    let home = Home::new()?;
    home.file("d/f", "content")?;
    let before = untimed(home.top())?;
    let dir = home.directory("d")?;
    for name in [".", "..", "", "../d", "d/f", "/d"] {
        assert_eq!(errno(remove_tree(&dir, os(name))), Errno::INVAL, "{name:?}");
    }
    assert_same(&before, &untimed(home.top())?, "refusing");
    Ok(())
}

/// Twelve times as long a path as any call takes; the handles are those of a shallow tree.
#[test]
fn a_tree_deeper_than_any_path_is_removed() -> Result {
    let home = Home::in_memory()?;
    deep(&home, "tree", 1000)?;
    remove_tree(&home.dir, os("tree"))?;
    assert_eq!(home.names()?.len(), 0);
    Ok(())
}

#[test]
fn a_wide_tree_is_removed() -> Result {
    let home = Home::in_memory()?;
    let tree = home.directory("tree")?;
    // More than the kernel lists at once, and files among directories.
    for number in 0..3000 {
        let name = format!("{number:040}");
        if number % 3 == 0 {
            tree.make_dir(os(&name), 0o700)?;
            tree.open_dir(os(&name))?.create_file(os("f"), 0o600)?;
        } else {
            tree.create_file(os(&name), 0o600)?;
        }
    }
    remove_tree(&home.dir, os("tree"))?;
    assert_eq!(home.names()?.len(), 0);
    Ok(())
}

#[test]
fn an_ordinary_user_removes_what_its_modes_close() -> Result {
    as_ordinary_user!();
    let home = Home::new()?;
    for mode in [0o500, 0o400, 0o300, 0o200, 0o100, 0] {
        home.file("tree/a/b/f", "content")?;
        home.directory("tree/a/empty")?;
        for path in ["tree/a/b/f", "tree/a/b", "tree/a/empty", "tree/a", "tree"] {
            home.set_mode(path, mode)?;
        }
        remove_tree(&home.dir, os("tree"))?;
        assert_eq!(home.names()?.len(), 0, "{mode:o}");
    }
    // So deep that the way back goes through `..`, which takes permission too.
    deep(&home, "tree", 200)?;
    let mut dir = home.dir.try_clone()?;
    let mut all = Vec::new();
    for level in 0..200 {
        let name = if level == 0 {
            "tree".to_owned()
        } else {
            "d".repeat(50)
        };
        dir = dir.open_dir(os(&name))?;
        all.push(dir.try_clone()?);
    }
    for dir in all.iter().rev() {
        dir.set_mode(os("."), 0)?;
    }
    drop((dir, all));
    remove_tree(&home.dir, os("tree"))?;
    assert_eq!(home.names()?.len(), 0);
    Ok(())
}

#[test]
fn a_directory_of_somebody_else_stays_and_is_named() -> Result {
    as_ordinary_user!();
    let home = Home::new()?;
    home.file("tree/f", "content")?;
    home.set_mode(".", 0o500)?;
    let removed = remove_tree(&home.dir, os("tree"));
    home.set_mode(".", 0o700)?;
    let error = removed.expect_err("the caller's own directory is not opened up");
    assert_eq!(
        (error.call(), error.path()),
        ("unlinkat", &*home.path("tree"))
    );
    assert_eq!(error.errno(), Some(Errno::ACCESS.raw_os_error()));
    Ok(())
}

/// Who removes a tree leaves alone what is mounted in it.
#[test]
fn r10_a_mount_in_the_tree_is_named_and_what_is_behind_it_is_left() -> Result {
    require!(root);
    require!(program "mount", "umount");
    let home = Home::new()?;
    home.file("outside/f", "content")?;
    let outside = home.path("outside");
    let outside = outside.to_str().expect("a plain path");
    for options in [&["-t", "tmpfs", "none"][..], &["--bind", outside]] {
        drop(home.directory("tree/a/mount")?);
        let point = home.path("tree/a/mount");
        let (removed, is_left) = while_mounted(options, &point, || -> Result<_> {
            home.file("tree/a/mount/f", "content")?;
            let removed = remove_tree(&home.dir, os("tree"));
            Ok((removed, point.join("f").exists()))
        })??;
        let error = removed.expect_err("something is mounted there");
        assert_eq!(error.errno(), Some(Errno::XDEV.raw_os_error()), "{error}");
        assert_eq!(error.path(), point);
        assert!(is_left);
        remove_tree(&home.dir, os("tree"))?;
    }
    assert_eq!(fs::read(home.path("outside/f"))?, b"content");
    Ok(())
}

/// Without openat2(2) mounts are seen too, and links are not followed either.
#[cfg(feature = "faults")]
#[test]
fn r10_it_is_the_same_where_the_kernel_lacks_openat2() -> Result {
    let log = layergraph_fs::faults::FaultLog::new();
    log.lack("openat2");
    log.during(|| {
        r10_a_link_is_removed_and_what_it_leads_to_is_left()?;
        an_object_of_any_kind_is_removed_and_what_is_missing_is_no_error()?;
        a_tree_deeper_than_any_path_is_removed()
    })
}

#[cfg(feature = "faults")]
#[test]
fn r10_a_mount_is_seen_where_the_kernel_lacks_openat2() -> Result {
    require!(root);
    require!(program "mount", "umount");
    let log = layergraph_fs::faults::FaultLog::new();
    log.lack("openat2");
    log.during(r10_a_mount_in_the_tree_is_named_and_what_is_behind_it_is_left)
}

/// Few handles are open at the same time, however deep the tree is.
#[test]
fn a_deep_tree_takes_a_few_dozen_handles() -> Result {
    if partner_home().is_none() {
        // In a process of its own, where nobody else opens any.
        let home = Home::new()?;
        start_partner(&this_test!(), home.top())?.finish()?;
        return Ok(());
    }
    let home = Home::in_memory()?;
    deep(&home, "tree", 500)?;
    let before = handles()?;
    let limit = Rlimit {
        current: Some(before as u64 + 80),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit)?;
    layergraph_fs::copy_tree(&home.dir, os("tree"), &home.dir, os("copy"))?;
    for name in ["tree", "copy"] {
        remove_tree(&home.dir, os(name))?;
    }
    assert_eq!(handles()?, before, "each handle is closed again");
    assert_eq!(home.names()?.len(), 0);
    Ok(())
}

#[test]
fn what_is_put_into_the_tree_meanwhile_is_removed_too() -> Result {
    let home = Home::in_memory()?;
    for _ in 0..20 {
        let tree = home.directory("tree/d")?;
        let parent = Dir::open(&home.path("tree"))?;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Until the directory is gone.
                for number in 0.. {
                    let name = format!("n{number}");
                    let made = tree.make_dir(os(&name), 0o700);
                    let moved = parent.make_symlink(os(&name), os("x"));
                    if made.is_err() && moved.is_err() {
                        break;
                    }
                    std::thread::yield_now();
                }
            });
            let mut removed = remove_tree(&home.dir, os("tree"));
            // Who is always faster than the removal makes it give up.
            for _ in 0..1000 {
                match &removed {
                    Err(error) if error.errno() == Some(Errno::NOTEMPTY.raw_os_error()) => {
                        removed = remove_tree(&home.dir, os("tree"));
                    }
                    _ => break,
                }
            }
            removed
        })?;
        assert_eq!(home.names()?.len(), 0);
    }
    Ok(())
}

/// As root there is no permission to lack.
#[test]
fn a_read_only_tree_is_removed_by_whoever_owns_it() -> Result {
    let home = Home::new()?;
    home.file("tree/a/f", "content")?;
    for path in ["tree/a/f", "tree/a", "tree"] {
        home.set_mode(path, 0o555 & if is_root() { 0 } else { 0o777 })?;
    }
    remove_tree(&home.dir, os("tree"))?;
    assert_eq!(home.names()?.len(), 0);
    Ok(())
}
