//! Layouts that are written while calls fail, or the process dies.

use std::path::{Path, PathBuf};

use layergraph_fs::faults::{Fault, FaultLog};
use layergraph_fs::{Dir, Durability, sweep};
use layergraph_image::transfer::ImageSink;
use layergraph_oci::{LayoutWriter, SourceOptions, open};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::support::{
    Found, Image, Result, image, images_of, packed_image, read_all, send, tree, write_layout,
};

/// Writes an image, with syncs where these may fail.
fn write(path: &Path, image: &Image, fault: Fault) -> Result {
    let durability = match fault {
        Fault::Fail(_) => Durability::Full,
        Fault::Crash | Fault::Tear => Durability::None,
    };
    let mut sink = Box::new(LayoutWriter::new(path, durability)?);
    send(image, &["y:1"], sink.as_mut())?;
    sink.finish()
}

fn found(path: &Path) -> Result<Vec<Found>> {
    read_all(&images_of(open(path, &SourceOptions::default())?))
}

/// Makes a directory with what was there before, and returns where the layout is or will be.
fn prepare(directory: &Path, old: Option<&Image>) -> Result<PathBuf> {
    let path = directory.join("layout");
    if let Some(old) = old {
        write_layout(&path, &[(old, &["x:1"])])?;
    }
    Ok(path)
}

/// Removes what a sweep removes, in the layout and beside it.
fn tidy(path: &Path) -> Result {
    for directory in [Some(path), path.parent()].into_iter().flatten() {
        if directory.exists() {
            sweep(&Dir::open(directory)?)?;
        }
    }
    Ok(())
}

fn check_each_call(old: Option<&Image>, fault: Fault) -> Result {
    let new = packed_image(&["c"]);
    let mut after: Vec<Found> = old.iter().map(|old| old.found(&["x:1"])).collect();
    let before = after.clone();
    after.push(new.found(&["y:1"]));
    let directory = TempDir::new()?;
    let path = prepare(directory.path(), old)?;
    let log = FaultLog::new();
    log.during(|| write(&path, &new, fault))?;
    assert_eq!(found(&path)?, after);
    for call in 0..log.calls().len() {
        let directory = TempDir::new()?;
        let path = prepare(directory.path(), old)?;
        let files = tree(directory.path())?;
        let log = FaultLog::new();
        log.inject(call, fault);
        let result = log.during(|| write(&path, &new, fault));
        let at = format!("{fault:?} at {:?}: {result:?}", log.calls()[call]);
        tidy(&path)?;
        if result.is_ok() {
            assert_eq!(found(&path)?, after, "{at}");
        } else if !path.exists() {
            assert!(old.is_none(), "{at}");
        } else {
            // A sync that fails last is too late to take anything back.
            let is_whole = found(&path)? == after;
            assert!(is_whole || found(&path)? == before, "{at}");
            if fault != Fault::Crash {
                assert!(is_whole || tree(directory.path())? == files, "{at}");
            }
        }
    }
    Ok(())
}

const FAILURE: Fault = Fault::Fail(Errno::IO.raw_os_error());

#[test]
fn a_new_layout_is_there_as_a_whole_or_not_at_all_whatever_fails() -> Result {
    check_each_call(None, FAILURE)
}

#[test]
fn a_new_layout_is_there_as_a_whole_or_not_at_all_whenever_the_process_dies() -> Result {
    check_each_call(None, Fault::Crash)
}

#[test]
fn a_layout_has_its_old_images_or_the_new_ones_too_whatever_fails() -> Result {
    check_each_call(Some(&image(&[])), FAILURE)
}

#[test]
fn a_layout_has_its_old_images_or_the_new_ones_too_whenever_the_process_dies() -> Result {
    check_each_call(Some(&image(&[])), Fault::Crash)
}
