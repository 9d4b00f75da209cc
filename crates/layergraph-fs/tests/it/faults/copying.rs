//! Copies that fail, as a whole or in one of the ways there are.

use layergraph_fs::faults::{Call, FaultLog};
use layergraph_fs::{copy_tree, remove_tree};
use rustix::io::Errno;

use super::cases::home_with_old_tree;
use super::{assert_names, fail};
use crate::support::{Home, Result, assert_same, os, untimed};

#[test]
fn a_copy_that_fails_at_any_call_names_it_and_leaves_the_original() -> Result {
    for lacking in [
        &[][..],
        &["ioctl_ficlone"],
        &["ioctl_ficlone", "copy_file_range"],
    ] {
        let mut at = 0;
        loop {
            let (home, before) = home_with_old_tree()?;
            let log = FaultLog::new();
            for call in lacking {
                log.lack(call);
            }
            log.inject(at, fail(Errno::NOSPC));
            let copied = log.during(|| copy_tree(&home.dir, os("tree"), &home.dir, os("copy")));
            assert_same(&before, &untimed(&home.path("tree"))?, "the original");
            let calls = log.calls();
            let Some(call) = calls.get(at) else {
                copied?;
                assert_same(&before, &untimed(&home.path("copy"))?, "the copy");
                break;
            };
            assert_names(&copied.expect_err("no space"), call, Errno::NOSPC);
            assert_eq!(calls.len(), at + 1, "nothing is done after an error");
            remove_tree(&home.dir, os("copy"))?;
            copy_tree(&home.dir, os("tree"), &home.dir, os("copy"))?;
            assert_same(&before, &untimed(&home.path("copy"))?, "the next copy");
            at += 1;
        }
        assert!(at > 15, "a tree takes more calls than {at}");
    }
    Ok(())
}

/// What the file system cannot do is not tried for each file, what fails for one file is.
#[test]
fn a_way_of_copying_that_fails_for_one_file_is_tried_for_the_next() -> Result {
    for (way, lacking) in [
        ("ioctl_ficlone", &[][..]),
        ("copy_file_range", &["ioctl_ficlone"]),
    ] {
        for errno in [Errno::INVAL, Errno::OPNOTSUPP, Errno::XDEV, Errno::PERM] {
            let home = Home::in_memory()?;
            for name in ["a", "b", "c"] {
                home.file(&format!("tree/{name}"), name)?;
            }
            let run = |at: Option<usize>, to: &str| -> Result<Vec<Call>> {
                let log = FaultLog::new();
                for call in lacking {
                    log.lack(call);
                }
                if let Some(at) = at {
                    log.inject(at, fail(errno));
                }
                log.during(|| copy_tree(&home.dir, os("tree"), &home.dir, os(to)))?;
                let (original, copy) = (home.path("tree"), home.path(to));
                assert_same(&untimed(&original)?, &untimed(&copy)?, way);
                Ok(log.calls())
            };
            let is_way = |call: &Call| call.name == way;
            let first = run(None, "first")?.iter().position(is_way);
            let calls = run(first, "second")?;
            let tries = calls.iter().filter(|call| is_way(call)).count();
            assert_eq!(
                tries > 1,
                errno == Errno::INVAL,
                "{errno} of {way}: {tries}"
            );
        }
    }
    Ok(())
}
