//! Somebody who swaps directories and links under a running operation (R4, R10).
//!
//! The swaps lead to a directory outside, in which nothing may change and which nobody may be led
//! to. Each test is about one call; `cargo xtask race` is the campaign against whole operations.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use layergraph_fs::{
    Dir, FsError, LockFile, RenameMode, Root, copy_tree, remove_tree, replace_by_copy, sweep,
};

use rustix::io::Errno;

use crate::support::{Home, Over, Result, Tree, assert_same, os, untimed};

/// A tree in which `swap` is a directory and `link` leads outside, where the same names are.
struct Trap {
    home: Home,
    outside: Tree,
    inodes: Vec<u64>,
}

impl Trap {
    fn new() -> Result<Trap> {
        let home = Home::in_memory()?;
        for place in ["outside", "outside/below", "outside/below/below"] {
            home.file(&format!("{place}/f"), "outside")?;
        }
        home.link("link", "../outside")?;
        let outside = untimed(&home.path("outside"))?;
        let inodes = outside.keys().map(|path| home.path("outside").join(path));
        let inodes = inodes
            .map(|path| fs::metadata(path).map(|metadata| metadata.ino()))
            .collect::<Result<_, _>>()?;
        let trap = Trap {
            home,
            outside,
            inodes,
        };
        trap.fill()?;
        Ok(trap)
    }

    /// Makes what is to be swapped, as far as it is missing.
    fn fill(&self) -> Result {
        // By handle, not to be led outside itself. Whoever swaps may be faster.
        let mut dir = self.home.directory("top")?;
        for name in ["a", "swap", "below"] {
            let _ = dir.make_dir(os(name), 0o700);
            let Ok(below) = dir.open_dir(os(name)) else {
                break;
            };
            if name == "swap" {
                let _ = dir.make_symlink(os("link"), self.home.path("outside").as_os_str());
            }
            dir = below;
            if let Ok(mut file) = dir.create_file(os("f"), 0o600) {
                file.write_all(b"inside")?;
            }
        }
        Ok(())
    }

    fn is_outside(&self, dir: &Dir) -> bool {
        let inode = dir.metadata_here().expect("it is open").inode;
        self.inodes.contains(&inode)
    }

    /// Runs `work` many times while another thread swaps, and checks that nothing outside was
    /// changed.
    fn under_swaps(&self, times: usize, mut work: impl FnMut(usize) -> Result) -> Result {
        let is_over = AtomicBool::new(false);
        let result = thread::scope(|scope| {
            let over = Over(&is_over);
            let swapper = scope.spawn(|| {
                let mut swaps = 0;
                while !is_over.load(Ordering::Relaxed) {
                    swaps += usize::from(self.swap());
                }
                swaps
            });
            let mut result = Ok(());
            for time in 0..times {
                result = work(time);
                if result.is_err() {
                    break;
                }
            }
            drop(over);
            let swaps = swapper.join().expect("swapping does not panic");
            assert!(swaps > 0, "nothing was swapped");
            result
        });
        assert_same(
            &self.outside,
            &untimed(&self.home.path("outside"))?,
            "outside",
        );
        result
    }

    /// Puts the link in the place of the directory, or the other way round.
    fn swap(&self) -> bool {
        let Ok(dir) = Dir::open(&self.home.path("top/a")) else {
            return false;
        };
        dir.rename(os("swap"), &dir, os("link"), RenameMode::Exchange)
            .is_ok()
    }
}

type Way = fn(Dir) -> Root;
const WAYS: [Way; 2] = [Root::new, Root::without_openat2];

#[test]
fn r4_no_path_leads_outside_while_a_link_takes_a_directorys_place() -> Result {
    let trap = Trap::new()?;
    trap.under_swaps(3000, |time| {
        let top = Dir::open(&trap.home.path("top"))?;
        let mut root = WAYS[time % 2](top);
        for path in [
            "a/swap",
            "a/swap/below",
            "a/swap/below/../../swap",
            "a/link/below",
        ] {
            // A link to outside is one to a place that is missing inside.
            if let Ok(dir) = root.directory(path.as_bytes()) {
                assert!(!trap.is_outside(&dir), "{path} led outside");
            }
        }
        Ok(())
    })
}

#[test]
fn r4_nothing_is_made_outside_while_a_link_takes_a_directorys_place() -> Result {
    let trap = Trap::new()?;
    trap.under_swaps(1500, |time| {
        let top = Dir::open(&trap.home.path("top"))?;
        let mut root = WAYS[time % 2](top);
        let path = format!("a/swap/new-{time}/deep");
        let made = root.directory_or_make::<FsError>(path.as_bytes(), &mut |dir, name| {
            dir.make_dir(name, 0o700)
        });
        if let Ok(dir) = made {
            assert!(!trap.is_outside(&dir));
            dir.create_file(os("made"), 0o600)?;
        }
        Ok(())
    })
}

#[test]
fn r4_what_is_named_is_changed_itself_and_not_what_a_link_leads_to() -> Result {
    let trap = Trap::new()?;
    let dir = Dir::open(&trap.home.path("top/a"))?;
    trap.under_swaps(3000, |_| {
        let name = os("swap");
        let moment = std::time::SystemTime::UNIX_EPOCH;
        // Each may fail, on a link as on a directory.
        let _ = dir.set_mode(name, 0o755);
        let _ = dir.set_times(name, Some(moment), Some(moment));
        let _ = dir.set_xattr(name, os("user.key"), b"value");
        let _ = dir.remove_xattr(name, os("user.key"));
        let _ = dir.set_owner(name, dir.metadata_here()?.uid, dir.metadata_here()?.gid);
        let _ = dir.make_hard_link(os("further"), &dir, name);
        let _ = remove_tree(&dir, os("further"));
        let _ = replace_by_copy(&dir, name);
        let _ = LockFile::open(&dir, name);
        if let Ok(found) = dir.open_dir(name) {
            assert!(!trap.is_outside(&found));
        }
        Ok(())
    })
}

/// Checks that a removal failed because somebody else was at the tree.
#[track_caller]
fn assert_torn(error: &FsError) {
    let torn = [Errno::STALE, Errno::NOTEMPTY, Errno::NOTDIR, Errno::ISDIR];
    let errno = error.errno().map(Errno::from_raw_os_error);
    assert!(
        errno.is_some_and(|errno| torn.contains(&errno)),
        "{error}: {errno:?}"
    );
}

#[test]
fn r10_a_removal_does_not_leave_the_tree() -> Result {
    let trap = Trap::new()?;
    trap.under_swaps(1500, |_| {
        trap.fill()?;
        // Who is faster each time makes it give up, and no more.
        if let Err(error) = remove_tree(&trap.home.dir, os("top")) {
            assert_torn(&error);
        }
        Ok(())
    })
}

/// A directory that is moved out of the tree while it is emptied takes nobody with it.
#[test]
fn r10_a_removal_does_not_go_where_a_directory_is_moved_to() -> Result {
    let home = Home::in_memory()?;
    for number in 0..20 {
        home.file(&format!("outside/f{number}"), "outside")?;
    }
    // It is called as what is to be removed.
    home.file("outside/d/f", "outside")?;
    let before = untimed(&home.path("outside"))?;
    let depth = "d/".repeat(100);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| -> Result {
        let over = Over(&is_over);
        let mover = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // From far below, where the way back goes through `..`.
                let middle = home.path(&format!("tree/{}", "d/".repeat(30)));
                if fs::rename(&middle, home.path("outside/moved")).is_ok() {
                    let _ = fs::rename(home.path("outside/moved"), &middle);
                    let _ = fs::remove_dir_all(home.path("outside/moved"));
                }
            }
        });
        let result = (0..150).try_for_each(|_| -> Result {
            fs::create_dir_all(home.path(&format!("tree/{depth}"))).or_else(|error| match error
                .kind()
            {
                // Moved just now.
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
            // It may fail because the tree was torn apart, and not otherwise.
            match remove_tree(&home.dir, os("tree")) {
                Ok(()) => {}
                Err(error) => assert_torn(&error),
            }
            Ok(())
        });
        drop(over);
        mover.join().expect("moving does not panic");
        result
    })?;
    let _ = fs::remove_dir_all(home.path("outside/moved"));
    assert_same(&before, &untimed(&home.path("outside"))?, "outside");
    Ok(())
}

#[test]
fn r4_a_copy_holds_nothing_from_outside() -> Result {
    let trap = Trap::new()?;
    trap.under_swaps(500, |_| {
        // It may fail because a directory became a link just then.
        let _ = copy_tree(&trap.home.dir, os("top"), &trap.home.dir, os("copy"));
        for (path, object) in untimed(&trap.home.path("copy"))? {
            assert_ne!(object.content, b"outside", "{}", path.display());
        }
        Ok(remove_tree(&trap.home.dir, os("copy"))?)
    })
}

#[test]
fn r4_a_directory_moved_out_of_the_root_leads_nowhere_else() -> Result {
    let trap = Trap::new()?;
    let home = &trap.home;
    home.directory("top/x")?;
    home.directory("x")?;
    let outside = fs::metadata(home.path("x"))?.ino();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let _ = fs::rename(home.path("top/a/swap"), home.path("moved"));
                let _ = fs::rename(home.path("moved"), home.path("top/a/swap"));
            }
        });
        for time in 0..3000 {
            let top = Dir::open(&home.path("top")).expect("it is there");
            let mut root = WAYS[time % 2](top);
            for path in ["a/swap/below/../../../x", "a/swap/below/../../x"] {
                if let Ok(dir) = root.directory(path.as_bytes()) {
                    let inode = dir.metadata_here().expect("it is open").inode;
                    assert_ne!(inode, outside, "{path}");
                }
            }
        }
        drop(over);
    });
    Ok(())
}

#[test]
fn r10_a_sweep_does_not_follow_a_link_that_takes_a_leftovers_place() -> Result {
    let trap = Trap::new()?;
    let home = trap.home.directory("top/a")?;
    let left = os(".layergraph-0123456789abcdef");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| -> Result {
        let over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let _ = home.make_dir(left, 0o700);
                let _ = home.rename(left, &home, os("link"), RenameMode::Exchange);
                let _ = home.make_symlink(os("link"), trap.home.path("outside").as_os_str());
            }
        });
        let result = (0..1000).try_for_each(|_| sweep(&home).map(drop));
        drop(over);
        Ok(result?)
    })?;
    assert_same(
        &trap.outside,
        &untimed(&trap.home.path("outside"))?,
        "outside",
    );
    Ok(())
}
