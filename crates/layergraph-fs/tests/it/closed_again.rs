//! Directories that are made writable for the time of a rename, when several things go wrong.

use layergraph_fs::faults::{Fault, FaultLog};
use layergraph_fs::{Durability, RenameMode, Staging};
use rustix::io::Errno;

use crate::support::{Home, Result, os};

/// Exchanges a directory that nobody may write to for another one, and says what its mode is then,
/// and which calls were made.
fn exchange(faults: &[(usize, Errno)]) -> Result<(u32, Vec<&'static str>)> {
    let home = Home::new()?;
    home.directory("tree")?;
    home.set_mode("tree", 0o500)?;
    let staging = Staging::new(&home.dir)?;
    staging.dir().make_dir(os("new"), 0o700)?;
    staging.dir().set_mode(os("new"), 0o500)?;
    let log = FaultLog::new();
    for (call, errno) in faults {
        log.inject(*call, Fault::Fail(errno.raw_os_error()));
    }
    let published = log.during(|| {
        let (from, to) = (os("new"), os("tree"));
        staging.publish_entry(from, &home.dir, to, RenameMode::Exchange, Durability::None)
    });
    assert_eq!(published.is_err(), faults.len() > 1);
    let calls = log.calls().iter().map(|call| call.name).collect();
    Ok((home.dir.metadata(os("tree"))?.mode, calls))
}

#[test]
fn r55_a_directory_is_closed_again_even_if_another_one_cannot_be() -> Result {
    let (mode, calls) = exchange(&[(0, Errno::ACCESS)])?;
    assert_eq!(mode, 0o500);
    let second = calls.iter().rposition(|call| *call == "renameat2");
    let second = second.expect("the rename is tried again");
    assert_eq!(calls[second + 1..second + 3], ["fchmod", "fchmod"]);
    let (mode, _) = exchange(&[
        (0, Errno::ACCESS),
        (second, Errno::NOSPC),
        (second + 1, Errno::IO),
    ])?;
    assert_eq!(mode, 0o500);
    Ok(())
}
