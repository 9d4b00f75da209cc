//! What somebody is about to use, so that a collection keeps it.
//!
//! A lease is a directory that its process holds a lock on, so a dead one's are told from those of
//! the living. It is there before its maker looks what there is, and a collection looks at leases
//! after it has taken things away: of the two one sees the other.

use std::collections::BTreeSet;

use layergraph_digest::Digest;
use layergraph_fs::{Dir, Staging, is_temporary_name};

use crate::error::Attempted;
use crate::import::plan_uses;
use crate::store::lease_file;
use crate::{Result, Store};

/// More than any lease has, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Keeps things until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    _held: Staging,
}

impl Lease {
    /// Keeps what a plan uses: its chains and its documents.
    pub(crate) fn new(store: &Store, plan: &crate::import::Plan) -> Result<Lease> {
        let leased = || "cannot make a lease".to_owned();
        let held = Staging::new(&store.leases.dir()?).attempted(leased)?;
        let uses: Vec<String> = plan_uses(plan).iter().map(ToString::to_string).collect();
        let mut file = held
            .dir()
            .create_file(lease_file(), 0o600)
            .attempted(leased)?;
        file.write_all(uses.join("\n").as_bytes())
            .attempted(leased)?;
        Ok(Lease { _held: held })
    }
}

/// Returns what the living use, after removing the leases of the dead.
pub(crate) fn used(store: &Store) -> Result<BTreeSet<Digest>> {
    let dir = store.leases.dir()?;
    let read = || "cannot read the leases".to_owned();
    layergraph_fs::sweep(&dir).attempted(read)?;
    let mut used = BTreeSet::new();
    for name in dir.sorted_names().attempted(read)? {
        if !is_temporary_name(&name) {
            continue;
        }
        let text = uses(&dir, &name).attempted(read)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        used.extend(text.lines().filter_map(|line| line.parse::<Digest>().ok()));
    }
    Ok(used)
}

/// Reads one lease; nothing if it went, or is not written yet: then its maker has not looked at
/// anything.
fn uses(leases: &Dir, name: &std::ffi::OsStr) -> layergraph_fs::Result<Vec<u8>> {
    let read = leases
        .open_dir(name)
        .and_then(|dir| dir.read_file(lease_file(), MAX_BYTES));
    match read {
        Err(error) if error.leads_nowhere() => Ok(Vec::new()),
        result => result,
    }
}
